"""A job is a process that works on one run, in a session of its own: the tab, the browser and the server may go away.

It holds the run's lock while it lives, waits for its device by ticket (the order of creation) before it imports torch,
and writes all that happens into the run's folder, where every reader finds it: see :mod:`vit.worker`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
from filelock import Timeout

from vit import runs
from vit.config import RunConfig, checkpoints_dir, data_dir, project_root
from vit.errors import RunError
from vit.flags import command_line
from vit.runs import Run, Status
from vit.worker import execute

__all__ = ["command_line", "execute", "poll", "resume", "start", "stop"]

STOP_PATIENCE = 2.0
"""Seconds between asking a job to stop and killing it."""

_children: list[subprocess.Popen] = []


def start(config: RunConfig, name: str | None = None) -> Run:
    """Make a run and start its job; where the device is busy, the job waits its turn.

    Raises:
        RunError: the name is taken or impossible, or the process cannot be started.
        SettingsError: this machine lacks the device.
    """
    run = runs.create(name, config)
    _launch(run, "train")
    return run


def resume(run: Run) -> None:
    """Start a job that goes on after the run's last complete epoch (from the beginning when there is none).

    Raises:
        RunError: the run is active, is finished, or has lost the file that going on needs.
    """
    prepare_resume(run)
    _launch(run, "resume")


def prepare_resume(run: Run) -> None:
    """Check that a run can go on, and queue it again; see :func:`resume`."""
    status = run.status
    if status.state == "finished":
        raise RunError(f"The run {run.name!r} is finished: start a new one with more epochs.")
    if status.epoch and not (run.path / runs.LAST).is_file():
        raise RunError(f"The run {run.name!r} has no {runs.LAST}, which going on needs: start a new run.")
    runs.requeue(run)


def stop(run: Run) -> Status:
    """End a run's job within 3 seconds, queued or running, its kept weights in place; no effect on one that has ended.

    Raises:
        RunError: the process belongs to somebody else, or does not end.
    """
    begun, asked, killed = time.monotonic(), False, False
    while True:
        with contextlib.suppress(Timeout), runs.run_lock(run.path).acquire(timeout=0):
            status = runs.read_status(run.path)  # nobody is at work: it ended, was killed, or has not begun
            if status.state in runs.ACTIVE:
                message = f"Stopped after {status.epoch} complete epochs." if status.epoch else "Stopped."
                status = runs.update_status(run.path, state="stopped", message=message, ended=time.time())
            return status
        waited = time.monotonic() - begun
        pid = runs.read_status(run.path).pid
        if waited > STOP_PATIENCE + 1:
            raise RunError(f"The job of {run.name!r} (process {pid}) does not end: stop it by hand.")
        if not killed and waited > STOP_PATIENCE:
            killed = _signal(run, pid, signal.SIGKILL)
        elif not asked:
            asked = _signal(run, pid, signal.SIGTERM)
        time.sleep(0.05)


def poll() -> int:
    """How many jobs of this process are alive; those that have ended are reaped."""
    for child in list(_children):
        if child.poll() is not None:
            with contextlib.suppress(ValueError):  # its own watcher was faster
                _children.remove(child)
    return len(_children)


def _launch(run: Run, command: str) -> None:
    environment = {"VIT_CHECKPOINTS": str(checkpoints_dir()), "VIT_DATA": str(data_dir()), "PYTHONUNBUFFERED": "1"}
    with (run.path / runs.LOG).open("ab") as log:
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "vit", command, "--queued", "--run", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=project_root(),
                env=os.environ | environment,
                start_new_session=True,
            )
        except OSError as error:
            sentence = f"The job's process could not be started ({error.strerror}): free some memory and try again."
            runs.update_status(run.path, state="failed", message=sentence)
            raise RunError(sentence) from None
    _children.append(child)
    threading.Thread(target=_watch, args=(child, run), name=f"job {run.name}", daemon=True).start()


def _watch(child: subprocess.Popen, run: Run) -> None:
    """Reap the job when it ends, so that no zombie is left, and say so when it died before it could speak."""
    child.wait()
    poll()
    with contextlib.suppress(OSError, Timeout), runs.run_lock(run.path).acquire(timeout=1):
        status = runs.read_status(run.path)
        if status.state == "queued" and status.pid is None:
            sentence = f"The job ended before it began (exit status {child.returncode}): its log says why."
            runs.update_status(run.path, state="failed", message=sentence, ended=time.time())


def _signal(run: Run, pid: int | None, number: signal.Signals) -> bool:
    """Signal the job, once it is sure that the process is the one that holds the run's lock."""
    lock = run.path / runs.LOCK
    try:
        if pid is None or not any(os.path.samefile(file.path, lock) for file in psutil.Process(pid).open_files()):
            return False
        if number == signal.SIGKILL and os.getsid(pid) == pid:  # the leader of its own session: take its group along
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
        return False
    except (psutil.AccessDenied, PermissionError):
        sentence = f"The job of {run.name!r} (process {pid}) belongs to another user: ask them to stop it."
        raise RunError(sentence) from None
    return True
