"""Pruning curves: accuracy and loss as heads are ablated one after another.

Shapes in einops letters: ``b`` image, ``n`` token, ``e`` embed_dim.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.edits import Edits
from vit.explain.heads.ablation import Ablation, Head, Outcome, concatenate_outcomes, score_logits, stack_outcomes
from vit.explain.interventions.head_changes import Change, Means, require_heads, to_edits
from vit.explain.passes.sample import Progress, Sample, each_batch_counted
from vit.networks import Network, Transformer

POINTS_MAX = 25
"""Maximum of points of a pruning curve."""


@dataclass(frozen=True)
class Pruning:
    """The result of :func:`pruning`; ``s`` points, from all heads present to all ablated.

    Attributes:
        gone: ``(s)``, the number of ablated heads at each point.
        orders: the order of ablation by the name of the ranking, first ablated first.
        ranked: ``(s b)``, the outcome for each ranking.
        random: ``(seeds s b)``, the outcome for random orders.
    """

    gone: np.ndarray
    orders: Mapping[str, tuple[Head, ...]]
    ranked: Mapping[str, Outcome]
    random: Outcome


def pruning(
    model: Network,
    sample: Sample,
    orders: Mapping[str, Sequence[Head]],
    ablation: Ablation = "zero",
    means: Means | None = None,
    *,
    seeds: int = 5,
    progress: Progress | None = None,
) -> Pruning:
    """Measure accuracy and loss as heads are ablated one after another, in given orders and in random ones.

    Ablating a head does not change the layers before it, so each forward pass starts at the lowest changed layer.

    Args:
        model: a transformer in eval mode.
        sample: images that were not used to make the orders.
        orders: rankings of all heads, such as :meth:`vit.explain.heads.ablation.Importance.order`.
        ablation: ``zero`` or ``mean``; ``mean`` needs ``means``.
        means: the mean outputs of the heads.
        seeds: number of random orders.
        progress: called with (done, total) in batches and orders.

    Raises:
        ExplainError: a TypeError; the model has no heads, or no classes.
    """
    model = require_heads(model)
    require_classes(model.config)
    every = [(layer, head) for layer in range(model.config.depth) for head in range(model.config.num_heads)]
    shuffled = [np.random.default_rng(seed).permutation(every).tolist() for seed in range(seeds)]
    gone = np.linspace(0, len(every), min(len(every) + 1, POINTS_MAX)).round().astype(int)
    plans = [_plan(model, order, gone, ablation, means) for order in [*orders.values(), *shuffled]]

    def measure(images: Tensor, labels: Tensor, count: Callable[[], None]) -> list[Outcome]:
        entering, found = _entering(model, images), []
        for plan in plans:
            found.append(score_logits(torch.stack(list(_logits_at_points(model, entering, plan))), labels))
            count()
        return found

    parts = each_batch_counted(measure, sample, len(plans), progress)
    outcomes = [concatenate_outcomes(ones) for ones in zip(*parts, strict=True)]
    ranked = dict(zip(orders, outcomes[: len(orders)], strict=True))
    return Pruning(
        gone, {name: tuple(order) for name, order in orders.items()}, ranked, stack_outcomes(outcomes[len(orders) :])
    )


def _plan(
    model: Transformer, order: Sequence[Head], gone: np.ndarray, ablation: Ablation, means: Means | None
) -> list[tuple[int, Edits]]:
    """Return for each point the lowest layer that changed since the previous point, and all changes."""
    steps, before = [], 0
    for count in gone:
        changes = [Change(layer + 1, head + 1, ablation) for layer, head in order[:count]]
        start = min((layer for layer, _ in order[before:count]), default=0)
        steps.append((start, to_edits(model, changes, means)))
        before = count
    return steps


@torch.no_grad()
def _entering(model: Transformer, images: Tensor) -> list[Tensor]:
    """Return the tokens ``(b n e)`` that enter each layer, and those after the last layer."""
    tokens = [model.embed(images)]
    for block in model.blocks:
        tokens.append(block(tokens[-1]))
    return tokens


@torch.no_grad()
def _logits_at_points(
    model: Transformer, entering: Sequence[Tensor], plan: list[tuple[int, Edits]]
) -> Iterator[Tensor]:
    """Yield the logits ``(b k)`` at each point."""
    tokens = list(entering)
    for point, (start, edits) in enumerate(plan):
        for layer in range(start, len(model.blocks)) if point else ():  # no head is ablated at the first point
            tokens[layer + 1] = model.blocks[layer](tokens[layer], None, edits.get(layer))
        yield model.classify(tokens[-1])
