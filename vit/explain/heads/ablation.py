"""The importance of each head: the loss of accuracy without it, and the gradient of the loss for its mask.

Shapes in einops letters: ``b`` image, ``h`` head, ``n`` token, ``d`` head_dim, ``e`` embed_dim.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vit.classes import require_classes
from vit.edits import Edits
from vit.explain.interventions.head_changes import Means, require_heads
from vit.explain.passes.inputs import gradients_enabled
from vit.explain.passes.sample import Progress, Sample, each_batch, each_batch_counted
from vit.model import EncoderBlock
from vit.networks import Block, Network, Transformer, blocks_of

Ablation = Literal["zero", "mean"]
Measure = Literal["accuracy", "loss", "gradient", "gradient-by-layer"]
Head = tuple[int, int]
"""Layer and head, from 0."""

ABLATIONS: tuple[Ablation, ...] = ("zero", "mean")
RANKING: tuple[Measure, ...] = ("loss", "gradient", "gradient-by-layer")
"""The measures used to rank heads. Accuracy is not among them, because it has ties."""

HEADS_MAX = 8
"""Number of ablated versions of a batch that run in one forward pass."""

SIGNIFICANCE = 0.05
"""Significance level: a difference with a larger p-value counts as within chance."""
_SIGMAS = 1.96  # the quantile of the normal distribution for this level, two-sided


# Outcomes and differences between them


@dataclass(frozen=True)
class Outcome:
    """The predictions of a model for labelled images.

    Attributes:
        right: ``(... b)`` bool, whether the predicted class is the true one.
        loss: ``(... b)``, cross-entropy in nats.
    """

    right: np.ndarray
    loss: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        return self.right.mean(axis=-1)

    @property
    def accuracy_error(self) -> np.ndarray:
        """The binomial standard error of the accuracy, ``(...)``."""
        return np.sqrt(self.accuracy * (1 - self.accuracy) / self.right.shape[-1])

    @property
    def mean_loss(self) -> np.ndarray:
        """Mean cross-entropy in nats, ``(...)``."""
        return self.loss.mean(axis=-1)

    def select(self, rows: slice) -> "Outcome":
        """Return the outcome of some of the images."""
        return Outcome(self.right[..., rows], self.loss[..., rows])

    def at(self, place: int) -> "Outcome":
        """Return one outcome of several, by its index along the first axis."""
        return Outcome(self.right[place], self.loss[place])


@dataclass(frozen=True)
class MeasuredValue:
    """A mean over images with its standard error.

    Attributes:
        value: ``(...)``.
        error: ``(...)``, the standard error; differences are paired, image by image.
        by_chance: ``(...)`` bool, whether the value does not differ significantly from 0. For accuracy this is an exact
            sign test on the images whose prediction became right or wrong (McNemar 1947), for the loss a normal
            approximation.
    """

    value: np.ndarray
    error: np.ndarray
    by_chance: np.ndarray


def accuracy_lost(before: Outcome, after: Outcome) -> MeasuredValue:
    """Return the drop in accuracy from ``before (b)`` to ``after (... b)``."""
    change = before.right.astype(int) - after.right
    value, error = _mean_and_error(change)
    by_chance = (
        np.vectorize(_sign_test, otypes=[float])((change > 0).sum(axis=-1), (change < 0).sum(axis=-1)) > SIGNIFICANCE
    )
    return MeasuredValue(value, error, by_chance)


def interval_of_accuracy_lost(before: Outcome, after: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper end of the 95% interval of :func:`accuracy_lost`, ``(...)`` each.

    It is the adjusted Wald interval of Bonett and Price (2012) for paired proportions: one image is added to those
    whose prediction became wrong and to those whose prediction became right. Unlike the mean with 1.96 standard errors,
    it covers the true value also if only a few predictions changed.
    """
    change = before.right.astype(int) - after.right
    images = change.shape[-1] + 2
    became_wrong, became_right = (((change == sign).sum(axis=-1) + 1) / images for sign in (1, -1))
    middle = became_wrong - became_right
    half = _SIGMAS * np.sqrt((became_wrong + became_right - middle**2) / images)
    return middle - half, middle + half


def loss_gained(before: Outcome, after: Outcome) -> MeasuredValue:
    """Return the rise of the loss in nats from ``before (b)`` to ``after (... b)``."""
    value, error = _mean_and_error(after.loss - before.loss)
    return MeasuredValue(value, error, np.abs(value) <= _SIGMAS * error)


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over the last axis and its standard error; for a single image the error is given as 0."""
    count = values.shape[-1]
    return values.mean(axis=-1), values.std(axis=-1, ddof=min(1, count - 1)) / math.sqrt(count)


def _sign_test(wins: int, losses: int) -> float:
    """Return the p-value of an exact two-sided sign test."""
    tosses, fewer = wins + losses, min(wins, losses)
    logs = (
        math.lgamma(tosses + 1) - math.lgamma(one + 1) - math.lgamma(tosses - one + 1) - tosses * math.log(2)
        for one in range(fewer + 1)
    )
    return min(1.0, 2 * sum(map(math.exp, logs)))


def measure_outcome(
    model: Network, sample: Sample, edits: Edits | None = None, progress: Progress | None = None
) -> Outcome:
    """Return the outcome of the model, with these changes, on all images of ``sample``; a CNN takes no changes.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    require_classes(model.config)

    @torch.no_grad()
    def run(images: Tensor, labels: Tensor) -> Outcome:
        return score_logits(model(images, edits=edits) if edits else model(images), labels)

    return concatenate_outcomes(each_batch(run, sample, progress))


def score_logits(logits: Tensor, labels: Tensor) -> Outcome:
    """Return the outcome of ``logits (... b k)`` for ``labels (b)``."""
    labels = labels.expand(logits.shape[:-1])
    loss = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="none").view(labels.shape)
    return Outcome((logits.argmax(dim=-1) == labels).cpu().numpy(), loss.cpu().numpy())


def concatenate_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    parts = (np.concatenate([getattr(one, name) for one in outcomes], axis=-1) for name in ("right", "loss"))
    return Outcome(*parts)


def stack_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """Stack several outcomes of the same images along a new first axis."""
    return Outcome(np.stack([one.right for one in outcomes]), np.stack([one.loss for one in outcomes]))


# The importance of every head


@dataclass(frozen=True)
class Importance:
    """The result of :func:`head_importance`, for each image.

    Attributes:
        before: the outcome of the unchanged model, ``(b)``.
        without: the outcome without each head, ``(depth h b)``, for each ablation.
        gradient: ``|dL/dxi|`` for each head's mask xi, ``(depth h b)``.
    """

    before: Outcome
    without: Mapping[Ablation, Outcome]
    gradient: np.ndarray

    @property
    def images(self) -> int:
        return len(self.before.loss)

    def select(self, rows: slice) -> "Importance":
        """Return the importance measured on some of the images."""
        without = {name: one.select(rows) for name, one in self.without.items()}
        return Importance(self.before.select(rows), without, self.gradient[..., rows])

    def estimate(self, measure: Measure, ablation: Ablation = "zero") -> MeasuredValue:
        """Return the importance of every head, ``(depth h)``.

        - ``accuracy``: drop in accuracy without the head;
        - ``loss``: rise of the cross-entropy without the head, in nats;
        - ``gradient``: E |dL/dxi| (Michel, Levy and Neubig 2019, section 4.1), for which ``ablation`` has no effect;
        - ``gradient-by-layer``: the gradient divided by its L2 norm over the heads of a layer, which the paper uses to
          rank heads.
        """
        match measure:
            case "accuracy":
                return accuracy_lost(self.before, self.without[ablation])
            case "loss":
                return loss_gained(self.before, self.without[ablation])
        value, error = _mean_and_error(self.gradient)
        if measure == "gradient-by-layer":
            norm = np.maximum(np.linalg.norm(value, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
            value, error = value / norm, error / norm
        return MeasuredValue(value, error, np.zeros(value.shape, dtype=bool))

    def order(self, measure: Measure, ablation: Ablation = "zero") -> tuple[Head, ...]:
        """Return all heads, the least important first."""
        value = self.estimate(measure, ablation).value
        return tuple(divmod(int(place), value.shape[1]) for place in value.argsort(axis=None, kind="stable"))


def head_importance(model: Network, sample: Sample, means: Means, progress: Progress | None = None) -> Importance:
    """Measure the effect of ablating each head, and the gradient of the loss with respect to each head's mask.

    The mask xi of a head multiplies its output Att. At xi = 1, dL/dxi = Attᵀ dL/dAtt, so one backward pass gives the
    gradients of all heads. Ablating a head does not change the layers before it, so their tokens are computed once, and
    all ablated versions of a layer run from there in one batch.

    Args:
        model: in eval mode; it is not changed.
        sample: the labelled images.
        means: the mean outputs that replace a head's output in mean ablation.
        progress: called with (done, total) in batches and layers.

    Raises:
        ExplainError: a TypeError; the model has no heads, or no classes.
    """
    model = require_heads(model)
    require_classes(model.config)
    depth = model.config.depth

    def measure(images: Tensor, labels: Tensor, count: Callable[[], None]) -> Importance:
        entering, heads, before, gradient = _observe(model, images, labels)
        layers: dict[Ablation, list[Outcome]] = {ablation: [] for ablation in ABLATIONS}
        for layer in range(depth):
            for ablation in ABLATIONS:
                output = means.heads[layer] if ablation == "mean" else None
                layers[ablation].append(without_each_head(model, entering[layer], heads[layer], labels, layer, output))
            count()
        return Importance(before, {name: stack_outcomes(ones) for name, ones in layers.items()}, gradient)

    parts = each_batch_counted(measure, sample, depth, progress)
    return Importance(
        concatenate_outcomes([part.before for part in parts]),
        {name: concatenate_outcomes([part.without[name] for part in parts]) for name in ABLATIONS},
        np.concatenate([part.gradient for part in parts], axis=-1),
    )


def _observe(
    model: Transformer, images: Tensor, labels: Tensor
) -> tuple[list[Tensor], list[Tensor], Outcome, np.ndarray]:
    """Return what enters each layer and its heads' outputs, the model's outcome, and ``|dL/dxi| (depth h b)``."""
    with torch.no_grad():
        tokens = model.embed(images)
    record: dict = {"layers": []}
    with gradients_enabled():
        logits = model.classify(model.blocks(tokens.requires_grad_(), record))
        loss = F.cross_entropy(logits, labels, reduction="sum")  # images are independent of each other
    layers = record["layers"]
    slopes = torch.autograd.grad(loss, [layer["heads"] for layer in layers])
    pairs = zip(layers, slopes, strict=True)
    gradient = torch.stack([(layer["heads"] * slope).sum(dim=(2, 3)).abs().T for layer, slope in pairs])
    entering = [tokens, *(layer["tokens"] for layer in layers[:-1])]
    outcome = score_logits(logits.detach(), labels)
    heads = [layer["heads"].detach() for layer in layers]
    return [one.detach() for one in entering], heads, outcome, gradient.detach().cpu().numpy()


@torch.no_grad()
def without_each_head(
    model: Transformer, tokens: Tensor, heads: Tensor, labels: Tensor, layer: int, output: Tensor | None = None
) -> Outcome:
    """Return the outcome of a model with each head of one layer ablated: ``(h b)``.

    The heads' attention does not change, so that only the rest of the layer and the layers after it are computed.

    Args:
        model: a transformer with classes, in eval mode.
        tokens: ``(b n e)``, what enters the layer.
        heads: ``(b h n d)``, what its heads return for these tokens.
        labels: ``(b)``, the true classes.
        layer: number of the layer, from 0.
        output: ``(h n d)``, what replaces the output of a head; None means zeros.
    """
    # A network with a class token reads this token alone, so that the last layer computes no other.
    first = 1 if model.pool == "cls" else None
    needed = first if layer == len(model.blocks) - 1 else None
    tokens, heads = tokens[:, :needed], heads[:, :, :needed]
    b, h = heads.shape[:2]
    block, found = blocks_of(model)[layer], []
    for ablated in torch.arange(h, device=tokens.device).split(HEADS_MAX):
        kept = heads.repeat(len(ablated), 1, 1, 1)
        for index, head in enumerate(ablated.tolist()):
            kept[index * b : (index + 1) * b, head] = 0 if output is None else output[head, :needed]
        after = finish_block(block, tokens.repeat(len(ablated), 1, 1), kept)
        logits = model.classify(model.blocks(after, start=layer + 1, first=first))
        found.append(score_logits(logits.view(len(ablated), b, -1), labels))
    return Outcome(np.concatenate([one.right for one in found]), np.concatenate([one.loss for one in found]))


def finish_block(block: Block, tokens: Tensor, heads: Tensor) -> Tensor:
    """Return the tokens after a block in eval mode, ``(b n e)``, from the outputs of its heads.

    Args:
        block: an encoder block of any network.
        tokens: ``(b n e)``, what enters the block.
        heads: ``(b h n d)``.
    """
    out = rearrange(heads, "b h n d -> b n (h d)")
    if block.attn.proj is not None:
        out = block.attn.proj(out)
    if isinstance(block, EncoderBlock):
        tokens = tokens + block.ls1(out)
        return tokens + block.ls2(block.mlp(block.norm2(tokens)))
    tokens = tokens + out
    return tokens + block.mlp(block.norm2(tokens))
