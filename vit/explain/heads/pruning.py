"""How many heads can go: accuracy and loss as they are ablated one after another.

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
"""A pruning curve has no more points than this."""


@dataclass(frozen=True)
class Pruning:
    """What :func:`pruning` measured; ``s`` points, from no head gone to all.

    Attributes:
        gone: how many heads are gone at each point, ``(s)``.
        orders: in which order they go, the first to go first, by the name of the ranking.
        ranked: of each ranking, ``(s b)``.
        random: of random orders, ``(seeds s b)``.
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
    """Accuracy and loss as the heads go one after another, in each of some orders and in random ones.

    When a head goes, the layers below it do not change, so the pass goes on from its layer.

    Args:
        sample: images on which the orders were not made.
        orders: each of all heads, such as :meth:`Importance.order`.
        ablation: ``mean`` needs ``means``.
        seeds: so many random orders.
        progress: ``(done, total)``, in batches and orders.

    Raises:
        ExplainError: a TypeError; the model has no heads, or no classes.
    """
    model = require_heads(model)
    require_classes(model.config)
    every = [(layer, head) for layer in range(model.config.depth) for head in range(model.config.num_heads)]
    shuffled = [np.random.default_rng(seed).permutation(every).tolist() for seed in range(seeds)]
    gone = np.linspace(0, len(every), min(len(every) + 1, POINTS_MAX)).round().astype(int)
    walks = [_walk(model, order, gone, ablation, means) for order in [*orders.values(), *shuffled]]

    def measure(images: Tensor, labels: Tensor, count: Callable[[], None]) -> list[Outcome]:
        entering, found = _entering(model, images), []
        for walk in walks:
            found.append(score_logits(torch.stack(list(_walked(model, entering, walk))), labels))
            count()
        return found

    parts = each_batch_counted(measure, sample, len(walks), progress)
    outcomes = [concatenate_outcomes(ones) for ones in zip(*parts, strict=True)]
    ranked = dict(zip(orders, outcomes[: len(orders)], strict=True))
    return Pruning(
        gone, {name: tuple(order) for name, order in orders.items()}, ranked, stack_outcomes(outcomes[len(orders) :])
    )


def _walk(
    model: Transformer, order: Sequence[Head], gone: np.ndarray, ablation: Ablation, means: Means | None
) -> list[tuple[int, Edits]]:
    """For each point the lowest layer that changed since the one before it, and all changes."""
    steps, before = [], 0
    for count in gone:
        changes = [Change(layer + 1, head + 1, ablation) for layer, head in order[:count]]
        start = min((layer for layer, _ in order[before:count]), default=0)
        steps.append((start, to_edits(model, changes, means)))
        before = count
    return steps


@torch.no_grad()
def _entering(model: Transformer, images: Tensor) -> list[Tensor]:
    """The tokens ``(b n e)`` that enter each layer, and those that leave the last."""
    tokens = [model.embed(images)]
    for block in model.blocks:
        tokens.append(block(tokens[-1]))
    return tokens


@torch.no_grad()
def _walked(model: Transformer, entering: Sequence[Tensor], walk: list[tuple[int, Edits]]) -> Iterator[Tensor]:
    """Logits ``(b k)`` at each point."""
    tokens = list(entering)
    for point, (start, edits) in enumerate(walk):
        for layer in range(start, len(model.blocks)) if point else ():  # nothing is gone at the first
            tokens[layer + 1] = model.blocks[layer](tokens[layer], None, edits.get(layer))
        yield model.classify(tokens[-1])
