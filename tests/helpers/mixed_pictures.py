"""A hundred image files of mixed sizes, formats, modes and orientations, made from a seed."""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from tests.conftest import PHOTOS
from vit.paths import project_root

COUNT = 100
_ORIENTATION = 0x0112


def mixed_pictures() -> dict[str, bytes]:
    """Return the files by a name that says what each is."""
    random = np.random.default_rng(0)
    found: dict[str, bytes] = {}
    for name, image in _photographs(random):
        found[f"{name}.jpg"] = _file(image, "JPEG", quality=92)
    base = Image.open(project_root() / "examples" / "photographs" / "chelsea.jpg").convert("RGB")
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = turn
        kind, options = [("JPEG", {"quality": 92}), ("PNG", {}), ("WEBP", {"lossless": True})][turn % 3]
        found[f"turned {turn}.{kind.lower()}"] = _file(base.crop((0, 0, 230, 150)), kind, exif=exif, **options)
    for name, image in _drawn(random):
        found[f"{name}.png"] = _file(image, "PNG")
    soft = _soft_alpha(base)
    found |= {
        "transparent.png": _file(soft, "PNG"),
        "transparent.webp": _file(soft, "WEBP", lossless=True),
        "grey and transparent.png": _file(soft.convert("LA"), "PNG"),
        "grey.jpg": _file(base.convert("L"), "JPEG", quality=92),
        "grey.png": _file(base.convert("L"), "PNG"),
        "palette.png": _file(base.quantize(64), "PNG"),
        "palette.gif": _file(base.quantize(64), "GIF"),
        "two levels.png": _file(base.convert("1"), "PNG"),
        "bitmap.bmp": _file(base, "BMP"),
        "lossy.webp": _file(base, "WEBP", quality=80),
        "cmyk.jpg": _file(base.convert("CMYK"), "JPEG", quality=92),
        "sixteen bits.png": _file(_sixteen_bits(base), "PNG"),
        "progressive.jpg": _file(base, "JPEG", quality=80, progressive=True),
        "halved colours.jpg": _file(base, "JPEG", quality=80, subsampling=2),
    }
    for index in range(COUNT - len(found)):
        width, height = (int(side) for side in random.integers(24, 900, 2))
        found[f"waves {index}, {width} x {height}.jpg"] = _file(_waves(random, width, height), "JPEG", quality=90)
    assert len(found) == COUNT
    return found


def _photographs(random: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    for path in sorted((project_root() / "examples" / "photographs").glob("*.jpg")):
        with Image.open(path) as image:
            yield path.stem, image.convert("RGB")
            yield f"{path.stem}, enlarged", image.convert("RGB").resize((1501, 997), Image.Resampling.BICUBIC)
    if PHOTOS.exists():
        with zipfile.ZipFile(PHOTOS) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            for name in random.choice(names, 16, replace=False):
                image = Image.open(io.BytesIO(archive.read(str(name)))).convert("RGB")
                sides = tuple(int(side) for side in random.integers(60, 1400, 2))
                yield name.replace("/", " ").removesuffix(".jpg"), image.resize(sides, Image.Resampling.BICUBIC)


def _drawn(random: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    for width, height in ((64, 64), (65, 63), (32, 200), (640, 480), (33, 33), (1000, 70), (8, 8)):
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        yield f"noise {width} x {height}", Image.fromarray(noise)
        across = np.linspace(0, 255, width)[None, :, None] + np.zeros((height, 1, 3))
        yield f"gradient {width} x {height}", Image.fromarray(across.astype(np.uint8))
    lines = Image.new("RGB", (801, 601), "white")
    draw = ImageDraw.Draw(lines)
    for place in range(0, 800, 5):
        draw.line((place, 0, 800 - place, 600), fill=(place % 256, 0, 255 - place % 256))
    yield "lines", lines
    yield "black", Image.new("RGB", (70, 90))


def _waves(random: np.random.Generator, width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    channels = [
        127 + 120 * np.sin(columns * random.uniform(0.01, 0.6) + rows * random.uniform(0.01, 0.6)) for _ in range(3)
    ]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def _soft_alpha(image: Image.Image) -> Image.Image:
    width, height = image.size
    alpha = np.linspace(0, 255, width)[None] + np.zeros((height, 1))
    alpha[: height // 4] = 0
    alpha[-height // 4 :] = 255
    return Image.fromarray(np.dstack([np.asarray(image), alpha.astype(np.uint8)]))


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _file(image: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()
