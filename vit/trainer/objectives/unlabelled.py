"""What trainings without labels have in common: their random numbers and their validation."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vit.config import TrainingConfig
from vit.data.batches import Batches
from vit.distributed import World
from vit.model import ViT
from vit.trainer.objectives.neighbours import TRAINING_IMAGES, neighbour_accuracy
from vit.trainer.objectives.objective import Objective

LOSS_IMAGES = 500
"""Maximum number of validation images on which the loss is computed."""
_VALIDATION_SEED = 0


class UnlabelledObjective(Objective):
    """Learn from images alone.

    It is validated by its own loss on at most :data:`LOSS_IMAGES` validation images, with the same random views after
    each epoch, and by the accuracy of a k-nearest-neighbour classifier of the summary tokens. Labels are used only for
    that accuracy.
    """

    labelled = False
    model: ViT

    def __init__(self, model: nn.Module, batches: Batches, recipe: TrainingConfig) -> None:
        if not isinstance(model, ViT):
            raise TypeError("A training without labels needs a Vision Transformer.")
        super().__init__(model, batches, recipe)

    def loss(self, network: nn.Module, rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Return the mean loss of the batch, float32 (), and 0, because nothing is answered."""
        loss = self.loss_of(self.read(self.batches, rows), self.batches.generator)
        return loss, torch.zeros((), dtype=torch.int64, device=loss.device)

    def read(self, batches: Batches, rows: Tensor) -> Tensor:
        """Return what the views of these rows are drawn from: the images, float32 (b c h w) in [0, 1]."""
        return batches.pixels(rows)

    @abstractmethod
    def loss_of(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean loss of what :meth:`read` returned, whose views are drawn from a generator."""

    @abstractmethod
    def measure(self, images: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Return ``loss`` and further figures of what :meth:`read` returned for validation images, as means."""

    @torch.inference_mode()
    def validate(self, images: Batches, world: World, stop: Callable[[], bool]) -> tuple[float, float] | None:
        """Return the loss and the k-nearest-neighbour accuracy, and set :attr:`measures`."""
        was_training = self.model.training
        self.model.eval()
        model = self.evaluated.eval()
        features = []
        for batches, most in ((self.batches, TRAINING_IMAGES), (images, None)):
            summaries, labels = [], []
            for rows in batches.stratified(most).split(images.batch_size):
                plain, own = batches.plain(rows)
                summaries.append(model(plain).float())
                labels.append(own)
                if stop():
                    return None
            features += [torch.cat(summaries), torch.cat(labels)]
        sums: dict[str, float] = {}
        generator = torch.Generator(self.batches.generator.device).manual_seed(_VALIDATION_SEED)
        chosen = images.stratified(LOSS_IMAGES)
        for rows in chosen.split(self.batches.batch_size):
            for name, value in self.measure(self.read(images, rows), generator).items():
                sums[name] = sums.get(name, 0.0) + value * len(rows)
            if stop():
                return None
        means = {name: value / len(chosen) for name, value in sums.items()}
        self.model.train(was_training)
        loss = means.pop("loss")
        self.measures = means
        return loss, neighbour_accuracy(*features)


def draw(generator: torch.Generator, *shape: int, device: torch.device) -> Tensor:
    """Return uniform random numbers in [0, 1)."""
    return torch.rand(*shape, generator=generator, device=generator.device).to(device, non_blocking=True)
