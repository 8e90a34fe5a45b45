"""The curves of a run as TensorBoard reads them: event files, made of the lines of ``metrics.jsonl``.

Written along with a training that asks for it (``--tensorboard``), into the run's folder, or of any run afterwards. The
lines are the one truth: when a training goes on, the events are written anew from what the lines still say, so no step
stands there twice or is missing, whatever killed the training before.
"""

import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from vit.errors import RunError
from vit.runs import Run
from vit.runs.folder import TENSORBOARD
from vit.support import optional_packages

TAGS = {
    "step": {"loss": "loss/step", "lr": "learning rate", "images_per_second": "images per second"},
    "epoch": {
        "train_loss": "loss/training",
        "val_loss": "loss/validation",
        "train_accuracy": "accuracy/training",
        "val_accuracy": "accuracy/validation",
        "epoch": "epoch",
    },
}
"""What TensorBoard calls the numbers of each kind of line; all of them are drawn over the optimiser's steps."""

PURPOSE = "Writing TensorBoard's events"
FLUSH_EVERY = 2.0
"""Seconds until a reader sees what was written."""
_FILE = "events.out.tfevents.{:010d}.vit"
_OURS = "events.out.tfevents.[0-9]*.vit"


class Events:
    """An event file that grows; what an earlier one in the folder says counts no more, the lines say it again.

    Args:
        folder: made where it is not there.
        lines: what there is already, lines of ``metrics.jsonl``.
        began: when the training began, in seconds since 1970: the lines count from there.

    Raises:
        UserError: tensorboard is not installed.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, lines: Iterable[Mapping[str, Any]], began: float) -> None:
        optional_packages.require(PURPOSE, "tensorboard")
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._proto, self._began, self._flushed = event_pb2, began, time.monotonic()
        folder.mkdir(exist_ok=True)
        numbers = sorted(int(file.name.split(".")[3]) for file in folder.glob(_OURS))
        for number in numbers[:-1]:  # the last one stays, which a TensorBoard that is open may be in the middle of
            (folder / _FILE.format(number)).unlink()
        self._file = (folder / _FILE.format(max([int(time.time()), *(number + 1 for number in numbers)]))).open("wb")
        self._writer = RecordWriter(self._file)
        self._write(wall_time=began, file_version="brain.Event:2")
        # What was read of an earlier file is forgotten from this step on: all of it.
        self._write(wall_time=began, step=0, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
        for line in lines:
            self._add(line)
        self.flush()

    def add(self, line: Mapping[str, Any]) -> None:
        """Note a line of ``metrics.jsonl``."""
        self._add(line)
        if line["event"] == "epoch" or time.monotonic() - self._flushed > FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Let readers see all of it."""
        self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """The last of it."""
        self._file.close()

    def _add(self, line: Mapping[str, Any]) -> None:
        tags = TAGS.get(line.get("event"), {})
        event = self._proto.Event(wall_time=self._began + line.get("seconds", 0.0), step=line.get("step", 0))
        for name, tag in tags.items():
            if isinstance(line.get(name), int | float):
                event.summary.value.add(tag=tag, simple_value=line[name])
        if tags:
            self._writer.write(event.SerializeToString())

    def _write(self, **fields: Any) -> None:
        self._writer.write(self._proto.Event(**fields).SerializeToString())


def began(run: Run) -> float:
    """When a run was made, in seconds since 1970; now, where it does not say."""
    try:
        return datetime.fromisoformat(run.config.created).timestamp()
    except ValueError:
        return time.time()


def follow(run: Run) -> Events:
    """The events of a run that trains, in its own folder: those of the lines that are there, and then of more.

    Raises:
        UserError, OSError: as :class:`Events`.
    """
    return Events(run.path / TENSORBOARD, run.metrics()[0], began(run))


def convert(run: Run, folder: Path) -> None:
    """The events of any run, of the lines that it has, into a folder.

    Raises:
        UserError: tensorboard is not installed.
        RunError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        Events(folder, run.metrics()[0], began(run)).close()
    except OSError as error:
        raise RunError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error


def write_zip(run: Run, target: BinaryIO) -> None:
    """The same as a zip, in a folder of the run's name, which TensorBoard then shows as the run's.

    Raises:
        UserError: tensorboard is not installed.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        convert(run, Path(folder) / run.name)
        for file in sorted((Path(folder) / run.name).iterdir()):
            archive.write(file, f"{run.name}/{file.name}")
