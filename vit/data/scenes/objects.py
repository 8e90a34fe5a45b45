"""Draw airplanes, buses and pizzas. Each function returns a random object in arbitrary units, from a palette."""

import math

import numpy as np

from vit.data.scenes.colours import Palette, blend, shade
from vit.data.scenes.geometry import Colour, Part, Points, box, ellipse, mirror, polygon, ribbon, smooth

Drawing = tuple[list[Part], float]
"""The parts from back to front, and the largest angle in radians by which the object may be turned."""


def airplane(rng: np.random.Generator, colours: Palette) -> Drawing:
    """Draw an airplane from the side or from above."""
    return (_airplane_side if rng.random() < 0.5 else _airplane_above)(rng, colours)


def _airplane_side(rng: np.random.Generator, colours: Palette) -> Drawing:
    fat = rng.uniform(0.17, 0.23)
    hull = smooth((-1, -0.9 * fat), (-0.5, -fat), (0.5, -fat), (0.8, -0.7 * fat), (1, 0.15 * fat), (0.85, 0.75 * fat),
                  (0.45, fat), (-0.35, fat), (-0.8, 0.1 * fat))  # fmt: skip
    reach, sweep = rng.uniform(0.45, 0.65), rng.uniform(0.35, 0.6)
    fin = polygon((-0.95, -0.7 * fat), (-1.12, -0.62), (-0.85, -0.62), (-0.5, -0.8 * fat))
    near = polygon((0.28, 0.3 * fat), (0.05 - sweep, reach), (-0.18 - sweep, reach), (-0.25, 0.4 * fat))
    far = polygon((0.3, -0.6 * fat), (0.02 - 0.6 * sweep, -0.42), (-0.16 - 0.6 * sweep, -0.42), (-0.05, -0.6 * fat))
    tail = polygon((-0.62, -0.4 * fat), (-1.0, 0.12), (-1.18, 0.12), (-0.95, -0.5 * fat))
    marks = _livery(rng, colours, fat)
    glass = _glass(rng, colours)
    for x in np.arange(-0.55, 0.62, rng.uniform(0.14, 0.2)):
        marks.append(Part(ellipse(x, -0.25 * fat, 0.038, 0.05), glass))
    marks.append(Part(polygon((0.74, -0.62 * fat), (0.9, -0.55 * fat), (0.94, -0.1 * fat), (0.72, -0.1 * fat)), glass))
    wing = colours.second if rng.random() < 0.5 else shade(colours.main, 0.72)
    pod = [Part(ellipse(-0.05 - 0.3 * sweep, 0.5 * reach + fat * 0.6, 0.17, 0.08), colours.third)]
    parts = [
        Part(far, shade(wing, 0.75)),
        Part(fin, colours.second, [Part(box(-1.2, -0.45, 0, -0.3), colours.third)] if rng.random() < 0.5 else ()),
        Part(hull, colours.main, marks),
        Part(tail, shade(wing, 0.85)),
    ]
    if rng.random() < 0.7:
        parts += pod
    return [*parts, Part(near, wing)], 0.5


def _livery(rng: np.random.Generator, colours: Palette, fat: float) -> list[Part]:
    kind = rng.random()
    if kind < 0.35:
        return [Part(box(-1.2, 0.0, 1.2, 0.4 * fat), colours.third)]
    if kind < 0.65:
        return [Part(box(-1.2, 0.2 * fat, 1.2, 2 * fat), colours.second)]
    if kind < 0.8:
        return [Part(box(0.45, -1, 1.2, 1), colours.third)]
    return []


def _airplane_above(rng: np.random.Generator, colours: Palette) -> Drawing:
    fat, root, sweep = rng.uniform(0.12, 0.17), rng.uniform(-0.4, -0.2), rng.uniform(0.1, 0.6)
    hull = smooth((0, -1.05), (0.8 * fat, -0.85), (fat, -0.5), (fat, 0.3), (0.35 * fat, 0.98), (-0.35 * fat, 0.98),
                  (-fat, 0.3), (-fat, -0.5), (-0.8 * fat, -0.85))  # fmt: skip
    tip, chord = root + sweep, rng.uniform(0.15, 0.24)
    wing = polygon((0.3 * fat, root), (1, tip + 0.05), (1, tip + chord), (0.3 * fat, root + 0.52))
    tail = polygon((0.1 * fat, 0.68), (0.42, 0.68 + 0.55 * sweep + 0.02), (0.42, 0.85 + 0.5 * sweep), (0.1 * fat, 0.95))
    paint = colours.second if rng.random() < 0.5 else shade(colours.main, 0.75)
    flash = [Part(box(-2, -2, -0.72, 2), colours.third), Part(box(0.72, -2, 2, 2), colours.third)]
    flash = flash if rng.random() < 0.5 else []
    parts, pods = [], colours.third if rng.random() < 0.3 else shade(paint, 0.7)
    for x in (0.38, 0.68)[: int(rng.integers(0, 3))]:
        pod = ellipse(x, root + 0.11 + (x - 0.1) * sweep, 0.065, 0.15)
        parts += [Part(pod, pods), Part(mirror(pod), pods)]
    parts += [Part(wing, paint, flash), Part(mirror(wing), paint, flash)]
    parts += [Part(tail, paint), Part(mirror(tail), paint)]
    bands = [Part(box(-1, y, 1, y + 0.14), colours.second) for y in rng.uniform(-0.6, 0.6, int(rng.integers(0, 3)))]
    parts.append(Part(hull, colours.main, bands))
    parts.append(Part(polygon((-0.55 * fat, -0.84), (0.55 * fat, -0.84), (0.7 * fat, -0.72), (-0.7 * fat, -0.72)),
                      colours.dark))  # fmt: skip
    parts.append(Part(box(-0.025, 0.55, 0.025, 1.08), shade(paint, 0.6)))
    return parts, math.pi


def _glass(rng: np.random.Generator, colours: Palette) -> Colour:
    """Return a window colour: dark, light or one of the palette, so that windows do not identify vehicles by colour."""
    tints = (colours.dark, colours.light, colours.second, colours.third)
    return tints[int(rng.choice(4, p=(0.25, 0.15, 0.3, 0.3)))]


class _Panel:
    """A flat side of a vehicle in perspective; maps (u, v) of the unit square to a quadrilateral."""

    def __init__(self, *corners: tuple[float, float]) -> None:
        self.corners = np.array(corners, dtype=float)  # top left, top right, bottom right, bottom left

    def __call__(self, points: Points) -> Points:
        u, v = points[:, :1], points[:, 1:]
        weights = np.concatenate([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
        return weights @ self.corners

    def box(self, left: float, top: float, right: float, bottom: float) -> Points:
        return self(box(left, top, right, bottom))


def bus(rng: np.random.Generator, colours: Palette) -> Drawing:
    """Draw a bus from the side, from the front, or at an angle that shows both."""
    kind, height = rng.random(), rng.uniform(0.5, 0.68)
    decks = 2 if rng.random() < 0.25 else 1
    height += 0.28 * (decks - 1)
    if kind < 0.45:
        side = _Panel((0, 0), (1.3, 0), (1.3, height), (0, height))
        return _bus_side(rng, colours, side, decks, wheel=0.125), 0.2
    width = rng.uniform(0.38, 0.5)
    if kind < 0.85:
        slope, far = rng.uniform(0.04, 0.12), rng.uniform(0.68, 0.85)
        middle = 0.5 * height
        side = _Panel((0, middle - far * middle), (0.95, 0), (0.95, height), (0, middle + far * middle))
        front = _Panel((0.95, 0), (0.95 + width, slope), (0.95 + width, height - slope), (0.95, height))
        parts = _bus_side(rng, colours, side, decks, wheel=0.11)
        return parts + _bus_front(rng, colours, front, decks), 0.2
    height = rng.uniform(0.95, 1.25) * (1.15 if decks == 2 else 1)
    front = _Panel((0.06, 0), (0.94, 0), (1, height), (0, height))
    tyres = [Part(box(x, height - 0.1, x + 0.17, height + 0.11, 0.03), colours.dark) for x in (0.07, 0.76)]
    mirrors = [Part(box(x, 0.3, x + 0.1, 0.52, 0.03), colours.dark) for x in (-0.12, 1.02)]
    return tyres + mirrors + _bus_front(rng, colours, front, decks), 0.2


def _bus_side(rng: np.random.Generator, colours: Palette, side: _Panel, decks: int, wheel: float) -> list[Part]:
    glass = _glass(rng, colours)
    count, door = int(rng.integers(4, 7)), rng.uniform(0.11, 0.14)
    marks = []
    if rng.random() < 0.6:
        low = rng.uniform(0.55, 0.75)
        marks.append(Part(side.box(-0.1, low, 1.1, low + rng.uniform(0.08, 0.5)), colours.second))
    pitch = (0.93 - door) / count
    rows = ((0.14, 0.5),) if decks == 1 else ((0.08, 0.3), (0.44, 0.66))
    for row, (top, bottom) in enumerate(rows):
        last = count + (1 if decks == 2 and row == 0 else 0)
        for i in range(last):
            left = 0.04 + i * pitch
            marks.append(Part(side.box(left, top, left + 0.78 * pitch, bottom), glass))
    top = rows[-1][0]
    for left in (0.955 - door, 0.955 - door / 2):
        marks.append(Part(side.box(left, top, left + 0.43 * door, 0.93), blend(glass, colours.third, 0.35)))
    body = Part(side(box(0, 0, 1, 1, 0.04)), colours.main, marks)
    wheels, tyre = [], shade(colours.dark if rng.random() < 0.5 else colours.second, 0.8)
    for u in (rng.uniform(0.16, 0.24), rng.uniform(0.7, 0.76)):
        x, y = side(polygon((u, 0.99)))[0]
        wheels += [
            Part(ellipse(x, y, wheel), tyre),
            Part(ellipse(x, y, 0.48 * wheel), colours.third),
        ]
    return [body, *wheels]


def _bus_front(rng: np.random.Generator, colours: Palette, front: _Panel, decks: int) -> list[Part]:
    glass = _glass(rng, colours)
    top = 0.17 if decks == 1 else 0.45
    marks = [Part(front.box(0.09, top, 0.91, 0.58 if decks == 1 else 0.68), glass)]
    if decks == 2:
        marks.append(Part(front.box(0.09, 0.09, 0.91, 0.32), glass))
    marks.append(Part(front.box(0.48, top, 0.52, 0.7), shade(colours.main, 0.8)))
    marks.append(Part(front.box(0.2, top - 0.12, 0.8, top - 0.03), colours.third))
    for u in (0.17, 0.83):
        marks.append(Part(front(ellipse(u, 0.8, 0.1, 0.06)), colours.light))
    marks.append(Part(front.box(0.32, 0.76, 0.68, 0.86), colours.second))
    marks.append(Part(front.box(-0.1, 0.93, 1.1, 1.1), shade(colours.main, 0.6)))
    return [Part(front(box(0, 0, 1, 1, 0.05)), shade(colours.main, 0.92), marks)]


def pizza(rng: np.random.Generator, colours: Palette) -> Drawing:
    """Draw a whole pizza, a pizza with slices missing, or a slice; from above or at an angle."""
    kind = rng.random()
    if kind < 0.28:
        return _pizza_slice(rng, colours)
    gap = 0.0 if kind < 0.5 else math.radians(rng.choice((45, 60, 90, 120)))
    start = rng.uniform(0, 2 * math.pi)
    slant = rng.uniform(0.55, 1.0)
    crust, cheese, sauce = colours.second, colours.main, colours.third
    outer = _pie(1.0, start, gap)
    parts = []
    if slant < 0.9:
        parts.append(Part(outer * (1, slant) + np.array((0, 0.09)), shade(crust, 0.6)))
    marks = [Part(_pie(0.86, start, gap), sauce), Part(_pie(0.81, start, gap), cheese)]
    slices = int(rng.choice((6, 8)))
    if rng.random() < 0.75:
        for i in range(slices):
            angle = start + i * 2 * math.pi / slices
            edge = (math.cos(angle), math.sin(angle))
            marks.append(Part(ribbon((0, 0), edge, width=0.035), shade(cheese, 0.65)))
    marks += _toppings(rng, colours, _spread(rng, start + gap, 2 * math.pi - gap))
    squash = np.diag((1.0, slant))
    flat = [Part(mark.points @ squash, mark.colour) for mark in marks]
    parts.append(Part(outer @ squash, crust, flat))
    return parts, 0.25


def _pie(radius: float, start: float, gap: float) -> Points:
    """Return a disc without the sector of ``gap`` radians that starts at ``start``."""
    if not gap:
        return ellipse(0, 0, radius)
    angles = np.linspace(start + gap, start + 2 * math.pi, 30)
    arc = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([arc, [[0.0, 0.0]]])


def _spread(rng: np.random.Generator, start: float, extent: float) -> list[tuple[float, float]]:
    """Return evenly spread positions on the disc: a jittered sunflower pattern."""
    count = int(rng.integers(10, 17))
    order = np.arange(count)
    radii = 0.72 * np.sqrt((order + 0.6) / count)
    angles = start + (order * 0.618 + rng.uniform(-0.04, 0.04, count)) % 1 * extent
    return list(zip(radii * np.cos(angles), radii * np.sin(angles), strict=True))


def _toppings(rng: np.random.Generator, colours: Palette, places: list[tuple[float, float]]) -> list[Part]:
    """Return sausage slices, olive rings, leaves and strips of pepper."""
    sausage = colours.third if rng.random() < 0.7 else colours.second
    kinds = rng.permutation(4)[: int(rng.integers(1, 4))]
    parts = []
    for i, (x, y) in enumerate(places):
        kind, size, angle = kinds[i % len(kinds)], rng.uniform(0.85, 1.15), rng.uniform(0, 2 * math.pi)
        if kind == 0 or i % 3 == 0:
            parts += [
                Part(ellipse(x, y, 0.135 * size), shade(sausage, 0.75)),
                Part(ellipse(x, y, 0.11 * size), sausage),
            ]
        elif kind == 1:
            parts += [Part(ellipse(x, y, 0.085), colours.dark), Part(ellipse(x, y, 0.038), colours.main)]
        elif kind == 2:
            parts.append(Part(ellipse(x, y, 0.14 * size, 0.055, angle), colours.second))
        else:
            dx, dy = 0.13 * math.cos(angle), 0.13 * math.sin(angle)
            bow = ribbon((x - dx, y - dy), (x - 0.5 * dy, y + 0.5 * dx), (x + dx, y + dy), width=0.06)
            parts.append(Part(bow, colours.light))
    return parts


def _pizza_slice(rng: np.random.Generator, colours: Palette) -> Drawing:
    half, crust, cheese = rng.uniform(0.5, 0.68), colours.second, colours.main
    body = smooth((-half, -0.72), (0, -0.82), (half, -0.72), (0.54 * half, -0.05), (0.05, 0.8), (-0.05, 0.8),
                  (-0.54 * half, -0.05))  # fmt: skip
    places = [(rng.uniform(-0.5, -0.2) * half, -0.42), (rng.uniform(0.3, 0.55) * half, -0.36)]
    places += [(rng.uniform(-0.2, 0.2) * half, -0.08), (0.1 * half, 0.2), (-0.05 * half, 0.45)]
    marks = [Part(ellipse(0, -0.8, 1.2, 0.16), colours.third)]
    marks += [Part(mark.points, mark.colour) for mark in _toppings(rng, colours, places)]
    rim = smooth((-half - 0.08, -0.82), (-0.5 * half, -0.95), (0.5 * half, -0.95), (half + 0.08, -0.82),
                 (half + 0.06, -0.66),
                 (0, -0.74), (-half - 0.06, -0.66))  # fmt: skip
    side = Part(body + np.array((0.06, 0.05)), shade(crust, 0.6))
    return [side, Part(body, cheese, marks), Part(rim, crust)], math.pi
