"""What several commands share: printing, progress, reading images, and arguments that are numbers."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.errors import DataError, SettingsError
from vit.support.untrusted_text import on_terminal

if TYPE_CHECKING:
    from PIL import Image

BAD_INPUT = 2
"""Exit status for bad input."""

Progress = Callable[[int, int], None]
"""Takes how much is done, and of how much."""


def say(line: str, clear: str = "") -> None:
    """Print a line on standard error; ``clear`` is printed before it."""
    print(clear + on_terminal(" ".join(line.splitlines())), file=sys.stderr, flush=True)


def print_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(result) if as_json else on_terminal(text), flush=True)


def counter(unit: str) -> Progress:
    """Return a function that prints progress on standard error, at most once a second."""
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > 1:
            said = time.monotonic()
            say(f"{done:,} of {total:,} {unit}")

    return progress


def count(text: str) -> int:
    """Read a whole number from 1 up, as the ``type`` of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def chosen(what: str, number: int | None, total: int) -> list[int]:
    """Return the layers or heads to show, counted from 1: the given one, or all.

    Args:
        what: name of the flag, for the error.
        number: the given one; None for all.
        total: how many there are.

    Raises:
        SettingsError: there is no such layer or head.
    """
    if number is not None and number > total:
        raise SettingsError(f"--{what} {number} does not exist: choose 1 to {total}.")
    return list(range(1, total + 1)) if number is None else [number]


def open_image(path: Path) -> "Image.Image":
    """Open an image file.

    Raises:
        DataError: the file cannot be read, or is not an image.
    """
    from vit.data.files import images

    try:
        return images.open_image(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}.") from None
