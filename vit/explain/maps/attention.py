"""One map from a transformer's attention: how much each patch counts for the summary token, or for a class.

Every method reads one recorded pass, those that know classes its gradient too, so :func:`relevance_maps` gives several
of them at the cost of one forward and one backward pass.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.errors import ExplainError
from vit.explain.maps.target import Target
from vit.explain.passes.memory import image_slices
from vit.explain.recording import Record, capture
from vit.networks import Network

Fusion = Literal["mean", "max", "min"]

FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
"""The ways in which rollout makes one map of a layer's heads."""


@dataclass(frozen=True)
class RecordedPass:
    """A recorded pass over some images, and the gradient of what is to be explained, where a method asks for it.

    Attributes:
        gradients: of the score with respect to each layer's attention, ``(b h n m)``.
        entering: the tokens that entered the last block, ``(b n e)``.
        entering_gradient: of the score with respect to those.
    """

    record: Record
    gradients: tuple[Tensor, ...] = ()
    entering: Tensor | None = None
    entering_gradient: Tensor | None = None

    @classmethod
    def over(cls, model: Network, images: Tensor, target: Target, *, grad: bool) -> "RecordedPass":
        """One forward pass, and with ``grad`` one backward pass. An image's gradient knows of no other image."""
        if grad:
            require_classes(model.config)
        record = capture(model, images, grad=grad)
        if not grad:
            return cls(record)
        entering = record.layers[-2].tokens if len(record.layers) > 1 else record.embedded
        attentions = [layer.attention for layer in record.layers]
        *gradients, of_tokens = torch.autograd.grad(target.score(record.logits).sum(), [*attentions, entering])
        return cls(record, tuple(gradients), entering, of_tokens)

    def weighted(self, layer: int) -> Tensor:
        """A layer's attention times its gradient, ``(b h n m)``: to first order what each link adds to the score."""
        return self.gradients[layer] * self.record.layers[layer].attention


def _refuse_what_cannot_be_followed(record: Record) -> None:
    if record.mixes_positions:
        reason = "mixes positions"
    elif record.normalised_over == "query":
        reason = "normalises its attention over the queries"
    else:
        return
    raise ExplainError(
        f"This network {reason}, so its attention cannot be followed from layer to layer: take its raw maps."
    )


def _summary_map(record: Record, relevance: Tensor) -> Tensor:
    """``(b n m)`` to the summary token's patches, ``(b patches)``."""
    return relevance[:, record.summary_rows].mean(dim=1)[:, record.prefix_tokens :]


def leave_out_smallest(fused: Tensor, share: float) -> Tensor:
    """``fused (b n m)`` with the smallest of its weights set to 0, so many of each image.

    The first token's weight for itself is kept, as in the tool vit-explain, which means to keep the class token. Here
    each image loses its own smallest weights; there only the first image of a batch does.
    """
    if not 0 <= share < 1:
        raise ValueError(f"discard = {share} is no share that can be left out: choose one from 0 to below 1.")
    flat = fused.flatten(1)
    smallest = flat.topk(int(flat.shape[1] * share), dim=1, largest=False, sorted=False).indices
    kept = flat.scatter(1, smallest, 0.0)
    kept[:, 0] = flat[:, 0]
    return kept.view_as(fused)


def _follow(layers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The product over layers of ``fused + identity``, each row brought to a sum of 1, in two parts.

    (vit-explain divides by the sums without keeping the axis, so there each *column* is divided by the sum of the row
    of its number.)

    Args:
        layers: ``(b n m)`` each, first to last.

    Returns:
        ``(b n m)``, what came by way of at least one layer's attention, and ``(b n)``, the share of each token that
        stayed in place in all of them, which is on the diagonal of the product besides.
    """
    moved, stayed = torch.zeros_like(layers[0]), torch.ones_like(layers[0][..., 0])
    for fused in layers:
        sums = fused.sum(dim=-1, keepdim=True) + 1
        # (fused + identity) / sums @ (moved + stayed on the diagonal), less what stays on it: no small number is ever
        # the difference of two large ones.
        moved = (fused @ moved + moved + fused * stayed[:, None]) / sums
        stayed = stayed / sums[..., 0]
    return moved, stayed


def _last(seen: RecordedPass) -> Tensor:
    return _summary_map(seen.record, seen.record.layers[-1].attention.mean(dim=1))


def _rollout(seen: RecordedPass, fusion: Fusion, discard: float) -> Tensor:
    _refuse_what_cannot_be_followed(seen.record)
    if fusion not in FUSIONS:
        raise ValueError(f"fusion = {fusion!r} is unknown: choose one of {', '.join(FUSIONS)}.")
    rules: dict[Fusion, Callable[..., Tensor]] = {"mean": torch.mean, "max": torch.amax, "min": torch.amin}
    fuse = rules[fusion]
    moved, stayed = _follow([leave_out_smallest(fuse(layer.attention, dim=1), discard) for layer in seen.record.layers])
    return _summary_map(seen.record, moved + torch.diag_embed(stayed))


def _chefer(seen: RecordedPass) -> Tensor:
    _refuse_what_cannot_be_followed(seen.record)
    added = torch.zeros_like(seen.gradients[0][:, 0])
    for layer in range(len(seen.gradients)):
        weighted = seen.weighted(layer).clamp(min=0).mean(dim=1)
        added = added + weighted + weighted @ added  # R - I for R <- R + weighted R
    return _summary_map(seen.record, added)


def _attention_gradient(seen: RecordedPass) -> Tensor:
    _refuse_what_cannot_be_followed(seen.record)
    return _summary_map(seen.record, seen.weighted(-1).clamp(min=0).mean(dim=1))


def _gradient_rollout(seen: RecordedPass, discard: float) -> Tensor:
    _refuse_what_cannot_be_followed(seen.record)
    fused = [seen.weighted(layer).mean(dim=1).clamp(min=0) for layer in range(len(seen.gradients))]
    moved, _ = _follow([leave_out_smallest(layer, discard) for layer in fused])
    return _summary_map(seen.record, moved)


def _token_grad_cam(seen: RecordedPass) -> Tensor:
    record = seen.record
    if record.mixes_positions:
        raise ExplainError("This network mixes positions, so its tokens are not its patches', and Grad-CAM has no map.")
    entering, gradient = seen.entering, seen.entering_gradient
    assert entering is not None  # Grad-CAM's pass has a gradient
    assert gradient is not None
    channels = gradient[:, record.prefix_tokens :].mean(dim=1, keepdim=True)  # b 1 e
    return (entering[:, record.prefix_tokens :] * channels).sum(dim=-1).clamp(min=0)


WITHOUT_GRADIENT = ("last", "rollout")
WITH_GRADIENT = ("chefer", "attention-gradient", "gradient-rollout", "gradcam")


def relevance_maps(
    model: Network,
    images: Tensor,
    target: Target | int | None = None,
    names: Collection[str] = WITHOUT_GRADIENT + WITH_GRADIENT,
    *,
    fusion: Fusion = "mean",
    discard: float = 0.0,
) -> dict[str, np.ndarray]:
    """Maps of several methods at the cost of one forward pass, and of one backward pass where one of them needs it.

    Args:
        images: ``(b c h w)``, normalised.
        target: what to explain; a class stands for its logit, None for each image's likeliest.
        names: of :data:`WITHOUT_GRADIENT` and :data:`WITH_GRADIENT`.
        fusion: of :func:`rollout`.
        discard: of :func:`rollout` and :func:`gradient_rollout`.

    Returns:
        ``(b rows columns)`` float32 by name.

    Raises:
        ExplainError: a TypeError; the network cannot give one of them.
        ValueError: ``fusion`` or ``discard`` cannot be.
    """
    rules: dict[str, Callable[[RecordedPass], Tensor]] = {
        "last": _last,
        "rollout": lambda seen: _rollout(seen, fusion, discard),
        "chefer": _chefer,
        "attention-gradient": _attention_gradient,
        "gradient-rollout": lambda seen: _gradient_rollout(seen, discard),
        "gradcam": _token_grad_cam,
    }
    target, grad = Target.of(target), any(name in WITH_GRADIENT for name in names)
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for part in image_slices(model, len(images)):
        seen = RecordedPass.over(model, images[part], target.part(part), grad=grad)
        with torch.no_grad():
            for name, maps in found.items():
                maps.append(rules[name](seen).float().cpu().numpy().reshape(-1, *seen.record.grid))
    return {name: np.concatenate(maps) for name, maps in found.items()}


def last_attention(model: Network, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """What the summary token attends to in the last layer, mean over heads.

    Args:
        images: ``(b c h w)``, normalised.
        target: without effect; attention knows no classes.

    Returns:
        ``(b rows columns)``, shares of 1; what goes to the class token and to registers is left out. Where
        ``record.caveat`` says so, a row is not what its patch attends to.

    Raises:
        ExplainError: a TypeError; the model has no attention.
    """
    return relevance_maps(model, images, target, ["last"])["last"]


def rollout(
    model: Network,
    images: Tensor,
    target: Target | int | None = None,
    *,
    fusion: Fusion = "mean",
    discard: float = 0.0,
) -> np.ndarray:
    """Attention rollout (Abnar and Zuidema 2020): the product over layers of half attention, half identity.

    Args:
        images: ``(b c h w)``, normalised.
        target: without effect; rollout knows no classes.
        fusion: how a layer's heads become one map. With the max or min, which rows of 1 do not survive, attention and
            identity together are brought back to rows of 1, as in the tool vit-explain (J. Gildenblat).
        discard: share of each layer's fused weights, the smallest, that are set to 0, as in that tool.

    Returns:
        ``(b rows columns)``: how much of each patch reaches the summary token.

    Raises:
        ExplainError: a TypeError; the model has no attention, or none that can be followed: it mixes positions, or
            its softmax runs over the queries.
        ValueError: ``fusion`` is unknown, or ``discard`` not from 0 to below 1.
    """
    return relevance_maps(model, images, target, ["rollout"], fusion=fusion, discard=discard)["rollout"]


def chefer(model: Network, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """Gradient-weighted relevance for a class (Chefer, Gur and Wolf, ICCV 2021).

    R <- R + mean over heads of (dA * A)+ R, layer by layer, from R = I. The map is of R - I, what the layers added: a
    mean over tokens would have its even share of I in it.

    Args:
        images: ``(b c h w)``, normalised.
        target: what to explain; a class stands for its logit, None for each image's likeliest.

    Returns:
        ``(b rows columns)``: how much each patch speaks for the class.

    Raises:
        ExplainError: a TypeError; the model has no attention, or none that can be followed: it mixes positions, or
            its softmax runs over the queries.
    """
    return relevance_maps(model, images, target, ["chefer"])["chefer"]


def attention_gradient(model: Network, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """Attention times gradient of the last layer: mean over heads of (dA * A)+, the summary token's rows.

    It is the last step of :func:`chefer` by itself. Of earlier layers nothing is known to it.

    Args, returns and raises: as :func:`chefer`.
    """
    return relevance_maps(model, images, target, ["attention-gradient"])["attention-gradient"]


def gradient_rollout(
    model: Network, images: Tensor, target: Target | int | None = None, *, discard: float = 0.0
) -> np.ndarray:
    """Rollout of attention times gradient, as in the tool vit-explain (J. Gildenblat).

    A layer's weights are the mean over heads of dA * A, set to 0 where it is negative: unlike in :func:`chefer` heads
    that raise and heads that lower the score cancel out first. Then the smallest are discarded, the identity is added,
    and rows are brought to a sum of 1. The path that stays in place in every layer is left out of the map: a mean over
    tokens would have its even share of it, far above the rest. A class token's map is the tool's, unscaled.

    Args, returns and raises: as :func:`chefer`, and ``discard`` as in :func:`rollout`.
    """
    return relevance_maps(model, images, target, ["gradient-rollout"], discard=discard)["gradient-rollout"]


def token_grad_cam(model: Network, images: Tensor, target: Target | int | None = None) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017) of a transformer, on the tokens that enter its last block.

    A channel's weight is the mean over the patches of the score's gradient, and the map the weighted sum of the
    channels, set to 0 where it is negative. Not the tokens that leave the last block: where the head reads the class
    token alone, patches have no way to the answer after it, and their gradient is 0.

    Args and returns: as :func:`chefer`. Raises an ExplainError where the model has no tokens, or mixes their positions.
    """
    return relevance_maps(model, images, target, ["gradcam"])["gradcam"]
