"""Relevance maps from a transformer's attention: how much each patch contributes to the summary token or to a class.

Every method uses one recorded forward pass, and the class-specific ones also its gradient. So :func:`relevance_maps`
computes several maps with one forward and at most one backward pass.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_output
from vit.errors import ExplainError
from vit.explain.maps.target import Label, Target
from vit.explain.passes.inputs import gradients_enabled, ready, ready_images
from vit.explain.passes.memory import image_slices
from vit.explain.recording import Record, capture, require_attention
from vit.networks import Network

Fusion = Literal["mean", "max", "min"]

FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
"""The ways in which rollout combines the heads of a layer."""


@dataclass(frozen=True)
class RecordedPass:
    """A recorded forward pass, and the gradients of the explained score if a method needs them.

    Attributes:
        record: the recorded forward pass.
        gradients: gradient of the score with respect to each layer's attention, ``(b h n m)``.
        entering: ``(b n e)``, the tokens that entered the last block.
        entering_gradient: ``(b n e)``, gradient of the score with respect to these tokens.
    """

    record: Record
    gradients: tuple[Tensor, ...] = ()
    entering: Tensor | None = None
    entering_gradient: Tensor | None = None

    @classmethod
    def over(cls, model: Network, images: Tensor, target: Target, *, grad: bool) -> "RecordedPass":
        """Run one forward pass, and with ``grad`` one backward pass; the images are independent of each other."""
        if not grad:
            return cls(capture(model, images))
        with gradients_enabled():
            record = capture(model, images, grad=True)
            entering = record.layers[-2].tokens if len(record.layers) > 1 else record.embedded
            attentions = [layer.attention for layer in record.layers]
            *gradients, of_tokens = torch.autograd.grad(target.score(record.logits).sum(), [*attentions, entering])
        return cls(record, tuple(gradients), entering, of_tokens)

    def weighted(self, layer: int) -> Tensor:
        """Return attention times gradient, ``(b h n m)``: to first order the contribution of each link to the score."""
        return self.gradients[layer] * self.record.layers[layer].attention


def _refuse_what_cannot_be_followed(record: Record) -> None:
    if record.mixes_positions:
        reason = "mixes positions"
    elif record.normalised_over == "query":
        reason = "normalises its attention over the queries"
    else:
        return
    raise ExplainError(
        f"This network {reason}, so its attention cannot be followed from layer to layer: use its raw maps."
    )


def _summary_map(record: Record, relevance: Tensor) -> Tensor:
    """Return the summary token's relevance of each patch, ``(b patches)``, from ``relevance (b n m)``."""
    return relevance[:, record.summary_rows].mean(dim=1)[:, record.prefix_tokens :]


def leave_out_smallest(fused: Tensor, share: float) -> Tensor:
    """Set the smallest weights of ``fused (b n m)`` to 0, this share of the weights of each image.

    The first token's weight for itself is kept, as in the tool vit-explain, which intends to keep the class token. Here
    the smallest weights of each image are dropped; in vit-explain only those of the first image of a batch are.

    Raises:
        ValueError: ``share`` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"discard = {share} is out of range: choose a share from 0 to below 1.")
    flat = fused.flatten(1)
    smallest = flat.topk(int(flat.shape[1] * share), dim=1, largest=False, sorted=False).indices
    kept = flat.scatter(1, smallest, 0.0)
    kept[:, 0] = flat[:, 0]
    return kept.view_as(fused)


def _follow(layers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the product over layers of ``fused + identity`` with rows normalised to 1, in two parts.

    (vit-explain divides by the sums without keeping the axis, so it divides column i by the sum of row i.)

    Args:
        layers: ``(b n m)`` each, first to last.

    Returns:
        The part ``(b n m)`` that passed through at least one layer's attention, and the part ``(b n)`` of each token
        that passed only through the identities. The product is their sum, the second on the diagonal.
    """
    moved, stayed = torch.zeros_like(layers[0]), torch.ones_like(layers[0][..., 0])
    for fused in layers:
        sums = fused.sum(dim=-1, keepdim=True) + 1
        # This is (fused + identity) / sums @ (moved + diag(stayed)) - diag(stayed / sums), written without a
        # difference, which would lose precision for small numbers.
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
        raise ExplainError("This network mixes positions, so its tokens do not belong to patches: Grad-CAM has no map.")
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
    target: Target | Label | None = None,
    names: Collection[str] = WITHOUT_GRADIENT + WITH_GRADIENT,
    *,
    fusion: Fusion = "mean",
    discard: float = 0.0,
) -> dict[str, np.ndarray]:
    """Compute the maps of several methods with one forward pass and at most one backward pass.

    Args:
        model: a transformer.
        images: ``(b c h w)``, normalised.
        target: what to explain; a class means its logit, None each image's most probable class.
        names: names from :data:`WITHOUT_GRADIENT` and :data:`WITH_GRADIENT`.
        fusion: option of :func:`rollout`.
        discard: option of :func:`rollout` and :func:`gradient_rollout`.

    Returns:
        ``(b rows columns)`` float32 by name.

    Raises:
        ExplainError: a TypeError; a method is not available for this network.
        UserError: the images are not normalised floats, or the model has no such class.
        ValueError: ``fusion`` or ``discard`` is invalid.
    """
    rules: dict[str, Callable[[RecordedPass], Tensor]] = {
        "last": _last,
        "rollout": lambda seen: _rollout(seen, fusion, discard),
        "chefer": _chefer,
        "attention-gradient": _attention_gradient,
        "gradient-rollout": lambda seen: _gradient_rollout(seen, discard),
        "gradcam": _token_grad_cam,
    }
    model, grad = ready(require_attention(model)), any(name in WITH_GRADIENT for name in names)
    if grad:
        require_output(model.config)
    images, target = ready_images(model, images), Target.of(target)
    target = target.for_model(model, len(images)) if grad else Target()
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for part in image_slices(model, len(images)):
        seen = RecordedPass.over(model, images[part], target.part(part), grad=grad)
        with torch.no_grad():
            for name, maps in found.items():
                maps.append(rules[name](seen).float().cpu().numpy().reshape(-1, *seen.record.grid))
    return {name: np.concatenate(maps) for name, maps in found.items()}


def last_attention(model: Network, images: Tensor, target: Target | Label | None = None) -> np.ndarray:
    """Return the summary token's attention in the last layer, mean over heads.

    Args:
        model: a transformer.
        images: ``(b c h w)``, normalised.
        target: has no effect, because attention does not depend on a class.

    Returns:
        ``(b rows columns)``, shares of 1 without the attention to the class token and registers. If the model's
        ``record.caveat`` is not empty, a row is not what its patch attends to.

    Raises:
        ExplainError: a TypeError; the model has no attention.
    """
    return relevance_maps(model, images, target, ["last"])["last"]


def rollout(
    model: Network,
    images: Tensor,
    target: Target | Label | None = None,
    *,
    fusion: Fusion = "mean",
    discard: float = 0.0,
) -> np.ndarray:
    """Compute attention rollout (Abnar and Zuidema 2020): the product over layers of (A + I) / 2.

    Args:
        model: a transformer.
        images: ``(b c h w)``, normalised.
        target: has no effect, because rollout does not depend on a class.
        fusion: how the heads of a layer are combined. After a max or min, rows of A no longer sum to 1, so the rows of
            A + I are normalised, as in the tool vit-explain (J. Gildenblat).
        discard: share of each layer's combined weights, the smallest, that is set to 0, as in vit-explain.

    Returns:
        ``(b rows columns)``: how much of each patch reaches the summary token.

    Raises:
        ExplainError: a TypeError; the model has no attention, or it cannot be followed, because the network mixes
            positions or its softmax runs over the queries.
        ValueError: ``fusion`` is unknown, or ``discard`` is not in [0, 1).
    """
    return relevance_maps(model, images, target, ["rollout"], fusion=fusion, discard=discard)["rollout"]


def chefer(model: Network, images: Tensor, target: Target | Label | None = None) -> np.ndarray:
    """Compute gradient-weighted relevance for a class (Chefer, Gur and Wolf, ICCV 2021).

    Starting from R = I, each layer updates R <- R + Ā R, where Ā is the mean over heads of (dA * A)+, and dA is the
    gradient of the score with respect to the attention A. The map shows R - I, which is what the layers added: with
    mean pooling, I would add the same amount to every patch.

    Args:
        model: a transformer.
        images: ``(b c h w)``, normalised.
        target: what to explain; a class means its logit, None each image's most probable class.

    Returns:
        ``(b rows columns)``: how much each patch supports the class.

    Raises:
        ExplainError: a TypeError; the model has no attention, or it cannot be followed, because the network mixes
            positions or its softmax runs over the queries.
    """
    return relevance_maps(model, images, target, ["chefer"])["chefer"]


def attention_gradient(model: Network, images: Tensor, target: Target | Label | None = None) -> np.ndarray:
    """Compute attention times gradient of the last layer: the mean over heads of (dA * A)+, the summary token's rows.

    This is only the last step of :func:`chefer`; earlier layers are not used. Arguments, result and errors are those of
    :func:`chefer`.
    """
    return relevance_maps(model, images, target, ["attention-gradient"])["attention-gradient"]


def gradient_rollout(
    model: Network, images: Tensor, target: Target | Label | None = None, *, discard: float = 0.0
) -> np.ndarray:
    """Compute the rollout of attention times gradient, as in the tool vit-explain (J. Gildenblat).

    A layer's weights are the mean over heads of dA * A, with negative values set to 0. Unlike in :func:`chefer`, heads
    that raise and heads that lower the score cancel first. Then the smallest weights are set to 0, the identity is
    added, and rows are normalised to 1. The path through the identities of all layers is left out of the map: with
    mean pooling it would add the same, far larger amount to every patch. For a class token the map is that of
    vit-explain, without its scaling.

    Arguments, result and errors are those of :func:`chefer`; ``discard`` is that of :func:`rollout`.
    """
    return relevance_maps(model, images, target, ["gradient-rollout"], discard=discard)["gradient-rollout"]


def token_grad_cam(model: Network, images: Tensor, target: Target | Label | None = None) -> np.ndarray:
    """Compute Grad-CAM (Selvaraju et al. 2017) of a transformer on the tokens that enter its last block.

    The weight of a channel is the mean over the patches of the score's gradient. The map is the weighted sum of the
    channels, with negative values set to 0. The tokens after the last block cannot be used: if the head reads only the
    class token, the gradient of the patch tokens there is 0.

    Arguments and result are those of :func:`chefer`. It raises an ExplainError if the model has no tokens or mixes
    positions.
    """
    return relevance_maps(model, images, target, ["gradcam"])["gradcam"]
