"""A sweep on a Ray cluster: Ray's scheduler places its runs, one a GPU, or else on as many CPU cores as it has threads.

The runs lie in the folder of runs, which all machines must see under the same path, and the program too (or it is
installed there). A run is a Ray task, in a worker process of its own; where that is lost, Ray tries the task again
elsewhere, and the run goes on after its last complete epoch. The program that started the sweep holds a lock as proof
that it lives, and with it the waiting runs (:func:`vit.runs.folder.is_placed`); when it ends, so do its runs.
"""

import os
import platform
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from vit import jobs, runs
from vit.config import SCHEDULER_ID, RunConfig
from vit.errors import RunError, SettingsError, UserError
from vit.jobs import worker
from vit.paths import checkpoints_dir, data_dir, project_root
from vit.runs import Run, folder
from vit.support import optional_packages

LOCAL = "local"
"""The address that starts a Ray of this machine's own, which listens on the loopback interface alone."""
RETRIES = 3
"""So many times a run is tried again whose worker was lost."""

_OBJECTS_BYTES = 80 * 2**20
"""Ray's store of objects, which nothing is put into; the least that it takes."""
_LOCK_PATIENCE = 120.0
"""Seconds after which a shared file system has given up the lock of a machine that was lost."""
_END_PATIENCE = 10.0
_KNOCK_PATIENCE = 10.0
_STALE_SECONDS = 600.0
_WAITING = "Waiting for a place on the Ray cluster."
_AGAIN = "Its worker was lost; it is tried again."


@contextmanager
def cluster(address: str, *, cores: int | None = None) -> Iterator["Cluster"]:
    """Connect to the Ray cluster at an address; on leaving, what is still at work is stopped.

    Args:
        address: :data:`LOCAL`, ``auto``, or where the cluster's head listens (``host:6379``, ``ray://host:10001``).
        cores: of a local Ray, how many CPU cores it hands out; all where it is left out.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster.
    """
    ray = _ray(address)
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options |= {"num_cpus": cores, "object_store_memory": _OBJECTS_BYTES, "include_dashboard": False}
    try:
        _knock(address)
        ray.init(**options)
    except (OSError, ValueError, RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"There is no Ray cluster at {address!r} ({_first_line(error)}): start one with ray start --head, "
            f"or take --ray {LOCAL}."
        ) from error
    mark = secrets.token_hex(16)
    place = folder.placer(checkpoints_dir() / "any", mark)
    try:
        _sweep(place.parent)
        place.mkdir(parents=True)
        with FileLock(place / folder.LOCK), _end_in_order():
            found = Cluster(ray, mark)
            try:
                yield found
            finally:
                found.stop()
    finally:
        ray.shutdown()
        with suppress(OSError):
            (place / folder.LOCK).unlink(missing_ok=True)
            place.rmdir()


@contextmanager
def _end_in_order() -> Iterator[None]:
    """A request to end, as ``ray job stop`` makes it, is an interrupt; Ray's own answer is to abort."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None is a handler that is not Python's


def _sweep(places: Path) -> None:
    """Remove the folders of programs that were killed."""
    for place in places.glob("*"):
        with suppress(OSError):
            old = SCHEDULER_ID.fullmatch(place.name) and time.time() - place.stat().st_mtime > _STALE_SECONDS
            if old and not folder.is_locked(place):
                shutil.rmtree(place)


def _knock(address: str) -> None:
    """Whether somebody listens at an address of a host and a port; Ray itself would wait for minutes.

    Raises:
        OSError: nobody does.
        ValueError: the port is none.
    """
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=_KNOCK_PATIENCE).close()


def _ray(address: str) -> Any:
    """The library, without statistics of its use being sent, and where it is local without a port that others reach."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # "no cluster": it listens on the loopback interface
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or else one is left in the home folder
    return optional_packages.require("--ray", "ray")


class Cluster:
    """Runs on a Ray cluster, from their start to their end.

    Attributes:
        tasks: the runs that wait or are at work, by the task of each.
    """

    def __init__(self, ray: Any, mark: str) -> None:
        self.ray, self.mark = ray, mark
        self.tasks: dict[Any, Run] = {}
        self.has_gpus = ray.cluster_resources().get("GPU", 0) >= 1

    def begin(self, config: RunConfig, name: str) -> Run:
        """Make a run and hand it to Ray, as :func:`vit.jobs.start` makes one and starts its job.

        Raises:
            SettingsError: the cluster has not what the run asks for.
            RunError: the name is taken or impossible, or the folder cannot be written.
        """
        self.demands(config)
        # Which machine has which device is not known before the run has its place.
        device = "auto" if config.training.device == "cuda" else config.training.device
        config = config.model_copy(update={"training": config.training.model_copy(update={"device": device})})
        run = runs.create(name, config)
        self._submit(run)
        return run

    def resume(self, run: Run) -> None:
        """Hand a run that has ended to Ray again, to go on after its last complete epoch; see :func:`vit.jobs.resume`.

        Raises:
            RunError: it cannot go on.
            SettingsError: the cluster has not what the run asks for.
        """
        self.demands(run.config)
        jobs.prepare_resume(run)
        self._submit(run)

    def demands(self, config: RunConfig) -> dict[str, int]:
        """What of a machine a run takes for itself, in Ray's words.

        Raises:
            SettingsError: no machine of the cluster has so much.
        """
        training = config.training
        if training.device == "cuda" and not self.has_gpus:
            raise SettingsError("The Ray cluster has no GPU: take --device auto or cpu.")
        if self.has_gpus and training.device in ("auto", "cuda"):
            return {"num_cpus": 1, "num_gpus": 1}
        cores = training.threads or 1
        most = max(int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"])
        if cores > most:
            raise SettingsError(f"No machine of the Ray cluster has {cores} CPU cores: take --threads {most} at most.")
        return {"num_cpus": cores}

    def _submit(self, run: Run) -> None:
        (run.path / folder.STOP).unlink(missing_ok=True)
        status = runs.update_status(run.path, placed=self.mark, message=_WAITING)
        places = {"VIT_CHECKPOINTS": str(checkpoints_dir()), "VIT_DATA": str(data_dir())}
        # A worker process does one run and ends: what torch has taken of a device goes with it.
        options = {"max_retries": RETRIES, "max_calls": 1, "name": run.name, **self.demands(run.config)}
        task = self.ray.remote(**options)(_portable())
        self.tasks[task.remote(str(project_root()), str(run.path), status.ticket, places)] = run

    def poll(self) -> list[str]:
        """Look after the runs: note which have ended, and end those that somebody asked to stop.

        Returns:
            What kept runs from being done, a sentence each.
        """
        for task, run in self.tasks.items():
            if (run.path / folder.STOP).exists():
                (run.path / folder.STOP).unlink(missing_ok=True)
                self.ray.cancel(task)
        if not self.tasks:
            return []
        ended, _ = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0)
        return [said for task in ended if (said := self._ended(task))]

    def _ended(self, task: Any) -> str:
        run = self.tasks.pop(task)
        state, said = "failed", ""
        try:
            said = self.ray.get(task)
        except self.ray.exceptions.TaskCancelledError:
            state = "stopped"
        except self.ray.exceptions.WorkerCrashedError:
            said = f"Its worker was lost {RETRIES + 1} times, perhaps because memory ran out: resume it or start over."
        except self.ray.exceptions.RayError as error:
            said = f"Ray could not run it ({_first_line(error)}): mend that, then resume it."
        if run.path.is_dir():
            _last_word(run, state, said or "Stopped.")
        return f"{run.name}: {said}" if said else ""

    def stop(self) -> None:
        """Stop all that wait or are at work, each after its step, with its kept weights in place."""
        for task in self.tasks:
            self.ray.cancel(task)
        end = time.monotonic() + _END_PATIENCE
        while self.tasks and time.monotonic() < end:
            self.poll()
            time.sleep(0.1)


def _portable() -> Callable[..., str]:
    """What Ray does on another machine, as a function that brings its own code: a worker finds ``vit`` by it."""

    def place(root: str, path: str, ticket: int, places: dict[str, str]) -> str:
        import sys

        if root not in sys.path:
            sys.path.append(root)
        try:
            from vit.sweeps.ray_cluster import work
        except ImportError as error:
            return f"A worker of the Ray cluster has not this program ({error}): let it lie in {root} there, too."
        return work(path, ticket, places)

    return place


def work(path: str, ticket: int, places: dict[str, str]) -> str:
    """Do one run, in a Ray worker: begin it, or go on with it where a worker was lost.

    Args:
        path: the run's folder.
        ticket: of its status, as it was handed over; with another one it is no longer this task's.
        places: environment variables that say where things lie.

    Returns:
        What kept it from being done, in one sentence; empty where nothing did, and its status tells the rest.
    """
    os.environ.update(places)
    run = Run(Path(path))
    if not (run.path / runs.CONFIG).is_file():
        return (
            f"The machine {platform.node()} of the Ray cluster does not see the folder {path}: "
            "let VIT_CHECKPOINTS be a path that all of its machines share."
        )
    try:
        if _take(run, ticket):
            worker.execute(run, resume=run.can_go_on, ticket=ticket)
    except UserError as error:
        return str(error)
    return ""


def _take(run: Run, ticket: int) -> bool:
    """Queue the run for this process, also where another one was at work on it before; whether it is still to be done.

    Raises:
        RunError: a process works on it.
        SettingsError: this machine lacks the device.
    """
    try:
        with runs.run_lock(run.path).acquire(timeout=_LOCK_PATIENCE):
            status = runs.read_status(run.path)
            if status.ticket != ticket or status.state not in runs.ACTIVE:
                return False
            message = _WAITING if status.pid is None else _AGAIN
            device = runs.device_of(run)  # of this machine
            runs.update_status(run.path, state="queued", pid=None, device=device, message=message)
    except Timeout:
        raise RunError(f"Another process works on the run {run.name!r}: wait for it, or stop it.") from None
    if status.pid is not None:
        with (run.path / runs.LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')}  {_AGAIN}\n")
    return True


def _last_word(run: Run, state: runs.State, message: str) -> None:
    """Write how a run ended whose worker could not."""
    with suppress(Timeout, OSError), runs.run_lock(run.path).acquire(timeout=1):
        status = runs.read_status(run.path)
        if status.state in runs.ACTIVE:
            changes = {"state": state, "message": message, "ended": time.time()}
            runs.last_word(run.path, status.model_copy(update=changes))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(".")
