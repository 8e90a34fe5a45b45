"""Write the curves of a run to an experiment tracker during its training: MLflow, Weights & Biases or trackio.

The names of the curves are those in TensorBoard (:data:`vit.exports.tensorboard.TAGS`). A tracker that fails does not
end the training. When a training is resumed, the same entry of the tracker continues after the last step that it has.

Where the curves go is the tracker's own setting: ``MLFLOW_TRACKING_URI``, ``WANDB_MODE`` and ``WANDB_PROJECT``,
``TRACKIO_DIR`` and others. Without any, MLflow and Weights & Biases write below the folder of data sets.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from vit.errors import UserError
from vit.exports.tensorboard import TAGS
from vit.paths import data_dir
from vit.runs import Run
from vit.runs.folder import TRACKER
from vit.support import optional_packages

PROJECT = "vit"
"""Name of the project or experiment, unless the tracker's own setting names another one."""
PACKAGES = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",), "trackio": ("trackio",)}
"""The packages of each tracker, the first of which is imported; the extra has the name of the tracker."""
FLUSH_EVERY = 2.0
"""Seconds between two deliveries."""


class Tracker(Protocol):
    """One entry of a tracker.

    Attributes:
        identity: the name by which the tracker finds the entry again.
    """

    identity: str

    def write(self, points: list[tuple[int, dict[str, float]]]) -> None:
        """Append numbers by name, each with its step."""

    def close(self) -> None:
        """End the entry for now."""


class MLflow:
    """A run of MLflow."""

    def __init__(self, name: str, settings: dict[str, Any], identity: str) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._metric = Metric
        address = os.environ.get("MLFLOW_TRACKING_URI")
        if not address:
            place = data_dir() / "tracking"
            place.mkdir(parents=True, exist_ok=True)
            address = f"sqlite:///{place / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=address)
        self.identity = identity
        if not identity:
            project = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
            found = self._client.get_experiment_by_name(project)
            experiment = found.experiment_id if found else self._client.create_experiment(project)
            self.identity = self._client.create_run(experiment, run_name=name).info.run_id
            params = [Param(key, str(value)[:500]) for key, value in settings.items()]
            self._client.log_batch(self.identity, params=params[:100])

    def write(self, points: list[tuple[int, dict[str, float]]]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(name, value, now, step) for step, values in points for name, value in values.items()]
        for start in range(0, len(metrics), 1000):  # the largest batch of MLflow
            self._client.log_batch(self.identity, metrics=metrics[start : start + 1000])

    def close(self) -> None:
        self._client.set_terminated(self.identity)


class WeightsAndBiases:
    """A run of Weights & Biases."""

    def __init__(self, name: str, settings: dict[str, Any], identity: str) -> None:
        import wandb

        place = Path(os.environ.get("WANDB_DIR") or data_dir() / "tracking")
        place.mkdir(parents=True, exist_ok=True)
        self.identity = identity or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=name,
            id=self.identity,
            resume="allow",
            dir=str(place),
            config=settings,
            settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
        )

    def write(self, points: list[tuple[int, dict[str, float]]]) -> None:
        for step, values in points:
            self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """A run of trackio."""

    def __init__(self, name: str, settings: dict[str, Any], identity: str) -> None:
        import trackio

        self.identity = identity or f"{name}-{uuid.uuid4().hex[:8]}"  # trackio finds a run by its name
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT") or PROJECT,
            name=self.identity,
            resume="allow",
            config=settings,
            auto_log_gpu=False,
        )

    def write(self, points: list[tuple[int, dict[str, float]]]) -> None:
        for step, values in points:
            self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


_KINDS: dict[str, Callable[[str, dict[str, Any], str], Tracker]] = {
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
}


class Curves:
    """Sends the lines of ``metrics.jsonl`` to a tracker, a few at a time."""

    def __init__(self, run: Run, kind: str) -> None:
        self._file, self._kind = run.path / TRACKER, kind
        identity, self._last = self._recorded()
        self._tracker = _KINDS[kind](run.name, _settings(run), identity)
        self._points: list[tuple[int, dict[str, float]]] = []
        self._flushed = time.monotonic()
        for line in run.metrics()[0]:
            self._add(line)
        self.flush()

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line of ``metrics.jsonl``."""
        self._add(line)
        if line["event"] == "epoch" or time.monotonic() - self._flushed > FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Deliver what is waiting, and note up to which step."""
        if self._points:
            self._tracker.write(self._points)
            self._last = self._points[-1][0]
        self._points, self._flushed = [], time.monotonic()
        recorded = {"tracker": self._kind, "id": self._tracker.identity, "step": self._last}
        self._file.write_text(json.dumps(recorded), "utf-8")

    def close(self) -> None:
        """Deliver the rest and end the entry."""
        self.flush()
        self._tracker.close()

    def _add(self, line: Mapping[str, Any]) -> None:
        step = int(line.get("step", 0))
        tags = TAGS.get(line.get("event", ""), {})
        values = {tag: float(line[name]) for name, tag in tags.items() if isinstance(line.get(name), int | float)}
        if values and step > self._last:
            if self._points and self._points[-1][0] == step:  # an epoch ends with its last step
                self._points[-1][1].update(values)
            else:
                self._points.append((step, values))

    def _recorded(self) -> tuple[str, int]:
        """Return the entry of an earlier part of the training and its last step."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._file.read_text("utf-8"))
            if found["tracker"] == self._kind:
                return str(found["id"]), int(found["step"])
        return "", -1


def check(kind: str) -> None:
    """Check that the packages of a tracker are installed.

    Raises:
        UserError: one is missing.
    """
    optional_packages.check(f"Tracking with {kind}", *PACKAGES[kind])


def follow(run: Run, kind: str) -> Curves:
    """Open the entry of a run in training, with the lines so far.

    Raises:
        UserError: its packages are not installed, or the tracker refuses.
    """
    check(kind)
    try:
        return Curves(run, kind)
    except Exception as error:  # the trackers raise errors of their own, of HTTP libraries and of databases
        raise UserError(f"The curves are not sent to {kind}: {' '.join(str(error).split())[:300]}") from error


def _settings(run: Run) -> dict[str, Any]:
    """Return the settings of a run by dotted name, without folders of this machine."""
    from vit.runs.privacy import without_private_settings

    config = without_private_settings(run.config).model_dump(mode="json")
    return {
        f"{section}.{name}": value
        for section in ("model", "data", "training")
        for name, value in config[section].items()
        if name != "class_names"
    }
