"""Draw videos of objects that move in front of a camera, for a camera that Chromium plays from a file.

An object has one shape and fixed colours, like a thing that someone holds in front of a camera. Where it is, its size
and its angle change from frame to frame. A burst is recorded in a place, which decides background, light and noise.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 320, 240
"""Width and height of the videos in pixels."""
FPS = 15
_FINER = 2  # objects are drawn larger, then reduced, so that their edges are smooth

Point = tuple[float, float]


def _circle(radius: float, centre: Point = (0, 0), corners: int = 40) -> list[Point]:
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    return [(centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in angles]


OBJECTS: dict[str, list[tuple[str, list[Point]]]] = {
    "cup": [
        ("#b03a2e", _circle(0.38, (0.55, 0.0))),
        ("#5b1f18", _circle(0.22, (0.55, 0.0))),
        ("#c0392b", [(-0.6, -0.75), (0.6, -0.75), (0.5, 0.8), (-0.5, 0.8)]),
        ("#f5e6d3", [(-0.56, -0.3), (0.56, -0.3), (0.54, 0.05), (-0.54, 0.05)]),
        ("#3b1d15", [(-0.6, -0.82), (0.6, -0.82), (0.58, -0.66), (-0.58, -0.66)]),
    ],
    "scissors": [
        ("#1f6f8b", _circle(0.34, (-0.36, 0.7))),
        ("#1f6f8b", _circle(0.34, (0.36, 0.7))),
        ("#d8dee4", [(-0.42, 0.5), (-0.2, 0.42), (0.42, -1.0), (0.2, -0.95)]),
        ("#aab4be", [(0.42, 0.5), (0.2, 0.42), (-0.42, -1.0), (-0.2, -0.95)]),
        ("#123c4a", _circle(0.17, (-0.36, 0.7))),
        ("#123c4a", _circle(0.17, (0.36, 0.7))),
        ("#333333", _circle(0.07, (0.0, 0.02))),
    ],
    "plant": [
        ("#2e7d32", [(0.0, 0.3), (-0.95, -0.35), (-0.75, -0.75), (-0.1, -0.1)]),
        ("#388e3c", [(0.0, 0.3), (0.95, -0.35), (0.75, -0.75), (0.1, -0.1)]),
        ("#43a047", [(-0.12, 0.3), (-0.3, -0.6), (0.0, -1.0), (0.3, -0.6), (0.12, 0.3)]),
        ("#a65e2e", [(-0.5, 0.25), (0.5, 0.25), (0.36, 0.95), (-0.36, 0.95)]),
        ("#8a4b22", [(-0.56, 0.2), (0.56, 0.2), (0.54, 0.38), (-0.54, 0.38)]),
    ],
}
"""The parts of each object, a colour and the corners of a polygon, from back to front; the object fills [-1, 1]."""


def burst(name: str, place: int, count: int) -> Iterator[np.ndarray]:
    """Yield the frames of one burst: an object that moves, turns and changes its distance in one place.

    Args:
        name: one of :data:`OBJECTS`.
        place: number of the place; all objects have the same background and light there, but other paths.
        count: number of frames.

    Yields:
        ``(h w c)`` uint8.
    """
    there = np.random.default_rng([place])
    background = _background(there)
    level, warmth, noise = there.uniform(0.65, 1.15), there.uniform(-0.1, 0.1), there.uniform(3, 9)
    rng = np.random.default_rng([place, *name.encode()])
    width, height = SIZE
    phases, speeds = rng.uniform(0, 2 * math.pi, 6), rng.uniform(0.5, 1.5, 6) * rng.choice([-1, 1], 6)
    tilt = rng.uniform(-0.6, 0.6)
    for frame in range(count):
        wave = np.sin(phases + speeds * frame / FPS)
        radius = height * (0.26 + 0.08 * wave[0])
        centre = width * (0.5 + 0.2 * wave[1]), height * (0.5 + 0.16 * wave[2])
        canvas = background.resize((width * _FINER, height * _FINER))
        _draw(canvas, name, centre, radius, tilt + 0.6 * wave[3], 0.75 + 0.25 * abs(wave[4]))
        pixels = np.asarray(canvas.resize(SIZE, Image.Resampling.BOX), dtype=np.float32)
        light = level * (1 + 0.12 * wave[5]) * np.array([1 + warmth, 1, 1 - warmth])
        pixels = pixels * light + rng.normal(0, noise, pixels.shape)
        yield np.clip(pixels, 0, 255).astype(np.uint8)


def _background(rng: np.random.Generator) -> Image.Image:
    """Return a blurred room: patches of cloth or wall in random colours, with furniture-like bars."""
    width, height = SIZE
    total = np.zeros((height, width, 3))
    for cells in (3, 8, 24, 60):
        small = rng.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
        layer = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(layer, dtype=np.float64) / cells**0.6
    total = (total - total.mean()) / total.std() * rng.uniform(15, 40)
    image = Image.fromarray(np.clip(total + rng.uniform(60, 190, 3), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 7)):
        left, top = rng.uniform(-0.2, 1) * width, rng.uniform(-0.2, 1) * height
        right, bottom = left + rng.uniform(0.05, 0.5) * width, top + rng.uniform(0.05, 0.5) * height
        draw.rectangle((left, top, right, bottom), fill=tuple(rng.integers(30, 230, 3).tolist()))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))


def _draw(canvas: Image.Image, name: str, centre: Point, radius: float, angle: float, squeeze: float) -> None:
    draw = ImageDraw.Draw(canvas)
    cosine, sine = math.cos(angle), math.sin(angle)
    for colour, corners in OBJECTS[name]:
        turned = [
            (
                _FINER * (centre[0] + radius * (cosine * x * squeeze - sine * y)),
                _FINER * (centre[1] + radius * (sine * x * squeeze + cosine * y)),
            )
            for x, y in corners
        ]
        draw.polygon(turned, fill=colour)


def marked(frame: np.ndarray, *numbers: int) -> np.ndarray:
    """Write up to two numbers below 256 as black and white squares at the left and the right border, and return it.

    They tell a program what the camera shows now. The recorder keeps the centre square, without the borders.
    """
    height = SIZE[1] // 8
    for number, columns in zip(numbers, (slice(0, 20), slice(SIZE[0] - 20, None)), strict=False):
        for bit in range(8):
            frame[bit * height : (bit + 1) * height, columns] = 255 * (number >> bit & 1)
    return frame


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int = FPS) -> None:
    """Write frames as uncompressed YUV4MPEG2 (y4m), which Chromium plays as a camera.

    Args:
        path: the file.
        frames: ``(h w c)`` uint8 of the size :data:`SIZE`.
        fps: frames a second.
    """
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE[0]} H{SIZE[1]} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            luma, blue, red = Image.fromarray(frame).convert("YCbCr").split()
            half = SIZE[0] // 2, SIZE[1] // 2
            file.write(b"FRAME\n" + luma.tobytes())
            for plane in (blue, red):
                file.write(plane.resize(half, Image.Resampling.BOX).tobytes())
