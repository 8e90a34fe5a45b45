"""Random colours. Objects, backgrounds and distractors share one distribution, so colour does not show the class."""

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
    """Return a random colour: a brown tone (half of the draws), a paint of any hue, or a grey."""
    kind, hue, saturation, value = rng.random(4)
    if kind < 0.5:
        hue, saturation, value = 0.03 + 0.11 * hue, 0.2 + 0.6 * saturation, 0.3 + 0.68 * value
    elif kind < 0.85:
        saturation, value = 0.25 + 0.65 * saturation, 0.35 + 0.6 * value
    else:
        saturation, value = 0.08 * saturation, 0.2 + 0.78 * value
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def distance(first: Colour, second: Colour) -> float:
    """Return roughly how different two colours look; lightness counts more than hue."""
    red, green, blue = (a - b for a, b in zip(first, second, strict=True))
    lightness = 0.3 * red + 0.59 * green + 0.11 * blue
    return abs(lightness) + 0.25 * (abs(red) + abs(green) + abs(blue))


def unlike(rng: np.random.Generator, others: list[Colour], least: float) -> Colour:
    """Return a colour at a distance of ``least`` from each of ``others``, or the farthest of twelve tries."""
    best, best_distance = (0, 0, 0), -1.0
    for _ in range(12):
        candidate = colour(rng)
        nearest = min(distance(candidate, other) for other in others)
        if nearest >= least:
            return candidate
        if nearest > best_distance:
            best, best_distance = candidate, nearest
    return best


def palette(rng: np.random.Generator, background: Colour) -> Palette:
    """Return the colours of an object that stands out from the background."""
    main = unlike(rng, [background], 70)
    second = unlike(rng, [main], 60)
    third = unlike(rng, [main, second], 45)
    dark = shade(colour(rng), 0.25)
    light = blend(colour(rng), (255, 255, 255), 0.75)
    return Palette(main, second, third, dark, light)


def shade(base: Colour, factor: float) -> Colour:
    """Return a darker (factor below 1) or lighter colour."""
    red, green, blue = (min(255, round(channel * factor)) for channel in base)
    return red, green, blue


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours; ``share`` is the share of the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
