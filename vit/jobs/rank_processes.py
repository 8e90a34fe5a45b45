"""The first process's hold on those that train with it, and theirs on the first.

The first one holds the run's lock, waits for the device's turn, and writes all that happens; the others train only.
``torchrun`` has started all of them, or the first one starts the others itself, when its turn has come. Who finds that
another one has died says so in the run's folder: the first, or, where it was the first, whoever is left.
"""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from vit import distributed, runs
from vit.distributed import FOREVER, VARIABLES, World
from vit.errors import RunError, UserError
from vit.jobs.rank_liveness import Lifeline, Listener, host_of_first
from vit.paths import checkpoints_dir, data_dir, project_root
from vit.runs import Run, failures
from vit.support import hardware

if TYPE_CHECKING:
    from torch.distributed import Store

GRACE = 5.0
"""Seconds in which a process ends by itself after another has died; one that waits for the dead on a GPU never does."""
PATIENCE = 5.0
"""Seconds to learn who has died, once a connection is cut."""
LAST_SECONDS = 20.0


class Lost(UserError):
    """A process of the training is gone; the message says which, and why."""


class Company:
    """The others, as the first process has them; nobody where it trains alone.

    With ``with``, around the training: who is left is let go at its end. An error that comes from the loss of another
    process is raised as :class:`Lost`.

    Attributes:
        world: who trains.

    Args:
        run: what is trained.
        processes: how many are to train, this one included, where ``torchrun`` has not said so.
        abandon: called with a :class:`Lost` in a thread, when the training can neither go on nor end; after it this
            process is gone.
    """

    def __init__(self, run: Run, processes: int, abandon: Callable[[Lost], None]) -> None:
        self.run, self._abandon = run, abandon
        self.world = distributed.world() if distributed.launched() else World(0, processes, 0, processes)
        self._device = runs.read_status(run.path).device
        self._starts = not distributed.launched()
        self._children: list[subprocess.Popen] = []
        self._store: Store | None = None
        self._lines: Listener | None = None
        self._joined = self._over = False
        self._lost: Lost | None = None
        self._known, self._last_word, self._losing = threading.Event(), threading.Lock(), threading.Lock()

    def __enter__(self) -> "Company":
        if self._starts:
            for rank in range(1, self.world.size):
                self._start(rank)
        return self

    def join(self, check: Callable[[], None] = lambda: None) -> None:
        """Meet the others; this takes until the last of them has imported torch.

        Args:
            check: called on the way; it may raise to give up.
        """
        if self.world.alone:
            return
        _check_room(self.world, self._device)
        self._listen()
        self._meet(check)
        from torch.distributed import PrefixStore

        self.world.join(PrefixStore(self._lines.address, self._store), self._device)
        self._joined = True

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.world.alone:
            return
        if not self._last_word.acquire(blocking=False):  # a thread is ending this process
            time.sleep(LAST_SECONDS)
        lost = None
        if isinstance(error, Exception):
            # torchrun, too, asks the rest to stop when one has died.
            self._known.wait(PATIENCE if distributed.is_cut(error) else 0.0 if self._starts else 0.3)
            lost = self._lost
        self._leave(int(lost is not None or (error is not None and not getattr(error, "in_order", False))))
        if lost is not None and lost is not error:
            raise lost from error

    def dismiss(self) -> None:
        """Let those go that ``torchrun`` has started, where there has been no training: they wait to be told."""
        if not (self.world.alone or self._starts or self._over):
            self._leave(0)

    def _listen(self) -> None:
        """Be there for the others."""
        if self._lines is None:
            self._store = self._make_store()
            greeting = {"run": str(self.run.path), "ticket": runs.read_status(self.run.path).ticket}
            local = self.world.local_size == self.world.size
            self._lines = Listener(self.world.size, local=local, greeting=greeting, gone=self._gone)

    def _meet(self, check: Callable[[], None]) -> None:
        """Answer each of the others, until all have a lifeline.

        After a restart by ``torchrun`` the store may hold what dead processes have said: so each asks under a name that
        it has made up, and is answered under it.
        """
        store, answer, answered = self._store, f"{self._device} {self._lines.address}", set()
        while self._lines.connected < self.world.size - 1:
            check()
            if self._lost is not None:
                raise self._lost
            asking = [_asks(rank) for rank in range(1, self.world.size)]
            for name in {store.get(key).decode() for key in asking if store.check([key])} - answered:
                store.set(name, answer)
                answered.add(name)
            time.sleep(0.02)

    def _start(self, rank: int) -> None:
        size = self.world.size
        places = dict(zip(VARIABLES[:4], map(str, (rank, size, rank, size)), strict=True))
        places |= {"VIT_CHECKPOINTS": str(checkpoints_dir()), "VIT_DATA": str(data_dir())}
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        with (self.run.path / runs.LOG).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "vit.jobs", "assist"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=project_root(),
                env=inherited | places,
            )
        self._children.append(child)
        threading.Thread(target=self._watch, args=(rank, child), name=f"rank {rank}", daemon=True).start()

    def _watch(self, rank: int, child: subprocess.Popen) -> None:
        code = child.wait()
        time.sleep(0.5)  # what it has said of itself may be on its way
        if code:
            self._gone(rank, {})

    def _make_store(self) -> "Store":
        from torch import distributed as torch_distributed

        if not self._starts:
            return _store_of_launcher(self.world)
        store = torch_distributed.TCPStore("127.0.0.1", 0, self.world.size, True, FOREVER, wait_for_workers=False)
        for child in self._children:
            with suppress(OSError):  # it is dead, as its watcher will tell
                child.stdin.write(f"{store.port}\n".encode())
                child.stdin.flush()
        return store

    def _gone(self, rank: int, said: dict[str, Any]) -> None:
        """A process has died, or is about to; in a thread."""
        with self._losing:
            if self._over or self._lost:
                return
            code = None
            if self._children:
                with suppress(subprocess.TimeoutExpired):
                    code = self._children[rank - 1].wait(timeout=2)
            why = said.get("failed") or (failures.of_death(code, self.run.last_words) if code else failures.SILENT)
            self._lost = Lost(failures.of_rank(rank, self.world.size, why))
            if said.get("trace"):
                self._lost.add_note(f"Rank {rank}:\n{said['trace']}")
        self._known.set()
        time.sleep(GRACE)
        if self._last_word.acquire(blocking=False):
            self._abandon(self._lost)
            self._end_children()
            os._exit(1)

    def _leave(self, code: int) -> None:
        """The others are not needed any more."""
        if not (code or self._starts or self._joined):  # some may not even have asked
            with suppress(Lost):
                self._listen()
                self._meet(lambda: None)
        self._over = True
        if self._lines is not None:
            self._lines.end(code)
        if self._joined:
            from torch import distributed as torch_distributed

            if code and self._device == "cuda":  # NCCL would wait for the dead
                last = threading.Timer(LAST_SECONDS, os._exit, (1,))
                last.daemon = True
                last.start()
            else:
                torch_distributed.destroy_process_group()
        self._end_children()

    def _end_children(self) -> None:
        end = time.monotonic() + GRACE
        for child in self._children:
            with suppress(OSError):
                child.stdin.close()
            try:
                child.wait(timeout=max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Tie:
    """Another process's hold on the first: until the first lets it go, or is gone.

    Attributes:
        world: who trains.
        device: what is trained on, as the first one has it.
    """

    def __init__(self) -> None:
        self.world = distributed.world()
        self._done = threading.Event()
        self._store = _store_of_launcher(self.world) if "MASTER_PORT" in os.environ else _store_of_first(self.world)
        name = secrets.token_hex(16)
        self._store.set(_asks(self.world.rank), name)
        self.device, self._address = self._store.get(name).decode().split(maxsplit=1)
        host = host_of_first(self.world.local_size == self.world.size)
        try:
            self._line = Lifeline(self.world.rank, host, self._address, ended=self._ended, gone=self._first_is_gone)
        except OSError as error:
            raise RunError(
                f"Rank {self.world.rank} cannot reach rank 0 at {host}, port {self._address.split()[0]} "
                f"({error.strerror or error}): let the machines connect to each other on every port."
            ) from None

    def join(self) -> World:
        """Meet all others."""
        from torch.distributed import PrefixStore

        _check_room(self.world, self.device)
        self.world.join(PrefixStore(self._address, self._store), self.device)
        return self.world

    def fail(self, error: Exception, sentence: str, trace: str) -> None:
        """Say why this process ends, unless it is by the end of another, which then is told by others."""
        if distributed.is_cut(error):
            self._done.wait(2 * PATIENCE)
        self._line.fail(sentence, trace)

    def leave(self) -> None:
        """This process has done its part."""
        from torch import distributed as torch_distributed

        self._done.set()
        self._line.bye()
        torch_distributed.destroy_process_group()

    def _ended(self, code: int) -> None:
        if code or not self._done.wait(GRACE / 2):
            os._exit(code)

    def _first_is_gone(self, greeting: dict[str, Any]) -> None:
        try:
            if "run" in greeting:
                sentence = failures.of_rank(0, self.world.size, failures.SILENT)
                end_of_dead(Path(greeting["run"]), int(greeting["ticket"]), "failed", sentence)
        finally:
            os._exit(1)


def end_of_dead(path: Path, ticket: int, state: runs.State, message: str) -> None:
    """Say how a run ended whose process could not, unless that is said already, or it is queued anew."""
    if not (path / runs.STATUS).is_file():  # on another machine, which has another disk
        return
    with suppress(OSError, Timeout), runs.run_lock(path).acquire(timeout=PATIENCE):
        status = runs.read_status(path)
        if status.state in runs.ACTIVE and status.ticket == ticket:
            changes = {"state": state, "message": message, "ended": time.time()}
            runs.last_word(path, status.model_copy(update=changes))


def _asks(rank: int) -> str:
    """The key in the store under which a process leaves the name that it wants to be answered under."""
    return f"vit rank {rank}"


def _check_room(world: World, device: str) -> None:
    if device != "cpu":  # on which each process has a device of its own
        hardware.resolve(device, world.local_size)


def _store_of_launcher(world: World) -> "Store":
    from torch import distributed as torch_distributed

    return next(iter(torch_distributed.rendezvous("env://", world.rank, world.size, timeout=FOREVER)))[0]


def _store_of_first(world: World) -> "Store":
    """Of the process that has started this one, and that says through a pipe where the store is."""
    from torch import distributed as torch_distributed

    port = sys.stdin.readline().strip()
    if not port:
        sys.exit(0)  # it has gone, or has no use for this one any more
    return torch_distributed.TCPStore("127.0.0.1", int(port), world.size, False, FOREVER)
