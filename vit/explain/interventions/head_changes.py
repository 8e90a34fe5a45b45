"""From what a person changes in a model's heads to :data:`vit.edits.Edits`, and back to a few letters for a link.

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

from vit.edits import Edits, HeadEdit
from vit.errors import ExplainError, SettingsError
from vit.explain.passes.sample import Progress, Sample, each_batch
from vit.explain.recording import Record, Recordable, attention_arrays, capture, class_probabilities
from vit.networks import Network, Transformer

ChangeKind = Literal["zero", "mean", "uniform", "mean-pattern", "temperature"]

LETTERS: dict[ChangeKind, str] = {"zero": "z", "mean": "m", "uniform": "u", "mean-pattern": "p", "temperature": "t"}
"""What each kind of change is called in a link."""

NEED_MEANS: tuple[ChangeKind, ...] = ("mean", "mean-pattern")
"""The kinds that put a mean over validation images in place of what a head does."""

TEMPERATURES = (0.01, 100.0)
"""The smallest and the largest temperature that a change may have."""

_TEXT = re.compile(r"([1-9]\d{0,3})\.([1-9]\d{0,3})([zmup]|t(\d{1,3}(?:\.\d{1,8})?))")


@dataclass(frozen=True)
class Change:
    """What is done to one head.

    Attributes:
        layer, head: from 1.
        kind: ``zero``, the head hands on nothing; ``mean``, its mean output over validation images, position by
            position; ``uniform``, it attends to every token alike; ``mean-pattern``, it attends as it does on average
            over validation images; ``temperature``, what its softmax is taken of is divided by ``temperature``.
        temperature: of that kind alone; below 1 sharpens, above 1 flattens.

    Raises:
        SettingsError: a temperature out of bounds.
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
        """The change in a few letters, such as ``1.2z`` or ``2.4t0.5``."""
        value = f"{self.temperature:g}" if self.kind == "temperature" else ""
        return f"{self.layer}.{self.head}{LETTERS[self.kind]}{value}"


def changes_to_text(changes: Iterable[Change]) -> str:
    """Changes in the order of their heads, for a link: ``1.2z-2.3u-2.4t0.5``."""
    return "-".join(change.text for change in sorted(changes, key=lambda one: (one.layer, one.head)))


def changes_from_text(text: str, depth: int, num_heads: int) -> tuple[Change, ...]:
    """The changes that :func:`changes_to_text` wrote, for a model of ``depth`` layers of ``num_heads`` heads.

    Raises:
        SettingsError: the text has another form, names a head that is not there, or names one twice.
    """
    found: dict[tuple[int, int], Change] = {}
    kinds = {letter: kind for kind, letter in LETTERS.items()}
    for part in text.split("-") if text else ():
        match = _TEXT.fullmatch(part)
        if match is None:
            raise SettingsError(
                f"{part!r} names no change: write layer.head and a letter, such as 1.2z, and - between changes."
            )
        layer, head = int(match[1]), int(match[2])
        if layer > depth or head > num_heads:
            raise SettingsError(
                f"{part!r} names a head that is not there: this model has layers 1 to {depth} of heads 1 to "
                f"{num_heads}."
            )
        if (layer, head) in found:
            raise SettingsError(f"{part!r} changes a head that was named before: each head can have one change.")
        found[layer, head] = Change(layer, head, kinds[match[3][0]], float(match[4] or 1))
    return tuple(found.values())


@dataclass(frozen=True)
class Means:
    """Means over validation images.

    Attributes:
        heads: ``(depth h n d)``, what each head hands on.
        attention: ``(depth h n m)``.
        images: so many were averaged.
    """

    heads: Tensor
    attention: Tensor
    images: int


def validation_means(model: Network, sample: Sample, progress: Progress | None = None) -> Means:
    """What every head hands on, and its attention, averaged over all images of ``sample``.

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
        with adding:  # one sum of all batches, since a large model's are large; double, so their order is no matter
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
    """The argument of the model's ``forward`` that makes the changes, for a batch of any size.

    The even pattern is 1/n everywhere, so that rows and columns sum to 1 alike: it is even whichever of them the
    softmax runs over.

    Args:
        changes: at most one for each head.
        means: of :func:`validation_means`; the kinds in :data:`NEED_MEANS` need them.

    Raises:
        ExplainError: a TypeError; the model has no heads.
        ValueError: means are needed and not there.
    """
    model = require_heads(model)
    by_layer: dict[int, list[Change]] = {}
    for change in changes:
        if change.kind in NEED_MEANS and means is None:
            raise ValueError(f"{change.text} puts a mean in place of what the head does: give the means.")
        by_layer.setdefault(change.layer - 1, []).append(change)
    return {layer: _edit(model, layer, ones, means) for layer, ones in sorted(by_layer.items())}


def require_heads(model: Network) -> Transformer:
    """Return the model, which is a transformer; raise an ExplainError, a TypeError, if it has no heads."""
    if not isinstance(model, Recordable):
        raise ExplainError(
            f"{type(model).__name__} has no attention heads to change; cover or shuffle patches of the image instead."
        )
    return model


def _edit(model: Transformer, layer: int, changes: list[Change], means: Means | None) -> HeadEdit:
    h, n = model.config.num_heads, model.config.num_tokens
    device = next(model.parameters()).device

    def marked(*kinds: ChangeKind) -> Tensor | None:
        """1 for the heads that have one of these changes, ``(1 h 1 1)``; None where none has."""
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
            assert means is not None  # to_edits refuses these kinds without
            pattern = torch.lerp(pattern, means.attention[layer].to(device), by_mean)
    ablated = marked("zero", "mean")
    if (by_mean := marked("mean")) is not None:
        assert means is not None
        output = means.heads[layer].to(device) * by_mean
    return HeadEdit(temperature, pattern, replaced, output, ablated)


@dataclass(frozen=True)
class ModelOutput:
    """What a model, changed or not, made of one image.

    Attributes:
        probabilities: ``(num_classes)``; none of a model without classes.
        attention: ``(depth h n m)`` float32; None of a network without heads.
        record: how the attention is to be read, without the layers; None with it.
    """

    probabilities: np.ndarray
    attention: np.ndarray | None = None
    record: Record | None = None


def output_similarity(before: ModelOutput, after: ModelOutput) -> float:
    """The cosine between what the network gave before a change and after: of one without classes, its features."""
    assert before.record is not None  # a network without classes is a transformer
    assert after.record is not None
    return torch.cosine_similarity(before.record.logits[0], after.record.logits[0], dim=0).item()


def run_with_edits(model: Network, images: Tensor, edits: Edits | None = None) -> ModelOutput:
    """Run the first of ``images (b c h w)``, normalised, through the model with these changes.

    Raises:
        ExplainError: a TypeError; changes, and a model without heads.
    """
    images = images[:1].to(next(model.parameters()).device)
    if isinstance(model, Recordable):
        record = capture(model, images, edits=edits)
        slim = replace(record, layers=(), embedded=record.embedded[:0])  # the rest is large, and was used
        return ModelOutput(class_probabilities(model, record.logits)[0], attention_arrays(record), slim)
    if edits:
        require_heads(model)
    with torch.no_grad():
        return ModelOutput(class_probabilities(model, model(images))[0])
