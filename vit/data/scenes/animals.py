"""Draw cats (pointed upright ears, whiskers, a long tail) and dogs (hanging ears, a snout)."""

import math
from collections.abc import Callable

import numpy as np

from vit.data.scenes.colours import Palette, blend, shade
from vit.data.scenes.geometry import Part, ellipse, mirror, polygon, ribbon, rotate, smooth
from vit.data.scenes.objects import Drawing


def cat(rng: np.random.Generator, colours: Palette) -> Drawing:
    """Draw a face, or the whole animal sitting, walking or lying."""
    return _pick(rng, (_cat_face, _cat_sitting, _cat_walking, _cat_lying))(rng, colours)


def dog(rng: np.random.Generator, colours: Palette) -> Drawing:
    """Draw a face, or the whole animal sitting (from the front or in profile) or standing."""
    return _pick(rng, (_dog_face, _dog_sitting, _dog_standing, _dog_profile))(rng, colours)


View = Callable[[np.random.Generator, Palette], Drawing]


def _pick(rng: np.random.Generator, views: tuple[View, ...]) -> View:
    return views[int(rng.integers(len(views)))]


def _placed(parts: list[Part], x: float, y: float, size: float, angle: float = 0.0) -> list[Part]:
    """Scale, rotate and move a head that is drawn around the origin with radius 1."""
    return [
        Part(rotate(part.points, angle) * size + (x, y), part.colour, _placed(list(part.marks), x, y, size, angle))
        for part in parts
    ]


def _coat(rng: np.random.Generator, colours: Palette) -> list[Part]:
    """Return marks of the fur around the unit square: none, patches, spots or stripes."""
    kind = rng.random()
    if kind < 0.3:
        return []
    if kind < 0.55:
        return [Part(ellipse(x, y, 0.35, 0.28), colours.second) for x, y in rng.uniform(-0.9, 0.9, (3, 2))]
    if kind < 0.75:
        return [Part(ellipse(x, y, 0.1), colours.third) for x, y in rng.uniform(-1, 1, (16, 2))]
    return [
        Part(ribbon((x, -1), (x + 0.1, 0.15), width=0.1, end=0.02), colours.second) for x in np.arange(-0.9, 1, 0.26)
    ]


def _cat_head(rng: np.random.Generator, colours: Palette) -> list[Part]:
    tall = rng.uniform(1.3, 1.55)
    ear = polygon((-0.95, -0.25), (-0.92, -tall), (-0.1, -0.72))
    inner = polygon((-0.82, -0.5), (-0.8, -tall + 0.25), (-0.32, -0.75))
    pink = blend(colours.third, colours.light, 0.3)
    skull = smooth((0, -0.82), (0.62, -0.72), (1.02, -0.15), (0.95, 0.4), (0.45, 0.78), (0, 0.84), (-0.45, 0.78),
                   (-0.95, 0.4), (-1.02, -0.15), (-0.62, -0.72))  # fmt: skip
    marks = []
    if rng.random() < 0.5:
        for x in (-0.22, 0, 0.22):
            marks.append(Part(polygon((x - 0.07, -1), (x + 0.07, -1), (0.6 * x, -0.38)), colours.second))
    if rng.random() < 0.4:
        marks.append(Part(ellipse(0, 0.62, 0.55, 0.42), colours.light))
    parts = [Part(ear, shade(colours.main, 0.88)), Part(inner, pink)]
    parts += [Part(mirror(ear), shade(colours.main, 0.88)), Part(mirror(inner), pink)]
    parts.append(Part(skull, colours.main, marks))
    for x in (-0.42, 0.42):
        parts.append(Part(ellipse(x, -0.08, 0.25, 0.21), colours.light))
        parts.append(Part(ellipse(x, -0.08, 0.085, 0.2), colours.dark))
    parts.append(Part(polygon((-0.15, 0.26), (0.15, 0.26), (0, 0.42)), colours.dark))
    whisker = colours.dark if rng.random() < 0.6 else colours.light
    for tilt in (-0.16, 0.04, 0.24):
        line = ribbon((0.25, 0.42 + 0.3 * tilt), (1.5, 0.35 + tilt), width=0.05, end=0.03)
        parts += [Part(line, whisker), Part(mirror(line), whisker)]
    for x in (-0.2, 0.2):
        parts.append(Part(ribbon((0, 0.4), (0.3 * x, 0.56), (x, 0.58), width=0.05), colours.dark))
    return parts


def _dog_head(rng: np.random.Generator, colours: Palette) -> list[Part]:
    droop, fur = rng.uniform(0.55, 0.95), colours.second if rng.random() < 0.6 else shade(colours.main, 0.6)
    ear = smooth((-0.5, -0.88), (-0.95, -0.85), (-1.25, -0.2), (-1.2, droop), (-0.9, droop + 0.12), (-0.72, 0.1))
    skull = smooth((0, -0.95), (0.6, -0.85), (0.82, -0.2), (0.7, 0.4), (0.5, 0.85), (0, 1.0), (-0.5, 0.85), (-0.7, 0.4),
                   (-0.82, -0.2), (-0.6, -0.85))  # fmt: skip
    marks = [Part(ellipse(0.4, -0.25, 0.38, 0.4), colours.second)] if rng.random() < 0.4 else []
    muzzle = colours.light if rng.random() < 0.6 else blend(colours.main, colours.light, 0.45)
    parts = []
    if rng.random() < 0.6:
        parts.append(Part(smooth((-0.2, 0.7), (0.2, 0.7), (0.2, 1.2), (0, 1.32), (-0.2, 1.2)), colours.third))
    parts += [Part(skull, colours.main, marks), Part(ellipse(0, 0.5, 0.52, 0.44), muzzle)]
    parts += [Part(ear, fur), Part(mirror(ear), fur)]
    for x in (-0.33, 0.33):
        parts += [Part(ellipse(x, -0.2, 0.14, 0.16), colours.dark), Part(ellipse(x - 0.04, -0.25, 0.05), colours.light)]
    parts.append(Part(ellipse(0, 0.25, 0.25, 0.18), shade(colours.dark, 0.8)))
    parts.append(Part(ribbon((0, 0.35), (0, 0.62), width=0.06), colours.dark))
    smile = ribbon((-0.35, 0.6), (0, 0.72), (0.35, 0.6), width=0.06)
    parts.append(Part(smile, colours.dark))
    return parts


def _cat_face(rng: np.random.Generator, colours: Palette) -> Drawing:
    return _cat_head(rng, colours), 0.35


def _dog_face(rng: np.random.Generator, colours: Palette) -> Drawing:
    return _dog_head(rng, colours), 0.35


def _seated(rng: np.random.Generator, colours: Palette) -> list[Part]:
    """Return body, haunches and front legs of an animal sitting from the front; the neck is at (0, -0.3)."""
    wide = rng.uniform(0.5, 0.6)
    body = smooth((0, -0.5), (0.32, -0.3), (0.42, 0.2), (wide, 0.7), (0.35, 0.95), (-0.35, 0.95), (-wide, 0.7),
                  (-0.42, 0.2), (-0.32, -0.3))  # fmt: skip
    marks = [Part(mark.points * 0.7 + (0, 0.3), mark.colour) for mark in _coat(rng, colours)]
    marks.append(Part(ellipse(0, 0.0, 0.2, 0.42), blend(colours.main, colours.light, 0.6)))
    parts = [Part(body, colours.main, marks)]
    for x in (-0.17, 0.17):
        leg = ribbon((x, 0.25), (x, 0.9), width=0.2, end=0.17)
        parts += [Part(leg, shade(colours.main, 0.85)), Part(ellipse(x, 0.93, 0.14, 0.09), colours.light)]
        parts.append(Part(ellipse(x * 2.8, 0.92, 0.17, 0.09), shade(colours.main, 0.8)))
    return parts


def _cat_sitting(rng: np.random.Generator, colours: Palette) -> Drawing:
    side = rng.uniform(0.75, 1.0)
    tail = ribbon((0.3, 0.85), (side, 0.75), (side + 0.05, 0.2), (side - 0.2, -0.1), (side, -0.35), width=0.2, end=0.12)
    head = _placed(_cat_head(rng, colours), 0, -0.7, 0.45, rng.uniform(-0.2, 0.2))
    return [Part(tail, shade(colours.main, 0.75)), *_seated(rng, colours), *head], 0.2


def _dog_sitting(rng: np.random.Generator, colours: Palette) -> Drawing:
    tail = ribbon((0.35, 0.85), (0.7, 0.75), (0.85, 0.5), width=0.2, end=0.1)
    head = _placed(_dog_head(rng, colours), 0, -0.72, 0.46, rng.uniform(-0.2, 0.2))
    collar = Part(ribbon((-0.3, -0.32), (0, -0.2), (0.3, -0.32), width=0.12), colours.third)
    return [Part(tail, shade(colours.main, 0.75)), *_seated(rng, colours), collar, *head], 0.2


def _legs(
    rng: np.random.Generator, colours: Palette, places: tuple[float, ...], top: float, thick: float
) -> list[Part]:
    """Return four walking legs; the far pair comes first and is darker."""
    stride, parts = rng.uniform(-0.14, 0.14), []
    for i, x in enumerate(places):
        foot = x + (stride if i in (0, 3) else -stride)
        tint = shade(colours.main, 0.62 if i < 2 else 0.9)
        parts.append(
            Part(
                ribbon((x, top), (0.5 * (x + foot) + 0.03, top + 0.3), (foot, 0.85), width=thick, end=0.7 * thick), tint
            )
        )
        parts.append(Part(ellipse(foot + 0.04, 0.85, 0.7 * thick, 0.06), shade(tint, 0.9)))
    return parts


def _cat_walking(rng: np.random.Generator, colours: Palette) -> Drawing:
    body = smooth((-0.75, -0.05), (-0.4, -0.2), (0.3, -0.18), (0.65, -0.2), (0.75, 0.15), (0.45, 0.36), (-0.2, 0.3),
                  (-0.7, 0.38),
                  (-0.85, 0.15))  # fmt: skip
    lift = rng.uniform(-0.95, -0.6)
    tail = ribbon(
        (-0.7, 0.05), (-1.0, -0.1), (-1.05, 0.6 * lift), (-0.85, lift), (-1.0, lift - 0.15), width=0.17, end=0.12
    )
    legs = _legs(rng, colours, (-0.5, 0.62, -0.68, 0.45), 0.15, 0.2)
    marks = [Part(mark.points * (0.9, 0.5), mark.colour) for mark in _coat(rng, colours)]
    head = _placed(_cat_head(rng, colours), 0.78, -0.3, 0.4, rng.uniform(-0.15, 0.15))
    return [*legs[:4], Part(tail, shade(colours.main, 0.8)), *legs[4:], Part(body, colours.main, marks), *head], 0.2


def _cat_lying(rng: np.random.Generator, colours: Palette) -> Drawing:
    hump = rng.uniform(-0.5, -0.3)
    body = smooth((-0.9, 0.2), (-0.65, hump + 0.05), (-0.1, hump), (0.5, -0.15), (0.8, 0.2), (0.6, 0.48), (-0.7, 0.5))
    tail = ribbon((-0.8, 0.3), (-1.05, 0.45), (-0.6, 0.58), (0.0, 0.5), (0.25, 0.55), width=0.2, end=0.13)
    marks = [Part(mark.points * (0.9, 0.6), mark.colour) for mark in _coat(rng, colours)]
    paws = [Part(ellipse(x, 0.5, 0.2, 0.09), colours.light) for x in (0.55, 0.85)]
    head = _placed(_cat_head(rng, colours), 0.65, -0.12, 0.45, rng.uniform(-0.15, 0.25))
    return [Part(body, colours.main, marks), *paws, Part(tail, shade(colours.main, 0.72)), *head], 0.2


def _dog_profile_head(rng: np.random.Generator, colours: Palette) -> list[Part]:
    """Return a head that faces right: a long snout with the nose at its end, the ear over the cheek."""
    long, fur = rng.uniform(1.15, 1.5), colours.second if rng.random() < 0.6 else shade(colours.main, 0.6)
    skull = smooth((-0.7, 0.1), (-0.5, -0.65), (0.1, -0.8), (0.5, -0.4), (long, -0.2), (long + 0.12, 0.15),
                   (long - 0.15, 0.42),
                   (0.45, 0.5), (0, 0.75), (-0.5, 0.7))  # fmt: skip
    ear = smooth((-0.2, -0.68), (-0.55, -0.6), (-0.75, 0.1), (-0.6, 0.75), (-0.3, 0.8), (-0.08, 0.1))
    marks = [Part(ellipse(long, 0.15, 0.6, 0.5), blend(colours.main, colours.light, 0.5))] if rng.random() < 0.5 else []
    parts = [
        Part(skull, colours.main, marks),
        Part(ear, fur),
        Part(ellipse(long + 0.05, -0.08, 0.2, 0.17), colours.dark),
    ]
    parts.append(Part(ellipse(0.3, -0.28, 0.12), colours.dark))
    parts.append(Part(ribbon((0.5, 0.3), (long - 0.1, 0.24), width=0.07), shade(colours.dark, 0.9)))
    if rng.random() < 0.4:
        x = long - 0.35
        parts.append(Part(smooth((x - 0.15, 0.28), (x + 0.2, 0.26), (x + 0.22, 0.7), (x + 0.05, 0.82)), colours.third))
    return parts


def _dog_standing(rng: np.random.Generator, colours: Palette) -> Drawing:
    body = smooth((-0.8, -0.15), (-0.3, -0.2), (0.35, -0.25), (0.75, -0.45), (0.85, 0.0), (0.6, 0.35), (0.2, 0.3),
                  (-0.3, 0.15),
                  (-0.7, 0.28))  # fmt: skip
    up = rng.uniform(-0.65, -0.35)
    tail = ribbon((-0.75, -0.05), (-0.98, 0.5 * up), (-1.08, up), width=0.16, end=0.08)
    legs = _legs(rng, colours, (-0.5, 0.68, -0.68, 0.5), 0.1, 0.22)
    marks = [Part(mark.points * (0.9, 0.6), mark.colour) for mark in _coat(rng, colours)]
    neck = Part(polygon((0.35, -0.2), (0.6, -0.65), (0.95, -0.5), (0.85, 0.0)), colours.main)
    head = _placed(_dog_profile_head(rng, colours), 0.82, -0.6, 0.38, rng.uniform(-0.3, 0.2))
    collar = Part(ribbon((0.5, -0.36), (0.9, -0.18), width=0.12), colours.third)
    return [
        *legs[:4],
        Part(tail, shade(colours.main, 0.8)),
        *legs[4:],
        Part(body, colours.main, marks),
        neck,
        collar,
        *head,
    ], 0.2


def _dog_profile(rng: np.random.Generator, colours: Palette) -> Drawing:
    body = smooth(
        (0.15, -0.5), (0.45, -0.35), (0.5, 0.1), (0.35, 0.85), (-0.3, 0.95), (-0.72, 0.8), (-0.7, 0.4), (-0.25, -0.15)
    )
    marks = [Part(mark.points * (0.7, 0.8) + (0, 0.2), mark.colour) for mark in _coat(rng, colours)]
    tail = ribbon((-0.6, 0.82), (-0.95, 0.8), (-1.1, rng.uniform(0.35, 0.65)), width=0.17, end=0.08)
    parts = [Part(tail, shade(colours.main, 0.8)), Part(body, colours.main, marks)]
    parts.append(Part(ellipse(-0.38, 0.68, 0.33, 0.29), shade(colours.main, 0.88)))
    parts.append(Part(ellipse(-0.2, 0.92, 0.3, 0.09), shade(colours.main, 0.8)))
    for x, factor in ((0.3, 0.7), (0.42, 0.92)):
        parts.append(Part(ribbon((x - 0.02, 0.0), (x, 0.9), width=0.22, end=0.15), shade(colours.main, factor)))
        parts.append(Part(ellipse(x + 0.06, 0.92, 0.15, 0.08), shade(colours.main, factor * 0.9)))
    parts.append(Part(ribbon((0.02, -0.42), (0.45, -0.3), width=0.13), colours.third))
    head = _placed(_dog_profile_head(rng, colours), 0.22, -0.75, 0.43, rng.uniform(-0.3, 0.2))
    return [*parts, *head], math.radians(12)
