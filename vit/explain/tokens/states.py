"""What the tokens are after every layer: how alike, along which directions they differ, how long they are.

Shapes in einops letters, as in :mod:`vit.model`: ``b`` batch, ``n`` and ``m`` token, ``e`` embed_dim; and ``l`` state
of the tokens, of which there are depth + 1: as they enter the first block, then after each block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor

from vit.explain.recording import Record
from vit.model import ViT

COMPONENTS = 3
"""One principal component for each of red, green and blue."""

PERCENTILES = (2, 98)
"""Of a component, these become 0 and 1 of its colour, so that one odd patch does not leave the others grey."""


def token_states(record: Record) -> Tensor:
    """The tokens that entered the first block, and those that left each block: ``(b l n e)``."""
    return torch.stack([record.embedded, *(layer.tokens for layer in record.layers)], dim=1).detach()


def _directions(record: Record, states: Tensor, centre: bool) -> Tensor:
    """Tokens ``(... n e)`` with length 1; those that are zero stay so."""
    if centre:
        states = states - states[..., record.prefix_tokens :, :].mean(dim=-2, keepdim=True)
    return F.normalize(states.float(), dim=-1)


def token_similarity(record: Record, *, centre: bool = True) -> np.ndarray:
    """The cosine of the angle between each two tokens: ``(b l n m)`` float32, from -1 to 1.

    Args:
        centre: take the mean of the image's patch tokens out of all of them first. What they have in common makes the
            plain cosines of trained networks nearly all positive, and in deep ones all close to 1.
    """
    directions = _directions(record, token_states(record), centre)
    return einsum(directions, directions, "b l n e, b l m e -> b l n m").clamp(-1, 1).cpu().numpy()


def similarity_to(record: Record, tokens: Sequence[int], image: int = 0, *, centre: bool = True) -> np.ndarray:
    """The cosines of some tokens of one image with every token: ``(l tokens m)`` float32.

    Args:
        tokens: 0 is the summary token, k >= 1 the k-th patch, as in :func:`vit.explain.token_rows`.
        centre: as in :func:`token_similarity`. Where the summary token is a mean, it has no direction once the mean is
            taken out; for it these are plain cosines less their mean over the patches: which resemble it most.
    """
    states = token_states(record)[image]
    keys = _directions(record, states, centre)
    patches = keys[:, record.prefix_tokens :]
    if record.pool == "cls":
        summary = einsum(keys[:, 0], keys, "l e, l m e -> l m")
    else:
        mean = F.normalize(states[:, record.summary_rows].float().mean(dim=1), dim=-1)
        summary = einsum(mean, _directions(record, states, False), "l e, l m e -> l m")
        if centre:
            summary = summary - summary[:, record.prefix_tokens :].mean(dim=1, keepdim=True)
    chosen = patches[:, [token - 1 for token in tokens if token]]
    rows = einsum(chosen, keys, "l n e, l m e -> l n m")
    order = iter(rows.unbind(dim=1))
    cosines = torch.stack([next(order) if token else summary for token in tokens], dim=1)
    return cosines.clamp(-1, 1).cpu().numpy()


def token_norms(record: Record) -> np.ndarray:
    """The length of each token: ``(b l n)`` float32.

    Large networks give a few patches of plain background far longer tokens than the rest, and use them as scratch
    space (Darcet et al., ICLR 2024).
    """
    return torch.linalg.vector_norm(token_states(record).float(), dim=-1).cpu().numpy()


@dataclass(frozen=True)
class PrincipalComponents:
    """The directions along which the patch tokens of one image differ most, in each state.

    Attributes:
        scores: ``(l rows columns 3)`` float32, each patch token's place along the components, in the tokens' own units.
        shares: ``(l 3)`` float32, the share of the variance over the patches that lies along each component.
        colours: ``(l rows columns 3)`` float32 in [0, 1], the scores as red, green and blue.
    """

    scores: np.ndarray
    shares: np.ndarray
    colours: np.ndarray


def principal_components(record: Record, image: int = 0, *, align: bool = True) -> PrincipalComponents:
    """The first three principal components of one image's patch tokens, state by state.

    A component has no sign of its own: it gets the one that makes its largest score positive.

    Args:
        align: from the second state on give components the order and the signs in which they go best with those of
            the state before, so that colours do not change for no reason. The shares then need not fall.
    """
    states = token_states(record)[image, :, record.prefix_tokens :].double().cpu().numpy()
    scores, shares = _decompose(states - states.mean(axis=1, keepdims=True))
    peaks = np.take_along_axis(scores, np.abs(scores).argmax(axis=1)[:, None], axis=1)
    scores = scores * np.where(peaks < 0, -1, 1)
    if align:
        for state in range(1, len(scores)):
            order, signs = _match(scores[state - 1], scores[state])
            scores[state], shares[state] = scores[state][:, order] * signs, shares[state][order]
    low, high = np.percentile(scores, PERCENTILES, axis=1, keepdims=True)
    spread = high - low
    colours = np.where(spread > 1e-12, (scores - low) / np.where(spread > 1e-12, spread, 1), 0.5)
    shape = (len(scores), *record.grid, COMPONENTS)
    return PrincipalComponents(
        scores=scores.reshape(shape).astype(np.float32),
        shares=shares.astype(np.float32),
        colours=colours.clip(0, 1).reshape(shape).astype(np.float32),
    )


def _decompose(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``(l n 3)``, of either sign, and shares ``(l 3)`` of the first components of ``centred (l n e)``.

    From the eigenvectors of the products of all patches, or of all numbers where those are fewer: for the tokens of a
    large network that takes a tenth of the time of a singular value decomposition.
    """
    crossed = centred.swapaxes(1, 2)
    patches, numbers = centred.shape[1:]
    values, vectors = np.linalg.eigh(
        centred @ crossed if patches <= numbers else crossed @ centred
    )  # from the least on
    values, vectors = values[:, ::-1][:, :COMPONENTS].clip(min=0), vectors[..., ::-1][..., :COMPONENTS]
    scores = vectors * np.sqrt(values)[:, None] if patches <= numbers else centred @ vectors
    shares = values / np.maximum((centred**2).sum(axis=(1, 2)), 1e-30)[:, None]
    missing = COMPONENTS - values.shape[1]  # of a single patch, or of tokens of one or two numbers
    return np.pad(scores, ((0, 0), (0, 0), (0, missing))), np.pad(shares, ((0, 0), (0, missing)))


def _match(before: np.ndarray, after: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The order of the columns of ``after (n 3)``, and their signs, that correlate most with those of ``before``."""
    lengths = np.linalg.norm(before, axis=0)[:, None] * np.linalg.norm(after, axis=0)
    cosines = before.T @ after / np.maximum(lengths, 1e-30)
    columns = range(COMPONENTS)
    order = max(permutations(columns), key=lambda one: sum(abs(cosines[i, one[i]]) for i in columns))
    return list(order), np.where(cosines[list(columns), list(order)] < 0, -1, 1)


class TokenParts(NamedTuple):
    """What a patch's token is made of.

    Attributes:
        values: ``(3 e)`` float32: what the stem makes of the patch, the embedding of its place, and their sum, which
            enters the first block (where there is a norm before it, enters that norm).
        place_share: mean size of the numbers of the place over that of the stem's.
    """

    values: np.ndarray
    place_share: float


@torch.no_grad()
def token_parts(model: ViT, images: Tensor, patch: int) -> TokenParts:
    """What one patch's token is made of, for the first of ``images (b c h w)``, normalised.

    Args:
        model: a :class:`vit.model.ViT`.
        patch: from 1, row by row.

    Raises:
        ValueError: there is no such patch.
    """
    count = model.grid[0] * model.grid[1]
    if not 1 <= patch <= count:
        raise ValueError(f"patch = {patch} does not exist; choose 1 to {count}.")
    images = images[:1].to(next(model.parameters()).device, torch.float32)
    content = model.patch_embed(images)[0, patch - 1]
    place = model.pos_embed[0, patch - 1 - count]  # the patches' positions are the last ones, with or without others
    share = place.abs().mean() / content.abs().mean().clamp(min=1e-30)
    return TokenParts(torch.stack([content, place, content + place]).float().cpu().numpy(), share.item())


def effective_tokens(rows: np.ndarray) -> np.ndarray:
    """Over how many tokens attention ``(... m)`` that sums to 1 is spread: e to the power of its entropy, ``(...)``.

    It is 1 where all goes to one token, and m where each gets 1/m.
    """
    return np.exp(-(rows * np.log(np.maximum(rows, 1e-30))).sum(axis=-1))
