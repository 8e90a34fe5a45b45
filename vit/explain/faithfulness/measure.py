"""Measure whether maps are faithful: how the prediction changes when the most relevant patches are covered.

The measures are deletion and insertion curves (Petsiuk, Das and Saenko 2018) in steps of equal patch count. If the data
has object masks, they also include how much of a map lies on the object (pointing game: Zhang et al. 2016). Every
method is compared with control maps (:mod:`vit.explain.faithfulness.chance_maps`) and with itself on untrained weights
(Adebayo et al. 2018). A map that does no better than these is not evidence.

Shapes in einops letters: ``b`` batch, ``c`` channel, ``h w`` pixels, ``p`` patches; ``f`` fills, ``k`` kinds of curves,
``s`` the points of a curve.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vit.classes import require_classes
from vit.data import Split
from vit.data.batches import mix_seed, normalise
from vit.explain.faithfulness.chance_maps import CHANCE_MAPS, order
from vit.explain.faithfulness.fold_weights import fold_standardised_weights
from vit.explain.faithfulness.maps import available_methods, make_maps, on_grid, pass_cost
from vit.explain.faithfulness.result import CURVE_KINDS, UNTRAINED, Faithfulness, ResultRow, measure_values
from vit.explain.interventions.cover import FILLS, Fill, cover, filled, patch_of_pixel
from vit.explain.maps.attribution import grid_of
from vit.explain.maps.methods import Method, methods_for
from vit.explain.maps.target import Target
from vit.explain.passes.parallel import Meter, in_parallel
from vit.networks import Network, build_model

STEPS = 10

BATCH = 32
"""Covered images in one forward pass; with larger batches the activations no longer fit into the processor's cache."""

CHUNK = 5
"""Images that one worker processes together."""

Progress = Callable[[int, int], None]


def pick_images(available: int, count: int, seed: int = 0) -> np.ndarray:
    """Return the indices of ``count`` images, one drawn from each of ``count`` equal parts of the split.

    So all classes are represented, whether the split is sorted by class or alternates between classes. If there are
    fewer images than ``count``, all are returned.
    """
    if count >= available:
        return np.arange(available)
    edges = np.arange(count + 1) * available // count
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:])


def step_counts(patches: int) -> np.ndarray:
    """Return the number of covered patches at each of the eleven points of a curve: ``round(k * patches / 10)``."""
    return np.rint(np.arange(STEPS + 1) * patches / STEPS).astype(np.int64)


def covered_along(orders: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which patches are covered at each point of both curves.

    Deletion starts with the whole image and covers the most relevant patches first. Insertion starts with all patches
    covered and shows the most relevant ones first.

    Args:
        orders: ``(... p)``, patch numbers, most relevant first.
        counts: ``(s)``, number of patches at each point.

    Returns:
        bool ``(... k s p)``.
    """
    place = np.argsort(orders, axis=-1)[..., None, :]
    first = place < counts[:, None]
    return np.stack([first, ~first], axis=-3)


def object_shares(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return the share of each patch that the object fills: ``(images h w) -> (images p)``."""
    place = patch_of_pixel(grid, masks.shape[1:]).flatten().numpy()
    pixels = np.bincount(place, minlength=grid[0] * grid[1])
    flat = np.asarray(masks, dtype=np.float64).reshape(len(masks), -1)
    return np.stack([np.bincount(place, weights=mask, minlength=len(pixels)) for mask in flat]) / pixels


@torch.inference_mode()
def curves_of(
    model: Network,
    image: Tensor,
    label: int,
    orders: np.ndarray,
    grid: tuple[int, int],
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """Return the probability of a class along every curve of one image.

    Different orders often cover the same patches, and always do at the ends of a curve, so the model runs only once for
    each distinct covered image.

    Args:
        model: any network with classes.
        image: ``(c h w)``, normalised.
        label: the class.
        orders: ``(rows p)``, patch numbers, most relevant first.
        grid: rows and columns of patches.
        progress: called after each forward pass with its share of all passes.

    Returns:
        float32 ``(rows f k s)``.
    """
    counts = step_counts(orders.shape[1])
    covered = covered_along(orders, counts)
    flat = covered.reshape(-1, orders.shape[1])
    _, first, which = np.unique(np.packbits(flat, axis=1), axis=0, return_index=True, return_inverse=True)
    place = patch_of_pixel(grid, (image.shape[1], image.shape[2])).to(image.device)
    distinct = torch.from_numpy(flat[first]).to(image.device)
    fills = [filled(image[None], grid, fill) for fill in FILLS]
    batches = distinct.tensor_split(-(-len(distinct) // BATCH))
    seen = []
    for fill in fills:
        for patterns in batches:
            hidden = patterns[:, place][:, None]  # b 1 h w
            seen.append(model(torch.where(hidden, fill, image)).float().softmax(dim=1)[:, label])
            progress(1 / (len(fills) * len(batches)))
    probabilities = torch.cat(seen).view(len(fills), -1).cpu().numpy()  # f distinct
    return np.moveaxis(probabilities[:, which.ravel()].reshape(len(fills), *covered.shape[:-1]), 0, 1)


def measure_faithfulness(
    model: Network,
    split: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    images: int = 100,
    methods: Mapping[str, Method] | None = None,
    untrained: Network | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Faithfulness:
    """Measure the faithfulness of some methods, and of control maps, on validation images.

    The explained class is the model's own prediction for the whole image, right or wrong, and the curves show its
    probability. Maps from untrained weights are also evaluated with the trained model. All maps are resampled to one
    grid: the patches of a transformer, or 8 x 8 squares for a network without patches.

    Args:
        model: any network with classes.
        split: the images.
        mean: normalisation of the model's input, one number for each channel.
        std: normalisation of the model's input, one number for each channel.
        images: number of images; all if there are fewer.
        methods: methods by name; None means all fast ones that are available for the network. Methods that are not
            available are left out, and the result contains the reasons.
        untrained: the network with new weights; None draws them.
        seed: seed of the choice of images, of ties, of the untrained weights and of the bootstrap.
        progress: called with (done, total) in forward passes, approximately.

    Raises:
        ExplainError: the network has no classes, or none of the methods is available.
    """
    require_classes(model.config)
    device = next(model.parameters()).device
    model = copy.deepcopy(model).eval() if model.training else model
    if methods is None:
        methods = {name: method for name, method in methods_for(model).items() if method.fast}
    if untrained is None:
        untrained = build_model(model.config, seed=mix_seed(seed, 1)).eval().requires_grad_(False).to(device)
    numbers = pick_images(len(split), images, seed)
    inputs = normalise(torch.from_numpy(np.array(split.images[numbers])), mean, std).to(device)
    labels = _predicted_classes(model, inputs)
    given, refused = available_methods(model, methods, inputs[:1], Target(labels[:1]))

    grid, names, asked = grid_of(model), name_rows(given), fold_standardised_weights(model)
    each = len(names) * len(FILLS) * len(CURVE_KINDS) * (STEPS - 1)
    meter = Meter(len(numbers) * (each + 2 * sum(map(pass_cost, given.values()))))

    def judge(part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return maps, orders and curves of some images; the first axis is that of the rows."""
        target, places = Target(labels[part]), numbers[part].tolist()
        maps = [it for network in (model, untrained) for it in make_maps(network, given, inputs[part], target, meter)]
        maps += [np.stack([it.function(grid, seed, number) for number in places]) for it in CHANCE_MAPS.values()]
        orders = [[order(one, seed, number) for one, number in zip(row, places, strict=True)] for row in maps]
        curves = [
            curves_of(asked, image, int(label), ranked, grid, progress=lambda share: meter.add(each * share))
            for image, label, ranked in zip(inputs[part], labels[part], np.swapaxes(orders, 0, 1), strict=True)
        ]
        return np.stack(maps).astype(np.float32), np.array(orders), np.stack(curves, axis=1)

    parts = [slice(start, start + CHUNK) for start in range(0, len(numbers), CHUNK)]
    judged = in_parallel(judge, parts, meter, progress, workers=None if device.type == "cpu" else 1)
    maps, orders, curves = (np.concatenate(arrays, axis=1) for arrays in zip(*judged, strict=True))
    counts = step_counts(grid[0] * grid[1])
    shares = None if split.masks is None else object_shares(split.masks[numbers], grid)
    rows = tuple(
        ResultRow(*name, heat, ranked, along, measure_values(heat, ranked, along, counts, shares))
        for name, heat, ranked, along in zip(names, maps, orders, curves, strict=True)
    )
    return Faithfulness(rows, numbers, labels.cpu().numpy(), grid, counts, shares, refused, seed)


def name_rows(given: Mapping[str, Method]) -> list[tuple[str, str, str, bool]]:
    """Return name, title, method and whether it is a control, for every row."""
    return [
        *((name, method.title, name, False) for name, method in given.items()),
        *((name + UNTRAINED, f"{method.title}, untrained", name, True) for name, method in given.items()),
        *((name, chance.title, "", True) for name, chance in CHANCE_MAPS.items()),
    ]


@torch.no_grad()  # not inference mode, because gradient methods use these labels in their graph
def _predicted_classes(model: Network, inputs: Tensor) -> Tensor:
    return torch.cat([model(inputs[start : start + BATCH]).argmax(dim=1) for start in range(0, len(inputs), BATCH)])


@dataclass(frozen=True)
class CurveFrames:
    """The images along one curve.

    Attributes:
        heat: ``(rows columns)``, the map.
        shares: ``(s)``, the share of patches that are covered (deletion) or shown (insertion).
        frames: uint8 ``(s h w c)``, the model's input at each point.
        probabilities: ``(s)``, the probability of the explained class at each point.
        label: the explained class.
    """

    heat: np.ndarray
    shares: np.ndarray
    frames: np.ndarray
    probabilities: np.ndarray
    label: int


def curve_frames(
    model: Network,
    view: np.ndarray,
    method: Method,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    kind: str = "deletion",
    fill: Fill = "mean",
    number: int = 0,
    seed: int = 0,
) -> CurveFrames:
    """Return the images and the probabilities along one curve, for the predicted class of the whole image.

    Args:
        model: any network with classes.
        view: uint8 ``(h w c)``, of the model's image size.
        method: the method whose map orders the patches.
        mean: normalisation of the model's input, one number for each channel.
        std: normalisation of the model's input, one number for each channel.
        kind: ``deletion`` or ``insertion``.
        fill: the content of covered patches.
        number: index of the image in its split; with ``seed`` it determines the order of ties, as in
            :func:`measure_faithfulness`.
        seed: seed of the order of ties.

    Raises:
        ExplainError: the network has no classes, or the method is not available.
    """
    require_classes(model.config)
    pixels = torch.from_numpy(np.array(view)).permute(2, 0, 1)[None]
    inputs = normalise(pixels, mean, std).to(next(model.parameters()).device)
    labels = _predicted_classes(model, inputs)
    heat = method.function(model, inputs, Target(labels))
    grid = grid_of(model)
    heat = on_grid(heat, grid)[0]
    counts = step_counts(heat.size)
    covered = covered_along(order(heat, seed, number), counts)[CURVE_KINDS.index(kind)].reshape(-1, *grid)
    with torch.inference_mode():
        seen = model(cover(inputs, covered, fill)).float().softmax(dim=1)[:, int(labels)]
    frames = cover(pixels.float(), covered, fill).round().to(torch.uint8).permute(0, 2, 3, 1)
    return CurveFrames(heat, counts / counts[-1], frames.numpy(), seen.cpu().numpy(), int(labels))
