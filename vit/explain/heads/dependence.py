"""Attention dependence: how much a network's accuracy depends on its attention.

Shapes in einops letters: ``b`` image, ``h`` head, ``n`` token (query), ``m`` token (key), ``p`` patch, ``e`` embed_dim.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor

from vit.classes import require_classes
from vit.config import TransformerConfig
from vit.data import load
from vit.data.records import Split
from vit.edits import BlockEdit
from vit.explain.familiarity import grey_probabilities
from vit.explain.heads.ablation import (
    HEADS_MAX,
    Outcome,
    accuracy_lost,
    concatenate_outcomes,
    finish_block,
    interval_of_accuracy_lost,
    measure_outcome,
    score_logits,
    stack_outcomes,
    without_each_head,
)
from vit.explain.interventions.head_changes import require_heads
from vit.explain.passes.memory import recording_batch_size, require_room
from vit.explain.passes.parallel import Meter, in_parallel
from vit.explain.passes.sample import Progress, Sample, sample
from vit.explain.recording import Record, capture_tokens
from vit.networks import Network, Transformer, blocks_of
from vit.runs import Run
from vit.runs.dependence import Dependence, HeadDependence
from vit.runs.weights import CheckpointInfo, load_checkpoint

IMAGES = 1000
"""Number of images on which a run is measured, if it has as many."""


def passes(config: TransformerConfig) -> float:
    """Return how many forward passes the measurement of one image takes.

    One records the maps; three have no heads, uniform and mean patterns; and each head is zeroed once, from its layer
    to the last.
    """
    return 4 + config.num_heads * (config.depth + 1) / 2


def measure_run(run: Run, *, count: int = IMAGES, device: str = "cpu", progress: Progress | None = None) -> Dependence:
    """Measure the kept weights of a run on its own validation images; nothing is written.

    Args:
        run: a run with weights.
        count: number of images, a stratified sample that is always the same; all if there are fewer.
        device: where to compute.
        progress: called with (done, total).

    Raises:
        UserError: the network has no heads or no classes, its attention takes too much memory, or the weights or the
            images are missing.
    """
    model, info = load_checkpoint(run.path, device=device)
    require_heads(model)
    require_classes(model.config)
    require_room(model.config)
    split = load(run.config.data, splits=("val",)).val
    assert split is not None  # it was asked for
    return attention_dependence(model, choose_images(model, info, split, count), progress=progress)


def choose_images(model: Network, info: CheckpointInfo, split: Split, count: int = IMAGES) -> Sample:
    """Return the sample of a split to measure on; a GPU gets batches as large as its memory allows."""
    chosen = sample(model, info, split, count)
    if chosen.device.type == "cpu":
        return chosen
    return replace(chosen, size=max(chosen.size, min(count, recording_batch_size(model) // HEADS_MAX)))


def attention_dependence(
    model: Network, sample: Sample, means: Tensor | None = None, progress: Progress | None = None
) -> Dependence:
    """Measure how much the accuracy of a network depends on its attention.

    Changing the heads of a layer does not change the layers before it, so their tokens are computed once for each
    batch. Memory holds the maps of one layer for one batch, and the mean map of every head.

    Args:
        model: in eval mode; it is not changed.
        sample: the labelled images. If their split has masks of the objects, the attention inside them is measured.
        means: ``(depth h n m)``, the mean attention of each head; None means over the images of ``sample``.
        progress: called with (done, total) in batches and layers.

    Raises:
        ExplainError: a TypeError; the model has no heads, or no classes.
    """
    model = require_heads(model)
    require_classes(model.config)
    begun = time.perf_counter()
    depth, second = model.config.depth, len(sample)
    total = len(sample) * (depth + 1) + second

    def first_sweep(done: int, _: int) -> None:
        if progress is not None:
            progress(done, total)

    def second_sweep(done: int, _: int) -> None:
        if progress is not None:
            progress(total - second + done, total)

    sweep = _Sweep(model, sample, keep_means=means is None)
    meter = Meter(total - second)
    workers = None if sample.device.type == "cpu" else 1  # a GPU takes one batch at a time
    parts = in_parallel(
        lambda step: sweep.measure(step, meter), range(len(sample)), meter, first_sweep, workers=workers
    )
    if means is None:
        means = sweep.means()
    # Without heads and with uniform attention the first sweep has the outcome; the mean maps are known only now.
    one = torch.ones((), device=sample.device)
    on_device = enumerate(mean.to(sample.device) for mean in means)
    patterns = {layer: BlockEdit(pattern=pattern, replaced=one) for layer, pattern in on_device}
    by_mean = measure_outcome(model, sample, patterns, second_sweep)
    grey = float(grey_probabilities(model, sample.mean, sample.std).max())
    return _result(parts, by_mean, np.asarray(sample.split.labels)[sample.rows], grey, time.perf_counter() - begun)


@dataclass(frozen=True)
class _Part:
    """What one batch contributes; sums over its images.

    Attributes:
        before, without_heads, even: outcomes ``(b)``.
        without_each: the outcome without each head, ``(depth h b)``.
        inside: ``(depth h)``, the share of attention inside the object, summed over the images with an object.
        area: the area of the object, summed over these images.
        objects: number of these images; 0 if the maps are not measured.
        correlation, pairs: ``(depth)``, the sum of correlations, and how many these are.
    """

    before: Outcome
    without_heads: Outcome
    even: Outcome
    without_each: Outcome
    inside: np.ndarray
    area: float
    objects: int
    correlation: np.ndarray
    pairs: np.ndarray


class _Sweep:
    """One pass over the images, with all changes that need no means.

    Args:
        keep_means: also sum the attention of every head, for :meth:`means`.
    """

    def __init__(self, model: Transformer, sample: Sample, *, keep_means: bool) -> None:
        self.model, self.sample = model, sample
        self.layout: Record = capture_tokens(model, torch.zeros(1, *_shape(model)))
        # If columns sum to 1, the summary's map is uniform in every head, and so are all correlations undefined. If
        # positions are mixed elsewhere, what lies at a patch need not come from it.
        self.has_maps = self.layout.normalised_over == "key"
        self.has_places = self.has_maps and not self.layout.mixes_positions
        n, one = model.config.num_tokens, torch.ones((), device=sample.device)
        layers = range(model.config.depth)
        self.even = dict.fromkeys(layers, BlockEdit(pattern=torch.full((n, n), 1 / n, device=one.device), replaced=one))
        self.sums: list[Tensor] | None = [torch.zeros((), dtype=torch.float64) for _ in layers] if keep_means else None
        self.adding = threading.Lock()

    def means(self) -> Tensor:
        """Return the mean attention of every head, ``(depth h n m)``."""
        assert self.sums is not None  # asked for
        return torch.stack([(total / self.sample.images).float() for total in self.sums])

    @torch.no_grad()
    def measure(self, step: int, meter: Meter) -> _Part:
        """Measure one batch; ``meter`` counts its layers and one more step."""
        model = self.model
        images, labels = self.sample.batch(step)
        weights, objects = self._objects(step)
        entering = tokens = headless = model.embed(images)
        each, inside, correlations, pairs = [], [], [], []
        for layer, block in enumerate(blocks_of(model)):
            record: dict = {}
            after = block(tokens, record)
            attention, heads = record["attention"], record["heads"]
            if self.sums is not None:
                total = attention.sum(dim=0).cpu().double()
                with self.adding:  # in double precision, so that the order of the batches does not matter
                    self.sums[layer] = self.sums[layer] + total
            maps = attention[:, :, self.layout.summary_rows].mean(dim=2)[..., self.layout.prefix_tokens :]
            inside.append(_share_inside(maps[objects], weights[objects]).cpu().numpy())
            correlation, count = pairwise_correlation(maps) if self.has_maps else (0.0, 0)
            correlations.append(correlation)
            pairs.append(count)
            del record, attention, maps  # before the passes with many versions of the batch
            each.append(without_each_head(model, tokens, heads, labels, layer))
            headless = finish_block(block, headless, torch.zeros_like(heads))
            tokens = after
            meter.add(1)
        even = model.classify(model.blocks(entering, None, self.even))
        meter.add(1)
        return _Part(
            before=score_logits(model.classify(tokens), labels),
            without_heads=score_logits(model.classify(headless), labels),
            even=score_logits(even, labels),
            without_each=stack_outcomes(each),
            inside=np.stack(inside),
            area=float(weights[objects].mean(dim=-1).sum()),
            objects=int(objects.sum()),
            correlation=np.array(correlations),
            pairs=np.array(pairs),
        )

    def _objects(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the share of each patch that the object covers, ``(b p)``, and which images have an object, ``(b)``.

        Without masks, and where maps do not show what a token attends to, no image counts as having an object.
        """
        rows = self.sample.rows[step * self.sample.size : (step + 1) * self.sample.size]
        masks, grid = self.sample.split.masks, self.layout.grid
        if masks is None or not self.has_places:
            empty = torch.zeros(len(rows), grid[0] * grid[1], device=self.sample.device)
            return empty, empty.any(dim=-1)
        pixels = torch.from_numpy(np.asarray(masks[rows], dtype=np.float32)).to(self.sample.device)
        weights = F.adaptive_avg_pool2d(pixels[:, None], grid).flatten(1)
        return weights, (weights > 0).any(dim=-1)


def _shape(model: Transformer) -> tuple[int, int, int]:
    config = model.config
    return config.in_channels, config.image_size, config.image_size


def _share_inside(maps: Tensor, weights: Tensor) -> Tensor:
    """Return the share of ``maps (b h p)`` inside the object, where it covers ``weights (b p)``: summed, ``(h)``."""
    inside = einsum(maps, weights, "b h p, b p -> b h")
    return (inside / maps.sum(dim=-1).clamp(min=torch.finfo(maps.dtype).tiny)).sum(dim=0)


def pairwise_correlation(maps: Tensor) -> tuple[float, int]:
    """Return the sum of the Pearson correlations of all pairs of heads, over images, and the number of pairs.

    Args:
        maps: ``(b h p)``. A pair with a uniform map has no correlation and is left out.
    """
    apart = maps.double() - maps.double().mean(dim=-1, keepdim=True)
    length = apart.norm(dim=-1, keepdim=True)
    varies = length[..., 0] > 1e-5 * maps.double().norm(dim=-1)  # b h; less is rounding
    unit = apart / length.clamp(min=torch.finfo(torch.float64).tiny)
    correlation = einsum(unit, unit, "b h p, b g p -> b h g")
    both = (varies[:, :, None] & varies[:, None, :]).triu(diagonal=1)
    return float(correlation[both].sum()), int(both.sum())


def _result(parts: Sequence[_Part], by_mean: Outcome, labels: np.ndarray, grey: float, seconds: float) -> Dependence:
    """Return the measurement over all batches."""
    before = concatenate_outcomes([part.before for part in parts])
    without = concatenate_outcomes([part.without_each for part in parts])
    lost, (low, high) = accuracy_lost(before, without), interval_of_accuracy_lost(before, without)
    objects = sum(part.objects for part in parts)
    inside = np.sum([part.inside for part in parts], axis=0) / objects if objects else None
    correlation = np.sum([part.correlation for part in parts], axis=0)
    pairs = np.sum([part.pairs for part in parts], axis=0)
    depth, heads = lost.value.shape
    return Dependence(
        images=len(labels),
        chance=float(np.bincount(labels).max() / len(labels)),
        accuracy=float(before.accuracy),
        without_heads=float(concatenate_outcomes([part.without_heads for part in parts]).accuracy),
        even_patterns=float(concatenate_outcomes([part.even for part in parts]).accuracy),
        mean_patterns=float(by_mean.accuracy),
        layers=tuple(
            tuple(
                HeadDependence(
                    lost=float(lost.value[at]),
                    error=float(lost.error[at]),
                    low=max(-1.0, float(low[at])),
                    high=min(1.0, float(high[at])),
                    inside=None if inside is None else min(1.0, float(inside[at])),
                )
                for at in ((layer, head) for head in range(heads))
            )
            for layer in range(depth)
        ),
        object_area=sum(part.area for part in parts) / objects if objects else None,
        variety=tuple(
            max(-1.0, min(1.0, float(correlation[layer] / pairs[layer]))) if pairs[layer] else None
            for layer in range(depth)
        ),
        grey=min(1.0, grey),
        seconds=seconds,
    )
