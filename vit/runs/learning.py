"""Recognise a training that does not learn: its loss is far above that of guessing, or stays there. No torch needed."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from vit.config import RunConfig, TrainingConfig
from vit.runs.folder import ACTIVE, Status

DIVERGED = "Diverged"
NOTHING_LEARNED = "Nothing learned"
"""Starts of the warning of a run, and of its final status message."""
FACTOR, ADDED = 1.5, 0.5
"""Losses above ``FACTOR * ln(classes) + ADDED`` are those of a training that has diverged.

Guessing has the loss ln(classes). A network that learns its training images by heart may have a higher validation loss,
but not a higher training loss.
"""
LEARNED = 0.99
"""A training loss below this share of the loss of guessing shows that something is learned."""
PATIENCE = 1 / 4
"""Share of the epochs in which a training may learn nothing without a warning."""
STEPS_MIN = 50
"""Steps before which nothing is said: so few teach hardly any network anything."""
HIGH_LR, LOW_LR = 5e-4, 1e-4
"""Learning rates from the first on may be too high, and those below the second too low."""
_SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


def verdict(status: Status) -> str:
    """Return how a run does not learn, :data:`DIVERGED` or :data:`NOTHING_LEARNED`; empty if nothing is wrong."""
    return begins(status.warning or ("" if status.state in ACTIVE else status.message))


def begins(sentence: str) -> str:
    """Return :data:`DIVERGED` or :data:`NOTHING_LEARNED` if a sentence begins with it; an empty string otherwise."""
    return next((start for start in (DIVERGED, NOTHING_LEARNED) if sentence.startswith(start)), "")


def guessing_loss(labels: Iterable[int], classes: int, recipe: TrainingConfig) -> float | None:
    """Return the lowest training loss of a network that gives one answer to all images: the entropy of the mean target.

    With equally many images in each class it is ln(classes). None if the loss has other parts, such as the answers of a
    teacher.
    """
    if recipe.teacher or recipe.diversity or classes < 2:
        return None
    counts = Counter(labels)
    total, spread = counts.total(), 0.0
    for label in range(classes):
        share = counts[label] / total
        for part in (recipe.blank_images, recipe.label_smoothing):  # each spreads a part evenly over all classes
            share = (1 - part) * share + part / classes
        spread -= share * math.log(share) if share else 0.0
    return spread


def describe(config: RunConfig, epoch: Mapping[str, Any], *, guessing: float | None, best: Mapping[str, Any]) -> str:
    """Return a sentence on why a training does not learn, from its latest epoch; empty if it does.

    Args:
        config: settings of the run.
        epoch: the epoch's line in ``metrics.jsonl``.
        guessing: result of :func:`guessing_loss`; None if it is unknown.
        best: metrics of the kept weights; empty if there are none.
    """
    classes = config.model.num_classes
    train, val = epoch.get("train_loss"), epoch.get("val_loss")
    if classes < 2 or not config.training.labelled or train is None or val is None:
        return ""
    if min(train, val) > FACTOR * math.log(classes) + ADDED:
        kept = best.get("epoch", math.inf) < epoch["epoch"]
        advice = f"The weights of epoch {best['epoch']:g} are kept. " if kept else ""
        return (
            f"{DIVERGED}: the training loss of the last epoch is {train:.3g}, and guessing has "
            f"{math.log(classes):.2f}. {advice}Choose a learning rate below {config.training.lr:g}, or a longer "
            "warm-up."
        )
    late = epoch["epoch"] >= PATIENCE * config.training.epochs and epoch["step"] >= STEPS_MIN
    if guessing is None or not late or train < LEARNED * guessing:
        return ""
    *causes, last = _likely_causes(config)
    return (
        f"{NOTHING_LEARNED}: the training loss of the last epoch is {train:.3f}, and guessing has {guessing:.3f}. "
        f"Likely causes: {'; '.join(causes)}; or {last}."
    )


def _likely_causes(config: RunConfig) -> list[str]:
    """Return clauses on what may keep a run from learning, the likeliest first; two or more."""
    recipe, causes = config.training, []
    sides = {side.lower() for name in config.data.class_names for side in _SIDES.findall(name)}
    if recipe.flip:
        which = "'left' and 'right' are" if sides == {"left", "right"} else "classes are"
        causes.append(f"{which} mirror images of each other while flips are on (--no-flip turns them off)")
    if recipe.lr >= HIGH_LR or recipe.lr < LOW_LR:
        causes.append(f"the learning rate of {recipe.lr:g} is too {'high' if recipe.lr >= HIGH_LR else 'low'}")
    else:
        causes.append(f"the learning rate of {recipe.lr:g} does not suit this network")
    if config.start and config.start.frozen:
        causes.append("the frozen encoder does not see what distinguishes the classes")
    return [*causes, "the labels have nothing to do with what the images show"]
