"""The attention of a few validation images while a run trains, in the file ``live.npz`` of its folder. No torch needed.

:class:`vit.trainer.live_maps.Watch` records it, and the job replaces the file at each record. The file is kept after
the training, survives a restart of the app, and is removed when the run is started over. It is not part of a packed
run. It may come from a stranger's folder: every value is checked when it is read.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vit.runs.example import LEVELS
from vit.runs.folder import LIVE
from vit.runs.run import Run
from vit.support.files import write_atomic

BYTES_MAX = 32_000_000
"""Largest file that is read."""


@dataclass(frozen=True)
class LiveMaps:
    """The attention of a few images at one step of a training.

    The weights of a row (one image, layer, head and query) are rounded to multiples of 1/255 of the largest one, so the
    error of a weight is at most 1/510 of the largest weight of its row.

    Attributes:
        rows: ``(i)`` int64, the places of the images among the validation images.
        pixels: ``(i h w c)`` uint8, the images.
        labels: ``(i)`` int64, their classes.
        levels: ``(i depth h q m)`` uint8, the weights as multiples. Query 0 is the summary token; the patches follow
            row by row if the maps of all of them are small enough to be stored.
        tops: ``(i depth h q)`` float32, the largest weight of each row.
        probabilities: ``(i k)`` float32, of the classes; k is 0 without classes.
        step, epoch: when the maps were recorded, counted from 1; step 0 is before the first step.
        seconds: training time until then, without the time before a resume.
        spent: how much of it went into recording and writing maps.
    """

    rows: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    levels: np.ndarray
    tops: np.ndarray
    probabilities: np.ndarray
    step: int
    epoch: int
    seconds: float
    spent: float

    @property
    def attention(self) -> np.ndarray:
        """The weights, ``(i depth h q m)`` float32."""
        return self.levels.astype(np.float32) * (self.tops[..., None] / np.float32(LEVELS))


def write_live_maps(folder: Path, maps: LiveMaps) -> None:
    """Replace the file of a run's folder; it is not flushed to the disk, because another one follows in seconds."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {item.name: np.asarray(getattr(maps, item.name)) for item in fields(maps)}
    np.savez(content, **arrays)
    write_atomic(folder / LIVE, content.getvalue(), durable=False)


def live_stamp(run: Run) -> int:
    """Return a number that changes when the maps are replaced; 0 if there are none."""
    try:
        return (run.path / LIVE).stat().st_mtime_ns
    except OSError:
        return 0


def read_live_maps(run: Run) -> LiveMaps | None:
    """Return the maps that were recorded last; None if there are none, or if the file is damaged."""
    try:
        stat = (run.path / LIVE).stat()
        if stat.st_size > BYTES_MAX:
            return None
        return _read(run.path / LIVE, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile):
        return None


@lru_cache(maxsize=4)
def _read(path: Path, _mtime_ns: int, _size: int) -> LiveMaps:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > 2 * BYTES_MAX:
            raise ValueError("The arrays are larger than those that are written.")
    with np.load(path, allow_pickle=False) as file:
        arrays = {item.name: file[item.name] for item in fields(LiveMaps)}
    found = LiveMaps(**arrays | {name: arrays[name].item() for name in ("step", "epoch", "seconds", "spent")})
    levels, count = found.levels, len(found.rows)
    if levels.dtype != np.uint8 or levels.ndim != 5 or found.tops.shape != levels.shape[:-1]:
        raise ValueError("The maps have other shapes or types than those that are written.")
    if found.pixels.dtype != np.uint8 or found.pixels.ndim != 4 or found.probabilities.ndim != 2:
        raise ValueError("The images or the probabilities have other shapes than those that are written.")
    if {len(found.pixels), len(levels), len(found.labels), len(found.probabilities)} != {count}:
        raise ValueError("The arrays are of different numbers of images.")
    if not ((found.tops >= 0) & (found.tops <= 1)).all() or not np.isfinite(found.probabilities).all():
        raise ValueError("The weights or the probabilities are out of bounds.")
    return found
