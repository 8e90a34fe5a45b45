"""Small versions of image files."""

from pathlib import Path

from PIL import Image

PIXELS_MAX = 25_000_000
"""Larger images are not decoded."""


def thumbnail(path: Path, side: int) -> Image.Image | None:
    """Return an image file, no larger than a square; None if it cannot be read or is too large to decode.

    Args:
        path: the file, which may come from a stranger.
        side: pixels of the square's side.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > PIXELS_MAX:
                return None
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    small.thumbnail((side, side))
    return small
