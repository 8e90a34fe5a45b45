"""What a training minimises; :mod:`vit.trainer.loop` and :mod:`vit.trainer.step` are the same for all of it."""

from torch import nn

from vit.config import TrainingConfig
from vit.data.batches import Batches
from vit.trainer.objectives.dino import DinoObjective
from vit.trainer.objectives.labels import LabelObjective
from vit.trainer.objectives.mae import MaskedObjective
from vit.trainer.objectives.objective import Objective

__all__ = ["DinoObjective", "LabelObjective", "MaskedObjective", "Objective", "build_objective"]


def build_objective(
    model: nn.Module, batches: Batches, recipe: TrainingConfig, teacher: nn.Module | None = None
) -> Objective:
    """Return the objective of a recipe.

    Args:
        model: the network that is trained, on its device.
        batches: the training images.
        recipe: the settings of the training; ``learn_from`` chooses the objective.
        teacher: the network to learn from besides the labels, if ``recipe`` names one.
    """
    match recipe.learn_from:
        case "labels":
            return LabelObjective(model, batches, recipe, teacher)
        case "dino":
            return DinoObjective(model, batches, recipe)
        case "mae":
            return MaskedObjective(model, batches, recipe)
