"""Compare whole training loops with data, augmentation and validation: ours, a usual script, and one without a loader.

Also the training of the course: twenty epochs of 7,500 images, which took 268 s on the GPU of the report.
"""

import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.speed.rivals import IMAGE_SIZE, SHAPES
from benchmarks.speed.rounds import LEAST, quartiles, ratios, rounds, spread
from vit import data
from vit.config import RECIPES, DataConfig, ModelConfig, ReferenceConfig, RunConfig, TrainingConfig, ViTConfig
from vit.data import ImageData, Split
from vit.trainer import Epoch, Note, Step, fit

COURSE_EPOCHS, COURSE_IMAGES = 20, 7500
JPEG_QUALITY = 95
OURS, AS_WRITTEN, IN_MEMORY = "this project", "a usual script", "timm, data in memory"
IN_MEMORY_BF16 = f"{IN_MEMORY}, bf16"
SYNCHRONISED = "called a synchronizing CUDA operation"
PROBE_IMAGES = 256
"""Training images of an epoch that tells how many the measurement has time for."""
UNCOUNTED = 2
"""Steps before the clock starts when an epoch is estimated."""


@dataclass(frozen=True)
class Photographs:
    """The images of a comparison.

    Attributes:
        config: the data settings.
        images: the decoded images.
        folder: the image files, in ImageFolder layout.
    """

    config: DataConfig
    images: ImageData
    folder: Path

    def settings(self, model: ModelConfig, training: TrainingConfig) -> RunConfig:
        """Return the settings of a run on these images."""
        return RunConfig(model=model, data=self.config, training=training)

    def at_most(self, train: int, val: int) -> ImageData:
        """Return a subset of the images, of all classes."""
        return replace(self.images, train=_thinned(self.images.train, train), val=_thinned(self.images.val, val))


def photographs(source: str | None, beside: Path) -> Photographs:
    """Load images at 64 px and their files; without a source, scenes are written as JPEG files.

    Args:
        source: a folder or zip in ImageFolder layout with ``train/`` and ``val/``.
        beside: an empty folder for the files.
    """
    config = DataConfig(source=source or "scenes", image_size=IMAGE_SIZE)
    images = data.load(config)
    config = config.model_copy(update={"source": images.source, "class_names": images.class_names})
    if source is None:
        for name in ("train", "val"):
            _write(getattr(images, name), images.class_names, beside / name)
        return Photographs(config, images, beside)
    folder = Path(source)
    if folder.is_file():
        with zipfile.ZipFile(folder) as archive:
            archive.extractall(beside)
        folder = beside
    found = next((train.parent for train in sorted(folder.rglob("train")) if (train.parent / "val").is_dir()), None)
    if found is None:
        raise SystemExit(f"{source} has no folders train/ and val/, which the comparison needs.")
    return Photographs(config, images, found)


def loop(photos: Photographs, device: torch.device, seconds: float, limit: int | None) -> dict[str, Any]:
    """Measure training images per second of whole epochs, including the time of validation. Sides take turns by epoch.

    Args:
        photos: the images.
        device: the device of all sides.
        seconds: approximate time of the measurement, with the probe that determines the number of images.
        limit: number of training images, with a third as many validation images; None takes as many as leave time for
            :data:`~benchmarks.speed.rounds.LEAST` rounds.
    """
    end = time.perf_counter() + seconds
    probe = _turns(photos, photos.at_most(PROBE_IMAGES, PROBE_IMAGES // 3), device)
    for turn in probe.values():  # workers start, kernels are loaded
        turn()
    each = sum(turn() for turn in probe.values()) / PROBE_IMAGES
    del probe  # and with it the loaders' workers
    if limit is None:
        limit = max(PROBE_IMAGES, int((end - time.perf_counter()) / (LEAST * each)))
    images = photos.at_most(min(limit, len(photos.images.train)), min(max(1, limit // 3), len(photos.images.val)))
    count = len(images.train)
    turns = _turns(photos, images, device)
    times = rounds(turns, end - time.perf_counter(), least=1)
    return {
        "images": {"train": count, "val": len(images.val), "source": photos.config.source},
        "rounds": len(times[OURS]),
        "images_per_second": {
            name: quartiles([count / it for it in values])._asdict() for name, values in times.items()
        },
        "times_as_fast": {name: ratios(times[name], times[OURS])._asdict() for name in turns if name != OURS},
    }


def _turns(photos: Photographs, images: ImageData, device: torch.device) -> dict[str, Callable[[], float]]:
    """Return the sides; a call trains an epoch on ``images``, validates, and returns the seconds."""
    from benchmarks.speed import plain_loop

    # the recipe of the app, for as many epochs as needed
    ours = _epochs(photos.settings(SHAPES["small"].config(), TrainingConfig(epochs=10_000, device=device.type)), images)

    def as_written(loaders: tuple, bf16: bool = False) -> Callable[[], float]:
        model, optimizer = plain_loop.build(len(images.class_names), device.type)

        def epoch() -> float:
            begun = time.perf_counter()
            plain_loop.train(model, optimizer, loaders[0], device.type, bf16)
            plain_loop.validate(model, loaders[1], device.type, bf16)
            return time.perf_counter() - begun

        return epoch

    in_memory = _InMemory(images.train, device, flips=True), _InMemory(images.val, device, size=256)
    loaders = plain_loop.loaders(str(photos.folder), device.type, (len(images.train), len(images.val)))
    turns = {OURS: lambda: next(ours), AS_WRITTEN: as_written(loaders), IN_MEMORY: as_written(in_memory)}
    if device.type == "cuda":
        turns[IN_MEMORY_BF16] = as_written(in_memory, bf16=True)
    return turns


def loop_table(found: dict[str, Any]) -> str:
    """Markdown."""
    images = found["images"]
    lines = [
        f"Whole loop, small ViT, {images['train']:,} training and {images['val']:,} validation images "
        f"({Path(images['source']).name}), {found['rounds']} epochs each, in turns:\n",
        "| loop | training images/s | ours is faster by a factor of |\n| --- | --- | --- |",
    ]
    for name, speed in found["images_per_second"].items():
        ratio = found["times_as_fast"].get(name)
        told = spread(ratio, ".2f") if ratio else ""
        lines.append(f"| {name} | {spread(speed, ',.0f')} | {told} |")
    return "\n".join(lines)


def course(photos: Photographs, device: torch.device, seconds: float) -> dict[str, Any]:
    """Train the default ViT and the course network for twenty epochs, each with its own recipe.

    On a CPU, the time of an epoch is estimated from the steps that fit into ``seconds``.
    """
    images = photos.at_most(COURSE_IMAGES, COURSE_IMAGES // 3)
    networks = {
        "default ViT": (ViTConfig(num_classes=len(images.class_names)), RECIPES["standard"]),
        "course network": (ReferenceConfig(num_classes=len(images.class_names)), RECIPES["course"]),
    }
    found: dict[str, Any] = {"images": len(images.train), "epochs": COURSE_EPOCHS, "networks": {}}
    for name, (model, recipe) in networks.items():
        training = recipe.model_copy(update={"epochs": COURSE_EPOCHS, "device": device.type})
        config = photos.settings(model, training)
        if device.type == "cuda":
            found["networks"][name] = _whole(config, images) | {
                "host_synchronisations": _synchronisations(config, images)
            }
        else:
            found["networks"][name] = _an_epoch(config, images, seconds / len(networks))
    return found


def course_table(found: dict[str, Any]) -> str:
    """Markdown."""
    parts = [f"{found['images']:,} images of {IMAGE_SIZE} x {IMAGE_SIZE}:\n"]
    for name, it in found["networks"].items():
        if "epoch_seconds" in it:
            parts.append(f"- {name}: {it['epoch_seconds']:.1f} s per epoch ({it['from']}).")
            continue
        waits = it["host_synchronisations"]
        parts.append(
            f"- {name}: {found['epochs']} epochs in {it['seconds']:.2f} s, {it['after_first_epoch']:.2f} s of them "
            f"after the first; validation accuracy {it['val_accuracy']:.3f}; steps "
            f"{'captured as a CUDA graph' if it['captured'] else 'not captured: ' + ' '.join(it['notes'])}; "
            f"{waits['count']} host synchronisations, {waits['per_second']:.1f} per second: "
            + ", ".join(f"{place} {count}" for place, count in waits["places"].items())
        )
    return "\n".join(parts)


def _whole(config: RunConfig, images: ImageData) -> dict[str, Any]:
    """Measure a whole training by :func:`vit.trainer.fit`."""
    torch.cuda.synchronize()
    begun = time.perf_counter()
    notes, ends = [], []
    for event in fit(config, images):
        if isinstance(event, Note):
            notes.append(event.text)
        elif isinstance(event, Epoch):
            ends.append(time.perf_counter())
            accuracy = event.val_accuracy
    torch.cuda.synchronize()
    return {
        "seconds": time.perf_counter() - begun,
        "after_first_epoch": ends[-1] - ends[0],
        "epoch_seconds_each": [ends[0] - begun, *(b - a for a, b in pairwise(ends))],
        "val_accuracy": accuracy,
        "captured": not any("CUDA graph" in text for text in notes),
        "notes": notes,
    }


def _synchronisations(config: RunConfig, images: ImageData) -> dict[str, Any]:
    """Count how often, and where, the host waits for the GPU in such a training."""
    begun = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in fit(config, images):
                pass
        finally:
            torch.cuda.set_sync_debug_mode("default")
    seconds = time.perf_counter() - begun
    waits = [it for it in caught if SYNCHRONISED in str(it.message)]
    places = Counter(f"{Path(it.filename).name}:{it.lineno}" for it in waits)
    return {"count": len(waits), "per_second": len(waits) / seconds, "places": dict(places.most_common())}


def _an_epoch(config: RunConfig, images: ImageData, seconds: float) -> dict[str, Any]:
    """Return the seconds of an epoch with validation or, if it takes too long, an estimate from some steps."""
    begun = time.perf_counter()
    moments: list[float] = []
    for event in fit(config, images, stop=lambda: time.perf_counter() - begun > seconds and len(moments) > UNCOUNTED):
        now = time.perf_counter()
        if isinstance(event, Step):
            moments.append(now)
            total = -(-len(images.train) // config.training.batch_size)
        elif isinstance(event, Epoch):
            return {"epoch_seconds": now - begun, "from": "measured, including validation"}
    each = quartiles([b - a for a, b in pairwise(moments[UNCOUNTED - 1 :])]).median
    return {
        "epoch_seconds": each * total,
        "from": f"the median of {len(moments) - UNCOUNTED} steps, without validation",
    }


def _epochs(config: RunConfig, images: ImageData) -> Iterator[float]:
    """Yield the seconds of each epoch of our loop."""
    events = fit(config, images)
    while True:
        begun = time.perf_counter()
        while not isinstance(next(events), Epoch):
            pass
        yield time.perf_counter() - begun


class _InMemory:
    """Batches from an array on the device, shuffled, and flipped in whole batches: no loader, no files."""

    def __init__(self, split: Split, device: torch.device, *, flips: bool = False, size: int = 64) -> None:
        self.images = torch.tensor(split.images[:]).to(device)
        self.labels = torch.tensor(split.labels).to(device)
        self.flips, self.size = flips, size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        device, count = self.images.device, len(self.images)
        order = torch.randperm(count, device=device) if self.flips else torch.arange(count, device=device)
        for rows in order.split(self.size):
            images = self.images[rows].float().div_(255).sub_(0.5).div_(0.5)
            if self.flips:
                flip = torch.rand(len(rows), 1, 1, 1, device=device) < 0.5
                images = torch.where(flip, images.flip(3), images)
            yield images, self.labels[rows]


def _thinned(split: Split, count: int) -> Split:
    """Return ``count`` images, evenly spaced in the split; some are repeated if it has fewer."""
    rows = np.arange(count) * len(split) // count
    return replace(split, images=split.images[rows], labels=split.labels[rows], masks=None, files=("",) * count)


def _write(split: Split, names: tuple[str, ...], folder: Path) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
    for row, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / names[label] / f"{row:05d}.jpg", quality=JPEG_QUALITY)
