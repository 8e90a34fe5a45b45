"""One image file -> a square uint8 array, whatever the file is.

Files come from strangers, so they are judged by their content and not by their name, and their bytes and pixels are
limited before anything is decoded.
"""

import io
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from vit.errors import DataError

FILE_BYTES_MAX = 64 * 2**20
PIXELS_MAX = 64_000_000
"""Below the count from which Pillow itself warns of a decompression bomb."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""The formats that are tried. Pillow knows more, but some of them start other programs (EPS) or have no signature."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: Path | bytes | BinaryIO, *, name: str = "", at_least: int | None = None) -> Image.Image:
    """Decode an image file to upright RGB; of an animation the first frame, of transparency what lies on white.

    Args:
        source: path, content, or binary stream.
        name: what the file is called in an error; a path is called by its own name.
        at_least: the shorter side that is needed in the end. A JPEG that is many times larger is then decoded at a
            fraction of its size (never under twice ``at_least``), which is several times faster.

    Raises:
        DataError: not an image, cut off, or too large.
    """
    name = name or (source.name if isinstance(source, Path) else "The file")
    with _opened(_content(source, name), name) as image:
        if at_least:
            scale = min(image.size) // (2 * at_least)
            if scale > 1:
                image.draft("RGB", (image.width // scale, image.height // scale))
        try:
            image.load()
            return _to_rgb(_upright(image))
        except Exception as error:  # the decoders raise whatever a broken file makes them stumble on
            if "truncated" in str(error).lower() or isinstance(error, EOFError):
                raise DataError(f"{name} is cut off: only a part of the image is there.") from error
            raise DataError(f"{name} is a damaged image and cannot be decoded.") from error


def natural_size(source: Path | bytes | BinaryIO) -> int:
    """Shorter side of an image in pixels, from its header alone.

    Raises:
        DataError: not an image, or too large.
    """
    with _opened(_content(source, "The file"), "The file") as image:
        return min(image.size)


def fit_square(image: Image.Image, size: int) -> np.ndarray:
    """Centre square of an RGB image, resized with antialiasing: uint8 (size size c)."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(image)


def _content(source: Path | bytes | BinaryIO, name: str) -> bytes:
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _content(file, name)
        except OSError as error:
            raise DataError(f"{name} cannot be opened: {error.strerror or error}.") from error
    data = source if isinstance(source, bytes) else source.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise DataError(f"{name} is larger than {FILE_BYTES_MAX // 2**20} MB: use a smaller file.")
    if not data:
        raise DataError(f"{name} is empty.")
    return data


def _opened(data: bytes, name: str) -> Image.Image:
    """Read the header: format and dimensions are known, no pixel is decoded yet."""
    too_large = DataError(f"{name} has more than {PIXELS_MAX // 10**6} million pixels: use a smaller image.")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large from error
    except UnidentifiedImageError as error:
        if data[4:8] == b"ftyp":
            raise DataError(f"{name} is a HEIC image or a video: save it as JPEG or PNG first.") from error
        raise DataError(f"{name} is not an image that can be read: use JPEG, PNG, WebP, GIF, BMP or TIFF.") from error
    except Exception as error:  # a header that only looks like one
        raise DataError(f"{name} is a damaged image and cannot be decoded.") from error
    if image.width * image.height > PIXELS_MAX:
        raise too_large
    return image


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]  # an older Pillow stumbles over a name it does not know


def _upright(image: Image.Image) -> Image.Image:
    """Turn the image as its camera says (EXIF orientation)."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    except Exception:  # broken metadata is no reason to refuse the pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float greyscale -> 8 bits; Pillow's own conversion would clip at 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    if image.mode.startswith("I;16"):
        return Image.fromarray((values / 257).round().astype(np.uint8))
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    elif low >= 0 and 255 < high <= 65535:
        values = values / 257
    elif low < 0 or high > 65535:
        values = (values - low) * (255 / (high - low))
    return Image.fromarray(values.round().astype(np.uint8))
