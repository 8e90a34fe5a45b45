"""The formats of a run's folder: ``docs/format.md`` says what each file holds, and what is promised.

A program reads the settings of every format that it can still mean, by bringing them up to its own, step by step.
"""

from collections.abc import Callable, Mapping
from typing import Any

from vit.errors import SettingsError

FORMAT = 2
"""Of the runs that this program writes. It counts up when the same settings begin to mean another network, when a field
is renamed or removed, or a file; a new field whose default is what was done before needs no new number."""

Settings = dict[str, Any]


def upgrade(settings: Mapping[str, Any]) -> Settings:
    """The settings of a run of any format, as JSON has them, in those of this program.

    Args:
        settings: what ``config.json`` holds; without a ``format`` they are of this one.

    Raises:
        SettingsError: they mean a network that this program does not have, or are of a later program.
    """
    settings = dict(settings)
    while (number := settings.get("format", FORMAT)) != FORMAT:
        step = _STEPS.get(number) if type(number) is int else None
        if step is None:
            raise SettingsError(
                f"it is of format {str(number)[:20]}, and this program knows formats up to {FORMAT}: open it with the "
                "version that made it, or a later one."
            )
        settings = step(settings) | {"format": number + 1}
    return settings


def _from_1(_settings: Settings) -> Settings:
    raise SettingsError(
        "it was made by another version of this program (format 1), with other networks: train it again."
    )


_STEPS: dict[int, Callable[[Settings], Settings]] = {1: _from_1}
"""From each format to the next one."""
