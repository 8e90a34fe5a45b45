"""A sweep on a Ray cluster: Ray schedules each run on one GPU, or on as many CPU cores as the run has threads.

All machines must see the folder of runs, and this program, under the same path. A run is a Ray task in a separate
worker process. If the worker is lost, Ray retries the task on another one, and the run continues after its last
complete epoch. The program that started the sweep holds a lock while it lives; this lock shows that the waiting runs
are scheduled (:func:`vit.runs.folder.is_placed`). When the program ends, its runs end too.
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
from vit.jobs.control import SAVE_PATIENCE
from vit.paths import checkpoints_dir, data_dir, library_root
from vit.runs import Run, folder
from vit.support import optional_packages

LOCAL = "local"
"""The address that starts Ray on this machine, reachable only from this machine."""
RETRIES = 3
"""How often a run is retried after its worker was lost."""

_OBJECTS_BYTES = 80 * 2**20
"""Size of Ray's object store, which is not used here; the smallest that Ray accepts."""
_LOCK_PATIENCE = 120.0
"""Seconds after which a shared file system has released the lock of a lost machine."""
_END_PATIENCE = 10.0
_KNOCK_PATIENCE = 10.0
_STALE_SECONDS = 600.0
_WAITING = "Waiting for a place on the Ray cluster."
_AGAIN = "Its worker was lost: the run is tried again."


@contextmanager
def cluster(address: str, *, cores: int | None = None) -> Iterator["Cluster"]:
    """Connect to a Ray cluster; on exit, stop the runs that are still active.

    Args:
        address: :data:`LOCAL`, ``auto``, or the address of the cluster's head (``host:6379``, ``ray://host:10001``).
        cores: number of CPU cores that a local Ray may use; all if it is left out.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster.
    """
    ray = _ray(address)
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options |= {"num_cpus": cores, "object_store_memory": _OBJECTS_BYTES, "include_dashboard": False}
    try:
        _check_reachable(address)
        ray.init(**options)
    except (OSError, ValueError, RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"There is no Ray cluster at {address!r} ({_first_line(error)}): start one with ray start --head, "
            f"or use --ray {LOCAL}."
        ) from error
    mark = secrets.token_hex(16)
    place = folder.placer(checkpoints_dir() / "any", mark)
    try:
        _remove_dead_locks(place.parent)
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
    """Treat SIGTERM (sent by ``ray job stop``) as an interrupt; Ray's own handler would abort the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: the handler was not set from Python


def _remove_dead_locks(places: Path) -> None:
    """Remove the lock folders of programs that were killed."""
    for place in places.glob("*"):
        with suppress(OSError):
            old = SCHEDULER_ID.fullmatch(place.name) and time.time() - place.stat().st_mtime > _STALE_SECONDS
            if old and not folder.is_locked(place):
                shutil.rmtree(place)


def _check_reachable(address: str) -> None:
    """Raise an error at once if nothing listens at an address; Ray itself would wait for minutes.

    Raises:
        OSError: no connection can be made.
        ValueError: the port is not a valid number.
    """
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=_KNOCK_PATIENCE).close()


def _ray(address: str) -> Any:
    """Import Ray without usage statistics and, for a local Ray, without ports that other machines can reach."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # makes Ray listen on the loopback interface only
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one to the home folder
    return optional_packages.require("--ray", "ray")


class Cluster:
    """Starts, watches and stops runs on a Ray cluster.

    Attributes:
        tasks: the active runs, by their Ray task.
    """

    def __init__(self, ray: Any, mark: str) -> None:
        self.ray, self.mark = ray, mark
        self.tasks: dict[Any, Run] = {}
        self.has_gpus = ray.cluster_resources().get("GPU", 0) >= 1

    def begin(self, config: RunConfig, name: str) -> Run:
        """Create a run and submit it to Ray; the counterpart of :func:`vit.jobs.start`.

        Raises:
            SettingsError: the cluster lacks resources that the run needs.
            RunError: the name is taken or invalid, or the folder cannot be written.
        """
        self.resources(config)
        # The device is chosen on the machine that Ray selects.
        device = "auto" if config.training.device == "cuda" else config.training.device
        config = config.model_copy(update={"training": config.training.model_copy(update={"device": device})})
        run = runs.create(name, config)
        self._submit(run)
        return run

    def resume(self, run: Run) -> None:
        """Submit a run that has ended to Ray again; it continues after the last step that was saved.

        Raises:
            RunError: the run cannot be resumed, see :func:`vit.jobs.resume`.
            SettingsError: the cluster lacks resources that the run needs.
        """
        self.resources(run.config)
        jobs.prepare_resume(run)
        self._submit(run)

    def resources(self, config: RunConfig) -> dict[str, int]:
        """Return the resources that Ray reserves for a run.

        Raises:
            SettingsError: no machine of the cluster has these resources.
        """
        training = config.training
        if training.device == "cuda" and not self.has_gpus:
            raise SettingsError("The Ray cluster has no GPU: use --device auto or cpu.")
        if self.has_gpus and training.device in ("auto", "cuda"):
            return {"num_cpus": 1, "num_gpus": 1}
        cores = training.threads or 1
        most = max(int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"])
        if cores > most:
            raise SettingsError(f"No machine of the Ray cluster has {cores} CPU cores: use at most --threads {most}.")
        return {"num_cpus": cores}

    def _submit(self, run: Run) -> None:
        (run.path / folder.STOP).unlink(missing_ok=True)
        status = runs.update_status(run.path, placed=self.mark, message=_WAITING)
        places = {"VIT_CHECKPOINTS": str(checkpoints_dir()), "VIT_DATA": str(data_dir())}
        # A worker process ends after one run, which frees all the memory that torch holds on a device.
        options = {"max_retries": RETRIES, "max_calls": 1, "name": run.name, **self.resources(run.config)}
        task = self.ray.remote(**options)(_remote_function())
        self.tasks[task.remote(str(library_root()), str(run.path), status.ticket, places)] = run

    def poll(self) -> list[str]:
        """Record which runs have ended, and stop those that were asked to stop.

        Returns:
            One sentence for each run that could not be completed.
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
        state: runs.State = "failed"
        said = ""
        try:
            said = self.ray.get(task)
        except self.ray.exceptions.TaskCancelledError:
            state = "stopped"
        except self.ray.exceptions.WorkerCrashedError:
            said = f"Its worker was lost {RETRIES + 1} times, perhaps because memory ran out: resume it or start over."
        except self.ray.exceptions.RayError as error:
            said = f"Ray could not run it ({_first_line(error)}): fix that, then resume it."
        if run.path.is_dir():
            _write_final_status(run, state, said or "Stopped.")
        return f"{run.name}: {said}" if said else ""

    def stop(self) -> None:
        """Stop all active runs after their current step; they keep their weights."""
        for task in self.tasks:
            self.ray.cancel(task)
        begun = time.monotonic()
        while self.tasks:
            saving = any(run.has_unsaved_steps for run in self.tasks.values())
            if time.monotonic() - begun > (SAVE_PATIENCE if saving else _END_PATIENCE):
                break
            self.poll()
            time.sleep(0.1)


def _remote_function() -> Callable[..., str]:
    """Return the function that Ray runs on a worker; Ray sends its code along, and it makes ``vit`` importable."""

    def place(root: str, path: str, ticket: int, places: dict[str, str]) -> str:
        import sys

        if root not in sys.path:
            sys.path.append(root)
        try:
            from vit.sweeps.ray_cluster import work
        except ImportError as error:
            return f"A worker of the Ray cluster cannot import this program ({error}): copy it to {root} there."
        return work(path, ticket, places)

    return place


def work(path: str, ticket: int, places: dict[str, str]) -> str:
    """Train one run in a Ray worker, or continue it if an earlier worker was lost.

    Args:
        path: the run's folder.
        ticket: ticket of the run's status when it was submitted; if the run has another one, do nothing.
        places: environment variables with the folders of runs and data.

    Returns:
        A sentence on why the run could not be trained; empty if it was, and its status has the result.
    """
    os.environ.update(places)
    run = Run(Path(path))
    if not (run.path / runs.CONFIG).is_file():
        return (
            f"The machine {platform.node()} of the Ray cluster does not see the folder {path}: "
            "set VIT_CHECKPOINTS to a path that all machines share."
        )
    try:
        if _claim(run, ticket):
            worker.execute(run, resume=run.can_resume, ticket=ticket)
    except UserError as error:
        return str(error)
    return ""


def _claim(run: Run, ticket: int) -> bool:
    """Queue the run for this process, and return whether it still has to be trained.

    Raises:
        RunError: another process works on it.
        SettingsError: this machine does not have the device.
    """
    try:
        with runs.run_lock(run.path).acquire(timeout=_LOCK_PATIENCE):
            status = runs.read_status(run.path)
            if status.ticket != ticket or status.state not in runs.ACTIVE:
                return False
            message = _WAITING if status.pid is None else _AGAIN
            device = runs.device_of(run)  # on this machine
            runs.update_status(run.path, state="queued", pid=None, device=device, message=message)
    except Timeout:
        raise RunError(f"Another process works on the run {run.name!r}: wait until it ends, or stop it.") from None
    if status.pid is not None:
        with (run.path / runs.LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')}  {_AGAIN}\n")
    return True


def _write_final_status(run: Run, state: runs.State, message: str) -> None:
    """Write the final status of a run whose worker could not."""
    with suppress(Timeout, OSError), runs.run_lock(run.path).acquire(timeout=1):
        status = runs.read_status(run.path)
        if status.state in runs.ACTIVE:
            changes = {"state": state, "message": message, "ended": time.time()}
            runs.write_final_status(run.path, status.model_copy(update=changes))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(".")
