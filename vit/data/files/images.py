"""Decode an untrusted image file into a square uint8 array.

Files are identified by their content and not by their name, and their bytes and pixels are limited before anything is
decoded. Decoding takes at most 5 s and half a gigabyte of additional memory: large images are decoded one at a time and
reduced as early as possible.
"""

import io
import math
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from vit.config import Interpolation
from vit.data.files import decoder_process, header_checks
from vit.errors import DataError

FILE_BYTES_MAX = 64 * 2**20
PIXELS_MAX = 64_000_000
"""Lower than the number of pixels at which Pillow warns of a decompression bomb."""

DETAIL = 1024
"""The most pixels per side that a network or a page uses."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are accepted. Pillow knows more, but some start other programs (EPS) or have no signature."""

HEAVY_PIXELS_MAX = 24_000_000
_HEAVY = ("WEBP", "TIFF", "JPEG2000", "AVIF")
"""Formats with a lower limit, because their decoders need up to 24 bytes per pixel."""
_SEPARATE_PROCESS = {"JPEG2000": 32 * 2**20, "AVIF": 32 * 2**20}
"""Formats that are decoded in a separate process, and their largest number of bytes, which bounds the time."""
_LARGE = 8_000_000
_BAND = 2_000_000
"""Pixels that are converted at a time."""
_one_at_a_time = Lock()

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: Path | bytes | BinaryIO, *, name: str = "", at_least: int = DETAIL) -> Image.Image:
    """Decode an image file to upright RGB, with transparency on white; of an animation, decode the first frame.

    Args:
        source: path, content, or binary stream.
        name: name of the file in errors; by default the name of the path.
        at_least: the shorter side that is needed in the end. Much larger images are reduced, but never to less than
            twice this: a JPEG before it is decoded, other formats if they have over 8 million pixels.

    Raises:
        DataError: the file is not an image, is truncated or too large, or would cost too much to decode.
    """
    name = name or (source.name if isinstance(source, Path) else "The file")
    data, turn = header_checks.check_and_strip(_content(source, name), name)
    image = _opened(data, name)
    large = image.width * image.height > _LARGE
    with _one_at_a_time if large else nullcontext(), image:
        if image.format in _SEPARATE_PROCESS:
            image, exif = _decoded_in_process(data, image, image.format, name)
        else:
            _load(image, at_least, name)
            exif = image.info.get("exif", b"")
        try:
            factor = max(1, min(image.size) // (2 * at_least)) if large else 1
            return _upright(_to_rgb(image, factor), turn or header_checks.orientation(exif))
        except Exception as error:  # such as an incomplete palette
            raise _damaged(name) from error


def natural_size(source: Path | bytes | BinaryIO) -> int:
    """Return the shorter side of an image in pixels, from its header.

    Raises:
        DataError: the file is not an image, or too large.
    """
    data, _ = header_checks.check_and_strip(_content(source, "The file"), "The file")
    with _opened(data, "The file") as image:
        return min(image.size)


class Square(NamedTuple):
    """How an image is cropped and resized for a network: the settings of :class:`vit.config.DataConfig`."""

    size: int
    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"

    @property
    def whole(self) -> int:
        """Side of the resized centre square, in pixels, of which the inner ``size`` are used."""
        return math.floor(self.size / self.crop_pct)


def fit_square(
    image: Image.Image, size: int, crop_pct: float = 1.0, interpolation: Interpolation = "bicubic"
) -> np.ndarray:
    """Return the centre square of an RGB image, resized with antialiasing: uint8 (size size c).

    As in timm's and torchvision's evaluation, the shorter side is resized to ``size / crop_pct`` and the centre is
    cropped. An image that already has the size is returned unchanged, since it may be such a crop.
    """
    if image.size == (size, size):
        return np.asarray(image)
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(image.resize((size, size), method, box=_looked_at(image.size, Square(size, crop_pct))))


def crop_square(image: Image.Image, size: int, crop_pct: float = 1.0) -> Image.Image:
    """Return the part of an image that :func:`fit_square` uses, at full resolution."""
    if image.size == (size, size):
        return image
    left, top, right, bottom = _looked_at(image.size, Square(size, crop_pct))
    return image.crop((round(left), round(top), round(right), round(bottom)))


def _looked_at(sides: tuple[int, int], square: Square) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the used part, in pixels of an image with these sides."""
    spans = []
    for side in sides:
        resized = square.whole * side // min(sides)
        start = round((resized - square.size) / 2)
        spans.append((start * side / resized, (start + square.size) * side / resized))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


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
    """Open an image and read its format and size from the header; no pixel is decoded yet."""
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, PIXELS_MAX) from error
    except UnidentifiedImageError as error:
        if data[4:8] == b"ftyp":
            raise DataError(f"{name} is a HEIC image or a video: save it as JPEG or PNG first.") from error
        raise DataError(f"{name} is not an image that can be read: use JPEG, PNG, WebP, GIF, BMP or TIFF.") from error
    except Exception as error:  # a damaged header
        raise _damaged(name) from error
    limit = HEAVY_PIXELS_MAX if image.format in _HEAVY else PIXELS_MAX
    if image.width * image.height > limit:
        raise _too_large(name, limit)
    if len(data) > (most := _SEPARATE_PROCESS.get(image.format or "", FILE_BYTES_MAX)):
        raise DataError(f"{name} is larger than {most // 2**20} MB, the most for {image.format}: save it as JPEG.")
    return image


def _load(image: Image.Image, at_least: int, name: str) -> None:
    scale = min(image.size) // (2 * at_least)
    if scale > 1:
        image.draft("RGB", (image.width // scale, image.height // scale))
    try:
        image.load()
    except Exception as error:  # for a damaged file, the decoders raise many kinds of exceptions
        if "truncated" in str(error).lower() or isinstance(error, EOFError):
            raise DataError(f"{name} is truncated: use a complete copy of the file.") from error
        raise _damaged(name) from error


def _decoded_in_process(data: bytes, image: Image.Image, kind: str, name: str) -> tuple[Image.Image, bytes]:
    try:
        decoded, exif = decoder_process.decode(data, kind)
    except decoder_process.DecodingFailed as error:
        if error.args[0]:
            raise DataError(f"{name} takes too much time or memory to decode: save it as JPEG or PNG.") from error
        raise _damaged(name) from error
    except OSError as error:
        raise DataError(f"{name} cannot be decoded here: {error.strerror or error}.") from error
    if decoded.size != image.size:
        raise _damaged(name)
    return decoded, exif


def _damaged(name: str) -> DataError:
    return DataError(f"{name} is a damaged image and cannot be decoded.")


def _too_large(name: str, limit: int) -> DataError:
    return DataError(f"{name} has more than {limit // 10**6} million pixels: use a smaller image.")


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]  # Pillow fails on a format that it does not have


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn the image upright by its EXIF orientation."""
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, factor: int) -> Image.Image:
    """Convert to RGB, ``factor`` times smaller, band by band: a copy of a large image has a quarter of a gigabyte."""
    deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    low, high = _range(image) if deep else (0.0, 0.0)

    def rgb(part: Image.Image) -> Image.Image:
        if deep:
            return _deep_grey(part, low, high).convert("RGB")
        if part.has_transparency_data:
            part = part.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", part.size, "white"), part).convert("RGB")
        return part.convert("RGB")

    if factor == 1 and image.width * image.height <= _LARGE:
        return image if image.mode == "RGB" and "transparency" not in image.info else rgb(image)
    whole = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top, band in _bands(image, factor):
        band = rgb(band)
        whole.paste(band if factor == 1 else band.reduce(factor), (0, top // factor))
    return whole


def _bands(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield bands of the full width, each a multiple of ``factor`` rows, with their first row."""
    rows = max(1, _BAND // image.width // factor) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _range(image: Image.Image) -> tuple[float, float]:
    """Return the smallest and the largest value, ignoring NaN."""
    extremes = [
        (float(values.min()), float(values.max())) for _, band in _bands(image, 1) for values in [_values(band)]
    ]
    return min(low for low, _ in extremes), max(high for _, high in extremes)


def _values(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, dtype=np.float32))


def _deep_grey(image: Image.Image, low: float, high: float) -> Image.Image:
    """Convert 16-bit, 32-bit and float greyscale to 8 bits; Pillow's own conversion would clip at 255."""
    values = _values(image)
    if image.mode.startswith("I;16"):
        values = values / 257
    elif image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    elif low >= 0 and 255 < high <= 65535:
        values = values / 257
    elif low < 0 or high > 65535:
        values = (values.astype(np.float64) - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(values.round().astype(np.uint8))
