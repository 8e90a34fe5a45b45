"""The window of greyscale with more than 8 bits: the values that become black and white."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from vit.errors import SettingsError


def _check_window(window: tuple[float, float]) -> tuple[float, float]:
    if window[0] >= window[1]:
        raise ValueError(f"A window of {window[0]:g} to {window[1]:g} is empty: give the lower value first.")
    return window


Window = Annotated[tuple[float, float], AfterValidator(_check_window)]
"""The values of greyscale that become black and white."""

NOTATIONS = "LOW,HIGH|c=CENTRE,w=WIDTH|LOW%,HIGH%"
_NUMBER = r"\s*([-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)\s*"


class Percentiles(NamedTuple):
    """A window that is still to be found: two percentiles, from 0 to 100, of the values of the training images."""

    low: float
    high: float


def window_around(centre: float, width: float) -> Window:
    """Return the window with this centre and width, as viewers of medical images state it (DICOM PS3.3, C.11.2.1.2.1).

    Raises:
        SettingsError: the width is not above 1.
    """
    if not width > 1:
        raise SettingsError(f"A window of the width {width:g} is empty: give a width above 1.")
    low = centre - 0.5 - (width - 1) / 2
    return low, low + width - 1


def read_window(text: str) -> Window | Percentiles:
    """Read a window in one of its :data:`NOTATIONS`.

    Raises:
        SettingsError: it is in none of them, or empty.
    """
    if found := re.fullmatch(f"{_NUMBER}%,{_NUMBER}%", text):
        return Percentiles(float(found[1]), float(found[2]))
    if found := re.fullmatch(f"c={_NUMBER},w={_NUMBER}", text):
        return window_around(float(found[1]), float(found[2]))
    if found := re.fullmatch(f"{_NUMBER},{_NUMBER}", text):
        return float(found[1]), float(found[2])
    raise SettingsError(
        f"{text!r} is not a range such as 0,4095, a centre and width such as c=40,w=400, or percentiles such as 1%,99%"
    )
