"""A run is a folder: settings, metrics, status, weights.

::

    checkpoints/<run>/  config.json  metrics.jsonl  status.json  model.safetensors  last.safetensors
                        snapshots/  log.txt  .lock

Every file is written beside, flushed to disk with its folder, and renamed once; only ``metrics.jsonl`` grows line by
line. Who works on a run holds its lock, and a held lock, not a process id, is proof of life. How the files are written
is in :mod:`vit.runs.folder`.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from vit.config import RunConfig
from vit.errors import RunError
from vit.paths import RUN_NAME, checkpoints_dir
from vit.runs import failures
from vit.runs.folder import (
    CONFIG,
    LOG,
    Status,
    clear,
    last_word,
    reason,
    run_lock,
    update_status,
    write_config,
    write_status,
)
from vit.runs.run import Run
from vit.support.files import sync_folder
from vit.support.hardware import resolve
from vit.support.untrusted_text import is_reserved

_NAME_MAX = 64
_PART_MAX = 29
"""Letters of data and start in the name of a run that starts from another."""
_STALE_SECONDS = 24 * 3600
"""After so long nobody is at work any more on a folder that has no name yet."""


def list_runs() -> list[Run]:
    """All readable runs, newest first."""
    return _survey()[0]


def broken_runs() -> list[tuple[str, str]]:
    """Folders that look like runs but cannot be read, or have names that no run has: (name, sentence)."""
    return _survey()[1]


def _survey() -> tuple[list[Run], list[tuple[str, str]]]:
    readable, broken = [], []
    for config_file in checkpoints_dir().glob(f"*/{CONFIG}"):
        run = Run(config_file.parent)
        if run.name.startswith("."):
            continue
        try:
            readable.append((run.config.created, check_name(run.name), run))
        except RunError as error:
            broken.append((run.name, str(error)))
    return [run for *_, run in sorted(readable, key=lambda item: item[:2], reverse=True)], sorted(broken)


def find_run(name: str) -> Run:
    """The run of a name; for names that come from a link, since it never leaves the folder of runs.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    return _open(checkpoints_dir() / check_name(name))


def get_run(name_or_path: str | Path) -> Run:
    """The run of a name, or in a folder anywhere when a path is given.

    Raises:
        RunError: there is no such run, or it cannot be read.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, str) and not re.search(r"[/\\]|^~|^\.+$", text):
        return find_run(text)
    return _open(Path(os.path.abspath(os.path.expanduser(text))))


def _open(path: Path) -> Run:
    if not (path / CONFIG).is_file():
        others = ", ".join(run.name for run in list_runs()[:5])
        advice = f"choose one of {others}." if others else "train one first."
        raise RunError(f"There is no run {path.name!r} in {path.parent}: {advice}")
    run = Run(path)
    _ = run.config  # raises when it cannot be read
    return run


def create(name: str | None, config: RunConfig) -> Run:
    """Make the folder of a new run, queued for its device.

    Raises:
        RunError: the name is taken or cannot be a folder's name, or the folder cannot be written.
        SettingsError: this machine lacks the device, or room on it for the processes.
    """
    device = resolve(config.training.device, config.training.processes)
    config = config.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="microseconds")})
    path = checkpoints_dir() / (suggest_name(config) if name is None else check_name(name))
    beside = path.with_name(f".{secrets.token_hex(8)}.part")  # a run appears under its name when it is whole
    with _writing(path):
        beside.mkdir(parents=True)
        remove_remains()
        try:
            write_config(beside, config)
            write_status(beside, Status(ticket=time.time_ns(), device=device, message="Starting."))
            beside.rename(path)  # it takes the place of an empty folder, and of nothing else
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not path.exists() and not path.is_symlink():
                raise
            if name is None:  # somebody else was faster with the same suggestion
                return create(None, config)
            what = "a run" if (path / CONFIG).exists() else "something else in the folder of runs that is called"
            raise RunError(f"There is {what} {name!r} already: choose another name.") from error
        sync_folder(path.parent)
    return Run(path)


def requeue(run: Run) -> None:
    """Give a run that has ended a new place in the queue, to be resumed."""
    changes = {"ticket": time.time_ns(), "pid": None, "started": None, "ended": None, "message": "Starting."}
    device = device_of(run)
    with holding(run), _writing(run.path):
        update_status(run.path, state="queued", device=device, placed="", **changes)


def start_over(run: Run) -> None:
    """Delete what a run that is not active has made, and queue it from the beginning, with its settings.

    Raises:
        RunError: it is active, its settings cannot be read, or its folder cannot be written.
        SettingsError: this machine lacks the device; then nothing is deleted.
    """
    device = device_of(run)
    with holding(run), _writing(run.path):
        # Whoever finds it half deleted, after a crash, finds a run that can begin.
        last_word(run.path, Status(state="stopped", device=device, message="Stopped while it was about to start over."))
        clear(run.path)
        write_status(run.path, Status(ticket=time.time_ns(), device=device, message="Starting over."))
        with suppress(OSError), (run.path / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')}  Started over: all that is above is of weights that are gone.\n")


def device_of(run: Run) -> str:
    """The device that a run would be trained on now.

    Raises:
        SettingsError: this machine lacks it.
    """
    return resolve(run.config.training.device)


def suggest_name(config: RunConfig) -> str:
    """A free name that tells data, depth and heads, such as ``scenes-d4-h4-2``, another network than the ViT, or what
    the run starts from.
    """
    from vit.data import title  # it brings numpy and Pillow, which a waiting job has no use for

    source = Path(title(config.data.source)).stem.lower()
    slug = re.sub(r"[^a-z0-9]+", "-", source).strip("-")[:40].strip("-") or "images"
    model = config.model
    if config.start:
        return free_name(f"{slug[:_PART_MAX]}-from-{config.start.run[:_PART_MAX]}".rstrip("._-"))
    kind = f"d{model.depth}-h{model.num_heads}" if model.architecture == "vit" else model.name
    return free_name(f"{slug}-{kind}")


def free_name(base: str) -> str:
    """``base`` where no run is called so, or else ``base-2`` and so on."""
    taken = {path.name for path in checkpoints_dir().glob("*")}
    name, number = base, 2
    while name in taken:
        name, number = f"{base[: _NAME_MAX - 5]}-{number}", number + 1
    return name


def check_name(name: str) -> str:
    """The name itself, when a run may be called so.

    Raises:
        RunError: it may not; the sentence says what a name is made of.
    """
    if not possible_name(name):
        raise RunError(
            f"A run cannot be called {name[:60]!r}: take up to 64 small letters, digits, dots, hyphens and "
            "underscores, a letter or digit at either end, and no name that a system reserves."
        )
    return name


def possible_name(name: str) -> bool:
    """Whether a run may be called so."""
    return RUN_NAME.fullmatch(name) is not None and not is_reserved(name)


def rename(run: Run, name: str) -> Run:
    """Rename a run that is not active.

    Raises:
        RunError: it is active, or the name is taken or impossible.
    """
    target = _own_folder(run).with_name(check_name(name))
    with holding(run), _writing(run.path):
        if target.exists() or target.is_symlink():
            raise RunError(f"There is a run {name!r} already: choose another name, such as {free_name(name)!r}.")
        run.path.rename(target)
        sync_folder(target.parent)
    return Run(target)


def delete(run: Run) -> None:
    """Delete a run that is not active, with all its files; of links in it, the links and not their targets.

    Raises:
        RunError: it is active, or not in the folder of runs, or another file system is mounted in it.
    """
    path = _own_folder(run)
    mounts = [folder for folder, *_ in os.walk(path) if os.path.ismount(folder)]
    if mounts:
        raise RunError(f"Another disk is mounted at {mounts[0]}: unmount it first, so that nothing on it is deleted.")
    with holding(run), _writing(path):
        doomed = path.with_name(f".deleted-{path.name}-{time.time_ns()}")
        path.rename(doomed)  # at once, so nobody finds half a run
        sync_folder(path.parent)
    shutil.rmtree(doomed, ignore_errors=True)
    remove_remains()
    if doomed.exists():
        raise RunError(f"The run {run.name!r} is deleted, but not all of its files: delete {doomed} by hand.")


def remove_remains() -> None:
    """Delete what killed processes left in the folder of runs: half deleted runs, and, when old, half made ones."""
    for doomed in checkpoints_dir().glob(".deleted-*"):
        shutil.rmtree(doomed, ignore_errors=True)
    for beside in checkpoints_dir().glob(".*.part"):
        with suppress(OSError):
            if time.time() - beside.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(beside, ignore_errors=True)


def _own_folder(run: Run) -> Path:
    """The run's folder, where it lies in the folder of runs and is no link and no way out of it."""
    own = checkpoints_dir().resolve() / run.name
    if run.path.parent.resolve() != own.parent or run.path.resolve() != own or run.name.startswith("."):
        raise RunError(f"The run {run.name!r} is not in {checkpoints_dir()}: change it where it is.")
    return run.path


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system refuses becomes a sentence."""
    try:
        yield
    except OSError as error:
        sentence = f"The run's folder {path} cannot be written: {reason(error)}{failures.remedy(error)}."
        raise RunError(sentence) from error


@contextmanager
def holding(run: Run) -> Iterator[None]:
    """Hold the lock of a run on which no job works.

    Raises:
        RunError: a job works on it, or is about to.
    """
    busy = RunError(f"The run {run.name!r} is {run.state}: stop it first.")
    end = time.monotonic() + 0.3
    while run.active:  # as is one that has just died, while its server writes how
        if time.monotonic() > end:
            raise busy
        time.sleep(0.02)
    try:
        lock = run_lock(run.path).acquire(timeout=1)
    except Timeout:
        raise busy from None
    except OSError as error:
        raise RunError(f"The run {run.name!r} cannot be changed: {reason(error)}.") from error
    with lock:
        yield
