"""Scenes: the built-in data set. Five classes of drawn objects among distractors, with a mask of each object.

An image is a function of (seed, split, index), so nothing has to be downloaded or stored, and a scene can be drawn at
any size. Only the object's shape depends on the class: palettes, backgrounds, distractors, light, positions and sizes
have the same distributions for every class. ``benchmarks/scenes.py`` measures how well that holds.
"""

import copy
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
IMAGES_MAX = 100_000
"""Most scenes of a split that are drawn on request; at 64 pixels they take 1.6 GB on disk."""
IMAGE_SIZES = range(32, 225)
VERSION = 2
"""Part of the cache key; increased whenever a pixel changes."""

OCCLUSION_MAX = 0.25
"""Largest share of the object that may be covered."""

_OBJECTS = (airplane, bus, cat, dog, pizza)
_SPLITS = {"train": 0, "val": 1}
_IN_PROCESS_BELOW = 500


def draw(
    index: int, *, split: str = "train", image_size: int = 64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw one scene.

    Returns:
        image: uint8 (h w c).
        mask: uint8 (h w), 1 where the object is visible.
        label: index into ``CLASSES``, ``index % 5``.

    Raises:
        ValueError: an unknown split, a size outside 32 to 224, a negative index or seed.
    """
    if split not in _SPLITS or image_size not in IMAGE_SIZES or index < 0 or seed < 0:
        raise ValueError(f"No scene {index} of split {split!r} with seed {seed} at {image_size} pixels.")
    label = label_of(index)
    image, mask = _render(np.random.default_rng([seed, _SPLITS[split], index]), label, image_size)
    return image, mask, label


def draw_changed(
    index: int,
    *,
    label: int | None = None,
    background: int | None = None,
    split: str = "train",
    image_size: int = 64,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw the same scene as :func:`draw` with one factor changed and all others equal, including the noise.

    Another object has the place, the size and the light of the first one, and the occluder stays where it is, so it may
    cover more of the new object. Another background leaves the object's colours as they are; it comes with its own
    distractors.

    Args:
        index: number of the scene.
        label: the class of the object; None leaves the object.
        background: number of the scene whose background is drawn; None leaves the background.
        split: ``train`` or ``val``.
        image_size: side in pixels.
        seed: seed of the data set.

    Returns:
        image uint8 (h w c), mask uint8 (h w) and label, as :func:`draw` returns them.

    Raises:
        ValueError: as in :func:`draw`, or there is no such class or background.
    """
    own = label_of(index)
    label = own if label is None else label
    if split not in _SPLITS or image_size not in IMAGE_SIZES or min(index, seed, background or 0) < 0:
        raise ValueError(f"No scene {index} of split {split!r} with seed {seed} at {image_size} pixels.")
    if not 0 <= label < len(CLASSES):
        raise ValueError(f"There is no class {label}: choose 0 to {len(CLASSES) - 1}.")
    rng, place = (np.random.default_rng([seed, _SPLITS[split], number]) for number in (index, background or 0))
    scenery = None if background is None else place.spawn(4)[0]
    image, mask = _render(rng, own, image_size, shown=label, scenery=scenery)
    return image, mask, label


def label_of(index: int) -> int:
    """Return the class of a scene, an index into ``CLASSES``."""
    return index % len(CLASSES)


def draw_background(index: int, *, split: str = "train", image_size: int = 64, seed: int = 0) -> np.ndarray:
    """Draw the same scene as :func:`draw` without its object, uint8 (h w c)."""
    rng = np.random.default_rng([seed, _SPLITS[split], index])
    return _render(rng, label_of(index), image_size, with_object=False)[0]


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
    """Draw the first ``count`` scenes of a split, on all cores if there are many.

    Args:
        count: number of scenes.
        split: ``train`` or ``val``.
        image_size: side in pixels.
        seed: seed of the data set.
        progress: called in the caller's thread with the number of scenes done and ``count``.
        workers: number of processes; None is one per core. With one worker or few scenes, this process draws them.
        out: arrays to draw into, such as memory maps, shaped like the images and masks that are returned.

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


def _render(
    rng: np.random.Generator,
    label: int,
    size: int,
    with_object: bool = True,
    shown: int | None = None,
    scenery: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from back to front on a larger canvas and reduce it, then add light and texture.

    Args:
        rng: the randomness of the scene.
        label: the class of the scene.
        size: side in pixels.
        with_object: whether the object is drawn.
        shown: the class of the object that is drawn; None is that of the scene.
        scenery: the randomness of the background that is drawn; None is that of the scene.
    """
    # One random stream per layer, so that leaving out the object changes nothing else.
    background_rng, object_rng, occluder_rng, light_rng = rng.spawn(4)
    factor = max(2, round(256 / size))
    canvas, typical = backgrounds.backdrop(background_rng, size * factor)
    if scenery is not None:  # the object keeps the colours that suit its own background
        canvas, background_rng = backgrounds.backdrop(scenery, size * factor)[0], scenery
    backgrounds.paint(canvas, backgrounds.clutter(background_rng))
    side = object_rng.uniform(0.62, 0.95)
    centre = side / 2 + object_rng.uniform(0, 1 - side, 2)
    silhouette = Image.new("L", canvas.size)
    other_rng = copy.deepcopy(object_rng)
    parts = _posed_object(object_rng, label, typical, centre, side)
    other = None if shown == label else shown
    _paint_object(canvas if with_object and other is None else canvas.copy(), silhouette, parts, object_rng)
    drawn = silhouette
    if other is not None:
        drawn = Image.new("L", canvas.size)
        _paint_object(canvas, drawn, _posed_object(other_rng, other, typical, centre, side), other_rng)
    # The scene's own object decides where the occluder is, so that it is in the same place in front of another one.
    occluded = _paint_occluder(occluder_rng, canvas, silhouette, centre, side)
    whole = np.asarray(drawn.reduce(factor), dtype=np.float32) / 255
    visible = whole * (1 - np.asarray(occluded.reduce(factor), dtype=np.float32) / 255)
    pixels = np.asarray(canvas.reduce(factor), dtype=np.float32)
    image = _add_light(light_rng, pixels, visible if with_object else 0 * visible)
    return image, (visible >= 0.5).astype(np.uint8)


def _posed_object(
    rng: np.random.Generator, label: int, background: Colour, centre: np.ndarray, side: float
) -> list[Part]:
    """Return the object's parts in units of the frame: turned, sheared, perhaps mirrored, and scaled to its square."""
    parts, most = _OBJECTS[label](rng, palette(rng, background))
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


def _paint_occluder(
    rng: np.random.Generator, canvas: Image.Image, silhouette: Image.Image, centre: np.ndarray, side: float
) -> Image.Image:
    """Paint an occluder in front of the object in half of the scenes, and return its mask."""
    nothing = Image.new("L", canvas.size)
    if rng.random() < 0.5:
        return nothing
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
    return nothing


def _add_light(rng: np.random.Generator, image: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Apply texture and shading to the background and to the object, then one light and tint to both: uint8 (h w c)."""
    size = len(image)
    background = _texture(rng, size) * _gradient(rng, size, 0.25)
    foreground = _texture(rng, size) * _gradient(rng, size, 0.3)
    field = background + (foreground - background) * visible
    tint = rng.uniform(0.8, 1.15, 3).astype(np.float32) * np.float32(rng.uniform(0.85, 1.15))
    image = image * field[..., None] * tint
    contrast = np.float32(rng.uniform(0.75, 1.15))
    return np.clip((image - 120) * contrast + 120, 0, 255).round().astype(np.uint8)


def _texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return smooth noise around 1 with a random grain along each axis, float32 (h w)."""
    rows, columns = rng.integers(3, 28, 2)
    strength = 0.18 * rng.random() ** 2
    noise = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return 1 + np.float32(strength) * np.asarray(noise.resize((size, size), Image.Resampling.BILINEAR))


def _gradient(rng: np.random.Generator, size: int, most: float) -> np.ndarray:
    """Return a brightness that increases linearly in a random direction, float32 (h w)."""
    across, down = rng.uniform(-most, most, 2).astype(np.float32)
    steps = np.linspace(-1, 1, size, dtype=np.float32)
    return 1 + across * steps[None, :] + down * steps[:, None]
