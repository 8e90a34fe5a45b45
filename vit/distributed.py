"""The ranks of a data-parallel training: process group, collectives, and which rank failed first.

PyTorch's elastic launcher starts the ranks and sets their environment variables, whether a user calls ``torchrun`` or a
job calls the launcher (:mod:`vit.jobs.rank_processes`). This module imports torch only when the process group is
created.
"""

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psutil

from vit.errors import UserError
from vit.runs import failures

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.distributed import Store

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that a launcher sets for each rank."""

START_TIMEOUT = timedelta(days=30)
"""How long the ranks wait for rank 0, which may wait in the device queue or decode images for hours."""
STEP_TIMEOUT = timedelta(minutes=30)
"""How long a collective operation may take during training; after that, the rank ends with an error."""
FAILURE_SECONDS = 5.0
"""How long rank 0 waits for the notes of the other ranks after it has lost a connection."""

_LOST_CONNECTION = re.compile(
    r"gloo|nccl|Dist\w*Error|connection (was )?(closed|reset|refused)|broken pipe", re.IGNORECASE
)


class RankFailed(UserError):
    """One of the ranks failed; the message names it and its error."""


@dataclass(frozen=True)
class World:
    """The ranks that train together (the world size) and this process's rank; every method is a no-op with one process.

    Attributes:
        rank: number of this process, from 0.
        size: number of ranks.
        local_rank, local_size: the same, counted on this machine only.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def alone(self) -> bool:
        return self.size == 1

    def part(self, count: int) -> slice:
        """Return this rank's slice of ``count`` items; the slices of all ranks, in order, cover all items."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add(self, tensor: "Tensor") -> "Tensor":
        """Replace a tensor by its sum over all ranks, and return it."""
        if not self.alone:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    def average(self, tensors: Iterable["Tensor"]) -> None:
        """Replace each floating-point tensor by its mean over all ranks; integers are equal on all ranks already."""
        if not self.alone:
            for tensor in tensors:
                if tensor.is_floating_point():
                    self.add(tensor).div_(self.size)

    def any(self, value: bool) -> bool:
        """Return the logical OR over all ranks (CPU group, no GPU synchronisation)."""
        if self.alone:
            return value
        import torch

        return bool(self.add(torch.tensor(int(value))))

    def share(self, value: Any = None) -> Any:
        """Return rank 0's value on every rank."""
        if self.alone:
            return value
        import torch
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def device(self, name: str) -> "torch.device":
        """Return this rank's device of a type; each rank of a machine has its own GPU."""
        import torch

        if name != "cuda" or self.alone:
            return torch.device(name)
        torch.cuda.set_device(self.local_rank)
        return torch.device(name, self.local_rank)

    def spread(self, model: "nn.Module") -> "nn.Module":
        """Wrap a model so that its gradients after backward are the mean over all ranks."""
        if self.alone:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def join(self, device: str = "", check: Callable[[], None] = lambda: None) -> str:
        """Create the process group once rank 0 is ready to train.

        Args:
            device: on rank 0, the device type; CUDA tensors use NCCL, all others gloo.
            check: on rank 0, called while it waits for the others; it may raise to give up.

        Returns:
            Rank 0's device type; empty when rank 0 has dismissed this rank.

        Raises:
            RankFailed: another rank failed while rank 0 waited for it.
        """
        from torch import distributed

        store = self._store(START_TIMEOUT)
        if self.rank == 0:
            store.set("device", device)
            while not store.check([f"ready {rank}" for rank in range(1, self.size)]):
                if failed := self._first_failure(self._notes(store)):
                    raise failed
                check()
                time.sleep(0.02)
        else:
            device = store.get("device").decode()
            if not device:
                return ""
            store.set(f"ready {self.rank}", "")
        self.device(device)
        both = device == "cuda" and distributed.is_nccl_available()
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if both else "gloo",
            store=store,
            rank=self.rank,
            world_size=self.size,
            timeout=START_TIMEOUT,
        )
        return device

    def begin(self) -> None:
        """Wait until all ranks have loaded their data; from here on a rank that does not answer is an error."""
        if not self.alone:
            from torch import distributed

            self.any(False)
            distributed.set_timeout(STEP_TIMEOUT)

    def leave(self) -> None:
        """Release the process group; if there was nothing to train, rank 0 dismisses the ranks that wait for it."""
        if self.alone:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
        elif self.rank == 0:
            self._store(START_TIMEOUT).set("device", "")

    def note_failure(self, sentence: str) -> None:
        """Leave a note for rank 0 that this rank ends; the sentence is empty when another rank failed first."""
        self._store(timedelta(seconds=FAILURE_SECONDS)).set(f"failure {self.rank}", sentence)

    def root_cause(self, error: Exception) -> Exception:
        """On rank 0, turn a lost connection into a :class:`RankFailed` that names the rank that failed first.

        Every rank that loses a connection or fails leaves a note, so a rank without one has died.
        """
        if self.alone or not is_lost_connection(error):
            return error
        end = time.monotonic() + FAILURE_SECONDS
        while True:
            try:
                notes = self._notes(self._store(timedelta(seconds=FAILURE_SECONDS)))
            except RuntimeError:  # the machine that holds the store is gone
                return error
            silent = sorted(set(range(1, self.size)) - notes.keys())
            if not any(notes.values()) and silent and (len(silent) == 1 or time.monotonic() > end):
                notes[silent[0]] = failures.SILENT
            if failed := self._first_failure(notes):
                failed.__cause__ = error
                return failed
            if not silent:
                return error
            time.sleep(0.05)

    def _first_failure(self, notes: dict[int, str]) -> RankFailed | None:
        sentences = ((rank, sentence) for rank, sentence in notes.items() if sentence)
        return next((RankFailed(failures.describe_rank(rank, self.size, text)) for rank, text in sentences), None)

    def _notes(self, store: "Store") -> dict[int, str]:
        keys = {rank: f"failure {rank}" for rank in range(1, self.size)}
        return {rank: store.get(key).decode() for rank, key in keys.items() if store.check([key])}

    def _store(self, timeout: timedelta) -> "Store":
        """Connect to the launcher's key-value store, under a prefix without entries of an earlier restart."""
        from torch.distributed import PrefixStore, rendezvous

        store = next(iter(rendezvous("env://", self.rank, self.size, timeout=timeout)))[0]
        return PrefixStore(f"vit {restarts()}", store)


ALONE = World()


def world() -> World:
    """Return the ranks and this process's own rank, from the launcher's environment variables."""
    try:
        rank, size, local_rank, local_size = (int(os.environ[name]) for name in VARIABLES[:4])
    except (KeyError, ValueError):
        return ALONE
    return World(rank, size, local_rank, local_size) if 0 <= rank < size and size > 1 else ALONE


def launched() -> bool:
    """Return whether a launcher such as ``torchrun`` started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch_id() -> str:
    """Return an id that all processes of one ``torchrun`` share, also after restarts; empty without ``torchrun``."""
    if not launched() or "TORCHELASTIC_RUN_ID" not in os.environ:
        return ""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    if name in ("", "none"):  # the default of torchrun: identify it by its process, the parent of this one
        parent = psutil.Process().parent()
        name = f"{socket.gethostname()} {parent.pid} {parent.create_time()}" if parent else ""
    return hashlib.sha256(name.encode()).hexdigest()[:32] if name else ""


def restarts() -> int:
    """Return how often ``torchrun`` has restarted its processes after a failure."""
    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an error only says that other ranks can no longer be reached."""
    return isinstance(error, RuntimeError) and _LOST_CONNECTION.search(f"{type(error).__name__} {error}") is not None
