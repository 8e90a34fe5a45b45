"""Group runs by one setting: mean and range of their accuracy over seeds, and what else differs. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from vit.config import RunConfig, TrainingConfig, words
from vit.runs.comparison import ABSENT, SEED, settings, shown

_INDIFFERENT = {
    words.title(TrainingConfig, field) for field in ("device", "threads", "max_seconds", "resume_steps", "snapshots")
}
"""Settings that do not change what is learned, or that depend on the machine."""


@dataclass(frozen=True)
class Result:
    """A run with its accuracy.

    Attributes:
        name: the run.
        config: its settings.
        accuracy: the validation accuracy of its kept weights.
    """

    name: str
    config: RunConfig
    accuracy: float


@dataclass(frozen=True)
class Group:
    """The runs with one value of a setting.

    Attributes:
        value: the value; :data:`vit.runs.comparison.ABSENT` if their networks do not have the setting.
        title: the value as text.
        results: the runs, the most accurate first.
        varied: the other settings in which they differ, without the seed.
    """

    value: Any
    title: str
    results: tuple[Result, ...]
    varied: tuple[str, ...]

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each run, the largest first."""
        return [one.accuracy for one in self.results]

    @property
    def mean(self) -> float:
        """The mean accuracy."""
        return fmean(self.accuracies)

    @property
    def seeds(self) -> int:
        """The number of different seeds."""
        return len({one.config.training.seed for one in self.results})


def varied_settings(configs: Sequence[RunConfig]) -> list[str]:
    """Return the titles of the settings in which runs differ, in the order of the settings, without the seed."""
    each = [settings(config) for config in configs]
    names = dict.fromkeys(name for one in each for name in one)
    return [
        name
        for name in names
        if name != SEED
        and name not in _INDIFFERENT
        and any(one.get(name, ABSENT) != each[0].get(name, ABSENT) for one in each)
    ]


def group_by(setting: str, results: Sequence[Result]) -> list[Group]:
    """Return the groups of runs that have the same value of a setting, in the order of the values.

    Args:
        setting: the title of a setting, as :func:`varied_settings` returns it.
        results: runs on one data set.
    """
    found: dict[Any, list[Result]] = {}
    for one in results:
        found.setdefault(settings(one.config).get(setting, ABSENT), []).append(one)
    groups = [
        Group(
            value,
            ABSENT if value == ABSENT else shown(setting, value),
            tuple(sorted(members, key=lambda one: -one.accuracy)),
            tuple(name for name in varied_settings([one.config for one in members]) if name != setting),
        )
        for value, members in found.items()
    ]
    return sorted(groups, key=lambda group: order(group.value, group.title))


def order(value: object, title: str) -> tuple:
    """Return a key that sorts the values of a setting: numbers by size, then names."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1, 0.0, title
    return 0, float(value), title
