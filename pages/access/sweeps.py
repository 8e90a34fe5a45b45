"""Sweeps of the visitor, within the limits of the demo."""

from pages.access.identity import bounds, require_visitor
from pages.access.runs import delete, is_taken, my_runs, require_own, resume, room, start
from vit.errors import RunError
from vit.runs import Run
from vit.sweeps import sweep
from vit.sweeps.config import SweepConfig


def my_sweeps() -> dict[str, list[Run]]:
    """Return the runs of each sweep that the visitor may see, the newest sweep first."""
    return sweep.group_by_sweep(my_runs())


def start_sweep(config: SweepConfig) -> list[Run]:
    """Start all missing runs of a sweep for the visitor, or none if the demo's limits do not allow all.

    Raises:
        UserError: the sweep cannot be started, or exceeds a limit.
    """
    limits = bounds()
    if limits is not None:
        config = config.model_copy(update={"base": limits.owned(config.base, require_visitor())})
        missing, left = len(sweep.missing_points(config, my_runs())), room() or 0
        if missing > left:
            raise RunError(f"These are {missing} runs, and you can start {left or 'none'} now: choose fewer.")
    return sweep.start(config, start, among=my_runs(), is_taken=is_taken)


def stop_sweep(found: list[Run]) -> None:
    sweep.stop([require_own(run) for run in found])


def resume_sweep(found: list[Run]) -> None:
    """Resume the visitor's runs of a sweep, within the limits of the demo."""
    sweep.resume([require_own(run) for run in found], resume)


def delete_sweep(found: list[Run]) -> None:
    sweep.delete([require_own(run) for run in found], delete)
