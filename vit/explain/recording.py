"""Record one forward pass: the attention of every head of every layer, and the tensors that it is computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from vit.classes import has_one_output
from vit.edits import BlockEdit, Edits
from vit.explain.passes.inputs import gradients_enabled, ready, ready_images, refusal
from vit.networks import Network, Transformer

MIXED_POSITIONS = (
    "This network mixes positions outside its attention too, so row j of a map need not be what patch j attends to."
)
"""The caveat for the maps of a network whose queries, keys, values or MLP depend on several positions at once."""

OVER_QUERIES = (
    "The softmax runs over the queries: the columns of a map sum to 1, not the rows, so the mean of the rows, the "
    "summary token's map, is uniform in every head."
)
"""The caveat for the maps of a network that normalises over the queries."""


@runtime_checkable
class Recordable(Protocol):
    """The attributes that :func:`capture` needs besides ``forward(record=...)``; see :class:`Record`."""

    normalised_over: Literal["key", "query"]
    mixes_positions: bool
    num_prefix_tokens: int
    grid: tuple[int, int]
    pool: Literal["cls", "mean", "all"]


class TokenLayout(Protocol):
    """The positions of the summary token and the patches among the tokens; see :class:`Record`."""

    @property
    def grid(self) -> tuple[int, int]: ...
    @property
    def prefix_tokens(self) -> int: ...
    @property
    def summary_rows(self) -> slice: ...


@dataclass(frozen=True)
class Layer:
    """The intermediates of one encoder block.

    Attributes:
        attention: ``(b h n m)``, indexed [query, key].
        q, k, v: ``(b h n d)``.
        heads: ``(b h n d)``, the output of each head: its attention times V.
        out: ``(b n e)``, the output of the attention after the output projection, which is added to the tokens.
        mlp: ``(b n e)``, the output of the MLP, which is added to the tokens.
        tokens: ``(b n e)``, the tokens after the block.
    """

    attention: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    heads: Tensor
    out: Tensor
    mlp: Tensor
    tokens: Tensor


Pool = Literal["cls", "mean", "all"]
"""The summary token: the class token, the mean over the patch tokens, or the mean over all tokens."""


def summary_rows(pool: Pool, prefix_tokens: int) -> slice:
    """Return the tokens whose mean the classification head reads: the class token, the patches, or all tokens."""
    match pool:
        case "cls":
            return slice(1)
        case "mean":
            return slice(prefix_tokens, None)
        case "all":
            return slice(None)


@dataclass(frozen=True)
class Record:
    """The result of :func:`capture`.

    Attributes:
        logits: ``(b num_classes)``; for a network without classes its output, the summary token ``(b e)``.
        layers: one :class:`Layer` for each block.
        embedded: ``(b n e)``, the tokens that entered the first block.
        normalised_over: the axis along which an attention map sums to 1: ``"key"`` (rows sum to 1) or ``"query"``
            (columns do).
        mixes_positions: whether a token's query, key, value or MLP output depends on other positions.
        prefix_tokens: number of tokens before the patches: the class token, if there is one, and registers.
        grid: rows and columns of patches.
        pool: the summary token: the class token, the mean over the patch tokens, or the mean over all tokens.
    """

    logits: Tensor
    layers: tuple[Layer, ...]
    embedded: Tensor
    normalised_over: Literal["key", "query"]
    mixes_positions: bool
    prefix_tokens: int
    grid: tuple[int, int]
    pool: Pool

    @property
    def caveat(self) -> str:
        """Why a row of a map is not what its token attends to, in one or two sentences; empty if it is."""
        return caveat(mixes_positions=self.mixes_positions, normalised_over=self.normalised_over)

    @property
    def summary_rows(self) -> slice:
        """The tokens whose mean the classification head reads: the class token, the patches, or all tokens."""
        return summary_rows(self.pool, self.prefix_tokens)

    def entering(self, layer: int) -> Tensor:
        """Return the tokens that enter a layer, counted from 0: ``(b n e)``."""
        return self.layers[layer - 1].tokens if layer else self.embedded

    @property
    def attention(self) -> Tensor:
        """``(b depth h n m)``, indexed [query, key]."""
        return torch.stack([layer.attention for layer in self.layers], dim=1)


def caveat(*, mixes_positions: bool, normalised_over: Literal["key", "query"]) -> str:
    """Return why a row of a map is not what its token attends to; see :attr:`Record.caveat`."""
    mixed = MIXED_POSITIONS if mixes_positions else ""
    over = OVER_QUERIES if normalised_over == "query" else ""
    return f"{mixed} {over}".strip()


def require_attention(model: Network) -> Transformer:
    """Return the model as a transformer; raise an ExplainError (a TypeError) if it has no attention."""
    if not isinstance(model, Recordable):
        raise refusal(model, "attention to capture")
    return model


def capture(model: Network, images: Tensor, *, grad: bool = False, edits: Edits | None = None) -> Record:
    """Run images through a model and record every intermediate.

    The forward pass is in eval mode. The model is not changed, so threads may share it.

    Args:
        model: a transformer.
        images: ``(b c h w)``, normalised.
        grad: keep the graph, so that logits can be differentiated with respect to each layer's attention. The graph
            starts at the images, so the parameters may be frozen.
        edits: changes (:mod:`vit.edits`), by block from 0. The record contains the values after the changes.

    Returns:
        The record; ``record.attention`` is ``(b depth h n m)``, indexed [query, key].

    Raises:
        ExplainError: a TypeError; the model has no attention.
        DataError: the images have another shape, or are not normalised floats.
    """
    model = ready(require_attention(model))
    images = ready_images(model, images)
    recorded: dict = {}
    with gradients_enabled() if grad else torch.no_grad():
        logits = model(images.requires_grad_() if grad else images, record=recorded, edits=edits)
    layers = [Layer(**{name: layer[name] for name in Layer.__dataclass_fields__}) for layer in recorded["layers"]]
    return _record(model, logits, layers, recorded["embedded"])


def _record(model: Recordable, logits: Tensor, layers: Sequence[Layer], embedded: Tensor) -> Record:
    return Record(
        logits=logits,
        layers=tuple(layers),
        embedded=embedded,
        normalised_over=model.normalised_over,
        mixes_positions=model.mixes_positions,
        prefix_tokens=model.num_prefix_tokens,
        grid=model.grid,
        pool=model.pool,
    )


@torch.no_grad()
def capture_tokens(model: Network, images: Tensor) -> Record:
    """Record only the tokens of ``images (b c h w)``, normalised; all other tensors of the record are empty.

    The attention maps are never computed, so this also works for a network whose attention would take gigabytes.

    Raises:
        ExplainError: a TypeError; the model has no tokens.
    """
    if not isinstance(model, Recordable):
        raise refusal(model, "tokens")
    model = ready(model)
    tokens = embedded = model.embed(ready_images(model, images))
    layers, nothing = [], embedded.new_empty(0)
    for block in model.blocks:
        tokens = block(tokens)
        layers.append(Layer(**dict.fromkeys(Layer.__dataclass_fields__, nothing) | {"tokens": tokens}))
    return _record(model, model.classify(tokens), layers, embedded)


@torch.no_grad()
def recompute(model: Network, images: Tensor, record: Record) -> Tensor:
    """Return the logits ``(b num_classes)`` of a forward pass that uses the captured maps in place of each softmax.

    They equal the model's own logits if the maps are the attention that the model used. Queries and keys have no
    effect on them.
    """
    device = next(model.parameters()).device
    one = torch.ones((), device=device)
    edits = {index: BlockEdit(pattern=layer.attention, replaced=one) for index, layer in enumerate(record.layers)}
    return model(images.to(device, torch.float32), edits=edits)


def class_probabilities(model: Network, logits: Tensor) -> np.ndarray:
    """Return the class probabilities of logits: ``(b num_classes)`` float32; ``(b 0)`` for a model without classes."""
    if not model.config.num_classes or has_one_output(model.config):
        return np.zeros((len(logits), 0), dtype=np.float32)
    return logits.detach().float().softmax(dim=-1).cpu().numpy()


def attention_arrays(record: Record, image: int = 0) -> np.ndarray:
    """Return the attention of one image, ``(depth h n m)`` float32."""
    return record.attention[image].detach().float().cpu().numpy()


def share_attention_array(record: Record) -> tuple[Record, np.ndarray]:
    """Return a record of one image whose layers are views of one array ``(depth h n m)`` float32, and that array.

    This saves memory in a cache: in a large network the attention is nearly all of the record.
    """
    attention = attention_arrays(record)
    shared = torch.from_numpy(attention)
    layers = [replace(layer, attention=own[None]) for layer, own in zip(record.layers, shared, strict=True)]
    return replace(record, layers=tuple(layers)), attention


def token_rows(record: TokenLayout, attention: np.ndarray, token: int) -> np.ndarray:
    """Return the rows of ``attention (... n m)`` for one query: ``(... m)``.

    ``token`` 0 is the summary token. With ``pool="cls"`` it is the class token. With ``pool="mean"`` the head reads the
    mean of the patch tokens, so the row is the mean over the rows of the patches. With ``pool="all"`` it is the mean
    over all rows, which is 1/m everywhere if columns sum to 1, as in the course network. ``token`` k >= 1 is the k-th
    patch, row by row. The numbers after the last patch are the prefix tokens in their order: class token, registers.

    Raises:
        ValueError: there is no such token.
    """
    patches, prefix = record.grid[0] * record.grid[1], record.prefix_tokens
    if not 0 <= token <= patches + prefix:
        after = f", or one before the patches from {patches + 1} to {patches + prefix}" if prefix else ""
        raise ValueError(
            f"token = {token} does not exist; choose 0 for the summary token, or a patch from 1 to {patches}{after}."
        )
    if token == 0:
        return attention[..., record.summary_rows, :].mean(axis=-2)
    return attention[..., (prefix + token - 1) % (patches + prefix), :]


def token_maps(record: Record, token: int, image: int = 0) -> np.ndarray:
    """Return one token's attention to the patches in each head: ``(depth h rows columns)`` float32."""
    rows = token_rows(record, attention_arrays(record, image), token)[..., record.prefix_tokens :]
    return rows.reshape(*rows.shape[:-1], *record.grid)


def prefix_share(record: Record, token: int, image: int = 0) -> np.ndarray:
    """Return the share of one token's attention that goes to the prefix tokens: ``(depth h)``."""
    return token_rows(record, attention_arrays(record, image), token)[..., : record.prefix_tokens].sum(axis=-1)
