"""Draw the maps of a time-lapse, one picture per epoch, and encode them as a GIF or an MP4."""

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vit.config.words import SUMMARIES
from vit.errors import SettingsError
from vit.pictures import overlays
from vit.pictures.colours import THEMES
from vit.support.untrusted_text import bare

SECONDS = 0.7
"""Default seconds per picture."""

SECONDS_MIN, SECONDS_MAX = 0.1, 10.0

HOLD = 1.5
"""Extra seconds for the last picture of a GIF, which shows the trained network, before the GIF starts again."""

_TITLE, _MARGIN, _INK = 30, 8, THEMES["light"]["quiet"]
_TITLE_COLUMNS = 100
_QUALITY = "16"  # constant rate factor of H.264, low enough that patches keep sharp edges


def epoch_title(epoch: int, accuracy: float | None, shown: str = "", name: str = "validation accuracy") -> str:
    """Return the title of a picture: the epoch, its accuracy (called ``name``) if measured, and what is shown."""
    when = f"After epoch {epoch}" if epoch else "Before training"
    measured = "" if accuracy is None else f": {name} {accuracy:.1%}"
    return when + measured + (f" \N{MIDDLE DOT} {shown}" if shown else "")


def token_title(token: int, grid: tuple[int, int], pool: str) -> str:
    """Return a phrase that names the token of the maps: token 0 is the summary of ``pool``, patches count from 1."""
    if not token:
        return f"from the {SUMMARIES[pool]}"
    row, column = divmod(token - 1, grid[1])
    return f"from patch r{row + 1} c{column + 1}"


def head_pictures(
    view: np.ndarray,
    maps: np.ndarray,
    layers: Sequence[int],
    heads: Sequence[int],
    titles: Sequence[str],
    *,
    smooth: bool = False,
) -> list[Image.Image]:
    """Draw one picture per frame with a tile for each head; all frames share one colour scale.

    Args:
        view: the image, ``(h w c)`` uint8.
        maps: ``(frame layers heads rows columns)``.
        layers: numbers of the layers, from 1.
        heads: numbers of the heads, from 1.
        titles: one per frame.
        smooth: as in :func:`vit.pictures.overlays.overlay`.
    """
    top = overlays.shared_top(maps)
    sheets = [overlays.attention_grid(view, frame, layers, heads, top=top, smooth=smooth) for frame in maps]
    return _titled(sheets, titles)


def map_pictures(
    view: np.ndarray, maps: np.ndarray, titles: Sequence[str], *, signed: bool, smooth: bool = False
) -> list[Image.Image]:
    """Draw one picture per frame with a single map; each frame has its own colour scale.

    Args:
        view: the image, ``(h w c)`` uint8.
        maps: ``(frame rows columns)``.
        titles: one per frame.
        signed: whether negative values get a colour of their own.
        smooth: as in :func:`vit.pictures.overlays.overlay`.
    """
    side = 4 * overlays.TILE
    draw = overlays.signed_overlay if signed else overlays.overlay
    drawn = [draw(view, frame, top=float(np.abs(frame).max()), side=side, smooth=smooth) for frame in maps]
    return _titled(drawn, titles)


def _titled(pictures: Sequence[Image.Image], titles: Sequence[str]) -> list[Image.Image]:
    """Place each picture on white below its title; all results have one size."""
    font, titles = ImageFont.load_default(16), [bare(title, _TITLE_COLUMNS) for title in titles]
    width = max(pictures[0].width, *(int(font.getlength(title)) + 1 for title in titles)) + 2 * _MARGIN
    sheets = []
    for picture, title in zip(pictures, titles, strict=True):
        sheet = Image.new("RGB", (width, picture.height + _TITLE + _MARGIN), "white")
        ImageDraw.Draw(sheet).text((_MARGIN, _TITLE // 2), title, anchor="lm", fill=_INK, font=font)
        sheet.paste(picture, (_MARGIN, _TITLE), picture if picture.mode == "RGBA" else None)
        sheets.append(sheet)
    return sheets


def gif(pictures: Sequence[Image.Image], seconds: float = SECONDS) -> bytes:
    """Encode pictures as an endless GIF that shows the last one :data:`HOLD` seconds longer.

    All pictures share 256 colours; other colours are dithered. Pillow merges a picture that equals the one before into
    one longer frame.

    Args:
        pictures: pictures of one size.
        seconds: seconds per picture.

    Raises:
        SettingsError: ``seconds`` is out of bounds.
    """
    check_seconds(seconds)
    palette = _palette(pictures)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]
    shown = [round(1000 * seconds)] * len(frames)
    shown[-1] += round(1000 * HOLD)
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=shown, loop=0, optimize=False)
    return buffer.getvalue()


def _palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return 256 colours that cover all colours of the pictures, including rare ones such as a single bright patch."""
    seen = np.zeros(64**3, dtype=bool)
    for picture in pictures:
        channels = np.asarray(picture, dtype=np.int32) // 4  # six bits per channel
        seen[channels @ (64**2, 64, 1)] = True
    colours = 4 * np.stack(np.unravel_index(np.flatnonzero(seen), (64, 64, 64)), axis=-1) + 2
    return Image.fromarray(colours[None].astype(np.uint8)).quantize(256, method=Image.Quantize.MAXCOVERAGE)


def mp4(pictures: Sequence[Image.Image], seconds: float = SECONDS) -> bytes:
    """Encode pictures as an H.264 MP4, one frame per picture, in the widely supported pixel format yuv420p.

    The format requires even sides: the last row or column of pixels is repeated where a side is odd.

    Args:
        pictures: pictures of one size.
        seconds: seconds per picture.

    Raises:
        SettingsError: ``seconds`` is out of bounds.
    """
    import av

    check_seconds(seconds)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1 / Fraction(seconds).limit_denominator(1000))
        stream.width, stream.height = (side + side % 2 for side in pictures[0].size)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": _QUALITY}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(_even(picture))))
        container.mux(stream.encode())
    return buffer.getvalue()


def _even(picture: Image.Image) -> Image.Image:
    pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    return Image.fromarray(np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def check_seconds(seconds: float) -> None:
    """Check the seconds per picture.

    Raises:
        SettingsError: they are out of bounds; the message names the bounds.
    """
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise SettingsError(f"seconds = {seconds:g} is out of bounds: choose {SECONDS_MIN:g} to {SECONDS_MAX:g}.")


MAKERS = {".gif": gif, ".mp4": mp4}
"""Encoders by file extension."""
