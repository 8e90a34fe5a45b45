"""Sets of images that cost much memory because many of their files cannot be read."""

import io
import random
import zipfile
from collections.abc import Callable

from PIL import Image

from tests.helpers.hostile import encoded, pixels


def set_of_zeros(entries: int, size: int) -> bytes:
    """A zip of a proper set and of entries of zeros, packed a thousandfold."""
    return _set_with([bytes(size)] * entries, zipfile.ZIP_DEFLATED)


def set_of_noise(entries: int, size: int) -> bytes:
    """A zip of a proper set and of entries with the header of a HEIC image, which are not packed."""
    noise = random.Random(0).randbytes(size)
    return _set_with([b"\0\0\0\x18ftypheic" + noise[index:] for index in range(entries)], zipfile.ZIP_STORED)


def _set_with(entries: list[bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for index in range(40):
            archive.writestr(f"{'ab'[index % 2]}/{index}.png", encoded(Image.fromarray(pixels(index, (16, 16))), "PNG"))
        for index, content in enumerate(entries):
            archive.writestr(f"{'ab'[index % 2]}/broken{index}.png", content)
    return file.getvalue()


SET_BOMBS: dict[str, Callable[[], bytes]] = {
    "set of 100 entries of 60 MB of zeros": lambda: set_of_zeros(100, 60_000_000),
    "set of 30 unreadable files of 8 MB": lambda: set_of_noise(30, 8 * 2**20),
}
