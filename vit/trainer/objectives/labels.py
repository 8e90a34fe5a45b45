"""Learn from labels: cross-entropy of the network's answer, and what a stronger recipe adds to it."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config import ModelConfig, TrainingConfig
from vit.data.batches import Batches
from vit.distributed import World
from vit.errors import RunError
from vit.model import ViT
from vit.trainer.objectives.distillation import distillation_loss, fingerprint
from vit.trainer.objectives.head_diversity import head_correlation
from vit.trainer.objectives.objective import Objective
from vit.trainer.objectives.weight_average import WeightAverage

_AVERAGE, _TEACHER = "average.", "teacher"


class LabelObjective(Objective):
    """The cross-entropy between the network's answer and the label, with label smoothing.

    The recipe can mix images, add blank ones, learn from a teacher as well, average the weights, and penalise heads
    that look alike.

    Args:
        model: the network that is trained.
        batches: the training images.
        recipe: the settings of the training.
        teacher: the network to learn from, with the same images and classes; needed if ``recipe`` names a teacher.
    """

    def __init__(
        self, model: nn.Module, batches: Batches, recipe: TrainingConfig, teacher: nn.Module | None = None
    ) -> None:
        super().__init__(model, batches, recipe)
        self.teacher = None
        if recipe.teacher and teacher is not None:
            self._fingerprint = fingerprint(teacher)
            self.teacher = teacher.to(batches.device).eval().requires_grad_(False)
        self._average = WeightAverage(model, recipe.average) if recipe.average else None

    @property
    def evaluated(self) -> nn.Module:
        """The network, or the average of its weights."""
        return self._average.model if self._average else self.model

    def loss(self, network: nn.Module, rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Return the loss, float32 (), and the number of correct answers, int64 ().

        The answer to a mixed image is correct if no class has a larger share of it.
        """
        recipe, blank = self.recipe, None
        if recipe.soft:
            images, targets, blank = self.batches.soft_batch(rows, self._classes, part)
        else:
            images, targets = self.batches.batch(rows, part)
        record: dict | None = {} if recipe.diversity else None
        with self.autocast():
            logits = network(images) if record is None else network(images, record=record)
            with torch.no_grad():
                taught = None if self.teacher is None else self.teacher(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        if taught is not None:
            loss = torch.lerp(loss, distillation_loss(logits, taught.float(), blank, recipe), recipe.teacher_weight)
        if record is not None:
            assert isinstance(self.model, ViT)
            loss = loss + recipe.diversity * head_correlation(record, self.model)
        answers = logits.detach().argmax(dim=1)
        if recipe.soft:
            return loss, (targets.gather(1, answers[:, None])[:, 0] >= targets.amax(dim=1)).sum()
        return loss, (answers == targets).sum()

    @property
    def _classes(self) -> int:
        config: object = self.model.config
        assert isinstance(config, ModelConfig)
        return config.num_classes

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

    def after_step(self, step: int) -> None:
        """Update the average of the weights."""
        if self._average:
            self._average.update(step)

    def state(self) -> dict[str, Tensor]:
        """Return the averaged weights, and the fingerprint of the teacher's weights."""
        averaged = self._average.state() if self._average else {}
        state = {f"{_AVERAGE}{name}": value for name, value in averaged.items()}
        return state if self.teacher is None else state | {_TEACHER: self._fingerprint}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of :meth:`state`.

        Raises:
            RunError: the teacher's weights are not those with which the training began.
        """
        if self.teacher is not None and not torch.equal(state[_TEACHER].cpu(), self._fingerprint):
            raise RunError(
                f"The weights of the teacher {self.recipe.teacher!r} have changed since this training began: start "
                "the run over."
            )
        if self._average:
            prefix = len(_AVERAGE)
            self._average.load({name[prefix:]: it for name, it in state.items() if name.startswith(_AVERAGE)})
