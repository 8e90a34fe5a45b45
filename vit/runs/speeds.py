"""Training speeds measured on this machine."""

from vit.cost.estimate import Speed, step_flops
from vit.runs import store
from vit.support import hardware


def measured_speeds(device: str) -> tuple[Speed, ...]:
    """Return the speeds that runs on this machine reached on ``device``."""
    here, speeds = hardware.processor(), []
    for run in store.list_runs():
        config, status = run.config, run.status
        best = status.best
        if status.device != device or not best or not config.environment or config.environment.processor != here:
            continue
        if config.environment.processes > 1:
            continue
        # The seconds are those up to the end of the epoch in which the kept weights were saved.
        steps = best["epoch"] * status.steps_total / config.training.epochs
        if best["seconds"] > 0 and steps:
            size = step_flops(config)
            speeds.append(Speed(config.model.name, size, size * steps / best["seconds"]))
    return tuple(speeds)
