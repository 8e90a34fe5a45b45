"""Measure all heads over many images: attention entropy, distance, targets, and the images with the most effect.

Shapes in einops letters: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d`` head_dim, ``e``
embed_dim.
"""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor

from vit.data.batches import normalise
from vit.data.records import Split
from vit.data.sampling import spread
from vit.errors import DataError, ExplainError
from vit.explain.heads.portrait_result import FOCUS_QUERIES, FOCUS_TIMES, Portraits, patch_distances
from vit.explain.recording import MIXED_POSITIONS, OVER_QUERIES, Record, Recordable, capture
from vit.model import LayerScale
from vit.networks import Block, Network, Transformer, blocks_of

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

BATCH_MAX = 128
BATCH_BYTES = 16e6
"""Maximum size of one layer's attention for a batch; a few copies of it exist at the same time."""

Progress = Callable[[int, int], None]


def require_attention_rows(model: Network) -> Transformer:
    """Return the model as a transformer in which row n of the attention is what token n attends to.

    Raises:
        ExplainError: a TypeError; the model has no attention, or the rows have another meaning.
    """
    if not isinstance(model, Recordable):
        raise ExplainError("This network is convolutional and has no heads: choose the run of a transformer.")
    mixed = MIXED_POSITIONS if model.mixes_positions else ""
    over = OVER_QUERIES if model.normalised_over == "query" else ""
    if mixed or over:
        raise ExplainError(f"{mixed} {over}".strip() + " So its heads cannot be described by what they attend to.")
    return model


@torch.inference_mode()
def portraits(
    model: Network,
    info: "CheckpointInfo",
    split: Split,
    *,
    count: int | None = None,
    class_names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Portraits:
    """Measure all heads of a model in one pass over images of a split.

    Memory holds the attention of only one layer for one batch, so it does not grow with depth or images.

    Args:
        model: a transformer.
        info: normalisation and class names of the model.
        split: labelled images.
        count: number of images, a stratified sample that is always the same; None means all.
        class_names: names of the split's labels if they are not the model's classes.
        progress: called with (done, total) after each layer of a batch.

    Raises:
        ExplainError: a TypeError; the model has no attention, or its rows are not what a token attends to.
        DataError: the split is empty, or ``count`` is below its number of classes.
    """
    model = require_attention_rows(model)
    if not len(split):
        raise DataError("There are no validation images to measure the heads on: add some to the data set.")
    images = spread(np.asarray(split.labels), count, seed=0)
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model
    device = next(model.parameters()).device

    def load(chosen: np.ndarray) -> Tensor:
        return normalise(torch.from_numpy(split.images[chosen]).to(device), info.mean, info.std)

    record = capture(model, load(images[:1]))
    depth, (heads, tokens) = len(record.layers), record.layers[0].attention.shape[1:3]
    patch = split.images.shape[-1] / record.grid[1]
    layers = [_LayerSums(block, record, heads, patch) for block in blocks_of(model)]
    size = int(np.clip(BATCH_BYTES / (4 * heads * tokens**2), 1, BATCH_MAX))
    picture = np.zeros(split.images.shape[1:])
    for start in range(0, len(images), size):
        chosen = images[start : start + size]
        picture += split.images[chosen].sum(axis=0)
        x = model.embed(load(chosen))
        for index, layer in enumerate(layers):
            x = layer.measure(x)
            if progress is not None:
                progress(start * depth + len(chosen) * (index + 1), len(images) * depth)
    means = [layer.means(len(images)) for layer in layers]
    return Portraits(
        images=images,
        labels=np.asarray(split.labels)[images],
        class_names=info.class_names if class_names is None else tuple(class_names),
        grid=record.grid,
        prefix_tokens=record.prefix_tokens,
        pool=record.pool,
        summary_rows=record.summary_rows,
        patch=patch,
        picture=np.moveaxis(picture / len(images), 0, -1).round().astype(np.uint8),
        strength=np.stack([np.concatenate(layer.strengths) for layer in layers], axis=1),
        **{name: np.stack([one[name] for one in means]) for name in means[0]},
    )


def head_gram(block: Block, heads: int) -> Tensor | None:
    """Return Wᵀ W for the output projection W of each head, which gives the norms ‖W v‖² = vᵀ (Wᵀ W) v.

    Returns:
        ``(h d d)``, with the block's layer scale; None if the network has no output projection.
    """
    if block.attn.proj is None:
        return None
    weight = block.attn.proj.weight.double()  # e (h d)
    if isinstance(scale := getattr(block, "ls1", None), LayerScale):
        weight = weight * scale.gamma.double()[:, None]
    weight = rearrange(weight, "e (h d) -> h e d", h=heads)
    return einsum(weight, weight, "h e d, h e c -> h d c").float()


def _lengths(values: Tensor, gram: Tensor | None) -> Tensor:
    """Return the norms of head outputs ``(b h n d)`` after the output projection: ``(b h n)``."""
    if gram is None:
        return values.norm(dim=-1)
    mapped = einsum(values, gram, "b h n d, h d c -> b h n c")
    return (mapped * values).sum(dim=-1).clamp(min=0).sqrt()


class _LayerSums:
    """Sums over images of the measured values of one layer's heads."""

    def __init__(self, block: Block, record: Record, heads: int, patch: float) -> None:
        self.block, self.prefix, self.summary = block, record.prefix_tokens, record.summary_rows
        device = record.embedded.device
        self.distances = torch.from_numpy(patch_distances(record.grid, patch)).to(device, torch.float32)
        self.gram = head_gram(block, heads)
        self.strengths: list[np.ndarray] = []
        self.sums: dict[str, np.ndarray] = {}

    def measure(self, x: Tensor) -> Tensor:
        """Measure the heads of the block and return the tokens after it, ``(b n e)``."""
        record: dict = {}
        x = self.block(x, record)
        attention = record["attention"][:, :, self.prefix :]  # the patches' rows: b h n m
        to_patches = attention[..., self.prefix :]
        even = 1 / attention.shape[-1]
        far = einsum(to_patches, self.distances, "b h n m, n m -> b h n")
        received = attention.mean(dim=2)  # b h m
        is_focus = (attention >= FOCUS_TIMES * even).float().mean(dim=2) >= FOCUS_QUERIES
        lengths = _lengths(record["v"], self.gram)  # b h m
        drawn = received * is_focus
        self._add(
            attention=record["attention"],
            entropy=torch.special.entr(attention).sum(dim=-1).mean(dim=-1),
            distance=(far / to_patches.sum(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)).mean(dim=-1),
            departure=0.5 * (attention - even).abs().sum(dim=-1).mean(dim=-1),
            focus=drawn,
            focus_rate=is_focus.any(dim=-1).float(),
            focus_length=(drawn * lengths).sum(dim=-1),
            length=lengths.mean(dim=-1),
        )
        strength = _lengths(record["heads"][:, :, self.summary], self.gram).mean(dim=-1)  # b h
        self.strengths.append(strength.cpu().numpy())
        return x

    def _add(self, **measured: Tensor) -> None:
        """Add values ``(b h ...)``, summed over the batch."""
        for name, values in measured.items():
            total = values.sum(dim=0).double().cpu().numpy()
            self.sums[name] = self.sums.get(name, 0) + total

    def means(self, images: int) -> dict[str, np.ndarray]:
        """Return the fields of :class:`Portraits` that are means over the images, ``(h ...)``."""
        means = {name: total / images for name, total in self.sums.items()}
        length, focus_length = means.pop("length"), means.pop("focus_length")
        drawn = means["focus"].sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means["focus_value"] = focus_length / drawn / length
        means["attention"] = means["attention"].astype(np.float32)
        return means
