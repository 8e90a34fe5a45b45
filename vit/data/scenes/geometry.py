"""Closed outlines, from which scenes are built; points are float arrays (n 2), y points down."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]
Points = np.ndarray

_ROUND = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ROUND), np.sin(_ROUND)], axis=1)
_STEPS = np.linspace(0, 1, 6, endpoint=False)[:, None]
_SPLINE = 0.5 * np.concatenate(  # Catmull-Rom weights of the four neighbouring points, (step 4)
    [
        -_STEPS + 2 * _STEPS**2 - _STEPS**3,
        2 - 5 * _STEPS**2 + 3 * _STEPS**3,
        _STEPS + 4 * _STEPS**2 - 3 * _STEPS**3,
        -(_STEPS**2) + _STEPS**3,
    ],
    axis=1,
)


class Part(NamedTuple):
    """A filled outline; ``marks`` (spots, stripes, toppings) are painted on it and clipped to it."""

    points: Points
    colour: Colour
    marks: Sequence["Part"] = ()


def polygon(*points: tuple[float, float]) -> Points:
    return np.array(points, dtype=float)


def ellipse(x: float, y: float, width: float, height: float | None = None, angle: float = 0.0) -> Points:
    """Return an ellipse around (x, y) with the half axes width and height, turned by ``angle`` radians."""
    points = _CIRCLE * (width, width if height is None else height)
    return (rotate(points, angle) if angle else points) + (x, y)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Points:
    """Return a rectangle with corners rounded by ``radius``."""
    if radius <= 0:
        return polygon((left, top), (right, top), (right, bottom), (left, bottom))
    inner_left, inner_top, inner_right, inner_bottom = left + radius, top + radius, right - radius, bottom - radius
    centres = (
        (inner_right, inner_bottom),
        (inner_left, inner_bottom),
        (inner_left, inner_top),
        (inner_right, inner_top),
    )
    quarters = _CIRCLE[(7 * np.arange(4)[:, None] + (0, 2, 5, 7)) % 28]
    return (np.array(centres)[:, None] + radius * quarters).reshape(-1, 2)


def smooth(*points: tuple[float, float], closed: bool = True) -> Points:
    """Return a Catmull-Rom spline through these points."""
    control = np.array(points, dtype=float)
    if closed:
        neighbours = np.stack([np.roll(control, shift, axis=0) for shift in (1, 0, -1, -2)])
        return np.einsum("sk,knd->nsd", _SPLINE, neighbours).reshape(-1, 2)
    padded = np.concatenate([control[:1], control, control[-1:]])
    neighbours = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)])
    return np.concatenate([np.einsum("sk,knd->nsd", _SPLINE, neighbours).reshape(-1, 2), control[-1:]])


def ribbon(*points: tuple[float, float], width: float, end: float | None = None) -> Points:
    """Return a band along a spline, ``width`` wide at its start and ``end`` at its end (legs, tails, whiskers)."""
    line = smooth(*points, closed=False) if len(points) > 2 else np.array(points, dtype=float)
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    half = np.linspace(width, width if end is None else end, len(line))[:, None] / 2
    return np.concatenate([line + across * half, (line - across * half)[::-1]])


def rotate(points: Points, angle: float) -> Points:
    """Turn points around the origin by ``angle`` radians, clockwise on the screen."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def mirror(points: Points) -> Points:
    return points * (-1, 1)


def moved(parts: Sequence[Part], matrix: np.ndarray, offset: np.ndarray) -> list[Part]:
    """Map every part and its marks by ``points @ matrix + offset``."""
    return [Part(part.points @ matrix + offset, part.colour, moved(part.marks, matrix, offset)) for part in parts]


def bounds(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest coordinates of the parts, (2,) each."""
    points = np.concatenate([part.points for part in parts])
    return points.min(axis=0), points.max(axis=0)


def fit(parts: Sequence[Part], matrix: np.ndarray, centre: np.ndarray, side: float) -> list[Part]:
    """Map the parts by ``matrix``, scale their longer side to ``side``, and centre their bounding box at ``centre``."""
    low, high = bounds(moved([Part(part.points, part.colour) for part in parts], matrix, np.zeros(2)))
    scale = side / (high - low).max()
    return moved(parts, matrix * scale, centre - scale * (low + high) / 2)
