"""Start, stop and resume jobs. A job is a process in a separate session, so it outlives the browser and the server.

It holds the run's lock while it lives, waits for its device by ticket (order of creation) before it imports torch, and
writes everything into the run's folder: see :mod:`vit.jobs.worker`.
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

from vit import distributed, runs
from vit.config import RunConfig
from vit.errors import RunError
from vit.flags import command_line
from vit.jobs.worker import LOCK_PATIENCE, execute
from vit.paths import checkpoints_dir, data_dir, project_root
from vit.runs import Run, Status, failures, finetune, folder, teachers

__all__ = ["command_line", "execute", "poll", "restart", "resume", "start", "stop"]

STOP_PATIENCE = 2.0
"""Seconds between asking a job to stop and killing it, if it has nothing to save."""
SAVE_PATIENCE = 60.0
"""The same if it has steps to save: a step or a batch of the validation ends first, and large weights are written."""

_children: list[subprocess.Popen] = []
_SIGNALLED = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""Exit statuses of a job that was asked to stop before it had its signal handlers."""


def start(config: RunConfig, name: str | None = None) -> Run:
    """Create a run and start its job; if the device is busy, the job waits in the queue.

    Raises:
        RunError: the name is taken or invalid, or the process cannot be started.
        SettingsError: this machine does not have the device.
    """
    run = runs.create(name, config)
    _launch(run, "train")
    return run


def resume(run: Run) -> None:
    """Start a job that continues a run after the last step that was saved, or from the beginning if there is none.

    Raises:
        RunError: the run is active or finished, or its resume checkpoint is missing.
    """
    prepare_resume(run)
    _launch(run, "resume")


def prepare_resume(run: Run, *, epochs: int | None = None) -> None:
    """Check that a run can be resumed, and queue it again; see :func:`resume`.

    Args:
        run: the run.
        epochs: a larger number of epochs for the run (:func:`vit.runs.store.extend`), which may also be finished; None
            keeps its own.
    """
    _check_trained_here(run)
    status = run.status
    if epochs is None and status.state == "finished" and status.epoch >= run.config.training.epochs:
        raise RunError(
            f"The run {run.name!r} is finished: resume it with --epochs and a number above {status.epoch}, or start a "
            "new run."
        )
    if run.at_limit:
        limit = run.config.training.max_seconds
        raise RunError(f"The run {run.name!r} has reached its time limit of {limit:g} s: start a new run.")
    if status.epoch and not run.can_resume:
        raise RunError(f"The run {run.name!r} has no {runs.LAST}, which a resume needs: start it over.")
    teachers.find_teacher(run.config, run.config.owner)
    if epochs is not None:
        runs.extend(run, epochs)
    runs.requeue(run)


def relaunched_run() -> Run | None:
    """Return the run that the processes of this ``torchrun`` worked on before it restarted them; None without one."""
    mark = distributed.launch_id() if distributed.restarts() else ""
    marked = (run for run in runs.list_runs() if mark and runs.read_status(run.path).launch == mark)
    return next(marked, None)


def restart(run: Run) -> None:
    """Start a run over with its name and settings: stop its job, delete its results and start a new job.

    Raises:
        RunError: its settings cannot be read, its job belongs to another user or does not end, or the folder cannot be
            written.
        SettingsError: this machine does not have the device; then nothing is deleted.
    """
    prepare_restart(run)
    _launch(run, "train")


def prepare_restart(run: Run) -> None:
    """Stop a run if it is active, delete its results, and queue it again; see :func:`restart`."""
    _check_trained_here(run)
    config = run.config
    runs.device_of(run)  # raises before anything is deleted
    if config.start:
        finetune.find_start(config.start, config.owner)
    teachers.find_teacher(config, config.owner)
    stop(run, save=False)
    runs.start_over(run)


def _check_trained_here(run: Run) -> None:
    """Raise a RunError for a published model, whose training cannot be resumed or repeated."""
    if run.config.published:
        raise RunError(
            f"The run {run.name!r} is a published model that was not trained here: fine-tune it in a new run."
        )


def stop(run: Run, *, save: bool = True) -> Status:
    """Stop a queued or running run, and keep its weights and the exact step; no effect on a run that has ended.

    A job that has nothing to save ends within 3 seconds. One that saves its last step takes as long as the step and the
    writing do; if it has not done so after :data:`SAVE_PATIENCE`, it is killed, and its status says what is lost.

    Args:
        run: the run.
        save: whether to wait for its last step.

    Raises:
        RunError: the process belongs to another user, or does not end.
    """
    begun, asked, killed, lost = time.monotonic(), False, 0.0, False
    while True:
        try:
            with runs.run_lock(run.path).acquire(timeout=0):
                status = runs.read_status(run.path)  # no process works on it: it ended, was killed, or has not started
                if status.state in runs.ACTIVE or killed:  # the server may already have marked a killed job as failed
                    message = f"Stopped {run.place}."
                    if lost:
                        message = f"Its process did not end and was killed: a resume continues {run.place}."
                    changes = {"state": "stopped", "message": message, "ended": time.time()}
                    status = status.model_copy(update=changes)
                    runs.write_final_status(run.path, status)
                return status
        except Timeout:
            pass
        except OSError as error:
            raise RunError(f"The run {run.name!r} cannot be stopped: {error.strerror or error}.") from error
        now, pid = time.monotonic(), _worker_of(run)
        end = begun + (SAVE_PATIENCE if save and run.has_unsaved_steps else STOP_PATIENCE)
        if now > (killed or end) + 1:
            raise RunError(f"The job of {run.name!r} (process {pid}) does not stop: end the process by hand.")
        if not killed and now > end:
            lost = run.has_unsaved_steps
            killed = now if _signal(run, pid, signal.SIGKILL) else 0.0
        elif not asked:
            asked = _signal(run, pid, signal.SIGTERM)
            if not asked and folder.is_placed(run.path, runs.read_status(run.path)):
                (run.path / folder.STOP).touch()
        time.sleep(0.05)


def poll() -> int:
    """Reap the jobs of this process that have ended, and return how many are alive."""
    for child in list(_children):
        if child.poll() is not None:
            with contextlib.suppress(ValueError):  # its watcher thread was faster
                _children.remove(child)
    return len(_children)


def _launch(run: Run, command: str) -> None:
    environment = {"VIT_CHECKPOINTS": str(checkpoints_dir()), "VIT_DATA": str(data_dir()), "PYTHONUNBUFFERED": "1"}
    inherited = {name: value for name, value in os.environ.items() if name not in distributed.VARIABLES}
    ticket = runs.read_status(run.path).ticket
    try:
        with (run.path / runs.LOG).open("ab") as log:
            log.write(f"{time.strftime('%H:%M:%S')}  {failures.PROCESS_STARTS}\n".encode())
            log.flush()
            child = subprocess.Popen(
                [sys.executable, "-m", "vit.jobs", command, "--ticket", str(ticket), "--run", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=project_root(),
                env=inherited | environment,
                start_new_session=True,
            )
    except OSError as error:
        why = f"{error.strerror or error}{failures.disk_advice(error) or ': free some memory and try again'}"
        sentence = f"The job's process could not be started ({why})."
        status = runs.read_status(run.path).model_copy(update={"state": "failed", "message": sentence})
        runs.write_final_status(run.path, status)
        raise RunError(sentence) from None
    _children.append(child)
    threading.Thread(target=_watch, args=(child, run, ticket), name=f"job {run.name}", daemon=True).start()


def _watch(child: subprocess.Popen, run: Run, ticket: int) -> None:
    """Wait for the job to end and reap it; if it died without writing its final status, write the reason."""
    code = child.wait()
    poll()
    state = "stopped" if code in _SIGNALLED else "failed"
    why = failures.describe_death(code, run.end_of_log)
    if not (run.path / runs.STATUS).is_file():  # the run has been deleted
        return
    with contextlib.suppress(OSError, Timeout), runs.run_lock(run.path).acquire(timeout=LOCK_PATIENCE):
        status = runs.read_status(run.path)
        if status.state in runs.ACTIVE and status.ticket == ticket:  # not queued again since
            changes = {"state": state, "message": why, "ended": time.time()}
            runs.write_final_status(run.path, status.model_copy(update=changes))


def _worker_of(run: Run) -> int | None:
    """Return the id of the process that works on a run, from its status or else from its command and its lock."""
    if pid := runs.read_status(run.path).pid:
        return pid
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            named = "-m" in words and not {str(run.path), run.name}.isdisjoint(words)
            if named and process.pid != os.getpid() and _holds_lock(process, run):
                return process.pid
    return None


def _holds_lock(process: psutil.Process, run: Run) -> bool:
    return any(os.path.samefile(file.path, run.path / runs.LOCK) for file in process.open_files())


def _signal(run: Run, pid: int | None, number: signal.Signals) -> bool:
    """Signal the process if it holds the run's lock, and return whether it was signalled."""
    try:
        if pid is None or not _holds_lock(psutil.Process(pid), run):
            return False
        if number == signal.SIGKILL and os.getsid(pid) == pid:  # the leader of a session: kill its whole group
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
        return False
    except (psutil.AccessDenied, PermissionError):
        sentence = f"The job of {run.name!r} (process {pid}) belongs to another user: ask them to stop it."
        raise RunError(sentence) from None
    return True
