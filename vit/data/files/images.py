"""Decode an untrusted image file into a square uint8 array.

Files are identified by their content and not by their name, and their bytes and pixels are limited before anything is
decoded. Decoding takes at most 5 s and half a gigabyte of additional memory: large images are decoded one at a time and
reduced as early as possible.
"""

import io
import math
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from vit.config import DataConfig, Ground, Interpolation, Window
from vit.data.files import decoder_process, header_checks
from vit.data.files.colours import LARGE, PLAIN, Colours, Range, is_deep, sample_values, to_rgb, value_range
from vit.errors import DataError

FILE_BYTES_MAX = 64 * 2**20
PIXELS_MAX = 64_000_000
"""Lower than the number of pixels at which Pillow warns of a decompression bomb."""

DETAIL = 1024
"""The most pixels per side that a network or a page uses."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Formats that are accepted. Pillow knows more, but some start other programs (EPS) or have no signature.

HEIF, the format of phones (.heic), needs the package pillow-heif.
"""

HEAVY_PIXELS_MAX = 24_000_000
_HEAVY = ("WEBP", "TIFF", "JPEG2000", "AVIF", "HEIF")
"""Formats with a lower limit, because their decoders need up to 24 bytes per pixel."""
_SEPARATE_PROCESS = {"JPEG2000": 32 * 2**20, "AVIF": 32 * 2**20, "HEIF": 32 * 2**20}
"""Formats that are decoded in a separate process, and their largest number of bytes, which bounds the time."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_MORE_DATA = b"\x55\xb6" * 32
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


def open_image(
    source: Path | bytes | BinaryIO, *, name: str = "", at_least: int = DETAIL, colours: Colours = PLAIN
) -> Image.Image:
    """Decode an image file to upright RGB, with transparency on a ground; of an animation, decode the first frame.

    Args:
        source: path, content, or binary stream.
        name: name of the file in errors; by default the name of the path.
        at_least: the shorter side that is needed in the end. Much larger images are reduced, but never to less than
            twice this: a JPEG before it is decoded, other formats if they have over 8 million pixels.
        colours: the ground of transparent pixels, and the window of greyscale with more than 8 bits.

    Returns:
        The image; ``info["window"]`` is the window of values of an image with more than 8 bits, if it is an unusual
        one (:func:`vit.data.files.colours.to_rgb`).

    Raises:
        DataError: the file is not an image, is truncated or too large, or would cost too much to decode.
    """
    name = name or (source.name if isinstance(source, Path) else "The file")
    data, turn, ended = header_checks.check_and_strip(_content(source, name), name)
    image = _opened(data, name)
    large = image.width * image.height > LARGE
    with _one_at_a_time if large else nullcontext(), image:
        if not ended and not _is_complete(data, 2 if large else 1):
            raise _truncated(name)
        if image.format in _SEPARATE_PROCESS:
            image, exif = _decoded_in_process(data, image, image.format, name)
        else:
            _load(image, at_least, name)
            exif = image.info.get("exif") or b""
        try:
            factor = max(1, min(image.size) // (2 * at_least)) if large else 1
            return _upright(to_rgb(image, factor, colours), turn or header_checks.orientation(exif))
        except Exception as error:  # such as an incomplete palette
            raise _damaged(name) from error


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes:
        side: the shorter side in pixels.
        deep: whether the image has one channel with more than 8 bits.
    """

    side: int
    deep: bool


def read_header(source: Path | bytes | BinaryIO) -> Header:
    """Return the size and the depth of an image, without decoding it.

    Raises:
        DataError: the file is not an image, or too large.
    """
    data, *_ = header_checks.check_and_strip(_content(source, "The file"), "The file")
    with _opened(data, "The file") as image:
        return Header(min(image.size), is_deep(image.mode))


def read_range(source: Path | bytes | BinaryIO) -> Range | None:
    """Return the smallest and the largest value of greyscale with more than 8 bits; None for other images.

    Raises:
        DataError: the file is not an image, is truncated or too large.
    """
    data, *_ = header_checks.check_and_strip(_content(source, "The file"), "The file")
    image = _opened(data, "The file")
    with _one_at_a_time if image.width * image.height > LARGE else nullcontext(), image:
        if not is_deep(image.mode):
            return None
        _load(image, DETAIL, "The file")
        return value_range(image)


def read_values(source: Path | bytes | BinaryIO, count: int) -> np.ndarray | None:
    """Return about ``count`` values of greyscale with more than 8 bits, float32; None for other images.

    Raises:
        DataError: as in :func:`read_range`.
    """
    data, *_ = header_checks.check_and_strip(_content(source, "The file"), "The file")
    image = _opened(data, "The file")
    with _one_at_a_time if image.width * image.height > LARGE else nullcontext(), image:
        if not is_deep(image.mode):
            return None
        _load(image, DETAIL, "The file")
        return sample_values(image, count)


class Square(NamedTuple):
    """How an image file becomes the square of a network: the settings of :class:`vit.config.DataConfig`."""

    size: int
    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"
    ground: Ground = "white"
    window: Window | None = None

    @classmethod
    def of(cls, config: DataConfig) -> "Square":
        """Return the settings of a data set."""
        return cls(config.image_size, config.crop_pct, config.interpolation, config.ground, config.window)

    @property
    def colours(self) -> Colours:
        """How pixels become 8-bit RGB."""
        return Colours(self.ground, self.window)

    @property
    def whole(self) -> int:
        """Side of the resized centre square, in pixels, of which the inner ``size`` are used."""
        return math.floor(self.size / self.crop_pct)


def read_square(source: Path | bytes | BinaryIO, square: Square, name: str = "The file") -> np.ndarray:
    """Decode an image file to a square: uint8 (size size c).

    Raises:
        DataError: as in :func:`open_image`.
    """
    image = open_image(source, name=name, at_least=square.whole, colours=square.colours)
    return fit_square(image, square.size, square.crop_pct, square.interpolation)


_PREPARED = (-1, -1)
"""A key of ``Image.info`` that no image file sets: their keys are strings, or sizes in icon files."""


def fit_square(
    image: Image.Image, size: int, crop_pct: float = 1.0, interpolation: Interpolation = "bicubic"
) -> np.ndarray:
    """Return the centre square of an RGB image, resized with antialiasing: uint8 (size size c).

    As in timm's and torchvision's evaluation, the shorter side is resized to ``size / crop_pct`` and the centre is
    cropped. This includes images that already have the size, unless they come from :func:`prepared_image`.
    """
    if _is_ready(image, size, crop_pct):
        return np.asarray(image)
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(image.resize((size, size), method, box=_looked_at(image.size, Square(size, crop_pct))))


def prepared_image(view: np.ndarray) -> Image.Image:
    """Return an array ``(h w c)`` uint8 that :func:`fit_square` has made, as an image that it does not crop again."""
    image = Image.fromarray(view)
    image.info[_PREPARED] = True
    return image


def is_prepared(image: Image.Image) -> bool:
    """Return whether the image comes from :func:`prepared_image`."""
    return bool(image.info.get(_PREPARED))


def _is_ready(image: Image.Image, size: int, crop_pct: float) -> bool:
    return image.size == (size, size) and (crop_pct == 1 or is_prepared(image))


def crop_square(image: Image.Image, size: int, crop_pct: float = 1.0) -> Image.Image:
    """Return the part of an image that :func:`fit_square` uses, at full resolution."""
    if _is_ready(image, size, crop_pct):
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
        image = Image.open(io.BytesIO(data), formats=_formats(_is_heif(data)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, PIXELS_MAX) from error
    except UnidentifiedImageError as error:
        if data[4:8] == b"ftyp":
            raise _needs_heif(data, name) from error
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
            raise _truncated(name) from error
        raise _damaged(name) from error


def _is_complete(data: bytes, reduced: int) -> bool:
    """Return whether a JPEG whose end mark was missing has all of its pixels.

    The decoder ignores what follows the last pixel. If pixels are missing, it takes them from what follows.

    Args:
        data: the file, with an end mark.
        reduced: the factor by which the image is reduced for the comparison.
    """
    found = []
    for content in (data, data[:-2] + _MORE_DATA + data[-2:]):
        try:
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                image.draft(image.mode, (image.width // reduced, image.height // reduced))
                found.append(image.tobytes())
        except Exception:  # as in _load
            return False
    return found[0] == found[1]


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


def _needs_heif(data: bytes, name: str) -> DataError:
    """Return the error for a file in a container of phones and cameras that cannot be opened."""
    if not _is_heif(data):
        return DataError(f"{name} is a video or another file of a camera, not an image: save it as JPEG or PNG.")
    if "HEIF" in _formats(True):
        return _damaged(name)
    return DataError(
        f"{name} is a HEIC image: install the package pillow-heif (pip install pillow-heif), or save it as JPEG or PNG."
    )


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


def _truncated(name: str) -> DataError:
    return DataError(f"{name} is truncated: use a complete copy of the file.")


def _damaged(name: str) -> DataError:
    return DataError(f"{name} is a damaged image and cannot be decoded.")


def _too_large(name: str, limit: int) -> DataError:
    return DataError(f"{name} has more than {limit // 10**6} million pixels: use a smaller image.")


@cache
def _formats(heif: bool = False) -> list[str]:
    """Return the formats that can be opened here; pillow-heif is loaded only for a file that needs it."""
    Image.init()
    if heif:
        with suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
    return [kind for kind in FORMATS if kind in Image.OPEN]  # Pillow fails on a format that it does not have


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn the image upright by its EXIF orientation."""
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
