"""Who is looking, and what is theirs: the one place where pages meet the runs and what people upload.

On an own machine everybody is trusted and everything is everybody's. On a demo (:mod:`vit.demo`) a visitor sees what
came with the server and what that visitor made, and changes only the latter. Who it is says the sign-in, or a cookie
(:mod:`pages.server.visitor_cookie`); never the link, since links are shared.
"""

import html
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import streamlit as st
from PIL import Image

from pages.server import secret_tables
from pages.server.visitor_cookie import visitor_mark
from vit import data, demo, exchange, exports, finetune, flags, jobs, runs, sweep, tensorboard, visitors
from vit.config import RunConfig, checkpoints_dir, data_dir, owned_dir, project_root
from vit.data import DataInfo, archives, catalog, pictures
from vit.data.uploads import list_uploads
from vit.demo import MB, Demo
from vit.errors import DataError, RunError, UserError
from vit.estimate import disk_bytes
from vit.runs import Run
from vit.sweep_config import SweepConfig

NOBODY = "0" * 32
"""Owns nothing: a visitor whom nothing tells from others."""
NO_COOKIE = (
    "This browser keeps no cookie for this page, so nothing can be kept as yours: allow it and open the page again."
)
SWEEP_EVERY = 600.0
"""Seconds between two sweeps of what visitors left."""

METRICS_BYTES_MAX = 20 * MB
"""Of a run from elsewhere; a page that follows a run holds them in memory."""

_PATH = re.compile(r"(?<![\w.:/\\])(?:/|[A-Za-z]:\\)(?:[^\s/\\'\":;,()<>]+[/\\])+(?=[^\s/\\'\":;,()<>])")
_taking = threading.Lock()
_sweeping = threading.Lock()
_swept = -SWEEP_EVERY


# Who


def bounds() -> Demo | None:
    """The bounds of this demo; None on a server that is its user's own.

    Raises:
        SettingsError: what the operator wrote cannot be read; nobody is let in then.
    """
    return demo.in_force(secret_tables.table("demo"))


def visitor() -> str:
    """The mark of who is looking; empty where that is not known, or does not matter."""
    if bounds() is None:
        return ""
    if signs_in():
        account = [st.user.get(claim) for claim in ("iss", "sub")]
        return demo.owner_mark("account", *map(str, account)) if all(account) else ""
    cookie = visitor_mark(st.context.cookies)
    return demo.owner_mark("cookie", cookie) if cookie else ""


def signs_in() -> bool:
    """Whether visitors are told apart by their sign-in, not by a cookie."""
    return secret_tables.table("auth") is not None


def owner() -> str:
    """Whose uploads and pictures who is looking has: on an own machine everybody's, on a demo the visitor's."""
    return "" if bounds() is None else visitor() or NOBODY


def _known() -> str:
    mine = visitor()
    if not mine:
        raise RunError(NO_COOKIE)
    return mine


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


def why_not(run: Run) -> str:
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
    mine = _known()
    config = limits.bounded(config, mine)
    check_source(config.data.source)
    with _taking:
        _check_turn(limits)
        _check_number(limits, mine)
        visitors.check_disk(limits, disk_bytes(config))
        return jobs.start(config, name)


def room() -> int | None:
    """How many runs who is looking may still start now; None where nothing limits them."""
    limits = bounds()
    if limits is None:
        return None
    mine = visitor()
    return max(0, min(limits.runs - len(visitors.runs_of(mine)), limits.queue - _at_work())) if mine else 0


def why_no_room() -> str:
    """The bound that keeps who is looking from starting a run now; empty where none does."""
    limits = bounds()
    if limits is not None:
        try:
            _check_turn(limits)
            _check_number(limits, _known())
            visitors.check_disk(limits)
        except UserError as error:
            return str(error)
    return ""


def stop(run: Run) -> None:
    """:func:`vit.jobs.stop` of an own run."""
    jobs.stop(_own(run))


def resume(run: Run) -> None:
    """:func:`vit.jobs.resume` of an own run, within the bounds."""
    _own(run)
    with _taking:
        _check_again(run)
        jobs.resume(run)


def restart(run: Run) -> None:
    """:func:`vit.jobs.restart` of an own run, within the bounds; one that is at work is within them already."""
    _own(run)
    with _taking:
        if not run.active:
            _check_again(run)
        jobs.restart(run)


def rename(run: Run, name: str) -> Run:
    """:func:`vit.runs.rename` of an own run."""
    return runs.rename(_own(run), name)


def delete(run: Run) -> None:
    """:func:`vit.runs.delete` of an own run."""
    runs.delete(_own(run))
    exports.forget(run)
    visitors.measure_anew()


def pack(run: Run, target: BinaryIO, *, snapshots: bool = True, resume: bool = False) -> None:
    """:func:`vit.exchange.pack`; on a demo, without where on the server the images lie and whose the run is."""
    config = None if bounds() is None else _public(see(run).config)
    exchange.pack(run, target, snapshots=snapshots, resume=resume, config=config)


def write_events(run: Run, target: BinaryIO) -> None:
    """:func:`vit.tensorboard.write_zip`."""
    tensorboard.write_zip(see(run), target)


def exporting(run: Run, form: str) -> Callable[[exports.Progress], Path]:
    """:func:`vit.exports.make` of a run, to be called in another thread, where nobody is looking.

    Raises:
        RunError: who is looking may not see the run, or the disk of the demo is full.
    """
    limits = bounds()
    if limits is not None:
        visitors.check_disk(limits, see(run).size_bytes)
    return partial(exports.make, run, form)


def unpack(file: BinaryIO) -> Run:
    """:func:`vit.exchange.unpack`, for who is looking, within the bounds.

    Raises:
        RunError: no run, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if limits is None:
        return exchange.unpack(file)
    mine = _known()
    _check_upload(file, limits)

    def adapt(folder: Path, config: RunConfig) -> RunConfig:
        limits.check_files(config)
        if (folder / runs.METRICS).exists() and (folder / runs.METRICS).stat().st_size > METRICS_BYTES_MAX:
            raise RunError(f"its {runs.METRICS} is longer than {METRICS_BYTES_MAX / MB:.0f} MB, which this demo takes.")
        images = config.data.model_copy(update={"source": _own_source(config.data.source, mine)})
        return limits.owned(config.model_copy(update={"data": images}), mine)

    with _taking:
        _check_number(limits, mine)
        visitors.check_disk(limits, limits.run_mb * MB)
        run = exchange.unpack(file, adapt=adapt, bytes_max=limits.run_mb * MB)
    visitors.measure_anew()
    return run


def adopting() -> Callable[[RunConfig], RunConfig] | None:
    """The bounds that a published model goes through before it becomes a run of who is looking; None where there are
    none. What comes back may be called in another thread, where nobody is looking.

    Raises:
        RunError: it is not known who is.
    """
    limits = bounds()
    if limits is None:
        return None
    mine = _known()

    def adapt(config: RunConfig) -> RunConfig:
        limits.check_files(config)
        with _taking:
            _check_number(limits, mine)
            visitors.check_disk(limits, disk_bytes(config))
        return limits.owned(config, mine)

    return adapt


@contextmanager
def weights_file(file: BinaryIO) -> Iterator[Path]:
    """An uploaded file of weights on the disk, for as long as it is read.

    Raises:
        UserError: a bound is in the way, which the sentence names, or the disk is.
    """
    limits = bounds()
    if limits is not None:
        visitors.check_disk(limits, _check_upload(file, limits))
    try:
        with archives.scratch(data_dir()) as folder:
            path = folder / "weights.safetensors"
            with path.open("wb") as target:
                shutil.copyfileobj(file, target)
            yield path
    except OSError as error:
        raise DataError(f"The file cannot be kept in {data_dir()}: {error.strerror or error}.") from error


def _own(run: Run) -> Run:
    if not may_change(see(run)):
        raise RunError(f"The run {run.name!r} belongs to this demo: only runs of your own can be changed.")
    return run


def _at_work() -> int:
    return sum(run.active for run in runs.list_runs())


def _check_turn(limits: Demo) -> None:
    if _at_work() >= limits.queue:
        raise RunError(
            f"This demo takes {limits.queue} runs at a time, and so many train or wait already: try again in a while."
        )


def _check_number(limits: Demo, mine: str) -> None:
    if len(visitors.runs_of(mine)) >= limits.runs:
        raise RunError(f"This demo keeps {limits.runs} runs of a visitor: delete one of yours first.")


def _check_again(run: Run) -> None:
    """Whether a run that is there may train again: its settings may be another server's, or from before the bounds."""
    limits = bounds()
    if limits is None:
        return
    config = limits.bounded(run.config, _known())
    check_source(config.data.source)
    _check_turn(limits)
    visitors.check_disk(limits, max(0, disk_bytes(config) - run.size_bytes))
    if config != run.config:
        with runs.holding(run):
            runs.write_config(run.path, config)


# Sweeps


def my_sweeps() -> dict[str, list[Run]]:
    """:func:`vit.sweep.sweeps` of the runs that who is looking may see, the newest sweep first."""
    return sweep.sweeps(my_runs())


def start_sweep(config: SweepConfig) -> list[Run]:
    """:func:`vit.sweep.start`, for who is looking, within the bounds: all the runs that are missing, or none.

    Raises:
        UserError: it cannot be started, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if limits is not None:
        config = config.model_copy(update={"base": limits.owned(config.base, _known())})
        missing, left = len(sweep.open_points(config, my_runs())), room()
        if missing > left:
            raise RunError(f"These are {missing} runs, and you can start {left or 'none'} now: choose fewer.")
    return sweep.start(config, start, among=my_runs())


def stop_sweep(found: list[Run]) -> None:
    """:func:`vit.sweep.stop` of own runs."""
    sweep.stop([_own(run) for run in found])


def resume_sweep(found: list[Run]) -> None:
    """:func:`vit.sweep.resume` of own runs, within the bounds."""
    sweep.resume([_own(run) for run in found], resume)


def delete_sweep(found: list[Run]) -> None:
    """:func:`vit.sweep.delete` of own runs."""
    sweep.delete([_own(run) for run in found], delete)


# Images


def sources(owner: str) -> list[DataInfo]:
    """:func:`vit.data.sources` of an owner; on a demo without those that nobody has downloaded."""
    found = data.sources(owner)
    return found if bounds() is None else [info for info in found if info.ready]


def is_ready(source: str) -> bool:
    """Whether a data set that is offered lies here."""
    return source not in catalog.CATALOG or catalog.is_ready(source)


def check_source(source: str) -> None:
    """Whether who is looking may use these images: on a demo no folder of the server, and no upload of somebody else.

    Raises:
        DataError: they may not.
    """
    if bounds() is None or source == data.SCENES or (source in catalog.CATALOG and catalog.is_ready(source)):
        return
    if source not in list_uploads(owner()):
        raise DataError("This demo trains on the data sets of its list and on images that you upload: choose of those.")


def store_upload(file: BinaryIO) -> str:
    """:func:`vit.data.store_upload`, for who is looking, within the bounds.

    Raises:
        UserError: no zip of images, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if limits is None:
        return data.store_upload(file.name, file)
    mine = _known()
    size = _check_upload(file, limits)
    with _taking:
        visitors.check_disk(limits, size)
        visitors.make_room(mine, limits.uploads)
    source = data.store_upload(file.name, file, owner=mine, bytes_max=limits.upload_mb * MB, entries_max=limits.images)
    visitors.touch(Path(source))
    visitors.measure_anew()
    return source


def upload_mb(most: int | None = None) -> int | None:
    """The largest file in MB that an uploader takes, of which it can use ``most``; None is the server's own limit."""
    limits = bounds()
    return most if limits is None else min(most or limits.upload_mb, limits.upload_mb)


def list_pictures() -> list[str]:
    """Ids of the pictures of who is looking, newest first."""
    return pictures.list_pictures(owner())


def open_picture(picture_id: str) -> Image.Image:
    """:func:`vit.data.pictures.open_picture` of who is looking."""
    return pictures.open_picture(picture_id, owner())


def save_picture(image: Image.Image) -> str:
    """:func:`vit.data.pictures.save_picture` for who is looking.

    Raises:
        UserError: it cannot be kept, or a bound is in the way, which the sentence names.
    """
    limits = bounds()
    if limits is not None:
        _known()
        visitors.check_disk(limits)
    return pictures.save_picture(image, owner())


def _check_upload(file: BinaryIO, limits: Demo) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > limits.upload_mb * MB:
        raise DataError(f"This demo takes files of {limits.upload_mb} MB at most, not {size / MB:,.0f} MB.")
    return size


def _own_source(source: str, mine: str) -> str:
    """The images of a run from elsewhere: by name, or else where this visitor's upload of that name lies or would lie.

    So a run that was downloaded here finds its images again, and no run finds a folder of the server.
    """
    if not source or source == data.SCENES or source in catalog.CATALOG:
        return source
    name = re.sub(r"[^a-z0-9]+", "-", _last_name(source).lower())[:80].strip("-")
    return str(owned_dir(mine) / "uploads" / (name or "images"))


# Words


def own_words() -> str:
    """On a demo, who sees what a visitor uploads, and how long it stays; empty on an own machine."""
    limits = bounds()
    return f"Only you see them here; unused, they are deleted after {limits.kept}." if limits else ""


def without_paths(text: str) -> str:
    """A sentence as a visitor of a demo may read it: of folders of the server only the last name."""
    if bounds() is None:
        return text
    for root in (checkpoints_dir(), data_dir(), project_root()):  # they may have spaces in them
        text = text.replace(f"{root}{os.sep}", "")
    return _PATH.sub("", text)


def command(config: RunConfig, name: str | None) -> str:
    """The command that trains a run with these settings; on a demo, without where the images lie on the server."""
    return flags.command_line(config if bounds() is None else _public(config), name)


def sweep_command(config: SweepConfig) -> str:
    """The command that trains a sweep; on a demo, without where the images lie on the server."""
    base = config.base if bounds() is None else _public(config.base)
    return sweep.command_line(config.model_copy(update={"base": base}))


def report(run: Run) -> str:
    """:func:`vit.report.report`; on a demo, without where the images lie on the server."""
    from vit.report import report

    page, source = report(see(run)), run.config.data.source
    return page if bounds() is None else page.replace(html.escape(source), html.escape(_last_name(source)))


def _public(config: RunConfig) -> RunConfig:
    images = config.data.model_copy(update={"source": _last_name(config.data.source)})
    return config.model_copy(update={"owner": "", "data": images})


def _last_name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


# Housekeeping


def tidy() -> None:
    """Reap jobs that have ended; on a demo, now and then, delete in the background what has been kept long enough."""
    global _swept
    jobs.poll()
    limits = bounds()
    if limits is None or time.monotonic() - _swept < SWEEP_EVERY:
        return
    with _sweeping:
        if time.monotonic() - _swept < SWEEP_EVERY:
            return
        _swept = time.monotonic()
    threading.Thread(target=_sweep, args=(limits.keep_hours,), name="sweep", daemon=True).start()


def _sweep(keep_hours: float) -> None:
    with suppress(OSError, UserError):  # the next one tries again
        visitors.sweep(keep_hours)
