"""One recorded forward pass: the attention of every head of every layer, and what it was made from."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from vit.edits import Edits, HeadEdit
from vit.errors import ExplainError
from vit.networks import Network, Transformer

MIXED_POSITIONS = (
    "This network mixes positions outside its attention too, so row j of a map need not be what patch j attends to."
)
"""What stands beside the maps of a network whose queries, keys, values or MLP depend on several positions at once."""

OVER_QUERIES = (
    "The softmax runs over the queries: the columns of a map sum to 1, not the rows, so the mean of the rows, the "
    "summary token's map, is even in every head."
)
"""What stands beside the maps of a network that normalises over the queries."""


@runtime_checkable
class Recordable(Protocol):
    """What :func:`capture` asks of a network, besides a ``forward`` that takes ``record``; see :class:`Record`."""

    normalised_over: Literal["key", "query"]
    mixes_positions: bool
    num_prefix_tokens: int
    grid: tuple[int, int]
    pool: Literal["cls", "mean", "all"]


class TokenLayout(Protocol):
    """Where the summary token and the patches stand among the tokens; see :class:`Record`."""

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
        heads: ``(b h n d)``, what each head hands on: its attention times V.
        out: ``(b n e)``, what the attention added to the tokens, after the output projection.
        tokens: ``(b n e)``, the tokens after the block.
    """

    attention: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    heads: Tensor
    out: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Record:
    """What :func:`capture` saw.

    Attributes:
        logits: ``(b num_classes)``; of a network without classes what it gives instead, its summary token ``(b e)``.
        layers: one :class:`Layer` a block.
        embedded: ``(b n e)``, the tokens that entered the first block.
        normalised_over: the axis of an attention map that sums to 1: ``"key"``, rows do, or ``"query"``, columns do.
        mixes_positions: whether a token's query, key or value, or what the MLP makes of it, depends on other positions.
        prefix_tokens: how many tokens stand before the patches: the class token, where there is one, and registers.
        grid: rows and columns of patches.
        pool: which token is the summary: the class token, or the mean over the patch tokens, or over all tokens.
    """

    logits: Tensor
    layers: tuple[Layer, ...]
    embedded: Tensor
    normalised_over: Literal["key", "query"]
    mixes_positions: bool
    prefix_tokens: int
    grid: tuple[int, int]
    pool: Literal["cls", "mean", "all"]

    @property
    def caveat(self) -> str:
        """What keeps a row of a map from being what its token attends to, in a sentence or two; else empty."""
        mixed = MIXED_POSITIONS if self.mixes_positions else ""
        over = OVER_QUERIES if self.normalised_over == "query" else ""
        return f"{mixed} {over}".strip()

    @property
    def summary_rows(self) -> slice:
        """The tokens whose mean the head reads: the class token alone, the patches, or all."""
        match self.pool:
            case "cls":
                return slice(1)
            case "mean":
                return slice(self.prefix_tokens, None)
            case "all":
                return slice(None)

    @property
    def attention(self) -> Tensor:
        """``(b depth h n m)``, indexed [query, key]."""
        return torch.stack([layer.attention for layer in self.layers], dim=1)


def require_attention(model: Network) -> Transformer:
    """Return the model, which is a transformer; raise an ExplainError, a TypeError, if it has no attention."""
    if not isinstance(model, Recordable):
        raise ExplainError(
            f"{type(model).__name__} has no attention to capture; for a convolutional network use Grad-CAM instead."
        )
    return model


def capture(model: Network, images: Tensor, *, grad: bool = False, edits: Edits | None = None) -> Record:
    """Run ``images (b c h w)`` through ``model`` and keep every intermediate.

    The pass is in eval mode, and the model is left as it was found: threads may share it.

    Args:
        grad: keep the graph, so that logits can be differentiated with respect to each layer's attention. The
            parameters may stay frozen; the graph starts at the images.
        edits: changes to heads (:mod:`vit.edits`), by block from 0; the record is of the changed pass.

    Raises:
        ExplainError: a TypeError; the model has no attention to record.
    """
    model = require_attention(model)
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model as it stands
    device = next(model.parameters()).device
    images = images.detach().to(device, torch.float32)
    recorded: dict = {}
    with torch.enable_grad() if grad else torch.no_grad():
        logits = model(images.requires_grad_(grad), record=recorded, edits=edits)
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
    """A record of the tokens alone: what :func:`capture` keeps besides them is empty, and is never made.

    So a network whose attention would take gigabytes has its tokens all the same.

    Raises:
        ExplainError: a TypeError; the model has no tokens.
    """
    if not isinstance(model, Recordable):
        raise ExplainError(f"{type(model).__name__} has no tokens; for a convolutional network use Grad-CAM instead.")
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model as it stands
    tokens = embedded = model.embed(images.detach().to(next(model.parameters()).device, torch.float32))
    layers, nothing = [], embedded.new_empty(0)
    for block in model.blocks:
        tokens = block(tokens)
        layers.append(Layer(**dict.fromkeys(Layer.__dataclass_fields__, nothing) | {"tokens": tokens}))
    return _record(model, model.classify(tokens), layers, embedded)


@torch.no_grad()
def recompute(model: Network, images: Tensor, record: Record) -> Tensor:
    """The logits ``(b num_classes)`` that follow from the captured maps, put in the place of each layer's softmax.

    They are the model's own where the maps are the attention that was used; queries and keys have no say in them.
    """
    device = next(model.parameters()).device
    one = torch.ones((), device=device)
    edits = {index: HeadEdit(pattern=layer.attention, replaced=one) for index, layer in enumerate(record.layers)}
    return model(images.to(device, torch.float32), edits=edits)


def class_probabilities(model: Network, logits: Tensor) -> np.ndarray:
    """What ``model`` gave as probabilities, ``(b num_classes)`` float32; of one without classes none, ``(b 0)``."""
    if not model.config.num_classes:
        return np.zeros((len(logits), 0), dtype=np.float32)
    return logits.detach().float().softmax(dim=-1).cpu().numpy()


def attention_arrays(record: Record, image: int = 0) -> np.ndarray:
    """The attention of one image, ``(depth h n m)`` float32."""
    return record.attention[image].detach().float().cpu().numpy()


def share_attention_array(record: Record) -> tuple[Record, np.ndarray]:
    """A record of one image whose layers share one array of attention, ``(depth h n m)`` float32, and that array.

    For what is kept for a while: of a large network the attention is nearly all of the record.
    """
    attention = attention_arrays(record)
    shared = torch.from_numpy(attention)
    layers = [replace(layer, attention=own[None]) for layer, own in zip(record.layers, shared, strict=True)]
    return replace(record, layers=tuple(layers)), attention


def token_rows(record: TokenLayout, attention: np.ndarray, token: int) -> np.ndarray:
    """Rows of ``attention (... n m)`` for one query: ``(... m)``.

    ``token`` 0 is the summary token: the class token, or with ``pool="mean"`` the mean over the patches' rows, for the
    mean of the patch tokens is what the head reads. With ``pool="all"`` it is the mean over all rows, which is 1/m
    everywhere where columns sum to 1, as in the course network. ``token`` k >= 1 is the k-th patch, row by row; the
    numbers after the last patch are the tokens before the patches, in their order: class token, registers.

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
    """What one token attends to among the patches, for each head: ``(depth h rows columns)`` float32."""
    rows = token_rows(record, attention_arrays(record, image), token)[..., record.prefix_tokens :]
    return rows.reshape(*rows.shape[:-1], *record.grid)


def prefix_share(record: Record, token: int, image: int = 0) -> np.ndarray:
    """The share of one token's attention that goes to the tokens before the patches: ``(depth h)``."""
    return token_rows(record, attention_arrays(record, image), token)[..., : record.prefix_tokens].sum(axis=-1)
