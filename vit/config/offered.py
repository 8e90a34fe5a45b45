"""The values that are offered for the settings of a training; their bounds are wider."""

from typing import get_args

from vit.config.training import Distillation, Optimizer

EPOCHS = range(1, 201)
BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512)
LEARNING_RATES = (1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3)
SWAPPED_SHARES = (0.0, 0.5, 0.8, 1.0)
MASK_RATIOS = (0.5, 0.6, 0.75, 0.9)
STRONGER: dict[str, tuple] = {
    "mixup": (0.0, 0.1, 0.2, 0.4, 0.8, 1.0),
    "cutmix": (0.0, 0.5, 1.0),
    "mix_probability": (0.1, 0.25, 0.5, 0.75, 1.0),
    "randaugment": (0, 1, 2, 3),
    "magnitude": (3.0, 5.0, 7.0, 9.0, 12.0, 15.0),
    "repeats": (1, 2, 3),
    "average": (0.0, 0.9, 0.98, 0.99, 0.995, 0.999),
    "distillation": get_args(Distillation),
    "teacher_weight": (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
    "temperature": (1.0, 2.0, 3.0, 4.0, 6.0),
    "optimizer": get_args(Optimizer),
    "blank_images": (0.0, 0.02, 0.04, 0.1),
    "diversity": (0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
}
"""The values that are offered for the settings of a stronger recipe, apart from the teacher."""
