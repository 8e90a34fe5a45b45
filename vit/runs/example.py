"""One validation image of a run with its attention, stored in the run's folder for the Overview page. Imports no torch.

:func:`vit.explain.example.choose_example` chooses and computes it. The file may come from a stranger: every value is
checked when it is read.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from einops import reduce

from vit.config import ViTConfig
from vit.runs.folder import EXAMPLE, MODEL, weights_digest
from vit.runs.run import Run
from vit.support.files import write_atomic

LEVELS = 255
"""An attention weight is stored as a multiple of 1/255 of the largest weight of its row."""

BYTES_MAX = 8_000_000
"""Largest file that is read, and largest attention that is stored."""


@dataclass(frozen=True)
class AttentionExample:
    """The attention of one image.

    The weights of a row (one layer, head and query) are rounded to multiples of 1/255 of the largest one, so the error
    of a weight is at most 1/510 of the largest weight of its row.

    Attributes:
        image: number of the validation scene.
        levels: ``(depth h n m)`` uint8, the weights as multiples.
        tops: ``(depth h n)`` float32, the largest weight of each row.
        probabilities: of the classes, ``(k,)`` float32.
    """

    image: int
    levels: np.ndarray
    tops: np.ndarray
    probabilities: np.ndarray

    @property
    def attention(self) -> np.ndarray:
        """The weights, ``(depth h n m)`` float32."""
        return self.levels.astype(np.float32) * (self.tops[..., None] / np.float32(LEVELS))


def compress(image: int, attention: np.ndarray, probabilities: np.ndarray) -> AttentionExample:
    """Round the attention of an image to 8 bits per weight.

    Args:
        image: number of the validation scene.
        attention: ``(depth h n m)``, at least 0.
        probabilities: of the classes, ``(k,)``.
    """
    levels, tops = quantise(attention)
    return AttentionExample(image, levels, tops, probabilities.astype(np.float32))


def quantise(attention: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return attention as multiples of 1/255 of the largest weight of its row, and these largest weights.

    Args:
        attention: ``(... m)``, at least 0.

    Returns:
        The multiples, ``(... m)`` uint8, and the largest weights, ``(...)`` float32.
    """
    tops = attention.max(axis=-1).astype(np.float32)
    levels = np.rint(LEVELS * (attention / np.maximum(tops, np.finfo(np.float32).tiny)[..., None]))
    return levels.astype(np.uint8), tops


def object_cover(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return the share of each patch that the object covers, ``(p)`` float32.

    Args:
        mask: ``(h w)``, 1 where the object is visible; its sides are multiples of the grid's.
        grid: rows and columns of patches.
    """
    return reduce(mask.astype(np.float32), "(r y) (c x) -> (r c)", "mean", r=grid[0], c=grid[1])


def on_object(weights: np.ndarray, cover: np.ndarray, prefix: int) -> np.ndarray:
    """Return the share of attention to patches that lies on the object, ``(...)``.

    Args:
        weights: ``(... m)``, attention to all tokens.
        cover: ``(p)``, the share of each patch that the object covers.
        prefix: number of tokens before the patches.
    """
    patches = weights[..., prefix:]
    return (patches @ cover) / np.maximum(patches.sum(axis=-1), np.finfo(np.float32).tiny)


def read_example(run: Run) -> AttentionExample | None:
    """Return the stored example of a run's kept weights.

    Returns:
        The example; None if the run has none, or if its file is damaged or belongs to other weights.
    """
    config = run.config.model
    if not isinstance(config, ViTConfig):
        return None
    try:
        stats = [(run.path / name).stat() for name in (EXAMPLE, MODEL)]
        if stats[0].st_size > BYTES_MAX:
            return None
        times = tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
        found = _read(run.path, times)
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile):
        return None
    n = config.num_tokens
    if found is None or found.levels.shape != (config.depth, config.num_heads, n, n):
        return None
    return found


@lru_cache(maxsize=4)
def _read(folder: Path, _times: tuple) -> AttentionExample | None:
    """Return the checked content of the file; None if it belongs to other weights."""
    with zipfile.ZipFile(folder / EXAMPLE) as archive:
        if sum(member.file_size for member in archive.infolist()) > 2 * BYTES_MAX:
            raise ValueError("The arrays are larger than those that are written.")
    with np.load(folder / EXAMPLE, allow_pickle=False) as file:
        if str(file["weights"]) != weights_digest(folder):
            return None
        found = AttentionExample(int(file["image"]), file["levels"], file["tops"], file["probabilities"])
    whole = found.levels.dtype == np.uint8 and found.levels.ndim == 4 and found.levels.nbytes <= BYTES_MAX
    if not whole or found.tops.dtype != np.float32 or found.tops.shape != found.levels.shape[:-1]:
        raise ValueError("The arrays have other shapes or types than those that are written.")
    if found.image < 0 or found.probabilities.ndim != 1 or not np.isfinite(found.probabilities).all():
        raise ValueError("The image or the probabilities are out of bounds.")
    if not ((found.tops >= 0) & (found.tops <= 1)).all():
        raise ValueError("The largest weight of a row is not between 0 and 1.")
    return found


def write_example(folder: Path, example: AttentionExample) -> None:
    """Store an example of the kept weights in the run's folder."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        weights=np.array(weights_digest(folder)),
        image=np.array(example.image),
        levels=example.levels,
        tops=example.tops,
        probabilities=example.probabilities,
    )
    write_atomic(folder / EXAMPLE, content.getvalue())
