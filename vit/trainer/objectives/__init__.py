"""What a training minimises; :mod:`vit.trainer.loop` and :mod:`vit.trainer.step` are the same for all of it."""

from vit.trainer.objectives.labels import LabelObjective
from vit.trainer.objectives.objective import Objective

__all__ = ["LabelObjective", "Objective"]
