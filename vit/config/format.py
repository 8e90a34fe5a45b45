"""Formats of the run folder; ``docs/format.md`` describes the files and what is guaranteed.

Settings of an older format are upgraded step by step, as long as the networks that they describe still exist.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from vit.errors import SettingsError

FORMAT: Final = 2
"""Format of the runs that this program writes. It is increased when the same settings come to mean another network, or
when a field or a file is renamed or removed. A new field needs no new format if its default keeps the old behaviour."""

Settings = dict[str, Any]


def upgrade(settings: Mapping[str, Any]) -> Settings:
    """Return the settings of a run of any format in the format of this program.

    Args:
        settings: content of ``config.json``; without a ``format`` it is taken to be the present one.

    Raises:
        SettingsError: the settings describe a network that no longer exists, or come from a later program.
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
"""Upgrades from each format to the next."""
