"""Scenes: the embedded data set. Five classes of drawn objects among clutter, each with the mask of its object.

An image is a function of (seed, split, index) alone, so nothing has to be downloaded or kept, and one scene can be
drawn at any size. The class is in the object's shape: palettes, backgrounds, distractors, light, places and sizes come
from the same distributions for every class. ``benchmarks/scenes.py`` measures how well that holds.
"""

import math
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from vit.data.scenes import backgrounds, pool
from vit.data.scenes.animals import cat, dog
from vit.data.scenes.colours import palette, shade
from vit.data.scenes.geometry import Colour, Part, fit
from vit.data.scenes.objects import airplane, bus, pizza

CLASSES = ("airplane", "bus", "cat", "dog", "pizza")
SPLIT_COUNTS = {"train": 5000, "val": 1000}
IMAGE_SIZES = range(32, 225)
VERSION = 2
"""Part of a cache's key: raised whenever a pixel changes."""

OCCLUSION_MAX = 0.25
"""At most this share of the object is covered."""

_OBJECTS = (airplane, bus, cat, dog, pizza)
_SPLITS = {"train": 0, "val": 1}
_IN_PROCESS_BELOW = 500


def draw(
    index: int, *, split: str = "train", image_size: int = 64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """One scene.

    Returns:
        image: uint8 (h w c).
        mask: uint8 (h w), 1 where the object is seen.
        label: index into ``CLASSES``, ``index % 5``.

    Raises:
        ValueError: an unknown split, a size outside 32 to 224, a negative index or seed.
    """
    if split not in _SPLITS or image_size not in IMAGE_SIZES or index < 0 or seed < 0:
        raise ValueError(f"No scene {index} of split {split!r} with seed {seed} at {image_size} pixels.")
    label = index % len(CLASSES)
    image, mask = _render(np.random.default_rng([seed, _SPLITS[split], index]), label, image_size)
    return image, mask, label


def draw_background(index: int, *, split: str = "train", image_size: int = 64, seed: int = 0) -> np.ndarray:
    """The same scene as :func:`draw`, uint8 (h w c), with all but its object."""
    rng = np.random.default_rng([seed, _SPLITS[split], index])
    return _render(rng, index % len(CLASSES), image_size, with_object=False)[0]


def draw_many(
    count: int,
    *,
    split: str = "train",
    image_size: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first ``count`` scenes of a split, drawn on all cores when there are many.

    Args:
        progress: called now and then with the scenes done and ``count``, in the caller's thread.
        workers: processes; None is one for each core. With one, or few scenes, they are drawn in this process.
        out: arrays to draw into, such as memory maps, shaped like the first two that are returned.

    Returns:
        images uint8 (n c h w), masks uint8 (n h w), labels int64 (n,).
    """
    images = np.empty((count, 3, image_size, image_size), np.uint8) if out is None else out[0]
    masks = np.empty((count, image_size, image_size), np.uint8) if out is None else out[1]
    progress = progress or (lambda done, total: None)
    workers = pool.cores() if workers is None else workers
    if workers > 1 and count >= _IN_PROCESS_BELOW and sys.executable:
        pool.fill(images, masks, split=split, seed=seed, workers=workers, progress=progress)
    else:
        for index in range(count):
            image, masks[index], _ = draw(index, split=split, image_size=image_size, seed=seed)
            images[index] = image.transpose(2, 0, 1)
            if (index + 1) % 50 == 0 or index + 1 == count:
                progress(index + 1, count)
    return images, masks, np.arange(count, dtype=np.int64) % len(CLASSES)


def _render(rng: np.random.Generator, label: int, size: int, with_object: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Back to front on a canvas some times larger, then reduced; light and texture come last."""
    around, thing, before, light = rng.spawn(4)  # a stream each: leaving the object out changes nothing else
    factor = max(2, round(256 / size))
    canvas, typical = backgrounds.backdrop(around, size * factor)
    backgrounds.paint(canvas, backgrounds.clutter(around))
    side = thing.uniform(0.62, 0.95)
    centre = side / 2 + thing.uniform(0, 1 - side, 2)
    silhouette = Image.new("L", canvas.size)
    parts = _posed(thing, label, typical, centre, side)
    _paint_object(canvas if with_object else canvas.copy(), silhouette, parts, thing)
    cover = _cover(before, canvas, silhouette, centre, side)
    whole = np.asarray(silhouette.reduce(factor), dtype=np.float32) / 255
    seen = whole * (1 - np.asarray(cover.reduce(factor), dtype=np.float32) / 255)
    image = _lit(light, np.asarray(canvas.reduce(factor), dtype=np.float32), seen if with_object else 0 * seen)
    return image, (seen >= 0.5).astype(np.uint8)


def _posed(rng: np.random.Generator, label: int, behind: Colour, centre: np.ndarray, side: float) -> list[Part]:
    """The object's parts in units of the frame: turned, sheared, perhaps mirrored, and fitted in its square."""
    parts, most = _OBJECTS[label](rng, palette(rng, behind))
    angle, shear, stretch = rng.uniform(-most, most), rng.uniform(-0.12, 0.12), rng.uniform(0.9, 1.12)
    flip = -1 if rng.random() < 0.5 else 1
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[flip * stretch, 0], [shear, 1 / stretch]]) @ np.array([[cos, sin], [-sin, cos]])
    return fit(parts, matrix, centre, side)


def _paint_object(canvas: Image.Image, silhouette: Image.Image, parts: list[Part], rng: np.random.Generator) -> None:
    pen, mask_pen, side = ImageDraw.Draw(canvas), ImageDraw.Draw(silhouette), canvas.width
    outlined, width = rng.random() < 0.5, max(1, round(side * 0.007))
    for part in parts:
        points = (part.points * side).ravel().tolist()
        mask_pen.polygon(points, fill=255)
        if part.marks:
            low = np.floor(part.points.min(axis=0) * side).astype(int)
            extent = np.ceil(part.points.max(axis=0) * side).astype(int) - low + 1
            tile, stencil = Image.new("RGB", tuple(extent), part.colour), Image.new("L", tuple(extent))
            ImageDraw.Draw(stencil).polygon((part.points * side - low).ravel().tolist(), fill=255)
            tile_pen = ImageDraw.Draw(tile)
            for mark in part.marks:
                tile_pen.polygon((mark.points * side - low).ravel().tolist(), fill=mark.colour)
            canvas.paste(tile, tuple(low), stencil)
        else:
            pen.polygon(points, fill=part.colour)
        if outlined:
            pen.line(points + points[:2], fill=shade(part.colour, 0.55), width=width)


def _cover(
    rng: np.random.Generator, canvas: Image.Image, silhouette: Image.Image, centre: np.ndarray, side: float
) -> Image.Image:
    """Puts something before the object in half of the scenes, and returns where, as a mask."""
    cover = Image.new("L", canvas.size)
    if rng.random() < 0.5:
        return cover
    whole = np.asarray(silhouette.reduce(8)).astype(np.float32)
    for _ in range(4):
        parts = backgrounds.occluder(rng, centre, side)
        trial = Image.new("L", canvas.size)
        pen = ImageDraw.Draw(trial)
        for part in parts:
            pen.polygon((part.points * canvas.width).ravel().tolist(), fill=255)
        if (whole * np.asarray(trial.reduce(8))).sum() <= 255 * OCCLUSION_MAX * whole.sum():
            backgrounds.paint(canvas, parts)
            return trial
    return cover


def _lit(rng: np.random.Generator, image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Texture and shading of the object and of all around it, one light and tint over both: uint8 (h w c)."""
    size = len(image)
    around = _field(rng, size) * _slope(rng, size, 0.25)
    own = _field(rng, size) * _slope(rng, size, 0.3)
    field = around + (own - around) * seen
    tint = rng.uniform(0.8, 1.15, 3).astype(np.float32) * np.float32(rng.uniform(0.85, 1.15))
    image = image * field[..., None] * tint
    contrast = np.float32(rng.uniform(0.75, 1.15))
    return np.clip((image - 120) * contrast + 120, 0, 255).round().astype(np.uint8)


def _field(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth noise around 1 with its own grain along each axis, float32 (h w): wood, grass, cloth, nothing."""
    rows, columns = rng.integers(3, 28, 2)
    strength = 0.18 * rng.random() ** 2
    noise = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return 1 + np.float32(strength) * np.asarray(noise.resize((size, size), Image.Resampling.BILINEAR))


def _slope(rng: np.random.Generator, size: int, most: float) -> np.ndarray:
    """A brightness that rises steadily in one direction, float32 (h w)."""
    across, down = rng.uniform(-most, most, 2).astype(np.float32)
    steps = np.linspace(-1, 1, size, dtype=np.float32)
    return 1 + across * steps[None, :] + down * steps[:, None]
