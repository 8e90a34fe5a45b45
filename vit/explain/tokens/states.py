"""The tokens after every layer: similarity, principal components and norms; and the parts of an embedded patch.

Shapes in einops letters, as in :mod:`vit.model`: ``b`` batch, ``n`` and ``m`` token, ``e`` embed_dim; and ``l`` state
of the tokens. There are depth + 1 states: before the first block and after each block.
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
"""Number of principal components: one each for red, green and blue."""

PERCENTILES = (2, 98)
"""These percentiles of a component become 0 and 1 of its colour, so that a single outlier does not set the scale."""


def token_states(record: Record) -> Tensor:
    """Return the tokens before the first block and after each block: ``(b l n e)``."""
    return torch.stack([record.embedded, *(layer.tokens for layer in record.layers)], dim=1).detach()


def _directions(record: Record, states: Tensor, centre: bool) -> Tensor:
    """Normalise tokens ``(... n e)`` to length 1, after subtracting the mean of the patch tokens if ``centre``."""
    if centre:
        states = states - states[..., record.prefix_tokens :, :].mean(dim=-2, keepdim=True)
    return F.normalize(states.float(), dim=-1)


def token_similarity(record: Record, *, centre: bool = True) -> np.ndarray:
    """Return the cosine similarity of each two tokens: ``(b l n m)`` float32, from -1 to 1.

    Args:
        record: from :func:`vit.explain.capture`.
        centre: subtract the mean of the image's patch tokens first. Without it nearly all cosines in trained networks
            are positive, and in deep ones close to 1, because the tokens have a large common part.
    """
    directions = _directions(record, token_states(record), centre)
    return einsum(directions, directions, "b l n e, b l m e -> b l n m").clamp(-1, 1).cpu().numpy()


def similarity_to(record: Record, tokens: Sequence[int], image: int = 0, *, centre: bool = True) -> np.ndarray:
    """Return the cosine similarity of chosen tokens of one image to every token: ``(l tokens m)`` float32.

    Args:
        record: from :func:`vit.explain.capture`.
        tokens: 0 is the summary token, k >= 1 the k-th patch, as in :func:`vit.explain.token_rows`.
        image: index of the image in the batch.
        centre: as in :func:`token_similarity`. If the summary token is a mean, it is zero after the mean is
            subtracted. Its row then contains the plain cosines minus their mean over the patches, which shows the
            patches that are most similar to it.
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
    """Return the L2 norm of each token: ``(b l n)`` float32.

    In large networks a few patches of plain background get tokens with far larger norms than the rest, which the
    network uses to store global information (Darcet et al., ICLR 2024).
    """
    return torch.linalg.vector_norm(token_states(record).float(), dim=-1).cpu().numpy()


@dataclass(frozen=True)
class PrincipalComponents:
    """The principal components of the patch tokens of one image, in each state.

    Attributes:
        scores: ``(l rows columns 3)`` float32, the coordinates of each patch token, in the units of the tokens.
        shares: ``(l 3)`` float32, the share of the variance over the patches that each component explains.
        colours: ``(l rows columns 3)`` float32 in [0, 1], the scores as red, green and blue.
    """

    scores: np.ndarray
    shares: np.ndarray
    colours: np.ndarray


def principal_components(record: Record, image: int = 0, *, align: bool = True) -> PrincipalComponents:
    """Return the first three principal components of one image's patch tokens in each state.

    The sign of a component is arbitrary: it is chosen so that the score with the largest absolute value is positive.

    Args:
        record: from :func:`vit.explain.capture`.
        image: index of the image in the batch.
        align: from the second state on, reorder the components and choose their signs to correlate best with those of
            the previous state, so that colours change as little as possible. The shares are then not always in
            descending order.
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
    """Return scores ``(l n 3)``, of arbitrary sign, and shares ``(l 3)`` of the first components of ``(l n e)``.

    They are computed from the eigenvectors of the smaller of the matrices X Xᵀ ``(n n)`` and Xᵀ X ``(e e)``. For the
    tokens of a large network this takes a tenth of the time of a singular value decomposition.
    """
    crossed = centred.swapaxes(1, 2)
    patches, numbers = centred.shape[1:]
    # Eigenvalues are in ascending order.
    values, vectors = np.linalg.eigh(centred @ crossed if patches <= numbers else crossed @ centred)
    values, vectors = values[:, ::-1][:, :COMPONENTS].clip(min=0), vectors[..., ::-1][..., :COMPONENTS]
    scores = vectors * np.sqrt(values)[:, None] if patches <= numbers else centred @ vectors
    shares = values / np.maximum((centred**2).sum(axis=(1, 2)), 1e-30)[:, None]
    missing = COMPONENTS - values.shape[1]  # there are fewer than three for one or two patches or channels
    return np.pad(scores, ((0, 0), (0, 0), (0, missing))), np.pad(shares, ((0, 0), (0, missing)))


def _match(before: np.ndarray, after: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Return the order and signs of the columns of ``after (n 3)`` that correlate best with those of ``before``."""
    lengths = np.linalg.norm(before, axis=0)[:, None] * np.linalg.norm(after, axis=0)
    cosines = before.T @ after / np.maximum(lengths, 1e-30)
    columns = range(COMPONENTS)
    order = max(permutations(columns), key=lambda one: sum(abs(cosines[i, one[i]]) for i in columns))
    return list(order), np.where(cosines[list(columns), list(order)] < 0, -1, 1)


class TokenParts(NamedTuple):
    """The two summands of an embedded patch.

    Attributes:
        values: ``(3 e)`` float32: the output of the patch embedding, the position embedding, and their sum. The sum
            enters the first block, or the norm before it if there is one.
        place_share: mean absolute value of the position embedding divided by that of the patch embedding.
    """

    values: np.ndarray
    place_share: float


@torch.no_grad()
def token_parts(model: ViT, images: Tensor, patch: int) -> TokenParts:
    """Return the patch embedding, the position embedding and their sum for one patch.

    Args:
        model: a :class:`vit.model.ViT`.
        images: ``(b c h w)``, normalised; only the first is used.
        patch: number of the patch, from 1, row by row.

    Raises:
        ValueError: the patch does not exist.
    """
    count = model.grid[0] * model.grid[1]
    if not 1 <= patch <= count:
        raise ValueError(f"patch = {patch} does not exist; choose 1 to {count}.")
    images = images[:1].to(next(model.parameters()).device, torch.float32)
    content = model.patch_embed(images)[0, patch - 1]
    place = model.pos_embed[0, patch - 1 - count]  # the positions of the patches come last
    share = place.abs().mean() / content.abs().mean().clamp(min=1e-30)
    return TokenParts(torch.stack([content, place, content + place]).float().cpu().numpy(), share.item())


def effective_tokens(rows: np.ndarray) -> np.ndarray:
    """Return the effective number of tokens that attention ``(... m)`` is spread over: exp(entropy), ``(...)``.

    Each row must sum to 1. The result is 1 if all attention goes to one token, and m if each token gets 1/m.
    """
    return np.exp(-(rows * np.log(np.maximum(rows, 1e-30))).sum(axis=-1))
