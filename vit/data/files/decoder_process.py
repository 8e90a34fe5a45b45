"""Decode one image in a separate process with limits, for formats whose headers do not show the cost of decoding.

A file of two kilobytes that claims to be 16 pixels wide can contain an AV1 image of a hundred million pixels, and only
the decoder notices. So AVIF, HEIF and JPEG 2000 are decoded in a process with limited memory and time, whose crash does
no harm::

    python -P decoder_process.py FORMAT BYTES SECONDS < file

It prints a line "MODE WIDTH HEIGHT EXIF_BYTES", the EXIF block and the pixels.
"""

import io
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore

from PIL import Image

MEMORY_MAX = 900 * 2**20
PROCESSOR_SECONDS_MAX = 4
SECONDS_MAX = 15
"""Time limit of the whole process; longer than the processor time, because the machine may be busy."""
_two_at_a_time = BoundedSemaphore(2)
_PLAIN = ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F")


class DecodingFailed(Exception):
    """The process could not decode the image; ``args[0]`` is True if it was stopped at a limit."""


def decode(data: bytes, kind: str) -> tuple[Image.Image, bytes]:
    """Return the first image of a file of this format, and its EXIF block.

    Raises:
        DecodingFailed: it cannot be decoded, or not within the limits.
    """
    import numpy as np  # not at the top: the limited process does not need it

    limits = [str(MEMORY_MAX), str(PROCESSOR_SECONDS_MAX)]
    command = [sys.executable, "-P", str(Path(__file__)), kind, *limits]
    try:
        with _two_at_a_time:
            done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        raise DecodingFailed(True) from None
    if done.returncode != 0:
        raise DecodingFailed(b"MemoryError" in done.stderr or done.returncode < 0)
    head, _, rest = done.stdout.partition(b"\n")
    mode, width, height, exif = head.decode().split()
    pixels = np.frombuffer(rest, np.uint8, offset=int(exif))  # no copy of the bytes
    image = Image.frombuffer(mode, (int(width), int(height)), pixels, "raw", mode, 0, 1)
    return image, rest[: int(exif)]


def _main(kind: str, memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits; the caller still limits the time
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    image: Image.Image = Image.open(io.BytesIO(sys.stdin.buffer.read()), formats=[kind])
    image.load()
    exif = image.info.get("exif") or b""
    if image.mode not in _PLAIN:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    sys.stdout.buffer.write(b"%s %d %d %d\n" % (image.mode.encode(), *image.size, len(exif)))
    sys.stdout.buffer.write(exif)
    sys.stdout.buffer.write(image.tobytes())


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
