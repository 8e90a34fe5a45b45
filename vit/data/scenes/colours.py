"""Colours. Every class, background and distractor draws from the same mixture, so that a colour tells nothing."""

import colorsys
from typing import NamedTuple

import numpy as np

from vit.data.scenes.geometry import Colour


class Palette(NamedTuple):
    """The colours of one object: three that differ from one another, and a dark and a light one for details."""

    main: Colour
    second: Colour
    third: Colour
    dark: Colour
    light: Colour


def colour(rng: np.random.Generator) -> Colour:
    """Fur, dough and dust (half of the draws), paint of any hue, or grey."""
    kind, hue, saturation, value = rng.random(4)
    if kind < 0.5:
        hue, saturation, value = 0.03 + 0.11 * hue, 0.2 + 0.6 * saturation, 0.3 + 0.68 * value
    elif kind < 0.85:
        saturation, value = 0.25 + 0.65 * saturation, 0.35 + 0.6 * value
    else:
        saturation, value = 0.08 * saturation, 0.2 + 0.78 * value
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))


def distance(first: Colour, second: Colour) -> float:
    """How different two colours look, roughly: lightness counts more than hue."""
    red, green, blue = (a - b for a, b in zip(first, second, strict=True))
    lightness = 0.3 * red + 0.59 * green + 0.11 * blue
    return abs(lightness) + 0.25 * (abs(red) + abs(green) + abs(blue))


def unlike(rng: np.random.Generator, others: list[Colour], least: float) -> Colour:
    """A colour at least so far from each of ``others``, or the farthest of twelve tries."""
    best, best_distance = (0, 0, 0), -1.0
    for _ in range(12):
        candidate = colour(rng)
        nearest = min(distance(candidate, other) for other in others)
        if nearest >= least:
            return candidate
        if nearest > best_distance:
            best, best_distance = candidate, nearest
    return best


def palette(rng: np.random.Generator, behind: Colour) -> Palette:
    """The colours of an object that stands out from ``behind``."""
    main = unlike(rng, [behind], 70)
    second = unlike(rng, [main], 60)
    third = unlike(rng, [main, second], 45)
    dark = shade(colour(rng), 0.25)
    light = blend(colour(rng), (255, 255, 255), 0.75)
    return Palette(main, second, third, dark, light)


def shade(base: Colour, factor: float) -> Colour:
    """Darker (below 1) or lighter."""
    return tuple(min(255, round(channel * factor)) for channel in base)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` of the second colour in the first."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
