"""One step of a training: a batch, forward, backward, update.

On a GPU, kernel launches limit steps of this size, not arithmetic. So the host does not wait for the device until the
losses are read, and the whole step, from gathering the images to the update, is one CUDA graph.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vit.data.batches import mix_seed
from vit.distributed import ALONE, World
from vit.trainer.objectives import Objective
from vit.trainer.optimizer import AdamW

WARM_UP = 3
"""Steps before the capture, in which libraries choose their kernels and allocate memory."""


class Stepper:
    """Takes steps and keeps their losses on the device until they are read.

    Args:
        objective: what the steps minimise.
        optimizer: what changes the weights.
        world: the ranks that train together.

    Attributes:
        eager: why steps are not captured as a CUDA graph, as a clause; empty if they are or will be.
    """

    def __init__(self, objective: Objective, optimizer: AdamW, world: World = ALONE) -> None:
        self.objective, self.optimizer, self.world = objective, optimizer, world
        self.batches, self.recipe = objective.batches, objective.recipe
        self.network = world.spread(objective.model)
        self.device = self.batches.device
        modules = objective.model.modules()
        drops = any(getattr(module, "p", 0) or getattr(module, "probability", 0) for module in modules)
        self.random = objective.random or drops
        self.eager = self._why_eager()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._rows = self._result = torch.empty(0)  # the fixed memory that a captured step reads and writes
        self._warm_ups = 0
        self._warm_up_stream = torch.cuda.Stream(self.device) if not self.eager else None
        self._results = torch.zeros(len(self.batches), 2, device=self.device)
        self._unread = 0

    def take(self, rows: Tensor, *, epoch: int, step: int, position: int, lr: float) -> None:
        """Take one step without waiting for the device.

        Args:
            rows: rows of the split, int64 (b,).
            epoch: number of the epoch, from 1.
            step: step of the training, from 0; it determines dropout.
            position: step within the epoch, from 0; it determines augmentation.
            lr: learning rate.
        """
        self.optimizer.lr.fill_(lr)
        self.batches.seed(epoch, position)
        rank = (self.world.rank,) if self.world.rank else ()  # each rank has its own images and its own dropout
        self.objective.before_step(epoch, step)
        with self._seeded(mix_seed(self.recipe.seed, epoch, step, *rank)):
            result = self._run(rows)
            self.objective.after_step(step)
        self._results[self._unread].copy_(result)
        self._unread += 1

    def results(self) -> list[tuple[float, int]]:
        """Return the loss and the number of correct answers of each step since the last call; waits for the device."""
        values, self._unread = self._results[: self._unread].tolist(), 0
        return [(loss, int(right)) for loss, right in values]

    def _run(self, rows: Tensor) -> Tensor:
        if self.eager or len(rows) < self.batches.batch_size:  # the last batch of an epoch may be smaller
            return self._step(rows)
        if self._graph is None and self._warm_ups < WARM_UP:
            self._warm_ups += 1
            return self._step_on_own_stream(rows)
        if self._graph is None:
            self._graph = self._capture(rows)
        if self._graph is None:
            return self._step(rows)
        self._rows.copy_(rows)
        self._graph.replay()
        return self._result

    def _step(self, rows: Tensor) -> Tensor:
        """Take the step and return float32 (2,): the mean loss of the batch and the number of correct answers."""
        part = self.world.part(len(rows))
        share = (part.stop - part.start) / len(rows)
        if not share:  # more ranks than images: this rank takes part in the sums with weight 0
            part = slice(0, 1)
        loss, right = self.objective.loss(self.network, rows, part)
        self.optimizer.zero_grad()
        # DDP averages gradients as if all ranks had equally many images.
        (loss * (share * self.world.size) if self.world.size > 1 else loss).backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.optimizer.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        with torch.no_grad():
            return self.world.add(torch.stack((loss * share, right * bool(share))))

    def _why_eager(self) -> str:
        if self.device.type != "cuda":
            return "only CUDA has graphs"
        if self.world.size > 1:
            return "several processes train together"
        if not self.batches.resident:
            return "the images do not fit into the GPU's memory"
        return ""

    def _step_on_own_stream(self, rows: Tensor) -> Tensor:
        """Take a step on a separate stream, as PyTorch requires for warm-up steps before a capture."""
        stream = self._warm_up_stream
        if stream is None:
            return self._step(rows)
        current = torch.cuda.current_stream(self.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            result = self._step(rows)
        current.wait_stream(stream)
        return result

    def _capture(self, rows: Tensor) -> torch.cuda.CUDAGraph | None:
        """Record the step without taking it; if that fails, return None and set ``eager`` to the reason."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.batches.generator)
        self._rows = rows.clone()
        self.optimizer.zero_grad()
        try:
            with torch.cuda.graph(graph):
                self._result = self._step(self._rows)
        except RuntimeError as error:
            torch.cuda.synchronize(self.device)
            fresh = torch.Generator(self.device)  # the registered one may still count as being captured
            self.batches.generator = fresh.manual_seed(self.batches.generator.initial_seed())
            self.eager = f"the capture failed ({str(error).splitlines()[0][:200]})"
            return None
        return graph

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Draw dropout and stochastic depth from the seed, and leave the caller's random state unchanged."""
        if not self.random:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
