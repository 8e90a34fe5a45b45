"""Sweeps of the visitor, within the limits of the demo."""

from pages.access.identity import bounds, require_visitor
from pages.access.runs import delete, my_runs, require_own, resume, room, start
from vit.errors import RunError
from vit.runs import Run
from vit.sweeps import sweep
from vit.sweeps.config import SweepConfig


def my_sweeps() -> dict[str, list[Run]]:
    """:func:`vit.sweeps.sweep.group_by_sweep` of the runs that who is looking may see, the newest sweep first."""
    return sweep.group_by_sweep(my_runs())


def start_sweep(config: SweepConfig) -> list[Run]:
    """:func:`vit.sweeps.sweep.start`, for who is looking, within the bounds: all the runs that are missing, or none.

    Raises:
        UserError: it cannot be started, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if limits is not None:
        config = config.model_copy(update={"base": limits.owned(config.base, require_visitor())})
        missing, left = len(sweep.missing_points(config, my_runs())), room()
        if missing > left:
            raise RunError(f"These are {missing} runs, and you can start {left or 'none'} now: choose fewer.")
    return sweep.start(config, start, among=my_runs())


def stop_sweep(found: list[Run]) -> None:
    """:func:`vit.sweeps.sweep.stop` of own runs."""
    sweep.stop([require_own(run) for run in found])


def resume_sweep(found: list[Run]) -> None:
    """:func:`vit.sweeps.sweep.resume` of own runs, within the bounds."""
    sweep.resume([require_own(run) for run in found], resume)


def delete_sweep(found: list[Run]) -> None:
    """:func:`vit.sweeps.sweep.delete` of own runs."""
    sweep.delete([require_own(run) for run in found], delete)
