"""Changes that a user makes to heads: as :data:`vit.edits.Edits` for the model, and as short text for a link.

Shapes in einops letters: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d`` head_dim.
"""

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vit.edits import BlockEdit, Edits
from vit.errors import ExplainError, SettingsError
from vit.explain.passes.sample import Progress, Sample, each_batch
from vit.explain.recording import Record, Recordable, attention_arrays, capture, class_probabilities
from vit.networks import Network, Transformer

ChangeKind = Literal["zero", "mean", "uniform", "mean-pattern", "temperature"]

LETTERS: dict[ChangeKind, str] = {"zero": "z", "mean": "m", "uniform": "u", "mean-pattern": "p", "temperature": "t"}
"""The letter of each kind of change in a link."""

NEED_MEANS: tuple[ChangeKind, ...] = ("mean", "mean-pattern")
"""The kinds that use means over validation images."""

TEMPERATURES = (0.01, 100.0)
"""Minimum and maximum of a temperature."""

_TEXT = re.compile(r"([1-9]\d{0,3})\.([1-9]\d{0,3})([zmup]|t(\d{1,3}(?:\.\d{1,8})?))")


@dataclass(frozen=True)
class Change:
    """A change to one head.

    Attributes:
        layer, head: numbers from 1.
        kind: ``zero``: the output is zero; ``mean``: the output is its mean over validation images at each position;
            ``uniform``: the attention is uniform; ``mean-pattern``: the attention is its mean over validation images;
            ``temperature``: the scores are divided by ``temperature`` before the softmax.
        temperature: used only by this kind. Below 1 it sharpens the attention, above 1 it flattens it.

    Raises:
        SettingsError: the temperature is out of bounds.
    """

    layer: int
    head: int
    kind: ChangeKind
    temperature: float = 1.0

    def __post_init__(self) -> None:
        low, high = TEMPERATURES
        if not low <= self.temperature <= high:
            raise SettingsError(f"temperature = {self.temperature:g} is out of bounds: choose {low:g} to {high:g}.")

    @property
    def text(self) -> str:
        """The change as short text, such as ``1.2z`` or ``2.4t0.5``."""
        value = f"{self.temperature:g}" if self.kind == "temperature" else ""
        return f"{self.layer}.{self.head}{LETTERS[self.kind]}{value}"


def changes_to_text(changes: Iterable[Change]) -> str:
    """Write changes for a link, in the order of their heads: ``1.2z-2.3u-2.4t0.5``."""
    return "-".join(change.text for change in sorted(changes, key=lambda one: (one.layer, one.head)))


def changes_from_text(text: str, depth: int, num_heads: int) -> tuple[Change, ...]:
    """Read the changes that :func:`changes_to_text` wrote, for ``depth`` layers of ``num_heads`` heads.

    Raises:
        SettingsError: the text is malformed, a head does not exist, or a head has two changes.
    """
    found: dict[tuple[int, int], Change] = {}
    kinds = {letter: kind for kind, letter in LETTERS.items()}
    for part in text.split("-") if text else ():
        match = _TEXT.fullmatch(part)
        if match is None:
            raise SettingsError(
                f"{part!r} is not a change: write layer.head and a letter, such as 1.2z, and - between changes."
            )
        layer, head = int(match[1]), int(match[2])
        if layer > depth or head > num_heads:
            raise SettingsError(
                f"{part!r} is a head that does not exist: this model has layers 1 to {depth} with heads 1 to "
                f"{num_heads}."
            )
        if (layer, head) in found:
            raise SettingsError(f"{part!r} changes a head that already has a change: each head can have only one.")
        found[layer, head] = Change(layer, head, kinds[match[3][0]], float(match[4] or 1))
    return tuple(found.values())


@dataclass(frozen=True)
class Means:
    """Means over validation images.

    Attributes:
        heads: ``(depth h n d)``, mean output of each head.
        attention: ``(depth h n m)``, mean attention.
        images: number of images.
    """

    heads: Tensor
    attention: Tensor
    images: int


def validation_means(model: Network, sample: Sample, progress: Progress | None = None) -> Means:
    """Return the mean output and the mean attention of every head over all images of ``sample``.

    Raises:
        ExplainError: a TypeError; the model has no heads.
    """
    model = require_heads(model)

    sums: dict[tuple[str, int], Tensor] = {}
    adding = threading.Lock()

    @torch.no_grad()
    def add(images: Tensor, _: Tensor) -> None:
        record: dict = {}
        model(images, record=record)
        # All batches add to one sum, because a large model's tensors are large. The sum is in double precision, so
        # that the order of the batches, which varies, does not matter.
        with adding:
            for index, layer in enumerate(record["layers"]):
                for name in ("heads", "attention"):
                    part = layer[name].sum(dim=0).cpu().double()
                    sums[name, index] = sums[name, index].add_(part) if (name, index) in sums else part

    each_batch(add, sample, progress)

    def mean(name: str) -> Tensor:
        layers = [(sums.pop((name, index)) / sample.images).float() for index in range(model.config.depth)]
        return torch.stack(layers).to(sample.device)

    return Means(mean("heads"), mean("attention"), sample.images)


def to_edits(model: Network, changes: Iterable[Change], means: Means | None = None) -> Edits:
    """Return the ``edits`` argument of the model's ``forward`` for these changes, for any batch size.

    Uniform attention is 1/n everywhere, so both rows and columns sum to 1, whichever the softmax runs over.

    Args:
        model: a transformer.
        changes: at most one for each head.
        means: from :func:`validation_means`; the kinds in :data:`NEED_MEANS` need them.

    Raises:
        ExplainError: a TypeError; the model has no heads.
        ValueError: means are needed but missing.
    """
    model = require_heads(model)
    by_layer: dict[int, list[Change]] = {}
    for change in changes:
        if change.kind in NEED_MEANS and means is None:
            raise ValueError(f"the change {change.text} needs the means over validation images: give means.")
        by_layer.setdefault(change.layer - 1, []).append(change)
    return {layer: _edit(model, layer, ones, means) for layer, ones in sorted(by_layer.items())}


def require_heads(model: Network) -> Transformer:
    """Return the model as a transformer; raise an ExplainError (a TypeError) if it has no heads."""
    if not isinstance(model, Recordable):
        raise ExplainError(
            f"{type(model).__name__} has no attention heads to change; cover or shuffle patches of the image instead."
        )
    return model


def _edit(model: Transformer, layer: int, changes: list[Change], means: Means | None) -> BlockEdit:
    h, n = model.config.num_heads, model.config.num_tokens
    device = next(model.parameters()).device

    def marked(*kinds: ChangeKind) -> Tensor | None:
        """Return 1 for the heads that have one of these changes, ``(1 h 1 1)``; None if no head has."""
        heads = [change.head - 1 for change in changes if change.kind in kinds]
        mask = torch.zeros(1, h, 1, 1, device=device)
        mask[:, heads] = 1
        return mask if heads else None

    temperature = pattern = output = None
    if marked("temperature") is not None:
        temperature = torch.ones(1, h, 1, 1, device=device)
        for change in changes:
            temperature[:, change.head - 1] = change.temperature
    replaced = marked("uniform", "mean-pattern")
    if replaced is not None:
        pattern = torch.full((1, h, n, n), 1 / n, device=device)
        if (by_mean := marked("mean-pattern")) is not None:
            assert means is not None  # to_edits has checked this
            pattern = torch.lerp(pattern, means.attention[layer].to(device), by_mean)
    ablated = marked("zero", "mean")
    if (by_mean := marked("mean")) is not None:
        assert means is not None
        output = means.heads[layer].to(device) * by_mean
    return BlockEdit(temperature, pattern, replaced, output, ablated)


@dataclass(frozen=True)
class ModelOutput:
    """The output of a model, with or without changes, for one image.

    Attributes:
        probabilities: ``(num_classes)``; empty for a model without classes.
        attention: ``(depth h n m)`` float32; None for a network without heads.
        record: the record without its layers, which tells how to read the attention; None if that is None.
    """

    probabilities: np.ndarray
    attention: np.ndarray | None = None
    record: Record | None = None


def output_similarity(before: ModelOutput, after: ModelOutput) -> float:
    """Return the cosine similarity of the features before and after a change, for a network without classes."""
    assert before.record is not None  # a network without classes is a transformer
    assert after.record is not None
    return torch.cosine_similarity(before.record.logits[0], after.record.logits[0], dim=0).item()


def run_with_edits(model: Network, images: Tensor, edits: Edits | None = None) -> ModelOutput:
    """Run the first of ``images (b c h w)``, normalised, through the model with these changes.

    Raises:
        ExplainError: a TypeError; there are changes, but the model has no heads.
    """
    images = images[:1].to(next(model.parameters()).device)
    if isinstance(model, Recordable):
        record = capture(model, images, edits=edits)
        slim = replace(record, layers=(), embedded=record.embedded[:0])  # the large tensors are no longer needed
        return ModelOutput(class_probabilities(model, record.logits)[0], attention_arrays(record), slim)
    if edits:
        require_heads(model)
    with torch.no_grad():
        return ModelOutput(class_probabilities(model, model(images))[0])
