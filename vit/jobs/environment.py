"""What a run is trained with besides its settings: versions, processor, threads.

On a CPU, where they are the same, so are its numbers.
"""

import os
import platform

from vit import __version__
from vit.config import Environment
from vit.support import hardware

THREADS_MAX = 64
"""As many threads as a run's record says are taken, if the machine does not have more cores."""

_TITLES = {
    "vit": "this program's version",
    "torch": "torch",
    "processor": "the processor",
    "device": "the device",
    "threads": "threads",
    "processes": "processes",
}
"""What can change a run's numbers."""


def set_threads(chosen: int | None, recorded: Environment | None, sharing: int = 1) -> None:
    """Have torch take the chosen number of CPU threads, or, on the same processor, as many as a run was begun with.

    Its own choice is set, too, for until it is told a number torch leaves it to MKL to take fewer.

    Args:
        sharing: so many processes of this machine train together, and share its cores; each has ``chosen`` threads.
    """
    import torch

    possible = range(1, max(os.cpu_count() or 1, THREADS_MAX) + 1)  # a run may come from anyone
    if not chosen and recorded and _like(recorded, sharing) and recorded.threads in possible:
        chosen = recorded.threads
    own = max(1, hardware.cpu_cores() // sharing) if sharing > 1 else torch.get_num_threads()
    torch.set_num_threads(chosen or own)


def _like(recorded: Environment, sharing: int) -> bool:
    return recorded.processor == hardware.processor() and (recorded.processes > 1) == (sharing > 1)


def environment(device: str, processes: int = 1) -> Environment:
    """What is trained with here and now, on a device as torch names it, by so many processes together."""
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


def departures(begun: Environment, now: Environment) -> str:
    """A sentence on what a run goes on with other than it was begun with; empty where its numbers are the same."""
    changed = [name for name in _TITLES if getattr(begun, name) != getattr(now, name)]
    if not changed:
        return ""
    before = ", ".join(f"{_TITLES[name]} {getattr(begun, name)}" for name in changed)
    after = ", ".join(str(getattr(now, name)) for name in changed)
    return f"Begun with {before}, goes on with {after}: losses may differ in the last digits."
