"""What several commands share: printing, progress, reading images, and arguments that are numbers."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.errors import DataError, SettingsError
from vit.support.durations import TimeLeft
from vit.support.untrusted_text import on_terminal

if TYPE_CHECKING:
    from PIL import Image

    from vit.config import DataConfig
    from vit.data import ImageData

BAD_INPUT = 2
"""Exit status for bad input."""

SKIPPED_LISTED = 5
"""Files that were left out and are named on the terminal."""

Progress = Callable[[int, int], None]
"""Takes how much is done, and of how much."""


def say(line: str, clear: str = "") -> None:
    """Print a line on standard error; ``clear`` is printed before it."""
    print(clear + on_terminal(" ".join(line.splitlines())), file=sys.stderr, flush=True)


def say_reading(data: "ImageData") -> None:
    """Print on standard error what was left out of a data set, with the first reasons, and other remarks."""
    skipped = data.skipped
    if skipped:
        say(f"{len(skipped):,} file{' is' if len(skipped) == 1 else 's are'} left out:")
        for entry in skipped[:SKIPPED_LISTED]:
            say(f"  {entry.file}: {entry.reason}")
        if len(skipped) > SKIPPED_LISTED:
            say(f"  and {len(skipped) - SKIPPED_LISTED:,} more")
    for remark in data.remarks:
        say(remark)


def print_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(result) if as_json else on_terminal(text), flush=True)


def counter(unit: str) -> Progress:
    """Return a function that prints progress on standard error, at most once a second."""
    said, left = time.monotonic(), TimeLeft()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > 1:
            said = time.monotonic()
            say(f"{done:,} of {total:,} {unit}{left.words(done, total)}" if total else f"{done:,} {unit}")

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


def open_image(path: Path, data: "DataConfig") -> "Image.Image":
    """Open an image file for a run, and say how its values are scaled if they are unusual.

    Args:
        path: the file.
        data: the data of the run.

    Raises:
        DataError: the file cannot be read, or is not an image.
    """
    from vit.data.files import images
    from vit.data.files.colours import Colours, window_words

    try:
        image = images.open_image(path, colours=Colours.of(data))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}.") from None
    if window := image.info.get("window"):
        say(f"{path} has more than 8 bits: values from {window_words(window)} become black to white")
    return image
