"""What queued runs wait for, and how long: from the speed of the runs before them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache

from vit import runs
from vit.config import Columns, RunConfig
from vit.cost.estimate import Speed, total_seconds
from vit.errors import DataError, UserError
from vit.jobs import queue
from vit.runs import Run
from vit.runs.speeds import measured_speeds, seconds_left


@dataclass(frozen=True)
class Wait:
    """What a run waits for.

    Attributes:
        ahead: the run directly before it: in the queue, or at work on the device; None if the device is free.
        seconds: expected seconds until it starts; None if the speed of a run before it is unknown.
    """

    ahead: Run | None
    seconds: float | None


def waits() -> dict[str, Wait]:
    """Return what each queued run waits for, by its name."""
    places, found = queue.positions(), runs.list_runs()
    queued = sorted((run for run in found if run.name in places), key=lambda run: places[run.name])
    left = _estimator()
    result = {}
    for device in {run.status.device for run in queued}:
        before = working(device, found)
        for run in (run for run in queued if run.status.device == device):
            result[run.name] = _wait(before, left)
            before = [*before, run]
    return result


def wait_of_new_run(device: str) -> Wait:
    """Return what a run would wait for that is queued now."""
    places, found = queue.positions(), runs.list_runs()
    queued = [run for run in found if run.name in places and run.status.device == device]
    return _wait([*working(device, found), *sorted(queued, key=lambda run: places[run.name])], _estimator())


def working(device: str, found: Sequence[Run]) -> list[Run]:
    """Return the runs of ``found`` that train on a device of this machine."""
    statuses = [(run, run.status) for run in found]
    return [run for run, status in statuses if (status.state, status.device, status.placed) == ("running", device, "")]


def _wait(before: Sequence[Run], left: Callable[[Run], float | None]) -> Wait:
    return Wait(before[-1] if before else None, total_seconds(left(run) for run in before))


def _estimator() -> Callable[[Run], float | None]:
    """Return a function that estimates the seconds that a run still needs; it reads the speeds of a device once."""
    speeds: Callable[[str], tuple[Speed, ...]] = cache(measured_speeds)

    @cache
    def left(run: Run) -> float | None:
        with suppress(UserError):  # its settings or its images are gone
            train, val = _counts(run.config)
            return seconds_left(run, train_count=train, val_count=val, speeds=speeds(run.status.device))
        return None

    return left


def _counts(config: RunConfig) -> tuple[int, int]:
    """Return the number of training and validation images of a run."""
    train, val = config.data.train_images, config.data.val_images
    if train is None or val is None:
        described = _described(config.data.source, config.data.seed, config.data.columns)
        train, val = train or described[0], val or described[1]
    return train, val


@lru_cache(maxsize=64)
def _described(source: str, seed: int, columns: Columns) -> tuple[int, int]:
    from vit.data import describe, is_ready  # imports numpy and Pillow, which a waiting job does not need

    if not is_ready(source):
        raise DataError(f"{source} is not downloaded yet.")  # and a page does not wait for an answer of the hub
    info = describe(source, seed=seed, columns=columns)
    return info.train_count, info.val_count
