"""One run, as its folder tells it."""

import os
import re
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
)
from vit.support.files import json_lines, tail

SHIPPED_RUN = "scenes-vit"
AT_LIMIT = "Stopped at its limit"
"""How the last word on a run begins that was ended by its ``max_seconds``."""
START_GRACE = 30.0
"""Seconds that a queued run may go without a process: the time that a new process needs to take its lock."""

_LAST_WORDS = 2**16
"""Bytes of the log in which the reason of a death is looked for: a library's backtrace may follow it."""


@dataclass(frozen=True)
class Run:
    """One run, read afresh from its folder at each question.

    Attributes:
        path: absolute path of the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
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
        """The true status: a job that says it is at work, and whose lock nobody holds, has failed."""
        status = read_status(self.path)
        if not status.ticket and is_locked(self.path):  # its status.json is lost, but somebody is at work
            return status.model_copy(update={"state": "running"})
        if status.state not in ACTIVE or is_locked(self.path):
            return status
        if is_placed(self.path, status):  # by one who lives, and who tries again where its worker was lost
            return status.model_copy(update={"state": "queued"})
        begins = status.state == "queued" and status.pid is None  # a process that has begun takes the lock first
        if begins and time.time() - status.ticket / 1e9 < START_GRACE:
            return status
        status = read_status(self.path)  # it may have ended, in order, since the first look
        if status.state not in ACTIVE:
            return status
        sentence = failures.of_death(None, self.last_words)
        return status.model_copy(update={"state": "failed", "message": sentence})

    @property
    def state(self) -> State:
        """``queued``, ``running``, ``finished``, ``stopped`` or ``failed``; the true one."""
        return self.status.state

    @property
    def active(self) -> bool:
        """Whether a process works on it, or is about to."""
        return self.state in ACTIVE

    @property
    def best(self) -> dict[str, Any] | None:
        """What was measured with the kept weights (epoch, val_accuracy, val_loss), None before the first validation."""
        status = read_status(self.path)
        return status.best if status.validated else None

    @property
    def has_weights(self) -> bool:
        """Whether there is a model to load; possibly the initial, untrained one."""
        return (self.path / MODEL).is_file()

    @property
    def can_go_on(self) -> bool:
        """Whether there is the file that a resume goes on from."""
        return (self.path / LAST).is_file()

    @property
    def at_limit(self) -> bool:
        """Whether it was ended by its own ``max_seconds``."""
        status = self.status
        return status.state == "stopped" and status.message.startswith(AT_LIMIT)

    @property
    def snapshots(self) -> list[int]:
        """Epochs of which fp16 weights are kept, ascending."""
        numbers = (re.search(r"(\d+)\.safetensors$", file.name) for file in (self.path / SNAPSHOTS).glob("*"))
        return sorted(int(number[1]) for number in numbers if number)

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        sizes = 0
        for file in self.path.rglob("*"):
            with suppress(OSError):  # a job at work renames its files
                stat = file.lstat()  # of a link itself: what it points to is not freed by deleting the run
                sizes += stat.st_size if S_ISREG(stat.st_mode) or S_ISLNK(stat.st_mode) else 0
        return sizes

    @property
    def stamp(self) -> int:
        """Changes with the kept weights, which a training replaces as it gets better; 0 where there are none."""
        try:
            return (self.path / MODEL).stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def written(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever its job tells something: time and bytes of status, metrics and log; no file is read."""
        return tuple(_time_and_bytes(self.path / name) for name in (STATUS, METRICS, LOG))

    @property
    def picture(self) -> Path | None:
        """The attention of all its heads as an image file, where one was made for it."""
        return self.path / PICTURE if (self.path / PICTURE).is_file() else None

    @property
    def shipped(self) -> bool:
        """Whether it came with the project."""
        return self.name == SHIPPED_RUN

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The lines of ``metrics.jsonl`` from a byte offset on, and the offset to go on from.

        Each line is a dict with ``event`` ("step" or "epoch") and the fields of the trainer's record. A last line that
        is still being written is left for the next call. A resume cuts the file back to the resumed step: a caller who
        keeps lines should key them by step, and an offset past the end starts over.
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
        """The last whole line of ``metrics.jsonl``, None before the first step; only the file's end is read."""
        lines = list(json_lines(tail(self.path / METRICS, 4096)))
        return lines[-1] if lines else None

    @property
    def last_words(self) -> str:
        """The end of the log, long enough to find in it why a process died."""
        return tail(self.path / LOG, _LAST_WORDS).decode(errors="replace")

    def log(self, lines: int = 100) -> str:
        """The last lines of the log; an empty string when there is none."""
        return "\n".join(tail(self.path / LOG, 200 * lines).decode(errors="replace").splitlines()[-lines:])


def _time_and_bytes(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=512)
def _read_config(path: Path, _mtime_ns: int, _size: int) -> RunConfig:
    return RunConfig.from_json(path.read_bytes())
