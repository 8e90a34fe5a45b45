"""Whether a run's accuracy can be told from guessing, and which run to open first. Imports no torch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vit.runs.dependence import read_dependence
from vit.runs.learning import verdict
from vit.runs.run import Run
from vit.support.intervals import LEVEL, wilson_interval


class Measured(NamedTuple):
    """The accuracy of the weights that a run keeps.

    Attributes:
        accuracy: the accuracy on validation images.
        low, high: its 95 % interval (Wilson).
        images: the number of images.
        chance: the accuracy without looking: of always answering the most frequent class where the attention dependence
            was measured, else of guessing evenly.
    """

    accuracy: float
    low: float
    high: float
    images: int
    chance: float

    @property
    def at_chance(self) -> bool:
        """Whether guessing may be as good: the interval includes, or lies below, the accuracy of guessing."""
        return self.low <= self.chance

    @property
    def reason(self) -> str:
        """One sentence with the figures."""
        return (
            f"The accuracy is {self.accuracy:.1%} on {self.images:,} validation images, with a {LEVEL} % interval from "
            f"{self.low:.1%} to {self.high:.1%}; guessing has {self.chance:.1%}."
        )


def measured(run: Run, count_images: Callable[[Run], int | None]) -> Measured | None:
    """Return the accuracy of a run's kept weights and its interval.

    Args:
        run: the run.
        count_images: returns the number of validation images of a run, or None if it is unknown; called only for runs
            without a measured attention dependence, which says it itself.

    Returns:
        The accuracy; None for a run without classes or before its first validation, and if the number is unknown.
    """
    classes, best = run.config.model.num_classes, run.best
    if classes < 2 or best is None or run.config.published:
        return None
    dependence = None if run.active else read_dependence(run)
    if dependence is not None:
        accuracy, images, chance = dependence.accuracy, dependence.images, dependence.chance
    else:
        kept = best.get("val_accuracy")
        if not isinstance(kept, (int, float)) or not 0 <= kept <= 1:  # the file may come from a stranger
            return None
        accuracy, images, chance = float(kept), count_images(run) or 0, 1 / classes
    if not images:
        return None
    return Measured(accuracy, *wilson_interval(round(accuracy * images), images), images, chance)


def best_run(runs: Sequence[Run], count_images: Callable[[Run], int | None]) -> Run:
    """Return the run to open first: the most accurate finished one, not one at chance level while there is another.

    Finished runs without an accuracy (published models, trainings without labels) come next, then unfinished runs, then
    those that diverged, learned nothing or are at chance level. Among equals, the first one wins.

    Args:
        runs: the runs, at least one.
        count_images: as in :func:`measured`.
    """

    def rank(run: Run) -> tuple[int, float]:
        status, found = run.status, measured(run, count_images)
        accuracy = found.accuracy if found else 0.0
        if verdict(status) or (found and found.at_chance) or not (status.validated or run.config.published):
            return 0, accuracy
        if status.state != "finished":
            return 1, accuracy
        return (3, accuracy) if run.config.model.num_classes and not run.config.published else (2, 0.0)

    return max(runs, key=rank)
