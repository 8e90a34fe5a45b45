"""The two circuits of a head: where it looks (QK) and what it writes (OV).

Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits". The scores of a head are a bilinear form of the
tokens, W_Q W_Kᵀ; what it writes is a linear map of them, W_V W_O. A token is a sum of the content of its patch, its
position embedding, and what earlier layers wrote, so that both split into these parts, with the norm's scale held at
its value for the image.

Shapes in einops letters: ``n`` token (query), ``m`` token (key), ``d`` head_dim, ``e`` embed_dim, ``k`` class, ``p``
part of a token.
"""

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor, nn

from vit.classes import require_output
from vit.errors import ExplainError
from vit.explain.heads.votes import head_of, held_norm, position_part
from vit.explain.maps.contributions import output_map
from vit.explain.recording import Record, capture, require_attention
from vit.model import EncoderBlock, ViT
from vit.networks import Network

PARTS = ("content", "position", "earlier layers", "bias")
"""The parts of a token that enters the attention: its patch, its position, what earlier layers wrote, and the shifts of
the norm and of the projection."""

NO_CIRCUITS = (
    "The QK and OV circuits are read from the standard design only. In the course network queries, keys and values mix "
    "positions: use its raw maps."
)


@dataclass(frozen=True)
class ScoreParts:
    """The scores of one head for one image, split by the parts of the query's token and of the key's token.

    Attributes:
        parts: ``(p p n m)``, in the order of :data:`PARTS`: the query's part, then the key's. They sum to the scores
            that enter the softmax.
    """

    parts: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """``(n m)``, the input of the softmax."""
        return self.parts.sum(axis=(0, 1))

    @property
    def shares(self) -> np.ndarray:
        """The share of each pair of parts in the differences between a query's scores, ``(p p)``; they sum to 1.

        The softmax sees only the differences within a row. The share is the covariance of a part with the whole,
        divided by the variance of the whole, over all rows; it is negative if a part works against the others.
        """
        centred = self.parts - self.parts.mean(axis=-1, keepdims=True)
        whole = centred.sum(axis=(0, 1))
        power = float((whole**2).sum())
        return (centred * whole).sum(axis=(2, 3)) / power if power else np.zeros(centred.shape[:2])


@torch.no_grad()
def score_parts(model: Network, images: Tensor, record: Record, layer: int, head: int) -> ScoreParts:
    """Return the parts of one head's scores for an image.

    Args:
        model: a transformer whose queries and keys are those of single tokens.
        images: ``(1 c h w)``, the recorded image, normalised.
        record: from :func:`vit.explain.capture` of the model on ``images``.
        layer: number of the layer, from 0.
        head: number of the head, from 0.

    Raises:
        ExplainError: a TypeError; the network has no attention, or mixes positions.
    """
    vit, block = _own_block(model, layer)
    weights, biases = _projections(vit, layer, head)
    parts = _token_parts(vit, images, record, layer)
    shift = block.norm1.bias
    queries, keys = (
        torch.stack([*(part @ weight.T for part in parts), (weight @ shift + bias).expand(parts[0].shape[0], -1)])
        for weight, bias in zip(weights[:2], biases[:2], strict=True)
    )  # p n d
    scale = queries.shape[-1] ** -0.5
    return ScoreParts((einsum(queries, keys, "p n d, o m d -> p o n m") * scale).double().cpu().numpy())


@dataclass(frozen=True)
class Role:
    """What the QK circuit of a head says about where it looks, as means over images.

    Attributes:
        position: share of position × position in its scores.
        content: share of content × content in its scores.
        step: rows down and columns right from a patch to the patch that it would look at by positions alone.
        step_share: share of the patches for which this is the step, of those where the step stays in the image.
        colour: correlation of content × content, within the rows, with how close the mean colours of two patches are.
        images: number of images.
    """

    position: float
    content: float
    step: tuple[int, int]
    step_share: float
    colour: float
    images: int


def role(model: Network, images: Tensor, layer: int, head: int) -> Role:
    """Read the role of a head from its QK circuit.

    Args:
        model: a transformer whose queries and keys are those of single tokens.
        images: ``(b c h w)``, normalised.
        layer: number of the layer, from 0.
        head: number of the head, from 0.

    Raises:
        ExplainError: a TypeError; the network has no attention, or mixes positions.
    """
    shares, colours, parts = [], [], np.zeros(())
    grid = require_attention(model).grid
    for image in images.split(1):
        record = capture(model, image)
        found = score_parts(model, image, record, layer, head)
        shares.append(found.shares)
        parts = found.parts[:, :, record.prefix_tokens :, record.prefix_tokens :]
        colours.append(_colour_agreement(parts[0, 0], image, grid))
    step, step_share = _usual_step(parts[1, 1], grid)  # positions are the same in every image but for the norm's scale
    mean = np.mean(shares, axis=0)
    return Role(float(mean[1, 1]), float(mean[0, 0]), step, step_share, float(np.mean(colours)), len(images))


def _usual_step(scores: np.ndarray, grid: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Return the most frequent step to the best key among the patches, and its share of those where it is possible."""
    rows, columns = np.divmod(np.arange(len(scores)), grid[1])
    best = scores.argmax(axis=1)
    steps = np.stack([rows[best] - rows, columns[best] - columns], axis=1)
    found, counts = np.unique(steps, axis=0, return_counts=True)
    down, right = (int(number) for number in found[counts.argmax()])
    possible = (grid[0] - abs(down)) * (grid[1] - abs(right))
    return (down, right), float(counts.max() / possible)


def _colour_agreement(scores: np.ndarray, image: Tensor, grid: tuple[int, int]) -> float:
    """Return the correlation of scores ``(n m)`` between patches with the closeness of their mean colours, in rows."""
    colours = F.adaptive_avg_pool2d(image, grid)[0].flatten(1).T.double().cpu().numpy()
    closeness = -np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    apart = ~np.eye(len(scores), dtype=bool)  # a patch has its own colour in any case
    own, other = (np.where(apart, one - one.mean(axis=1, keepdims=True, where=apart), 0) for one in (scores, closeness))
    size = np.sqrt((own**2).sum() * (other**2).sum())
    return float((own * other).sum() / size) if size else 0.0


@torch.no_grad()
def written_classes(model: Network, record: Record, layer: int, head: int) -> np.ndarray:
    """Return what a head writes to each class when it attends to one token alone, ``(m k)``, in logits.

    It is the value of the token through W_O and the classification head (W_V W_O W_U), with the final norm's scale held
    at its mean over the tokens that the head reads. The mean over the classes is subtracted, because a softmax ignores
    it.

    Args:
        model: a transformer with a classification head.
        record: from :func:`vit.explain.capture` of the model on one image.
        layer: number of the layer, from 0.
        head: number of the head, from 0.

    Raises:
        ExplainError: a TypeError; the network has no classification head, or mixes positions.
    """
    vit, block = _own_block(model, layer)
    require_output(vit.config)
    values = record.layers[layer].v[0, head] @ output_map(block, record.layers[layer].v.shape[-1])[head]  # m e
    pooled_first = vit.config.fc_norm
    norm = vit.fc_norm if pooled_first else vit.norm
    assert isinstance(norm, nn.LayerNorm)
    last = record.layers[-1].tokens[0, record.summary_rows]
    normed = last.mean(dim=0, keepdim=True) if pooled_first else last
    scale = torch.rsqrt(normed.var(dim=-1, correction=0) + norm.eps).mean()
    written = (values - values.mean(dim=-1, keepdim=True)) * scale * norm.weight @ head_of(vit)[0].T
    return (written - written.mean(dim=-1, keepdim=True)).double().cpu().numpy()


@dataclass(frozen=True)
class SingularVectors:
    """The strongest directions of one of a head's circuits, and how strongly the tokens of an image excite them.

    Attributes:
        values: ``(r)``, the singular values, the largest first.
        share: ``(r)``, the share of each in the sum of their squares.
        left: ``(r n)``, each token's projection on the left vector: of W_Q W_Kᵀ what the query looks for, of W_V W_O
            what is read.
        right: ``(r n)``, each token's projection on the right vector: of W_Q W_Kᵀ what is found, of W_V W_O what is
            written.
        left_positions, right_positions: ``(r n)``, the same for the position embeddings alone.
    """

    values: np.ndarray
    share: np.ndarray
    left: np.ndarray
    right: np.ndarray
    left_positions: np.ndarray
    right_positions: np.ndarray


@torch.no_grad()
def singular_vectors(
    model: Network,
    images: Tensor,
    record: Record,
    layer: int,
    head: int,
    *,
    circuit: Literal["QK", "OV"] = "QK",
    count: int = 4,
) -> SingularVectors:
    """Return the strongest singular vectors of W_Q W_Kᵀ or W_V W_O, as projections of an image's tokens.

    Millidge and Black 2022, "The singular value decompositions of transformer weight matrices are highly
    interpretable". The weight of the norm before the attention is part of the matrices.

    Args:
        model: a transformer whose queries, keys and values are those of single tokens.
        images: ``(1 c h w)``, the recorded image, normalised.
        record: from :func:`vit.explain.capture` of the model on ``images``.
        layer: number of the layer, from 0.
        head: number of the head, from 0.
        circuit: ``QK`` or ``OV``.
        count: how many vectors, at most head_dim.

    Raises:
        ExplainError: a TypeError; the network mixes positions.
    """
    vit, block = _own_block(model, layer)
    (query, key, value), _ = _projections(vit, layer, head)
    gain = block.norm1.weight
    if circuit == "QK":
        left, right = query * gain, key * gain  # d e
    else:
        left, right = value * gain, output_map(block, len(value))[head]
    # The matrix leftᵀ right (e e) has rank d: its decomposition is that of the small core between two bases.
    (left_base, left_rest), (right_base, right_rest) = (torch.linalg.qr(one.T.double()) for one in (left, right))
    core_left, values, core_right = torch.linalg.svd(left_rest @ right_rest.T)
    left_vectors, right_vectors = left_base @ core_left, right_base @ core_right.T  # e r
    tokens = record.entering(layer)[0]
    own = _normalised(tokens, block.norm1.eps)
    positions = _normalised(position_part(vit, images)[0], block.norm1.eps)

    def project(these: Tensor, vectors: Tensor) -> np.ndarray:
        return (these.double() @ vectors[:, :count]).T.cpu().numpy()

    power = values**2
    return SingularVectors(
        values=values[:count].cpu().numpy(),
        share=(power / power.sum())[:count].cpu().numpy(),
        left=project(own, left_vectors),
        right=project(own, right_vectors),
        left_positions=project(positions, left_vectors),
        right_positions=project(positions, right_vectors),
    )


def _own_block(model: Network, layer: int) -> tuple[ViT, EncoderBlock]:
    """Return the model and one of its blocks, if its queries, keys and values are those of single tokens."""
    vit = require_attention(model)
    if not isinstance(vit, ViT):
        raise ExplainError(NO_CIRCUITS)
    return vit, _block(vit, layer)


def _block(vit: ViT, layer: int) -> EncoderBlock:
    return cast(EncoderBlock, vit.blocks[layer])  # a sequence of modules does not declare their type


def _projections(vit: ViT, layer: int, head: int) -> tuple[Tensor, Tensor]:
    """Return W_Q, W_K and W_V of a head, ``(3 d e)``, and their biases, ``(3 d)``."""
    qkv, heads = _block(vit, layer).attn.qkv, vit.config.num_heads
    weight = qkv.weight.view(3, heads, -1, qkv.in_features)[:, head]
    bias = torch.zeros_like(weight[..., 0]) if qkv.bias is None else qkv.bias.view(3, heads, -1)[:, head]
    return weight, bias


def _token_parts(vit: ViT, images: Tensor, record: Record, layer: int) -> list[Tensor]:
    """Return the parts of the tokens that enter a layer's attention, after its norm: content, position, earlier."""
    tokens, norm = record.entering(layer)[0], _block(vit, layer).norm1
    position = position_part(vit, images)[0]
    parts = [record.embedded[0] - position, position, tokens - record.embedded[0]]
    return [held_norm(norm, tokens, part) for part in parts]


def _normalised(tokens: Tensor, eps: float) -> Tensor:
    """Return tokens ``(n e)`` with mean 0 and variance 1, without a learned weight and shift."""
    return F.layer_norm(tokens, tokens.shape[-1:], eps=eps)
