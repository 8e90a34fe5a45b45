"""Convert decoded images to 8-bit RGB: transparency on a ground, and greyscale with more than 8 bits by a window.

Everything is done band by band, because a copy of a large image takes a quarter of a gigabyte.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from vit.config import DataConfig, Ground, Window

LARGE = 8_000_000
"""Images with more pixels are converted in bands."""
_BAND = 2_000_000
"""Pixels that are converted at a time."""
_CHECKERS = 16
"""Squares of the checkerboard along the shorter side of an image."""
_PLAIN = {"white": (255, 255, 255), "grey": (128, 128, 128), "black": (0, 0, 0)}
_LIGHT, _DARK = (208, 160), (96, 48)


class Colours(NamedTuple):
    """How an image becomes 8-bit RGB: the settings of :class:`vit.config.DataConfig`.

    Attributes:
        ground: what is shown behind transparent pixels.
        window: the values of greyscale with more than 8 bits that become black and white; None for :func:`window_for`
            of the image's own values.
    """

    ground: Ground = "white"
    window: Window | None = None

    @classmethod
    def of(cls, config: DataConfig) -> "Colours":
        """Return the settings of a data set."""
        return cls(config.ground, config.window)


PLAIN = Colours()


def is_deep(mode: str) -> bool:
    """Return whether an image of this mode of Pillow has one channel with more than 8 bits."""
    return mode in ("I", "F") or mode.startswith("I;16")


def to_rgb(image: Image.Image, factor: int = 1, colours: Colours = PLAIN) -> Image.Image:
    """Convert an image to RGB, ``factor`` times smaller.

    ``info["window"]`` of the result is the window that was used, if the image has more than 8 bits and its values are
    not all those of 16 bits.
    """
    deep, window = is_deep(image.mode), colours.window
    if deep and window is None:
        window = window_for([value_range(image)])
    transparent = not deep and image.has_transparency_data
    ground = _ground(image, colours.ground) if transparent else None

    def rgb(part: Image.Image, top: int) -> Image.Image:
        if window is not None and deep:
            return _in_window(part, *window).convert("RGB")
        if ground is None:
            return part.convert("RGB")
        part = part.convert("RGBA")
        return Image.alpha_composite(ground(part.size, top), part).convert("RGB")

    if factor == 1 and image.width * image.height <= LARGE:
        whole = image if image.mode == "RGB" and not transparent else rgb(image, 0)
    else:
        whole = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
        for top, band in _bands(image, factor):
            band = rgb(band, top)
            whole.paste(band if factor == 1 else band.reduce(factor), (0, top // factor))
    if deep and window not in ((0.0, 65535.0), (0.0, 255.0), (0.0, 1.0)):
        whole.info["window"] = window
    return whole


class Range(NamedTuple):
    """The smallest and the largest value of a greyscale image, and whether its values are fractions."""

    low: float
    high: float
    fractions: bool = False


def value_range(image: Image.Image) -> Range:
    """Return the values of a greyscale image, ignoring NaN."""
    extremes = [
        (float(values.min()), float(values.max())) for _, band in _bands(image, 1) for values in [_values(band)]
    ]
    return Range(min(low for low, _ in extremes), max(high for _, high in extremes), image.mode == "F")


def window_for(ranges: Iterable[Range]) -> Window:
    """Return the values that become black and white for images with these ranges of values.

    Values of 8 bits, of 16 bits and fractions from 0 to 1 keep their meaning. If no value needs the 16th bit, the white
    value is the largest of 8 to 15 bits, as cameras and scanners with 10, 12 or 14 bits write them. Other values, and
    those of 16 bits that fill only an upper part, are scaled from the smallest to the largest.
    """
    lows, highs, fractions = zip(*ranges, strict=True)
    low, high = min(lows), max(highs)
    if low < 0 or high > 65535:
        return low, high
    if high <= 1 and all(fractions):
        return 0.0, 1.0
    if high <= 255:
        return 0.0, 255.0
    if high > 32767 and low < 16384:
        return 0.0, 65535.0
    return (0.0, 2.0 ** int(high).bit_length() - 1) if low < high / 4 else (low, high)


def sample_values(image: Image.Image, count: int) -> np.ndarray:
    """Return about ``count`` values of a greyscale image, evenly spread over it, as float32."""
    values = np.asarray(image).reshape(-1)
    return np.nan_to_num(values[:: max(1, len(values) // count)].astype(np.float32))


def window_words(window: Window) -> str:
    """Return a window as text, such as "0 to 4,095"."""
    return " to ".join(f"{value:,.0f}" if value == int(value) else f"{value:g}" for value in window)


def _ground(image: Image.Image, ground: Ground) -> "_Ground":
    if ground == "checker":
        return _Ground(_DARK if _mean_of_opaque(image) > 127 else _LIGHT, max(1, min(image.size) // _CHECKERS))
    return _Ground(_PLAIN[ground], 0)


class _Ground:
    """Makes the ground of a band: one colour, or a checkerboard of two greys with squares of ``side`` pixels."""

    def __init__(self, colours: tuple[int, ...], side: int) -> None:
        self.colours, self.side = colours, side

    def __call__(self, size: tuple[int, int], top: int) -> Image.Image:
        if not self.side:
            return Image.new("RGBA", size, (*self.colours, 255))
        rows = (np.arange(size[1]) + top) // self.side
        odd = (rows[:, None] + np.arange(size[0]) // self.side) % 2
        grey = Image.fromarray(np.where(odd, self.colours[1], self.colours[0]).astype(np.uint8))
        return grey.convert("RGBA")


def _mean_of_opaque(image: Image.Image) -> float:
    """Return the mean brightness of an image, weighted by opacity; 0 if it is fully transparent."""
    total = weight = 0.0
    for _, band in _bands(image, 1):
        pixels = band.convert("RGBA").convert("LA")
        grey, opacity = (np.asarray(channel, dtype=np.float32) for channel in pixels.split())
        total += float((grey * opacity).sum(dtype=np.float64))
        weight += float(opacity.sum(dtype=np.float64))
    return total / weight if weight else 0.0


def _bands(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield bands of the full width, each a multiple of ``factor`` rows, with their first row."""
    rows = max(1, _BAND // image.width // factor) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _values(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, dtype=np.float32))


def _in_window(image: Image.Image, low: float, high: float) -> Image.Image:
    """Convert 16-bit, 32-bit and float greyscale to 8 bits; Pillow's own conversion would clip at 255."""
    values = _values(image).astype(np.float64)
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))
