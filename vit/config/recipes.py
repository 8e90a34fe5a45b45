"""The recipes: training settings by name."""

from typing import Any

from vit.config.start import StartConfig
from vit.config.training import NO_AUGMENTATION, LearnFrom, TrainingConfig

UNLABELLED: dict[str, Any] = {
    "blank_images": 0.0,
    "erasing": False,
    "epochs": 50,
    "weight_decay": 0.05,
    "keep": "last",
}

RECIPES = {
    "standard": TrainingConfig(),
    "course": TrainingConfig(
        epochs=20,
        batch_size=16,
        lr=1e-4,
        weight_decay=0.0,
        warmup=0.0,
        schedule="constant",
        label_smoothing=0.0,
        clip_norm=0.0,
        drop_last=True,
        **NO_AUGMENTATION,
        blank_images=0.0,
        keep="training_loss",
        snapshots=5,  # of 52 million weights each
    ),
    "strong": TrainingConfig(average=0.99, teacher_weight=0.7, temperature=2.0),
    "fine-tune": TrainingConfig(epochs=10, lr=5e-4, weight_decay=0.05, snapshots=5),
    "frozen": TrainingConfig(epochs=10, lr=2e-3, weight_decay=0.0, snapshots=5),
    # With a learning rate of 1e-3, DINO's teacher becomes uniform on scenes and stays so.
    "dino": TrainingConfig(**UNLABELLED, learn_from="dino", lr=3e-4),
    "mae": TrainingConfig(**UNLABELLED, learn_from="mae", colour=False, lr=1e-3, betas=(0.9, 0.95)),
}
"""Recipes by their ``--recipe`` name: the default, the course report's (see vit.reference), one for few images (with a
teacher it is stronger still), the recipes for fine-tuning all weights and for training only the head, and those without
labels."""


def default_recipe(start: StartConfig | None, learn_from: LearnFrom = "labels") -> str:
    """Return the recipe of a training that names none."""
    if learn_from != "labels":
        return learn_from
    return "standard" if start is None else "frozen" if start.frozen else "fine-tune"


def recipe_of(training: TrainingConfig, start: StartConfig | None = None) -> str:
    """Return the recipe of :data:`RECIPES` from which these settings differ in the fewest fields.

    The recipes for fine-tuning are considered only with a ``start``, and those without labels only without labels.
    """
    own = default_recipe(start, training.learn_from)
    names = dict.fromkeys([own, "standard", "course", "strong"] if training.labelled else [own])

    def differing(name: str) -> int:
        return sum(getattr(RECIPES[name], it) != getattr(training, it) for it in TrainingConfig.model_fields)

    return min(names, key=differing)
