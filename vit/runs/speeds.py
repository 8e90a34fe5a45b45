"""Training speeds measured on this machine, and the time that runs still need.

Every expected time of a training, on a page or in a lesson, comes from here and :func:`vit.cost.estimate.estimate`.
"""

from typing import Any

from vit.cost.estimate import Speed, estimate, step_flops
from vit.runs import store
from vit.runs.folder import Status
from vit.runs.run import Run
from vit.runs.teachers import teacher_model
from vit.support import hardware

STEPS_MIN = 10
"""Steps after which a first epoch tells a speed; the first steps are slower than the others."""

_brief: dict[str, Speed] = {}


def keep_brief_measurement(device: str, speed: Speed) -> None:
    """Keep a speed that was measured without a run, for as long as this process lives."""
    _brief[device] = speed


def measured_speeds(device: str) -> tuple[Speed, ...]:
    """Return the speeds that runs reached on ``device`` of this machine, newest first.

    A run counts from its first steps on. The last speed is that of a brief measurement, if one was made.
    """
    here, speeds = hardware.processor(), []
    for run in store.list_runs():
        config, line = run.config, run.latest
        environment = config.environment
        if run.shipped or run.status.device != device or environment is None or environment.processor != here:
            continue
        if line is None or (pace := seconds_per_step(line)) is None:
            continue
        if line.get("event") == "epoch" or line["step"] >= STEPS_MIN:
            teacher = teacher_model(config)
            if config.training.teacher and teacher is None:  # it was deleted, so its operations are unknown
                continue
            size = step_flops(config, teacher)
            speeds.append(Speed(config.model.name, size, size / pace, environment.processes))
    return *speeds, *([_brief[device]] if device in _brief else [])


def seconds_per_step(line: dict[str, Any]) -> float | None:
    """Return the mean time of a step up to a line of ``metrics.jsonl``, validation included; None without a step."""
    step, seconds = line.get("step"), line.get("seconds")
    if not isinstance(step, int) or not isinstance(seconds, int | float) or step <= 0 or seconds <= 0:
        return None
    return seconds / step


def seconds_left(run: Run, *, train_count: int, val_count: int, speeds: tuple[Speed, ...]) -> float | None:
    """Return the expected seconds of training that an active run still needs; None if no speed is known.

    A run that has begun tells its own speed; the others have that of :func:`vit.cost.estimate.estimate`.

    Args:
        run: a queued or running run.
        train_count: number of training images.
        val_count: number of validation images.
        speeds: from :func:`measured_speeds`.
    """
    config, status, line = run.config, run.status, run.latest
    limit = config.training.max_seconds
    if line is not None and (left := left_at_own_pace(status, line)) is not None:
        return left if limit is None else max(0.0, min(left, limit - line["seconds"]))
    whole = estimate(
        config, train_count=train_count, val_count=val_count, speeds=speeds, teacher=teacher_model(config)
    ).seconds
    return whole if whole is None or limit is None else min(whole, limit)


def left_at_own_pace(status: Status, line: dict[str, Any]) -> float | None:
    """Return the seconds until the last step at the mean speed of a run so far; None before its first step.

    Args:
        status: the run's status, with the number of steps.
        line: the run's last line of ``metrics.jsonl``.
    """
    pace = seconds_per_step(line)
    return None if pace is None or not status.steps_total else pace * max(0, status.steps_total - line["step"])
