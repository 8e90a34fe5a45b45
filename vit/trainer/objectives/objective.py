"""The interface of an objective."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vit.config import TrainingConfig
from vit.data.batches import Batches
from vit.distributed import World


class Objective(ABC):
    """What a training minimises: the loss of a batch, what else it trains and keeps, and how it is validated.

    Args:
        model: the network that is trained.
        batches: the training images.
        recipe: the settings of the training.

    Attributes:
        precision: the precision of the training, in :meth:`autocast`.
        random: whether :meth:`loss` draws from torch's global generator, which is then seeded for each step.
        labelled: whether the network has a head that answers, so that correct answers are counted.
        measures: figures of the last validation besides loss and accuracy, by name.
    """

    random = False
    labelled = True

    def __init__(self, model: nn.Module, batches: Batches, recipe: TrainingConfig) -> None:
        self.model, self.batches, self.recipe = model, batches, recipe
        self.measures: dict[str, float] = {}
        self.precision = recipe.precision_on(batches.device.type)

    def autocast(self) -> torch.autocast:
        """Return a context in which a network computes in the precision of the training."""
        # A bf16 copy of a weight is used once per step, so caching it saves nothing, and a graph must not cache it.
        enabled = self.precision == "bfloat16"
        return torch.autocast(self.batches.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and whose weights are kept; it has the parameters of ``model``."""
        return self.model

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Further modules by name that are trained with ``model`` and left out of the run's weights."""
        return {}

    def before_step(self, epoch: int, step: int) -> None:  # noqa: B027, most objectives have no schedule
        """Set what depends on the epoch, from 1, and the step, from 0; :meth:`loss` may be part of a CUDA graph."""

    @abstractmethod
    def loss(self, network: nn.Module, rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Return the mean loss of this rank's part of a batch, and the number of correct answers.

        Args:
            network: ``model``, or what gives its outputs on several ranks.
            rows: rows of the whole batch, int64 (b,).
            part: this rank's part of the batch.
        """

    @abstractmethod
    def validate(self, images: Batches, world: World, stop: Callable[[], bool]) -> tuple[float, float] | None:
        """Return loss and accuracy on the validation images; None if ``stop`` became true meanwhile.

        All ranks call ``stop`` after the same batches.
        """

    def after_step(self, step: int) -> None:  # noqa: B027, most objectives have nothing to update
        """Update what follows the weights, after the optimiser's step number ``step``, counted from 0."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that a resume needs besides those of the model and its optimiser."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027, or to load
        """Load the result of :meth:`state`."""
