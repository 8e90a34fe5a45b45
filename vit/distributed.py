"""The processes that train one model together, each on its part of every batch; one alone is the usual case.

``torchrun`` starts them, on one machine or on many, or the first of them starts the others on its own machine: see
:mod:`vit.jobs.rank_processes`. Nothing here imports torch before there is a group to speak in.
"""

import hashlib
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.distributed import Store

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What tells a process its place among others, as ``torchrun`` sets it."""

FOREVER = timedelta(days=30)
"""How long one waits for the others: the first may wait for its turn, or decode images for hours. That a process has
died is known by other means (:mod:`vit.jobs.rank_liveness`)."""

_CUT = re.compile(r"gloo|nccl|Dist\w*Error|connection (was )?(closed|reset|refused)|broken pipe", re.IGNORECASE)


@dataclass(frozen=True)
class World:
    """Who trains.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
        local_rank, local_size: the same among those of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is nobody else."""
        return self.size == 1

    def part(self, count: int) -> slice:
        """This process's part of so many things: all parts together are the whole, in order."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add(self, tensor: "Tensor") -> "Tensor":
        """The sum of everybody's tensor, in place."""
        if not self.alone:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    def average(self, tensors: Iterable["Tensor"]) -> None:
        """Replace each tensor by the mean of everybody's; whole numbers, which are everybody's, stay."""
        if not self.alone:
            for tensor in tensors:
                if tensor.is_floating_point():
                    self.add(tensor).div_(self.size)

    def any(self, said: bool) -> bool:
        """Whether anybody says so; no GPU is waited for."""
        if self.alone:
            return said
        import torch

        return bool(self.add(torch.tensor(int(said))))

    def share(self, value: Any = None) -> Any:
        """What the first process hands to all."""
        if self.alone:
            return value
        import torch
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def device(self, name: str) -> "torch.device":
        """The device of this process, of those that torch calls so: of a machine's GPUs each process has its own."""
        import torch

        if name != "cuda" or self.alone:
            return torch.device(name)
        torch.cuda.set_device(self.local_rank)
        return torch.device(name, self.local_rank)

    def spread(self, model: "nn.Module") -> "nn.Module":
        """The same model, whose gradients are the mean of everybody's after backward."""
        if self.alone:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def join(self, store: "Store", device: str) -> None:
        """Meet the others, all of whom come with the same store; from here on the group can speak.

        Args:
            device: what is trained on. GPUs speak by NCCL, processors, and what is no matter of the GPU, by gloo.
        """
        from torch import distributed

        both = device == "cuda" and distributed.is_nccl_available()
        self.device(device)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if both else "gloo",
            store=store,
            rank=self.rank,
            world_size=self.size,
            timeout=FOREVER,
        )


ALONE = World()


def world() -> World:
    """This process's place among those that were started together, by its environment."""
    try:
        rank, size, local_rank, local_size = (int(os.environ[name]) for name in VARIABLES[:4])
    except (KeyError, ValueError):
        return ALONE
    return World(rank, size, local_rank, local_size) if 0 <= rank < size and size > 1 else ALONE


def launched() -> bool:
    """Whether somebody else, such as ``torchrun``, has started this process and given it a place."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch_mark() -> str:
    """What the processes of one ``torchrun`` have in common over its restarts, and no others have; empty without it."""
    if not launched() or "TORCHELASTIC_RUN_ID" not in os.environ:
        return ""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    if name in ("", "none"):  # nobody named it: it is the program that this process is a child of
        parent = psutil.Process().parent()
        name = f"{socket.gethostname()} {parent.pid} {parent.create_time()}" if parent else ""
    return hashlib.sha256(name.encode()).hexdigest()[:32] if name else ""


def restarts() -> int:
    """How often ``torchrun`` has started its processes anew after one of them had died."""
    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def is_cut(error: BaseException) -> bool:
    """Whether an error says no more than that the others cannot be reached any longer."""
    return isinstance(error, RuntimeError) and _CUT.search(f"{type(error).__name__} {error}") is not None
