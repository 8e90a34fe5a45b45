"""Small image files and zips for the tests of this room."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def image_bytes(seed: int = 0, size: tuple[int, int] = (10, 8), kind: str = "PNG") -> bytes:
    """A small image of noise, another for each seed."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_tree(root: Path, names: list[str]) -> Path:
    """Files of these names below ``root``; a name that ends in ``/`` is an empty folder.

    A name that ends in ``.txt`` or contains ``broken`` is a text.
    """
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(b"some words" if name.endswith(".txt") or "broken" in name else image_bytes(seed))
    return root


def zip_bytes(entries: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    """A zip with these entries, as a stream."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    file.seek(0)
    return file


def pets(prefix: str = "", count: int = 3) -> dict[str, bytes]:
    """Entries of a proper set: train/ and val/ of the classes cat and dog."""
    return {
        f"{prefix}{split}/{label}/{index}.png": image_bytes(seed=index + 10 * (label == "dog"))
        for split in ("train", "val")
        for label in ("cat", "dog")
        for index in range(count)
    }
