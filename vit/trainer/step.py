"""One step of a training: a batch, forward, backward, update.

On a GPU steps of this size wait for their launches, not for arithmetic. So nothing is asked of the device until the
losses are read, and the whole step, from the gathering of the images to the update, is one CUDA graph.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config import TrainingConfig
from vit.data.batches import Batches, mix_seed
from vit.distributed import ALONE, World
from vit.trainer.optimizer import AdamW

WARM_UP = 3
"""Steps before the capture: libraries choose their kernels in them, and allocate."""


class Stepper:
    """Takes steps, and holds their losses on the device until they are asked for.

    Attributes:
        eager: why steps are not captured as a CUDA graph, a clause; empty where they are, or may yet be.
    """

    def __init__(
        self, model: nn.Module, optimizer: AdamW, batches: Batches, recipe: TrainingConfig, world: World = ALONE
    ) -> None:
        self.model, self.optimizer, self.batches, self.recipe, self.world = model, optimizer, batches, recipe, world
        self.network = world.spread(model)
        self.device = batches.device
        self.random = any(getattr(module, "p", 0) or getattr(module, "probability", 0) for module in model.modules())
        self.eager = self._why_eager()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._rows: Tensor | None = None  # what a captured step reads and writes, always in the same place
        self._result: Tensor | None = None
        self._warm = 0
        self._aside = torch.cuda.Stream(self.device) if not self.eager else None
        self._results = torch.zeros(len(batches), 2, device=self.device)
        self._held = 0

    def take(self, rows: Tensor, *, epoch: int, step: int, position: int, lr: float) -> None:
        """One step on these rows of the split; nothing is waited for.

        Args:
            step: of the training, from 0; dropout is drawn from it.
            position: of the step in its epoch, from 0; augmentation is drawn from it.
        """
        self.optimizer.lr.fill_(lr)
        self.batches.seed(epoch, position)
        other = (self.world.rank,) if self.world.rank else ()  # each has other images, and other dropout
        with self._random(mix_seed(self.recipe.seed, epoch, step, *other)):
            result = self._run(rows)
        self._results[self._held].copy_(result)
        self._held += 1

    def results(self) -> list[tuple[float, int]]:
        """Loss and right answers of each step since they were last asked for; this waits for the device."""
        held, self._held = self._results[: self._held].tolist(), 0
        return [(loss, int(right)) for loss, right in held]

    def _run(self, rows: Tensor) -> Tensor:
        if self.eager or len(rows) < self.batches.batch_size:  # the last batch of an epoch may be smaller
            return self._step(rows)
        if self._graph is None and self._warm < WARM_UP:
            self._warm += 1
            return self._apart(rows)
        if self._graph is None and not self._capture(rows):
            return self._step(rows)
        self._rows.copy_(rows)
        self._graph.replay()
        return self._result

    def _step(self, rows: Tensor) -> Tensor:
        """The step itself; float32 (2,): the batch's mean loss, and how many of it are right."""
        part = self.world.part(len(rows))
        share = (part.stop - part.start) / len(rows)
        if not share:  # more processes than images: take part in the sum, with nothing
            part = slice(0, 1)
        images, labels = self.batches.batch(rows, part)
        # A weight's copy in bf16 is used once a step, so there is nothing to keep, and a graph must not keep it.
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda", cache_enabled=False):
            logits = self.network(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad()
        # Gradients are averaged over processes as if all had as many images.
        (loss * (share * self.world.size) if self.world.size > 1 else loss).backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.optimizer.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        with torch.no_grad():
            right = (logits.argmax(dim=1) == labels).sum()
            return self.world.add(torch.stack((loss * share, right * bool(share))))

    def _why_eager(self) -> str:
        if self.device.type != "cuda":
            return "only CUDA has graphs"
        if self.world.size > 1:
            return "several processes train together"
        if not self.batches.resident:
            return "the images do not fit into the GPU's memory"
        return ""

    def _apart(self, rows: Tensor) -> Tensor:
        """A step on a stream of its own, as a capture asks of what precedes it."""
        current = torch.cuda.current_stream(self.device)
        self._aside.wait_stream(current)
        with torch.cuda.stream(self._aside):
            result = self._step(rows)
        current.wait_stream(self._aside)
        return result

    def _capture(self, rows: Tensor) -> bool:
        """Record the step; it is not taken by that. False, and the reason in ``eager``, where it cannot be."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.batches.generator)
        self._rows = rows.clone()
        self.optimizer.zero_grad()
        try:
            with torch.cuda.graph(graph):
                self._result = self._step(self._rows)
        except RuntimeError as error:
            torch.cuda.synchronize(self.device)
            fresh = torch.Generator(self.device)  # the other may believe that it is still being captured
            self.batches.generator = fresh.manual_seed(self.batches.generator.initial_seed())
            self.eager = f"the capture failed ({str(error).splitlines()[0][:200]})"
            return False
        self._graph = graph
        return True

    @contextmanager
    def _random(self, seed: int) -> Iterator[None]:
        """Dropout and stochastic depth are drawn from the seed; the caller's own random numbers go on untouched."""
        if not self.random:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
