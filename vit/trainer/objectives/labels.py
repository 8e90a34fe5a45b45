"""Learn from labels: cross-entropy of the network's answer."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.data.batches import Batches
from vit.distributed import World
from vit.trainer.objectives.objective import Objective


class LabelObjective(Objective):
    """The cross-entropy between the network's answer and the label, with label smoothing."""

    def loss(self, network: nn.Module, rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy, float32 (), and the number of correct answers, int64 ()."""
        images, labels = self.batches.batch(rows, part)
        # A bf16 copy of a weight is used once per step, so caching it saves nothing, and a graph must not cache it.
        with torch.autocast("cuda", torch.bfloat16, enabled=images.is_cuda, cache_enabled=False):
            logits = network(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        return loss, (logits.detach().argmax(dim=1) == labels).sum()

    @torch.inference_mode()
    def validate(self, images: Batches, world: World, stop: Callable[[], bool]) -> tuple[float, float] | None:
        """Return the cross-entropy without label smoothing, and the accuracy."""
        model = self.evaluated.eval()
        parts, seen = [], 0
        for batch, labels in images.in_order(world.part):
            if len(labels):  # there may be more ranks than images
                logits = model(batch).float()
                right = (logits.argmax(dim=1) == labels).sum()
                parts.append(torch.stack((F.cross_entropy(logits, labels, reduction="sum"), right)))
                seen += len(labels)
            if stop():
                return None
        values = torch.stack(parts).tolist() if parts else []  # waits for the device once, not for each batch
        sums = (sum(loss for loss, _ in values), sum(right for _, right in values), seen)
        loss, right, count = world.add(torch.tensor(sums, dtype=torch.float64)).tolist()
        return loss / max(1, count), right / max(1, count)
