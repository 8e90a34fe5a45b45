"""Direct logit attribution: which part of the network voted for a class.

The last tokens are a sum: the embedding, the output of every head, and the output of every MLP (Elhage et al. 2021;
Gandelsman et al. 2024, arXiv 2310.05916). With the scale of the final norm held at its value for this image, the logit
is a linear function of that sum, so each part has a vote, and the votes add up to the logit.

Shapes in einops letters: ``b`` image, ``l`` layer, ``h`` head, ``n`` token (query), ``m`` token (key), ``d`` head_dim,
``e`` embed_dim, ``k`` class.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor, nn

from vit.classes import require_output
from vit.errors import ExplainError
from vit.explain.maps.contributions import output_map
from vit.explain.maps.target import Target
from vit.explain.recording import Record, capture, require_attention
from vit.model import ViT
from vit.networks import Block, Network, Transformer, blocks_of

MIXED_SOURCES = (
    "This network mixes positions when it computes its values, so a head's vote has no source tokens: use its votes "
    "by head."
)


@dataclass(frozen=True)
class Votes:
    """The votes of all parts for a class, or for one class against another.

    Each vote is split by the token through which it reaches the classification head: the class token alone, or every
    patch where patches are pooled. Tokens that the head does not read have votes of 0.

    Attributes:
        logit: ``(b)``, the logit, or the difference of the two logits.
        content: ``(b n)``, votes of the embedded patches, class token and registers, without positions.
        positions: ``(b n)``, votes of the position embeddings.
        heads: ``(b l h n)``, votes of the heads.
        attention_bias: ``(b l n)``, votes of the bias of each output projection.
        mlps: ``(b l n)``, votes of the MLPs.
        bias: ``(b)``, the votes of the final norm's shift and of the classification head's bias.
        sources: ``(b l h m)``, each head's vote split by the token that the head copied it from; None for a network
            that mixes positions.
    """

    logit: np.ndarray
    content: np.ndarray
    positions: np.ndarray
    heads: np.ndarray
    attention_bias: np.ndarray
    mlps: np.ndarray
    bias: np.ndarray
    sources: np.ndarray | None

    def parts(self, image: int = 0) -> list[tuple[str, float]]:
        """Return all votes for an image by name, in the order of the network; they sum to the logit."""
        named = [
            ("embedding", self.content[image].sum()),
            ("positions", self.positions[image].sum()),
        ]
        for layer, heads in enumerate(self.heads[image]):
            named += [(f"layer {layer + 1} head {head + 1}", votes.sum()) for head, votes in enumerate(heads)]
            named.append((f"layer {layer + 1} attention bias", self.attention_bias[image, layer].sum()))
            named.append((f"layer {layer + 1} MLP", self.mlps[image, layer].sum()))
        named.append(("final bias", self.bias[image]))
        return [(name, float(value)) for name, value in named]

    def by_head(self) -> np.ndarray:
        """Return the vote of each head, ``(b l h)``."""
        return self.heads.sum(axis=-1)

    def require_sources(self) -> np.ndarray:
        """Return the votes by source token, ``(b l h m)``.

        Raises:
            ExplainError: a TypeError; the network mixes positions.
        """
        if self.sources is None:
            raise ExplainError(MIXED_SOURCES)
        return self.sources


@torch.no_grad()
def votes(model: Network, images: Tensor, target: Target, record: Record | None = None) -> Votes:
    """Return the votes of all parts of a network for the target's class, or for it against another.

    Args:
        model: a transformer with a classification head.
        images: ``(b c h w)``, normalised.
        target: the class, and the class against it if there is one.
        record: from :func:`vit.explain.capture` of the model on ``images``, if there is one already.

    Raises:
        ExplainError: a TypeError; the network has no attention, or no classification head.
        UserError: there is no such class.
    """
    model = require_attention(model)
    require_output(model.config)
    target = target.for_model(model, len(images))
    record = capture(model, images) if record is None else record
    labels = target.labels(record.logits)
    weight, bias = head_of(model)
    if target.against is None:
        return votes_along(model, images, record, weight[labels], bias[labels])
    other = target.against
    assert isinstance(other, int), "for_model replaces names"
    return votes_along(model, images, record, weight[labels] - weight[other], bias[labels] - bias[other])


def head_of(model: Transformer) -> tuple[Tensor, Tensor]:
    """Return the weight ``(k e)`` and the bias ``(k)`` of the classification head."""
    head = model.head
    assert isinstance(head, nn.Linear)  # without one, require_output has raised
    return head.weight, head.bias


@torch.no_grad()
def votes_along(model: Transformer, images: Tensor, record: Record, weight: Tensor, bias: Tensor) -> Votes:
    """Return the votes for any linear score of the summary token, ``weight (b e)`` and ``bias (b)``.

    Args:
        model: a transformer.
        images: ``(b c h w)``, the recorded images, normalised.
        record: the recorded run.
        weight: the weights of the score, for each image.
        bias: what is added to it.
    """
    readout, shift = read_out(model, record, weight)
    positions = position_part(model, images)
    content = record.embedded - positions
    rows = record.summary_rows  # only the tokens that the head reads have votes
    heads, sources, attention_bias, mlps = [], [], [], []
    for block, layer in zip(blocks_of(model), record.layers, strict=True):
        direction = einsum(readout[:, rows], output_map(block, layer.v.shape[-1]), "b n e, h d e -> b h n d")
        # The vote of key token m through query token n: its attention, times its value through W_O and the readout.
        split = layer.attention[:, :, rows] * (direction @ layer.v.transpose(2, 3))  # b h n m
        votes_of_heads = layer.attention.new_zeros(layer.attention.shape[:3])
        votes_of_heads[:, :, rows] = split.sum(dim=3)
        heads.append(votes_of_heads)
        sources.append(split.sum(dim=2))
        attention_bias.append(readout @ attention_shift(block))
        mlps.append((readout * layer.mlp).sum(dim=2))

    def numbers(tensor: Tensor) -> np.ndarray:
        return tensor.double().cpu().numpy()

    return Votes(
        logit=numbers((model.summarise(record.layers[-1].tokens) * weight).sum(dim=1) + bias),
        content=numbers((readout * content).sum(dim=2)),
        positions=numbers((readout * positions).sum(dim=2)),
        heads=numbers(torch.stack(heads, dim=1)),
        attention_bias=numbers(torch.stack(attention_bias, dim=1)),
        mlps=numbers(torch.stack(mlps, dim=1)),
        bias=numbers(bias + shift),
        sources=None if record.mixes_positions else numbers(torch.stack(sources, dim=1)),
    )


def read_out(model: Transformer, record: Record, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the linear map from the last tokens to a score of the summary token, with the final norm's scale held.

    Args:
        model: a transformer.
        record: the recorded run.
        weight: ``(b e)``, the weights of the score.

    Returns:
        readout: ``(b n e)``, the weight of every number of every last token; 0 for tokens that the head does not read.
        shift: ``(b)``, the score of the norm's shift.
    """
    tokens = record.layers[-1].tokens
    read = torch.zeros(tokens.shape[1], device=tokens.device)
    read[record.summary_rows] = 1
    read = (read / read.sum())[None, :, None]
    norm = model.fc_norm if isinstance(model, ViT) and model.config.fc_norm else model.norm
    if not isinstance(norm, nn.LayerNorm):  # the course network has no final norm
        return read * weight[:, None], torch.zeros_like(weight[:, 0])
    pooled_first = isinstance(model, ViT) and model.config.fc_norm
    normed = (read * tokens).sum(dim=1, keepdim=True) if pooled_first else tokens
    scale = torch.rsqrt(normed.var(dim=-1, keepdim=True, correction=0) + norm.eps)  # (b 1 1) or (b n 1)
    direction = weight * norm.weight
    centred = direction - direction.mean(dim=-1, keepdim=True)  # the norm subtracts the mean of the token
    return read * scale * centred[:, None], weight @ norm.bias


def attention_shift(block: Block) -> Tensor:
    """Return what the bias of a block's output projection adds to every token, ``(e)``."""
    if block.attn.proj is None:
        return torch.zeros_like(block.norm1.weight)
    gamma = getattr(getattr(block, "ls1", None), "gamma", None)
    return block.attn.proj.bias if gamma is None else block.attn.proj.bias * gamma


def position_part(model: Transformer, images: Tensor) -> Tensor:
    """Return what the position embeddings add to the tokens that enter the first block, ``(b n e)`` or ``(1 n e)``.

    If a norm follows the embedding (CLIP), its scale is held at its value, and its shift is no part of the positions.
    """
    positions: Tensor = model.pos_embed
    if not isinstance(model, ViT):
        return positions
    if model.config.no_embed_class:
        positions = F.pad(positions, (0, 0, model.num_prefix_tokens, 0))
    if not isinstance(model.norm_pre, nn.LayerNorm):
        return positions
    before = [token for token in (model.cls_token, model.reg_token) if token is not None]
    patches = model.patch_embed(images)
    tokens = torch.cat([*(token.expand(len(patches), -1, -1) for token in before), patches], dim=1) + positions
    return held_norm(model.norm_pre, tokens, positions)


def held_norm(norm: nn.LayerNorm, tokens: Tensor, part: Tensor) -> Tensor:
    """Return what a part of the tokens ``(... e)`` becomes in a norm whose scale is held at that of the tokens.

    The results for all parts of the tokens sum to the norm's output without its shift.
    """
    scale = torch.rsqrt(tokens.var(dim=-1, keepdim=True, correction=0) + norm.eps)
    return (part - part.mean(dim=-1, keepdim=True)) * scale * norm.weight
