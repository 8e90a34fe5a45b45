"""One run, read from its folder."""

import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import Any

from vit.config import RunConfig
from vit.errors import RunError, SettingsError
from vit.runs import failures
from vit.runs.folder import (
    ACTIVE,
    CONFIG,
    LAST,
    LOG,
    METRICS,
    MODEL,
    PICTURE,
    SNAPSHOTS,
    STATUS,
    State,
    Status,
    is_locked,
    is_placed,
    read_status,
    reason,
    resume_position,
)
from vit.support.files import json_lines, tail

SHIPPED_RUN = "scenes"
"""The run of the project with which the app opens."""
SHIPPED_RUNS = (SHIPPED_RUN, "scenes-dino")
"""All runs that are part of the project."""
AT_LIMIT = "Stopped at its limit"
"""Start of the final status message of a run that reached its ``max_seconds``."""
START_GRACE = 30.0
"""Seconds that a queued run may have no process: a new process needs time to take its lock."""

_END_OF_LOG = 2**16
"""Bytes of the log that are searched for the reason of a failure; a library's backtrace may follow it."""


@dataclass(frozen=True)
class Run:
    """One run; every property reads its folder again.

    Attributes:
        path: absolute path of the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> RunConfig:
        """The settings.

        Raises:
            RunError: ``config.json`` is missing or cannot be read.
        """
        try:
            stat = (self.path / CONFIG).stat()
            return _read_config(self.path / CONFIG, stat.st_mtime_ns, stat.st_size)
        except (OSError, SettingsError) as error:
            raise RunError(f"The settings of run {self.name!r} cannot be read: {reason(error)}.") from None

    @property
    def status(self) -> Status:
        """The true status: a run that is marked as active but whose lock is free has failed."""
        status = read_status(self.path)
        if not status.ticket and is_locked(self.path):  # status.json is lost, but a process works on the run
            return status.model_copy(update={"state": "running"})
        if status.state not in ACTIVE or is_locked(self.path):
            return status
        if is_placed(self.path, status):  # the scheduling program retries a run whose worker was lost
            return status.model_copy(update={"state": "queued"})
        starting = status.state == "queued" and status.pid is None  # a process takes the lock before it writes its pid
        if starting and time.time() - status.ticket / 1e9 < START_GRACE:
            return status
        status = read_status(self.path)  # it may have ended normally since the first read
        if status.state not in ACTIVE:
            return status
        sentence = failures.describe_death(None, self.end_of_log)
        return status.model_copy(update={"state": "failed", "message": sentence})

    @property
    def state(self) -> State:
        """The true state: ``queued``, ``running``, ``finished``, ``stopped`` or ``failed``."""
        return self.status.state

    @property
    def active(self) -> bool:
        """Whether the run is queued or running."""
        return self.state in ACTIVE

    @property
    def best(self) -> dict[str, Any] | None:
        """Metrics of the kept weights (epoch, val_accuracy, val_loss and so on); None before the first validation."""
        status = read_status(self.path)
        return status.best if status.validated else None

    @property
    def has_weights(self) -> bool:
        """Whether there is a model to load; it may be the initial, untrained one."""
        return (self.path / MODEL).is_file()

    @property
    def can_resume(self) -> bool:
        """Whether there is a resume checkpoint."""
        return (self.path / LAST).is_file()

    @property
    def resume_step(self) -> int:
        """The step after which a resume continues; 0 if it starts from the beginning."""
        return int(resume_position(self.path).get("step", 0))

    @property
    def has_unsaved_steps(self) -> bool:
        """Whether steps have been taken since the resume checkpoint, which would be lost if the job was killed now."""
        return (self.latest or {}).get("step", 0) > self.resume_step

    @property
    def place(self) -> str:
        """Where a resume continues, as the end of a sentence such as "Stopped after 3 of 20 epochs"."""
        position, epochs = resume_position(self.path), self.config.training.epochs
        epoch = int(position.get("epoch", self.status.epoch))
        if position.get("seen"):  # images of an epoch that is not complete
            return f"after step {self.resume_step:,}, in epoch {epoch + 1} of {epochs}"
        return f"after {epoch} of {epochs} epochs" if epoch else "before its first step"

    @property
    def at_limit(self) -> bool:
        """Whether the run was stopped by its ``max_seconds``."""
        status = self.status
        return status.state == "stopped" and status.message.startswith(AT_LIMIT)

    @property
    def snapshots(self) -> list[int]:
        """Epochs with a float16 snapshot, ascending."""
        numbers = (re.search(r"(\d+)\.safetensors$", file.name) for file in (self.path / SNAPSHOTS).glob("*"))
        return sorted(int(number[1]) for number in numbers if number)

    @property
    def size_bytes(self) -> int:
        """Size of all files in bytes."""
        sizes = 0
        for file in self.path.rglob("*"):
            with suppress(OSError):  # a running job renames files
                stat = file.lstat()  # the size of a link itself: deleting the run does not delete its target
                sizes += stat.st_size if S_ISREG(stat.st_mode) or S_ISLNK(stat.st_mode) else 0
        return sizes

    @property
    def stamp(self) -> int:
        """A number that changes whenever the kept weights are replaced; 0 if there are none."""
        try:
            return (self.path / MODEL).stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def written(self) -> tuple[tuple[int, int], ...]:
        """A value that changes whenever the job writes: time and size of status, metrics and log. Reads no file."""
        return tuple(_time_and_bytes(self.path / name) for name in (STATUS, METRICS, LOG))

    @property
    def picture(self) -> Path | None:
        """An image file of the attention of all heads, if there is one."""
        return self.path / PICTURE if (self.path / PICTURE).is_file() else None

    @property
    def shipped(self) -> bool:
        """Whether the run is part of the project."""
        return self.name in SHIPPED_RUNS

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return the lines of ``metrics.jsonl`` from a byte offset, and the offset for the next call.

        Each line is a dict with ``event`` ("step" or "epoch") and the fields of the trainer's event. A last line that
        is still being written is left for the next call. A resume truncates the file to the resumed step, so callers
        should key lines by step; an offset past the end starts from the beginning.
        """
        try:
            with (self.path / METRICS).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = offset if offset <= size else 0
                file.seek(start)
                data = file.read(size - start)
        except OSError:
            return [], 0
        end = data.rfind(b"\n") + 1
        return list(json_lines(data[:end])), start + end

    @property
    def latest(self) -> dict[str, Any] | None:
        """The last complete line of ``metrics.jsonl``; None before the first step. Reads only the end of the file."""
        lines = list(json_lines(tail(self.path / METRICS, 4096)))
        return lines[-1] if lines else None

    @property
    def end_of_log(self) -> str:
        """The end of the log, long enough to contain the reason of a failure."""
        return tail(self.path / LOG, _END_OF_LOG).decode(errors="replace")

    def log(self, lines: int = 100) -> str:
        """Return the last lines of the log; an empty string if there is none."""
        return "\n".join(tail(self.path / LOG, 200 * lines).decode(errors="replace").splitlines()[-lines:])


class History:
    """The lines of ``metrics.jsonl`` of one run, kept by event and step; only new lines are read.

    Threads may share it.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._offset, self._lock = run, 0, threading.Lock()
        self._lines: dict[tuple[str, int], dict[str, Any]] = {}

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines, of steps and epochs, in the order in which they were written."""
        with self._lock:
            new, offset = self._run.metrics(self._offset)
            if offset < self._offset:  # a resume has shortened the file
                self._lines.clear()
            self._lines.update({(line["event"], line["step"]): line for line in new})
            self._offset = offset
            return list(self._lines.values())


def _time_and_bytes(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=512)
def _read_config(path: Path, _mtime_ns: int, _size: int) -> RunConfig:
    return RunConfig.from_json(path.read_bytes())
