"""Activation patching: copy activations from the run of one image into the run of another, and watch the answer.

Zhang and Nanda 2024 (arXiv 2309.16042), Heimersheim and Nanda 2024 (arXiv 2404.15255). With the logit difference
LD = logit(A) - logit(B) of two classes, the effect of a patch is the share of the difference between both images that
it moves: (LD_patched - LD_base) / (LD_source - LD_base). It is 0 if nothing changes, and 1 if the patched run answers
like the source. Denoising patches the clean image's activations into the corrupt image's run: it finds what is
sufficient for the answer. Noising is the opposite: it finds what is necessary.

Shapes in einops letters: ``b`` pass, ``l`` layer, ``h`` head, ``n`` token, ``e`` embed_dim; ``u`` unit: a head or a
token, depending on the site.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.edits import BlockEdit, Edits, Replacement
from vit.errors import ExplainError, SettingsError
from vit.explain.maps.target import Target
from vit.explain.passes.inputs import gradients_enabled
from vit.explain.passes.parallel import Meter, in_parallel
from vit.explain.passes.sample import BATCH_NUMBERS, Progress
from vit.explain.recording import Record, capture, require_attention
from vit.networks import Network, Transformer

Site = Literal["head", "pattern", "q", "k", "v", "mlp", "residual"]
Direction = Literal["denoise", "noise"]
Place = tuple[int, int]
"""Layer and unit, from 0; the unit is a head or a token."""

SITES: tuple[Site, ...] = get_args(Site)
TOKEN_SITES: tuple[Site, ...] = ("mlp", "residual")
"""The sites whose units are tokens; the units of all others are heads."""
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

_PLACE = re.compile(r"([1-9]\d{0,3})\.([1-9]\d{0,4})")

EQUAL = 1e-6
"""Logit differences that are closer than this, relative to the larger one or to 1, count as equal."""


@dataclass(frozen=True)
class PatchRuns:
    """The recorded runs of two images.

    Attributes:
        model: the network, in eval mode.
        base: the run that is patched.
        source: the run whose activations are copied.
        images: ``(1 c h w)``, the image of ``base``.
        target: the two classes, as indices.
        clean, corrupt: logit difference of each image.
        direction: ``denoise``: the base is the corrupt image; ``noise``: the base is the clean one.
    """

    model: Transformer
    base: Record
    source: Record
    images: Tensor
    target: Target
    clean: float
    corrupt: float
    direction: Direction

    @property
    def base_difference(self) -> float:
        return self.corrupt if self.direction == "denoise" else self.clean

    @property
    def source_difference(self) -> float:
        return self.clean if self.direction == "denoise" else self.corrupt

    @property
    def undefined(self) -> str:
        """Why the effect is undefined, in one sentence; empty if it is defined."""
        gap, size = abs(self.clean - self.corrupt), max(1.0, abs(self.clean), abs(self.corrupt))
        if gap > EQUAL * size:
            return ""
        return (
            f"The effect is undefined, because both images have the same logit difference, {self.clean:.4f}: choose "
            "another image or other classes."
        )

    def effect(self, difference: np.ndarray | float) -> np.ndarray:
        """Return the effect of patches that led to these logit differences, ``(...)``.

        Raises:
            ExplainError: both images have the same logit difference.
        """
        if self.undefined:
            raise ExplainError(self.undefined)
        change = np.asarray(difference, dtype=np.float64) - self.base_difference
        return change / (self.source_difference - self.base_difference)

    def units(self, site: Site) -> int:
        """Return the number of heads, or of tokens, of a layer."""
        config = self.model.config
        return config.num_tokens if site in TOKEN_SITES else config.num_heads


def record_runs(
    model: Network, clean: Tensor, corrupt: Tensor, target: Target, direction: Direction = "denoise"
) -> PatchRuns:
    """Run both images through a model, and record their activations.

    Args:
        model: a transformer with classes.
        clean: ``(1 c h w)``, normalised.
        corrupt: ``(1 c h w)``, normalised.
        target: class A as ``label``, class B as ``against``.
        direction: which of the two runs will be patched.

    Raises:
        ExplainError: a TypeError; the network has no attention, or no classes.
        UserError: A or B is missing or unknown, or both are the same class.
    """
    model = require_attention(model)
    require_classes(model.config)
    if target.label is None or target.against is None:
        raise ExplainError("Patching compares two classes: give the target a label and a class against it.")
    target = target.for_model(model, 1)
    if target.label == target.against:
        raise ExplainError("Patching compares two classes: the class and the class against it are the same.")
    records = [capture(model, images[:1]) for images in (clean, corrupt)]
    first, second = (target.score(record.logits).item() for record in records)
    base, source = records if direction == "noise" else records[::-1]
    images = clean if direction == "noise" else corrupt
    return PatchRuns(model, base, source, images[:1], target, first, second, direction)


# Exact patching


def patch_each(runs: PatchRuns, site: Site, progress: Progress | None = None) -> np.ndarray:
    """Patch every unit of a site alone, and return the logit differences: ``(l h)``, or ``(l n)`` for tokens.

    Layers before the patched one do not change, so each pass starts at the patched layer; many units run in one batch.
    A unit with the same activation in both runs needs no pass.

    Args:
        runs: from :func:`record_runs`.
        site: ``head``: the output of a head; ``pattern``: its attention; ``q``, ``k``, ``v``: its queries, keys or
            values; ``mlp``: the output of the MLP for a token; ``residual``: the token that enters the layer.
        progress: called with (done, total) in patched passes.
    """
    size = max(1, BATCH_NUMBERS // (runs.model.config.num_tokens * runs.model.config.embed_dim))
    found = np.full((runs.model.config.depth, runs.units(site)), runs.base_difference)
    chunks = [
        (layer, part) for layer in range(len(found)) for part in _differing(runs, site, layer).split(size) if len(part)
    ]
    meter = Meter(sum(len(part) for _, part in chunks))

    def run(chunk: tuple[int, Tensor]) -> Tensor:
        layer, units = chunk
        where = torch.zeros(len(units), found.shape[1], device=units.device)
        where[torch.arange(len(units)), units] = 1
        if site in TOKEN_SITES:
            logits = _logits_from(runs, *_patched_tokens(runs, site, layer, where))
        else:
            tokens = runs.base.entering(layer).expand(len(units), -1, -1)
            logits = _logits_from(runs, tokens, layer, {layer: edit_of(runs.source, site, layer, where)})
        meter.add(len(units))
        return runs.target.score(logits)

    for (layer, units), result in zip(chunks, in_parallel(run, chunks, meter, progress), strict=True):
        found[layer, units.cpu().numpy()] = result.cpu().numpy()
    return found


def patch_together(runs: PatchRuns, patches: Sequence[tuple[Site, Collection[Place]]]) -> float:
    """Patch a group of units, a layer or everything at once, and return the logit difference.

    Args:
        runs: from :func:`record_runs`.
        patches: the places of each site. A site may be listed once.
    """
    return runs.target.score(patched_logits(runs, patches)).item()


def patched_logits(runs: PatchRuns, patches: Sequence[tuple[Site, Collection[Place]]]) -> Tensor:
    """Return the logits ``(1 num_classes)`` of the base with a group of units patched at once."""
    return _logits_from(runs, runs.base.embedded, 0, group_edits(runs, patches))


def group_edits(runs: PatchRuns, patches: Sequence[tuple[Site, Collection[Place]]]) -> Edits:
    """Return the ``edits`` argument of the model's ``forward`` that patches all these places at once.

    Raises:
        ExplainError: a place does not exist.
    """
    edits: dict[int, BlockEdit] = {}
    for site, places in patches:
        shape = (runs.model.config.depth, runs.units(site))
        where = torch.zeros(shape, device=runs.images.device)
        for layer, unit in places:
            if not (0 <= layer < shape[0] and 0 <= unit < shape[1]):
                kind = "token" if site in TOKEN_SITES else "head"
                raise ExplainError(
                    f"There is no {kind} {unit + 1} in layer {layer + 1}: this model has {shape[0]} layers with "
                    f"{shape[1]} {kind}s."
                )
            where[layer, unit] = 1
        for layer in {layer for layer, _ in places}:
            edit = edit_of(runs.source, site, layer, where[layer, None])
            edits[layer] = _merged(edits[layer], edit) if layer in edits else edit
    return edits


@torch.no_grad()
def _logits_from(runs: PatchRuns, tokens: Tensor, layer: int, edits: Edits | None = None) -> Tensor:
    """Return the logits ``(b num_classes)`` of a run from a layer on, from the tokens ``(b n e)`` that enter it."""
    model, first = runs.model, 1 if runs.model.pool == "cls" else None
    return model.classify(model.blocks(tokens, None, edits, start=layer, first=first))


def _patched_tokens(runs: PatchRuns, site: Site, layer: int, where: Tensor) -> tuple[Tensor, int]:
    """Return the patched tokens ``(b n e)`` and the layer that they enter.

    For a token site they are known without running the patched layer, so the fused attention computes the rest.
    """
    change = (activation(runs.source, site, layer) - activation(runs.base, site, layer)) * where[:, :, None]
    following = layer if site == "residual" else layer + 1
    return runs.base.entering(following) + change, following


def edit_of(source: Record, site: Site, layer: int, where: Tensor) -> BlockEdit:
    """Return the edit that copies activations of one layer from the source where ``where (b u)`` is 1."""
    values = activation(source, site, layer)
    if site in TOKEN_SITES:
        replacement = Replacement(values, where[:, :, None])
        return BlockEdit(tokens=replacement) if site == "residual" else BlockEdit(mlp=replacement)
    heads = where[:, :, None, None]
    match site:
        case "head":
            return BlockEdit(output=values, ablated=heads)
        case "pattern":
            return BlockEdit(pattern=values, replaced=heads)
        case "q":
            return BlockEdit(q=Replacement(values, heads))
        case "k":
            return BlockEdit(k=Replacement(values, heads))
    return BlockEdit(v=Replacement(values, heads))


def activation(record: Record, site: Site, layer: int) -> Tensor:
    """Return what a site holds in one layer: ``(b n e)`` for tokens, otherwise ``(b h n d)`` or ``(b h n m)``."""
    if site == "residual":
        return record.entering(layer)
    name = {"head": "heads", "pattern": "attention"}.get(site, site)
    return getattr(record.layers[layer], name)


def _differing(runs: PatchRuns, site: Site, layer: int) -> Tensor:
    """Return the units whose activation differs between both runs, ``(units)``."""
    base, source = (activation(one, site, layer)[0] for one in (runs.base, runs.source))
    return (base != source).flatten(1).any(dim=1).nonzero()[:, 0]


def _merged(one: BlockEdit, other: BlockEdit) -> BlockEdit:
    """Return an edit with the changes of both, which concern different sites."""
    fields = BlockEdit.__dataclass_fields__
    set_ = {name: value for edit in (one, other) for name in fields if (value := getattr(edit, name)) is not None}
    return BlockEdit(**set_)


# Paths


def patch_paths(
    runs: PatchRuns, sender: Place, inputs: Collection[Literal["q", "k", "v"]] = ("q", "k", "v")
) -> np.ndarray:
    """Patch the direct path from one head to each later head, and return the logit differences ``(l h)``.

    Path patching (Goldowsky-Dill et al. 2023, arXiv 2304.05969). The sender's output is taken from the source, and all
    other heads and all MLPs keep their outputs from the base, so that the receiver sees the change of the sender alone,
    through the residual stream. The receiver's inputs from this run are then patched into a run of the base. Layers up
    to the sender's are NaN: nothing can be sent to them.

    Args:
        runs: from :func:`record_runs`.
        sender: layer and head, from 0.
        inputs: which inputs of the receiver the path ends in: its queries, keys, values, or several.
    """
    model, base, layer = runs.model, runs.base, sender[0]
    depth, heads = model.config.depth, model.config.num_heads
    one = torch.ones((), device=runs.images.device)
    freeze = [
        BlockEdit(output=own.heads, ablated=one, mlp=Replacement(own.mlp, one)) for own in base.layers[layer + 1 :]
    ]
    sending = group_edits(runs, [("head", [sender])])[layer]
    start = _merged(sending, BlockEdit(mlp=Replacement(base.layers[layer].mlp, one)))
    sent: dict = {"layers": []}
    with torch.no_grad():
        edits = {layer: start} | {layer + 1 + index: edit for index, edit in enumerate(freeze)}
        model.blocks(base.entering(layer), sent, edits, start=layer)
    found = np.full((depth, heads), np.nan)
    each = torch.eye(heads, device=runs.images.device)[:, :, None, None]
    for receiver in range(layer + 1, depth):
        received = sent["layers"][receiver - layer]
        q, k, v = (Replacement(received[name], each) if name in inputs else None for name in ("q", "k", "v"))
        edit = BlockEdit(q=q, k=k, v=v)
        tokens = base.entering(receiver).expand(heads, -1, -1)
        found[receiver] = runs.target.score(_logits_from(runs, tokens, receiver, {receiver: edit})).cpu().numpy()
    return found


# Attribution patching


def attribute_each(runs: PatchRuns, site: Site) -> np.ndarray:
    """Estimate the logit differences of :func:`patch_each` from one backward pass, ``(l u)``.

    Attribution patching (Syed et al. 2023, arXiv 2310.10348): to first order, a patch changes LD by the gradient of LD
    with respect to the activation, times the difference of the activations.
    """
    depth = runs.model.config.depth
    with gradients_enabled():
        record = capture(runs.model, runs.images, grad=True)
        activations = [activation(record, site, layer) for layer in range(depth)]
        gradients = torch.autograd.grad(runs.target.score(record.logits).sum(), activations)
    changes = [
        (gradient * (activation(runs.source, site, layer) - activation(runs.base, site, layer)))[0].flatten(1).sum(1)
        for layer, gradient in enumerate(gradients)
    ]
    return runs.base_difference + torch.stack(changes).detach().double().cpu().numpy()


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two boards; NaN if all numbers of a board are equal."""
    from scipy.stats import rankdata

    ranks = [rankdata(np.ravel(board)) for board in (one, other)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


# Text for a link


def places_to_text(places: Collection[Place]) -> str:
    """Write places for a link, in their order, with numbers from 1: ``1.2-2.3``."""
    return "-".join(f"{layer + 1}.{unit + 1}" for layer, unit in sorted(places))


def places_from_text(text: str, shape: tuple[int, int]) -> tuple[Place, ...]:
    """Read the places that :func:`places_to_text` wrote, for this number of layers and of units.

    Raises:
        SettingsError: the text is malformed, or a place does not exist.
    """
    found = set()
    for part in text.split("-") if text else ():
        match = _PLACE.fullmatch(part)
        if match is None:
            raise SettingsError(f"{part[:20]!r} is not a place: write layer.number, such as 1.2, and - between places.")
        layer, unit = int(match[1]), int(match[2])
        if layer > shape[0] or unit > shape[1]:
            raise SettingsError(
                f"{part!r} does not exist: this model has layers 1 to {shape[0]}, and numbers 1 to {shape[1]} in each."
            )
        found.add((layer - 1, unit - 1))
    return tuple(sorted(found))
