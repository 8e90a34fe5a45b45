"""Draw backgrounds, distractors and occluders, independently of the class."""

import math

import numpy as np
from PIL import Image, ImageDraw

from vit.data.scenes.colours import blend, colour, shade
from vit.data.scenes.geometry import Colour, Part, box, ellipse, polygon, ribbon, rotate, smooth


def backdrop(rng: np.random.Generator, side: int) -> tuple[Image.Image, Colour]:
    """Return a background of ``side`` x ``side`` pixels without distractors, and its typical colour."""
    first = colour(rng)
    second = blend(first, colour(rng), 0.45)
    corners = [blend(first, second, share) for share in rng.uniform(0, 1, 4)]
    gradient = np.array(corners, dtype=np.uint8).reshape(2, 2, 3)
    image = Image.fromarray(gradient).resize((side, side), Image.Resampling.BILINEAR)
    parts = _BACKDROPS[int(rng.integers(len(_BACKDROPS)))](rng, first, second)
    paint(image, parts)
    return image, blend(first, second, 0.5)


def paint(image: Image.Image, parts: list[Part]) -> None:
    """Fill outlines, given in units of the frame [0, 1], in an image."""
    pen, side = ImageDraw.Draw(image), image.width
    for part in parts:
        pen.polygon((part.points * side).ravel().tolist(), fill=part.colour)


def _plain(rng: np.random.Generator, first: Colour, second: Colour) -> list[Part]:
    return []


def _land(rng: np.random.Generator, first: Colour, second: Colour) -> list[Part]:
    """Return ground below a horizon, with hills in front of the sky."""
    horizon, ground = rng.uniform(0.4, 0.85), colour(rng)
    parts = []
    for share in (0.35, 0.7):
        if rng.random() < 0.5:
            heights = horizon - rng.uniform(0.0, 0.25, 5)
            ridge = [(x / 4, y) for x, y in zip(range(5), heights, strict=True)]
            hill = np.concatenate([smooth(*ridge, closed=False), polygon((1, 1), (0, 1))])
            parts.append(Part(hill, blend(second, ground, share)))
    return [*parts, Part(box(0, horizon, 1, 1), ground)]


def _street(rng: np.random.Generator, first: Colour, second: Colour) -> list[Part]:
    """Return a row of plain houses and a road with its marking."""
    horizon, parts, left = rng.uniform(0.5, 0.8), [], -0.1
    tint = colour(rng)
    while left < 1:
        right = left + rng.uniform(0.12, 0.35)
        house = box(left, horizon - rng.uniform(0.1, 0.5), right, horizon)
        parts.append(Part(house, blend(second, tint, rng.uniform(0.1, 0.8))))
        left = right + rng.uniform(0, 0.08)
    road = colour(rng)
    parts.append(Part(box(0, horizon, 1, 1), road))
    middle = rng.uniform(horizon + 0.06, 0.98)
    for start in np.arange(rng.uniform(-0.3, 0), 1, 0.3):
        parts.append(Part(box(start, middle, start + 0.17, middle + 0.025), shade(road, 1.35)))
    return parts


def _room(rng: np.random.Generator, first: Colour, second: Colour) -> list[Part]:
    """Return a wall with a picture or a window, a skirting board and a floor of boards."""
    floor, wood = rng.uniform(0.55, 0.9), colour(rng)
    parts = []
    if rng.random() < 0.6:
        x, y, width, height = rng.uniform((0, 0, 0.15, 0.15), (0.7, 0.3, 0.35, 0.35))
        frame = colour(rng)
        parts += [Part(box(x, y, x + width, y + height), frame)]
        parts += [Part(box(x + 0.025, y + 0.025, x + width - 0.025, y + height - 0.025), blend(frame, first, 0.6))]
    parts += [Part(box(0, floor, 1, 1), wood), Part(box(0, floor, 1, floor + 0.02), shade(wood, 0.7))]
    vanish = rng.uniform(0.2, 0.8)
    for x in np.linspace(-1, 2, 10):
        start = vanish + (x - vanish) * 0.55
        parts.append(Part(polygon((start, floor), (start + 0.008, floor), (x + 0.015, 1), (x, 1)), shade(wood, 0.82)))
    return parts


def _stripes(rng: np.random.Generator, first: Colour, second: Colour) -> list[Part]:
    """Return parallel bands at a random angle."""
    pitch, angle, tint = rng.uniform(0.08, 0.3), rng.uniform(0, math.pi), blend(second, colour(rng), 0.4)
    starts = np.arange(-0.8, 0.8, pitch)
    return [Part(rotate(box(x, -0.8, x + pitch / 2, 0.8), angle) + 0.5, tint) for x in starts]


def _blobs(rng: np.random.Generator, first: Colour, second: Colour) -> list[Part]:
    """Return many ellipses, like blurred lights or foliage."""
    tint = colour(rng)
    places = rng.uniform((0, 0, 0.05, 0), (1, 1, 0.22, 0.6), (12, 4))
    return [Part(ellipse(x, y, radius), blend(second, tint, share)) for x, y, radius, share in places]


_BACKDROPS = (_plain, _land, _land, _street, _room, _stripes, _blobs)


def _ball(rng: np.random.Generator, tint: Colour) -> list[Part]:
    return [Part(ellipse(0, 0, 0.5), tint), Part(ellipse(-0.17, -0.19, 0.13), blend(tint, (255, 255, 255), 0.5))]


def _crate(rng: np.random.Generator, tint: Colour) -> list[Part]:
    front = box(-0.45, -0.3, 0.3, 0.45)
    lid = polygon((-0.45, -0.3), (-0.28, -0.47), (0.47, -0.47), (0.3, -0.3))
    side = polygon((0.3, -0.3), (0.47, -0.47), (0.47, 0.28), (0.3, 0.45))
    return [Part(front, tint), Part(lid, shade(tint, 1.25)), Part(side, shade(tint, 0.7))]


def _pole(rng: np.random.Generator, tint: Colour) -> list[Part]:
    return [Part(box(-0.07, -0.6, 0.0, 0.6), shade(tint, 1.15)), Part(box(0.0, -0.6, 0.07, 0.6), shade(tint, 0.8))]


def _leaf(rng: np.random.Generator, tint: Colour) -> list[Part]:
    blade = smooth((0, -0.5), (0.2, -0.15), (0.16, 0.2), (0, 0.4), (-0.16, 0.2), (-0.2, -0.15))
    return [Part(blade, tint), Part(ribbon((0, -0.45), (0, 0.55), width=0.04), shade(tint, 0.65))]


def _cloud(rng: np.random.Generator, tint: Colour) -> list[Part]:
    puffs = ((-0.3, 0.1, 0.2), (-0.08, -0.06, 0.26), (0.2, 0.02, 0.22), (0.36, 0.14, 0.14), (0.0, 0.15, 0.17))
    return [Part(ellipse(x, y, radius), tint) for x, y, radius in puffs]


def _stone(rng: np.random.Generator, tint: Colour) -> list[Part]:
    angles = np.linspace(0, 2 * math.pi, 7, endpoint=False) + rng.uniform(0, 0.5, 7)
    radii = rng.uniform(0.32, 0.5, 7)
    return [Part(np.stack([radii * np.cos(angles), 0.8 * radii * np.sin(angles)], axis=1), tint)]


_DISTRACTORS = (_ball, _crate, _pole, _leaf, _cloud, _stone)


def distractor(rng: np.random.Generator, centre: np.ndarray, size: float) -> list[Part]:
    """Return a ball, crate, pole, leaf, cloud or stone of about ``size``, turned by a random angle."""
    tint, tone = colour(rng), rng.random()
    if tone < 0.3:  # as dark as a nose or a tyre, or as light as an eye
        tint = shade(tint, 0.25) if tone < 0.15 else blend(tint, (255, 255, 255), 0.75)
    parts = _DISTRACTORS[int(rng.integers(len(_DISTRACTORS)))](rng, tint)
    angle = rng.uniform(0, 2 * math.pi)
    return [Part(rotate(part.points, angle) * size + centre, part.colour) for part in parts]


def clutter(rng: np.random.Generator) -> list[Part]:
    """Return three to eight distractors anywhere in the frame."""
    places = rng.uniform((0, 0, 0.1), (1, 1, 0.3), (int(rng.integers(3, 9)), 3))
    return [part for x, y, size in places for part in distractor(rng, np.array((x, y)), size)]


def occluder(rng: np.random.Generator, centre: np.ndarray, side: float) -> list[Part]:
    """Return a distractor or a long pole near the border of the square of ``side`` around ``centre``."""
    angle = rng.uniform(0, 2 * math.pi)
    place = centre + rng.uniform(0.25, 0.5) * side * np.array((math.cos(angle), math.sin(angle)))
    if rng.random() < 0.25:
        lean, tint, half = rng.uniform(-0.5, 0.5), colour(rng), rng.uniform(0.02, 0.035)
        return [
            Part(rotate(box(-half, -2, 0, 2), lean) + place, shade(tint, 1.15)),
            Part(rotate(box(0, -2, half, 2), lean) + place, shade(tint, 0.8)),
        ]
    return distractor(rng, place, rng.uniform(0.2, 0.42) * side)
