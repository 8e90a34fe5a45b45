"""Recordings as the browser sends them."""

import io

from PIL import Image

from tests.data.helpers import zip_bytes


def frame(number: int = 0, side: int = 32) -> bytes:
    """A frame of one colour, another for each number."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (number % 256, 100, 200)).save(file, "JPEG")
    return file.getvalue()


def recording(**classes: list[int]) -> io.BytesIO:
    """A zip of frames: for each class, the number of frames of each burst."""
    files = {
        f"{name}/burst-{burst:02}/{number:04}.jpg": frame(number)
        for name, bursts in classes.items()
        for burst, count in enumerate(bursts, start=1)
        for number in range(1, count + 1)
    }
    file = zip_bytes(files)
    file.name = "recording.zip"
    return file
