"""Write the curves of a run as event files for TensorBoard, made from the lines of ``metrics.jsonl``.

The files are written into the run's folder during a training with ``--tensorboard``, or for any run afterwards. When a
training is resumed, all events are written again from ``metrics.jsonl``, so that no step is missing or occurs twice
even if the training was killed before.
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
    "step": {
        "loss": "loss/step",
        "accuracy": "accuracy/step",
        "lr": "learning rate",
        "images_per_second": "images per second",
    },
    "epoch": {
        "train_loss": "loss/training",
        "val_loss": "loss/validation",
        "train_accuracy": "accuracy/training",
        "val_accuracy": "accuracy/validation",
        "teacher_entropy": "teacher/entropy",
        "divergence": "teacher/divergence",
        "epoch": "epoch",
    },
}
"""TensorBoard tags of the numbers in each kind of line. All are plotted over the optimiser's steps."""

PURPOSE = "Writing TensorBoard event files"
FLUSH_EVERY = 2.0
"""Seconds between two flushes."""
_FILE = "events.out.tfevents.{:010d}.vit"
_FILE_PATTERN = "events.out.tfevents.[0-9]*.vit"


class Events:
    """An event file that grows during a training. It replaces earlier event files in its folder.

    Args:
        folder: created if it does not exist.
        lines: the lines of ``metrics.jsonl`` so far.
        began: start of the training in seconds since 1970; the lines' ``seconds`` count from there.

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
        numbers = sorted(int(file.name.split(".")[3]) for file in folder.glob(_FILE_PATTERN))
        for number in numbers[:-1]:  # a running TensorBoard may still be reading the last one
            (folder / _FILE.format(number)).unlink()
        self._file = (folder / _FILE.format(max([int(time.time()), *(number + 1 for number in numbers)]))).open("wb")
        self._writer = RecordWriter(self._file)
        self._write(wall_time=began, file_version="brain.Event:2")
        # Tell TensorBoard to discard everything that it read from an earlier file, from step 0 on.
        self._write(wall_time=began, step=0, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
        for line in lines:
            self._add(line)
        self.flush()

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line of ``metrics.jsonl``."""
        self._add(line)
        if line["event"] == "epoch" or time.monotonic() - self._flushed > FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        self._file.close()

    def _add(self, line: Mapping[str, Any]) -> None:
        tags = TAGS.get(line.get("event", ""), {})
        event = self._proto.Event(wall_time=self._began + line.get("seconds", 0.0), step=line.get("step", 0))
        for name, tag in tags.items():
            if isinstance(line.get(name), int | float):
                event.summary.value.add(tag=tag, simple_value=line[name])
        if tags:
            self._writer.write(event.SerializeToString())

    def _write(self, **fields: Any) -> None:
        self._writer.write(self._proto.Event(**fields).SerializeToString())


def began(run: Run) -> float:
    """Return the creation time of a run in seconds since 1970, or the current time if the run does not record it."""
    try:
        return datetime.fromisoformat(run.config.created).timestamp()
    except ValueError:
        return time.time()


def follow(run: Run) -> Events:
    """Open the event file of a run in training, in its folder, with the events of the lines so far.

    Raises:
        UserError: tensorboard is not installed.
        OSError: the folder cannot be written.
    """
    return Events(run.path / TENSORBOARD, run.metrics()[0], began(run))


def convert(run: Run, folder: Path) -> None:
    """Write the events of a run into ``folder``.

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
    """Write the events of a run as a zip, in a folder with the run's name, which TensorBoard shows as its label.

    Raises:
        UserError: tensorboard is not installed.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        convert(run, Path(folder) / run.name)
        for file in sorted((Path(folder) / run.name).iterdir()):
            archive.write(file, f"{run.name}/{file.name}")
