"""Runs of the visitor, within the limits of the demo."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pages.access import cleanup
from pages.access.identity import admission_lock, bounds, owner, require_visitor, visitor
from pages.access.images import check_source, check_upload, own_source
from pages.server.limits import MB, DemoLimits
from vit import jobs, runs
from vit.config import RunConfig
from vit.cost.estimate import disk_bytes
from vit.data.files.uploads import list_uploads
from vit.errors import RunError, UserError
from vit.exports import formats, run_zip, tensorboard
from vit.paths import checkpoints_dir
from vit.runs import Run, finetune

CLEANUP_EVERY = 600.0
"""Seconds between two sweeps of what visitors left."""

METRICS_BYTES_MAX = 20 * MB
"""Of a run from elsewhere; a page that follows a run holds them in memory."""

_cleaning = threading.Lock()
_cleaned = -CLEANUP_EVERY


# Who


# Runs


def my_runs() -> list[Run]:
    """The runs that who is looking may see, newest first."""
    found = runs.list_runs()
    if bounds() is None:
        return found
    mine = visitor()
    return [run for run in found if run.config.owner in ("", mine)]


def broken_runs() -> list[tuple[str, str]]:
    """:func:`vit.runs.broken_runs`; none on a demo, where it is not known whose they are."""
    return runs.broken_runs() if bounds() is None else []


def see(run: Run) -> Run:
    """The run itself, where who is looking may see it: a page may be open longer than a run lives under its name.

    Raises:
        RunError: there is no such run for them.
    """
    if bounds() is not None:
        gone = RunError(f"There is no run {run.name!r} any more: choose another one.")
        try:
            whose = run.config.owner
        except RunError:
            raise gone from None
        if whose not in ("", visitor()):
            raise gone
    return run


def may_change(run: Run) -> bool:
    """Whether who is looking may rename, delete, stop or resume a run."""
    if bounds() is None:
        return True
    with suppress(RunError):
        return run.config.owner != "" and run.config.owner == visitor()
    return False


def reason_not_changeable(run: Run) -> str:
    """Why a run cannot be changed by who is looking; empty where it can."""
    return "" if may_change(run) else "It came with this demo; only what you made here can be changed."


def is_taken(name: str) -> bool:
    """Whether a run of this name can no longer be made."""
    return (checkpoints_dir() / name).exists()


def start(config: RunConfig, name: str | None = None) -> Run:
    """:func:`vit.jobs.start`, for who is looking, within the bounds.

    Raises:
        UserError: it cannot be started, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if config.start:
        finetune.find_start(config.start, owner())
    if limits is None:
        return jobs.start(config, name)
    mine = require_visitor()
    config = limits.bounded(config, mine)
    check_source(config.data.source)
    with admission_lock:
        _check_turn(limits)
        _check_number(limits, mine)
        cleanup.check_disk(limits, disk_bytes(config))
        return jobs.start(config, name)


def room() -> int | None:
    """How many runs who is looking may still start now; None where nothing limits them."""
    limits = bounds()
    if limits is None:
        return None
    mine = visitor()
    return max(0, min(limits.runs - len(cleanup.runs_of(mine)), limits.queue - _at_work())) if mine else 0


def why_no_room() -> str:
    """The bound that keeps who is looking from starting a run now; empty where none does."""
    limits = bounds()
    if limits is not None:
        try:
            _check_turn(limits)
            _check_number(limits, require_visitor())
            cleanup.check_disk(limits)
        except UserError as error:
            return str(error)
    return ""


def stop(run: Run) -> None:
    """:func:`vit.jobs.stop` of an own run."""
    jobs.stop(require_own(run))


def resume(run: Run) -> None:
    """:func:`vit.jobs.resume` of an own run, within the bounds."""
    require_own(run)
    with admission_lock:
        _check_again(run)
        jobs.resume(run)


def restart(run: Run) -> None:
    """:func:`vit.jobs.restart` of an own run, within the bounds; one that is at work is within them already."""
    require_own(run)
    with admission_lock:
        if not run.active:
            _check_again(run)
        jobs.restart(run)


def rename(run: Run, name: str) -> Run:
    """:func:`vit.runs.rename` of an own run."""
    return runs.rename(require_own(run), name)


def delete(run: Run) -> None:
    """:func:`vit.runs.delete` of an own run."""
    runs.delete(require_own(run))
    formats.forget(run)
    cleanup.measure_anew()


def pack(run: Run, target: BinaryIO, *, snapshots: bool = True, resume: bool = False) -> None:
    """:func:`vit.exports.run_zip.pack` of a run that the visitor may see."""
    run_zip.pack(see(run), target, snapshots=snapshots, resume=resume)


def write_events(run: Run, target: BinaryIO) -> None:
    """:func:`vit.exports.tensorboard.write_zip`."""
    tensorboard.write_zip(see(run), target)


def exporting(run: Run, form: str) -> Callable[[formats.Progress], Path]:
    """:func:`vit.exports.formats.make` of a run, to be called in another thread, where nobody is looking.

    Raises:
        RunError: who is looking may not see the run, or the disk of the demo is full.
    """
    limits = bounds()
    if limits is not None:
        cleanup.check_disk(limits, see(run).size_bytes)
    return partial(formats.make, run, form)


def unpack(file: BinaryIO) -> Run:
    """:func:`vit.exports.run_zip.unpack`, for who is looking, within the bounds.

    Raises:
        RunError: no run, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if limits is None:
        return run_zip.unpack(file, adapt=_with_uploaded_images)
    mine = require_visitor()
    check_upload(file, limits)

    def adapt(folder: Path, config: RunConfig) -> RunConfig:
        limits.check_files(config)
        if (folder / runs.METRICS).exists() and (folder / runs.METRICS).stat().st_size > METRICS_BYTES_MAX:
            raise RunError(f"its {runs.METRICS} is longer than {METRICS_BYTES_MAX / MB:.0f} MB, which this demo takes.")
        images = config.data.model_copy(update={"source": own_source(config.data.source, mine)})
        return limits.owned(config.model_copy(update={"data": images}), mine)

    with admission_lock:
        _check_number(limits, mine)
        cleanup.check_disk(limits, limits.run_mb * MB)
        run = run_zip.unpack(file, adapt=adapt, bytes_max=limits.run_mb * MB)
    cleanup.measure_anew()
    return run


def _with_uploaded_images(_: Path, config: RunConfig) -> RunConfig:
    """Return settings that name the upload their zip was trained on, if it is still here: zips hold no paths."""
    upload = own_source(config.data.source, "")
    if upload == config.data.source or upload not in list_uploads():
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"source": upload})})


def adopting() -> Callable[[RunConfig], RunConfig] | None:
    """The bounds that a published model goes through before it becomes a run of who is looking; None where there are
    none. What comes back may be called in another thread, where nobody is looking.

    Raises:
        RunError: it is not known who is.
    """
    limits = bounds()
    if limits is None:
        return None
    mine = require_visitor()

    def adapt(config: RunConfig) -> RunConfig:
        limits.check_files(config)
        with admission_lock:
            _check_number(limits, mine)
            cleanup.check_disk(limits, disk_bytes(config))
        return limits.owned(config, mine)

    return adapt


def require_own(run: Run) -> Run:
    if not may_change(see(run)):
        raise RunError(f"The run {run.name!r} belongs to this demo: only runs of your own can be changed.")
    return run


def _at_work() -> int:
    return sum(run.active for run in runs.list_runs())


def _check_turn(limits: DemoLimits) -> None:
    if _at_work() >= limits.queue:
        raise RunError(
            f"This demo takes {limits.queue} runs at a time, and so many train or wait already: try again in a while."
        )


def _check_number(limits: DemoLimits, mine: str) -> None:
    if len(cleanup.runs_of(mine)) >= limits.runs:
        raise RunError(f"This demo keeps {limits.runs} runs of a visitor: delete one of yours first.")


def _check_again(run: Run) -> None:
    """Whether a run that is there may train again: its settings may be another server's, or from before the bounds."""
    limits = bounds()
    if limits is None:
        return
    config = limits.bounded(run.config, require_visitor())
    check_source(config.data.source)
    _check_turn(limits)
    cleanup.check_disk(limits, max(0, disk_bytes(config) - run.size_bytes))
    if config != run.config:
        with runs.exclusive_access(run):
            runs.write_config(run.path, config)


# Sweeps


# Images


# Words


def report(run: Run) -> str:
    """:func:`vit.exports.report.report.report` of a run that the visitor may see."""
    from vit.exports.report.report import report

    return report(see(run))


# Housekeeping


def tidy() -> None:
    """Reap jobs that have ended; on a demo, now and then, delete in the background what has been kept long enough."""
    global _cleaned
    jobs.poll()
    limits = bounds()
    if limits is None or time.monotonic() - _cleaned < CLEANUP_EVERY:
        return
    with _cleaning:
        if time.monotonic() - _cleaned < CLEANUP_EVERY:
            return
        _cleaned = time.monotonic()
    threading.Thread(target=_clean_up, args=(limits.keep_hours,), name="clean-up", daemon=True).start()


def _clean_up(keep_hours: float) -> None:
    with suppress(OSError, UserError):  # the next one tries again
        cleanup.delete_expired(keep_hours)
