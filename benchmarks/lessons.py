"""Measure the experiments of the lessons: accuracy with several seeds, and what the heads attend to.

    python -m benchmarks.lessons [--only heads,depth,patches,little,faithfulness] [--seeds 3] [--seconds 2100] [--anew]

The short version of an experiment has ``-short`` after its name. It trains the networks in
:data:`vit.lessons.EXPERIMENTS` on scenes, each run on one thread, and writes every result
immediately to ``vit/lessons.json``, which the pages read. Existing results are kept unless ``--anew`` is given. No run
begins after ``--seconds`` of processor time; processor time hardly depends on other work of the machine. ``--photos``
trains only the networks of the lesson on little data, on photographs, and prints the table.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from vit import data, lessons
from vit.config import RunConfig
from vit.data import ImageData
from vit.data.batches import normalise
from vit.data.sampling import subset
from vit.explain import METHODS, capture, measure_faithfulness, token_rows
from vit.explain.faithfulness.chance_maps import CHANCE_MAPS
from vit.explain.faithfulness.measure import object_shares
from vit.explain.faithfulness.result import Faithfulness
from vit.lessons import EXPERIMENTS, FaithfulnessTable, MapScores, Stored, Training, Variant
from vit.networks import build_model
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import load_checkpoint
from vit.trainer import Epoch, fit

FAITHFULNESS = "faithfulness"
MAPS = ("last", "rollout", "chefer")
FAITHFUL_IMAGES = LOOKED_AT = 100
"""Number of validation images for the faithfulness of maps and for the statistics of heads."""


def trained(config: RunConfig, images: ImageData) -> Training:
    """Train one network and measure its heads."""
    begin, weights, best = time.process_time(), {}, {}
    quiet = config.training.model_copy(update={"snapshots": 0, "device": "cpu"})
    for event in fit(config.model_copy(update={"training": quiet}), images):
        if isinstance(event, Epoch):
            best = event.best
            if event.kept:
                weights = {name: value.clone() for name, value in event.weights.items()}
    seconds = time.process_time() - begin
    model = build_model(config.model)
    model.load_state_dict(weights)
    return Training(
        seed=config.training.seed,
        accuracy=best["val_accuracy"],
        train_accuracy=best["train_accuracy"],
        seconds=round(seconds, 1),
        **(looks(model.eval(), config, images) if config.model.architecture == "vit" else {}),
    )


@torch.inference_mode()
def looks(model: nn.Module, config: RunConfig, images: ImageData) -> dict[str, float]:
    """Return what the summary token attends to in the last layer; see :class:`vit.lessons.Training`."""
    rows = subset(np.asarray(images.val.labels), LOOKED_AT, seed=0)
    pixels = torch.from_numpy(images.val.images[rows])
    record = capture(model, normalise(pixels, config.data.mean, config.data.std))
    attention = record.layers[-1].attention.numpy()  # b h n m
    summary = np.stack([token_rows(record, one, 0) for one in attention])  # b h m
    to_patches = summary[..., record.prefix_tokens :].mean(axis=1)
    to_patches /= to_patches.sum(axis=-1, keepdims=True)
    shares = object_shares(images.val.masks[rows], record.grid)
    seen = {
        "on_object": float((to_patches * shares).sum(axis=-1).mean()),
        "by_area": float(shares.mean()),
    }
    heads = summary.shape[1]
    if heads > 1:
        between = 0.5 * np.abs(summary[:, :, None] - summary[:, None]).sum(axis=-1)  # b h g
        seen["apart"] = float(between.sum(axis=(1, 2)).mean() / (heads * (heads - 1)))
    return {name: round(value, 4) for name, value in seen.items()}


def faithful() -> FaithfulnessTable:
    """Measure the maps of the included run and the control maps."""
    run = get_run(SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    methods = {name: METHODS[name] for name in MAPS}
    result = measure_faithfulness(model, split, mean=info.mean, std=info.std, images=FAITHFUL_IMAGES, methods=methods)
    return FaithfulnessTable(
        images=len(result.images), rows=tuple(row_of(result, name) for name in (*MAPS, *CHANCE_MAPS))
    )


def row_of(result: Faithfulness, name: str) -> MapScores:
    scores, advantages = result.scores[name], result.advantages.get(name, {})
    better = {f"{kind}_better": advantages[f"{kind}_mean"].better for kind in ("deletion", "insertion") if advantages}
    numbers = {"deletion": "deletion_mean", "insertion": "insertion_mean", "inside": "inside"}
    means = {field: round(float(scores[measure].mean), 4) for field, measure in numbers.items()}
    return MapScores(name=name, title=result.row(name).title, **means, **better)


def left(found: Stored, only: list[str], seeds: int) -> Iterator[tuple[str, Variant, int]]:
    """Yield what is not measured yet: the first seed of all networks before the second."""
    for seed in range(seeds):
        for experiment in only:
            for variant in EXPERIMENTS.get(experiment, ()):
                if lessons.is_shared(experiment, variant.name):
                    continue
                done = found.of(experiment, variant.name).trainings
                if all(training.seed != seed for training in done):
                    yield experiment, variant, seed


def with_training(found: Stored, experiment: str, variant: str, training: Training) -> Stored:
    """Return the results with one more training."""
    of = dict(found.trainings.get(experiment, {}))
    others = [one for one in of.get(variant, ()) if one.seed != training.seed]
    of[variant] = tuple(sorted([*others, training], key=lambda one: one.seed))
    return found.model_copy(update={"trainings": {**found.trainings, experiment: of}})


def read() -> Stored:
    """Read the results from the file."""
    return Stored.from_json(lessons.FILE.read_bytes()) if lessons.FILE.exists() else Stored()


def write(found: Stored) -> None:
    """Write the results to the file."""
    words = f"torch {torch.__version__.split('+')[0]}, {platform.machine()}, one thread"
    trainings = {
        name: {variant.name: of[variant.name] for variant in variants if variant.name in of}
        for name, variants in EXPERIMENTS.items()
        if (of := found.trainings.get(name))
    }
    found = found.model_copy(update={"environment": words, "trainings": trainings})
    beside = lessons.FILE.with_suffix(".part")
    beside.write_text(found.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
    os.replace(beside, lessons.FILE)


def table(found: Stored, experiment: str) -> str:
    """Return the table of one experiment as Markdown."""
    lines = [
        f"| {experiment} | parameters | seeds | validation accuracy | training accuracy | processor time, s "
        "| distance of heads "
        "| on the object |",
        "| --- |" + " --- |" * 7,
    ]
    for variant in EXPERIMENTS[experiment]:
        figures = found.of(experiment, variant.name)
        if not figures.seeds:
            continue
        low, high = figures.range()
        looked = [f"{figures.mean(field):.3f}" if figures.values(field) else "–" for field in ("apart", "on_object")]
        lines.append(
            f"| {variant.title} | {variant.parameters:,} | {figures.seeds} | {figures.mean():.3f} ({low:.3f} to "
            f"{high:.3f}) | {figures.mean('train_accuracy'):.3f} | {figures.mean('seconds'):.0f} | "
            + " | ".join(looked)
            + " |"
        )
    return "\n".join(lines)


def photographs(source: str, seeds: int) -> str:
    """Run the lesson on little data with photographs instead of scenes, and return its table."""
    info = data.describe(source)
    found = Stored()
    for seed in range(seeds):
        for variant in EXPERIMENTS["little"]:
            config = variant.seeded(seed)
            images = config.data.model_copy(update={"source": info.source, "class_names": info.class_names})
            model = config.model.model_copy(update={"num_classes": len(info.class_names)})
            config = config.model_copy(update={"data": images, "model": model})
            loaded = data.load(images)
            loaded = replace(loaded, val=replace(loaded.val, masks=None))
            found = with_training(found, "little", variant.name, trained(config, loaded))
            print(f"{variant.title}, seed {seed}", file=sys.stderr, flush=True)
    return table(found, "little")


def main() -> None:
    """Train the missing networks, and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*EXPERIMENTS, FAITHFULNESS]
    parser.add_argument("--only", default=",".join(every), help="comma-separated experiments")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2100, help="processor time after which no run begins")
    parser.add_argument("--anew", action="store_true", help="measure again, even what is in the file")
    parser.add_argument("--photos", help="folder or zip in ImageFolder layout, for the lesson on little data")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := set(only) - set(every):
        parser.error(f"--only {', '.join(sorted(unknown))} is unknown: choose from {', '.join(every)}.")
    torch.set_num_threads(1)
    if options.photos:
        print(photographs(options.photos, options.seeds))
        return
    if options.anew:
        kept = {name: of for name, of in read().trainings.items() if name not in only}
        write(read().model_copy(update={"trainings": kept}))
    if FAITHFULNESS in only and (options.anew or read().faithfulness is None):
        measured = faithful()
        write(read().model_copy(update={"faithfulness": measured}))
    for experiment, variant, seed in list(left(read(), only, options.seeds)):
        if time.process_time() > options.seconds:
            print(f"{options.seconds:.0f} s are used up; start again for the rest.", file=sys.stderr)
            break
        config = variant.seeded(seed)
        result = trained(config, data.load(config.data))
        write(with_training(read(), experiment, variant.name, result))
        print(f"{experiment}, {variant.title}, seed {seed}: {result.accuracy:.3f}", file=sys.stderr, flush=True)
    for experiment in only:
        if experiment in EXPERIMENTS:
            print(table(read(), experiment), end="\n\n")
    if FAITHFULNESS in only and (measured := read().faithfulness):
        print(f"| map, {measured.images} images | deletion | insertion | on the object |\n| --- | --- | --- | --- |")
        for row in measured.rows:
            print(f"| {row.title} | {row.deletion:.3f} | {row.insertion:.3f} | {row.inside:.3f} |")


if __name__ == "__main__":
    main()
