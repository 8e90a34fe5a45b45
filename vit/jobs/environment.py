"""The environment of a training: versions, processor, device, threads and number of processes.

On a CPU, a training in the same environment gives exactly the same numbers.
"""

import os
import platform

from vit import __version__
from vit.config import Environment, TrainingConfig
from vit.support import hardware

THREADS_MAX = 64
"""Upper bound for the recorded number of threads, unless the machine has more cores."""

_TITLES = {
    "vit": "this program's version",
    "torch": "torch",
    "processor": "the processor",
    "device": "the device",
    "threads": "threads",
    "processes": "processes",
}
"""The parts of the environment that can change a run's numbers."""


def set_threads(chosen: int | None, recorded: Environment | None, sharing: int = 1) -> None:
    """Set the number of CPU threads that torch uses.

    Without a chosen number, a resume on the same processor takes the recorded one, and a new run torch's default. The
    default is set explicitly too, because until then MKL may use fewer threads.

    Args:
        chosen: threads of each process, or None.
        recorded: environment of the run that is resumed, or None.
        sharing: number of processes on this machine that train together and share its cores.
    """
    import torch

    possible = range(1, max(os.cpu_count() or 1, THREADS_MAX) + 1)  # the record may come from an untrusted source
    if not chosen and recorded and _like(recorded, sharing) and recorded.threads in possible:
        chosen = recorded.threads
    own = max(1, hardware.cpu_cores() // sharing) if sharing > 1 else torch.get_num_threads()
    torch.set_num_threads(chosen or own)


def _like(recorded: Environment, sharing: int) -> bool:
    return recorded.processor == hardware.processor() and (recorded.processes > 1) == (sharing > 1)


def current_environment(device: str, processes: int = 1) -> Environment:
    """Return the current environment for a training on a device with a number of processes."""
    import torch

    return Environment(
        vit=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=hardware.processor(),
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        threads=torch.get_num_threads(),
        processes=processes,
    )


def recorded_precision(recipe: TrainingConfig, begun: Environment, now: Environment) -> str:
    """Return the precision in which a resume continues: the recorded one, if the run was begun on the same device.

    Runs that record none were trained before precision was a setting: in bfloat16 on a GPU, in float32 elsewhere.
    """
    if begun.precision and (begun.processor, begun.device) == (now.processor, now.device):
        return begun.precision
    return recipe.precision_on("cuda" if now.device not in ("cpu", "mps") else now.device)


def describe_changes(begun: Environment, now: Environment) -> str:
    """Return a sentence on what differs between the environments of a run and its resume; empty if nothing does."""
    changed = [name for name in _TITLES if getattr(begun, name) != getattr(now, name)]
    if not changed:
        return ""
    before = ", ".join(f"{_TITLES[name]} {getattr(begun, name)}" for name in changed)
    after = ", ".join(str(getattr(now, name)) for name in changed)
    return f"Started with {before}, resumed with {after}: losses may differ in the last digits."
