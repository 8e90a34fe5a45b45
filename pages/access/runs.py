"""Runs of the visitor, within the limits of the demo."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pages.access import cleanup
from pages.access.identity import address, admission_lock, bounds, owner, require_visitor, signs_in, visitor
from pages.access.images import check_source, check_upload, own_source
from pages.access.uploaded_files import opened, release
from pages.server.limits import MB, DemoLimits
from vit import jobs, runs
from vit.config import RunConfig
from vit.cost.estimate import disk_bytes
from vit.data.files.uploads import list_uploads
from vit.errors import RunError, UserError
from vit.exports import formats, run_zip, tensorboard
from vit.paths import checkpoints_dir
from vit.runs import Run, finetune, notes, teachers

CLEANUP_EVERY = 600.0
"""Seconds between two clean-ups of visitors' files."""

METRICS_BYTES_MAX = 20 * MB
"""Largest metrics file of an uploaded run: a page that follows a run holds it in memory."""

NAME_BYTES = 58
"""Characters of a name that another visitor's run has, before a random end."""

_addresses: dict[str, str] = {}
"""The mark of the address from which each visitor with active runs started the last one."""

_cleaning = threading.Lock()
_cleaned = -CLEANUP_EVERY


def my_runs() -> list[Run]:
    """Return the runs that the visitor may see, newest first."""
    found = runs.list_runs()
    if bounds() is None:
        return found
    mine = visitor()
    return [run for run in found if run.config.owner in ("", mine)]


def broken_runs() -> list[tuple[str, str]]:
    """Return :func:`vit.runs.broken_runs`; none on a demo, where their owner is unknown."""
    return runs.broken_runs() if bounds() is None else []


def see(run: Run) -> Run:
    """Return the run if the visitor may still see it: while a page is open, another run may get its name.

    Raises:
        RunError: there is no such run for this visitor.
    """
    if bounds() is not None:
        gone = RunError(f"There is no run {run.name!r} any more: choose another run.")
        try:
            whose = run.config.owner
        except RunError:
            raise gone from None
        if whose not in ("", visitor()):
            raise gone
    return run


def may_change(run: Run) -> bool:
    """Return whether the visitor may rename, delete, stop or resume a run."""
    if bounds() is None:
        return True
    with suppress(RunError):
        return run.config.owner != "" and run.config.owner == visitor()
    return False


def reason_not_changeable(run: Run) -> str:
    """Return why the visitor cannot change a run; empty if they can."""
    return "" if may_change(run) else "This run came with this demo. You can change only your own runs."


def is_taken(name: str) -> bool:
    """Return whether a run that the visitor may see has this name."""
    return (checkpoints_dir() / name).exists() and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    """Return whether a name is taken by something that the visitor may not know of."""
    if bounds() is None or not runs.is_valid_name(name) or not (checkpoints_dir() / name).exists():
        return False
    return name not in {run.name for run in my_runs()}


def _free(name: str) -> str:
    """Return a name with a random end if it is taken by a run that the visitor may not know of."""
    while _is_hidden(name):
        name = f"{name[:NAME_BYTES].rstrip('._-')}-{secrets.token_hex(2)}"
    return name


def start(config: RunConfig, name: str | None = None) -> Run:
    """Start a run for the visitor, within the limits of the demo.

    Raises:
        UserError: the run cannot be started, or exceeds a limit.
    """
    limits = bounds()
    if config.start:
        finetune.find_start(config.start, owner())
    teachers.find_teacher(config, owner())
    if limits is None:
        return jobs.start(config, name)
    mine = require_visitor()
    config = limits.bounded(config, mine)
    check_source(config.data.source)
    with admission_lock:
        _check_queue(limits, mine)
        _check_number(limits, mine)
        cleanup.check_disk(limits, disk_bytes(config))
        run = jobs.start(config, None if name is None else _free(name))
        _remember_address(mine)
        return run


def room() -> int | None:
    """Return how many runs the visitor can start now; None without a limit."""
    limits = bounds()
    if limits is None:
        return None
    mine = visitor()
    if not mine:
        return 0
    active = _active_runs()
    places = min(limits.queue - len(active), limits.places_per_address - _count_of_address(active, mine))
    return max(0, min(limits.runs - len(cleanup.runs_of(mine)), places))


def why_no_room() -> str:
    """Return why the visitor cannot start a run now; empty if they can."""
    limits = bounds()
    if limits is not None:
        try:
            mine = require_visitor()
            _check_queue(limits, mine)
            _check_number(limits, mine)
            cleanup.check_disk(limits)
        except UserError as error:
            return str(error)
    return ""


def stop(run: Run) -> None:
    jobs.stop(require_own(run))


def resume(run: Run) -> None:
    """Resume a run of the visitor, within the limits of the demo."""
    require_own(run)
    with admission_lock:
        _check_limits_again(run)
        jobs.resume(run)
        _remember_address(run.config.owner)


def restart(run: Run) -> None:
    """Restart a run of the visitor, within the limits of the demo; an active run has been checked before."""
    require_own(run)
    with admission_lock:
        if not run.active:
            _check_limits_again(run)
        jobs.restart(run)
        _remember_address(run.config.owner)


def rename(run: Run, name: str) -> Run:
    """Rename a run of the visitor; if another visitor's run has the name, to one like it."""
    return runs.rename(require_own(run), _free(name))


def write_notes(run: Run, tags: Iterable[str], note: str) -> None:
    """Store the tags and the note that the visitor wrote about a run of theirs.

    Raises:
        RunError: the run is not theirs, or its folder cannot be written.
        SettingsError: they are too long, or have characters that are not allowed.
    """
    notes.write_notes(require_own(run), notes.make_notes(tags, note))


def delete(run: Run) -> None:
    """Delete a run of the visitor and the files made for its downloads."""
    runs.delete(require_own(run))
    formats.forget(run)
    cleanup.measure_anew()


def pack(run: Run, target: BinaryIO, *, snapshots: bool = True, resume: bool = False) -> None:
    """Write a run that the visitor may see as a zip: :func:`vit.exports.run_zip.pack`."""
    run_zip.pack(see(run), target, snapshots=snapshots, resume=resume)


def write_events(run: Run, target: BinaryIO) -> None:
    """Write the curves of a run that the visitor may see as a zip of TensorBoard event files."""
    tensorboard.write_zip(see(run), target)


def exporting(run: Run, form: str, options: formats.Options | None = None) -> Callable[[formats.Progress], Path]:
    """Return a function that makes an export file of a run; it may be called in a thread without a visitor.

    Raises:
        RunError: the visitor may not see the run, or the disk of the demo is full.
    """
    limits = bounds()
    if limits is not None:
        cleanup.check_disk(limits, see(run).size_bytes)
    return partial(formats.make, run, form, options=options)


def unpack(file: BinaryIO) -> Run:
    """Make a run of a zip for the visitor, within the limits of the demo.

    Raises:
        RunError: the zip holds no valid run, or exceeds a limit.
    """
    with opened(file) as stream:
        run = _unpack(stream, str(getattr(file, "name", "The zip")))
    release(file)
    return run


def _unpack(file: BinaryIO, title: str) -> Run:
    limits = bounds()
    if limits is None:
        return run_zip.unpack(file, title=title, adapt=_with_uploaded_images)
    mine = require_visitor()
    check_upload(file, limits)

    def adapt(folder: Path, config: RunConfig) -> RunConfig:
        limits.check_files(config)
        if (folder / runs.METRICS).exists() and (folder / runs.METRICS).stat().st_size > METRICS_BYTES_MAX:
            raise RunError(f"its {runs.METRICS} exceeds {METRICS_BYTES_MAX / MB:.0f} MB, the limit of this demo.")
        images = config.data.model_copy(update={"source": own_source(config.data.source, mine)})
        return limits.owned(config.model_copy(update={"data": images}), mine)

    with admission_lock:
        _check_number(limits, mine)
        cleanup.check_disk(limits, limits.run_mb * MB)
        run = run_zip.unpack(file, title=title, adapt=adapt, bytes_max=limits.run_mb * MB)
    cleanup.measure_anew()
    return run


def _with_uploaded_images(_: Path, config: RunConfig) -> RunConfig:
    """Return settings that name the upload their zip was trained on, if it is still here: zips hold no paths."""
    upload = own_source(config.data.source, "")
    if upload == config.data.source or upload not in list_uploads():
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"source": upload})})


def adopting() -> Callable[[RunConfig], RunConfig] | None:
    """Return a function that checks a published model against the demo's limits and makes it the visitor's.

    It may be called in a thread without a visitor. None on the user's own machine.

    Raises:
        RunError: the visitor cannot be identified.
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
    """Return a run that the visitor may change.

    Raises:
        RunError: the run belongs to the demo or to another visitor.
    """
    if not may_change(see(run)):
        raise RunError(f"The run {run.name!r} belongs to this demo: you can change only your own runs.")
    return run


def _active_runs() -> list[Run]:
    return [run for run in runs.list_runs() if run.active]


def _count_of_address(active: list[Run], mine: str) -> int:
    """Return how many active runs are the visitor's or were started from the visitor's address."""
    here = address()
    return sum(run.config.owner == mine or (here != "" and _addresses.get(run.config.owner) == here) for run in active)


def _remember_address(mine: str) -> None:
    """Note the address of a visitor with active runs. A restart of the server forgets it."""
    active = {run.config.owner for run in _active_runs()}
    for owner_ in [known for known in _addresses if known not in active]:
        del _addresses[owner_]
    if here := address():
        _addresses[mine] = here


def _check_queue(limits: DemoLimits, mine: str) -> None:
    active = _active_runs()
    if len(active) >= limits.queue:
        raise RunError(
            f"This demo takes {limits.queue} runs at a time, and too many are already training or queued: try again "
            "later."
        )
    if _count_of_address(active, mine) >= limits.places_per_address:
        whose = "account" if signs_in() else "internet address"
        raise RunError(
            f"This demo takes {limits.places_per_address} runs at a time from one {whose}, and they are already "
            "training or queued: wait until one of them has ended."
        )


def _check_number(limits: DemoLimits, mine: str) -> None:
    if len(cleanup.runs_of(mine)) >= limits.runs:
        raise RunError(f"This demo keeps {limits.runs} runs per visitor: delete one of yours first.")


def _check_limits_again(run: Run) -> None:
    """Check that an existing run may train again: it may be from another server or older than the limits."""
    limits = bounds()
    if limits is None:
        return
    config = limits.bounded(run.config, require_visitor())
    check_source(config.data.source)
    _check_queue(limits, config.owner)
    cleanup.check_disk(limits, max(0, disk_bytes(config) - run.size_bytes))
    if config != run.config:
        with runs.exclusive_access(run):
            runs.write_config(run.path, config)


# Exports and uploads


def report(run: Run) -> str:
    """Return the report of a run that the visitor may see as HTML."""
    from vit.exports.report.report import report

    return report(see(run))


# Housekeeping


def tidy() -> None:
    """Reap ended jobs; on a demo, every :data:`CLEANUP_EVERY` seconds, delete expired files in the background."""
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
    with suppress(OSError, UserError):  # the next clean-up tries again
        cleanup.delete_expired(keep_hours)
