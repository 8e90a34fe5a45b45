"""Compute the maps of many methods on one grid with few forward passes."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vit.errors import ExplainError
from vit.explain.maps.attention import WITH_GRADIENT, WITHOUT_GRADIENT, relevance_maps
from vit.explain.maps.attribution import grid_of
from vit.explain.maps.methods import METHODS, Method
from vit.explain.maps.target import Target
from vit.explain.passes.parallel import Meter
from vit.explain.recording import Recordable
from vit.networks import Network

FAST_COST, SLOW_COST = 3, 100
"""Approximate cost of a map in forward passes, for the progress display."""


def available_methods(
    model: Network, methods: Mapping[str, Method], images: Tensor, target: Target
) -> tuple[dict[str, Method], dict[str, str]]:
    """Return the methods that are available for the network, and the reasons why the others are not.

    Raises:
        ExplainError: none of them is available.
    """
    given, refused = {}, {}
    for name, method in methods.items():
        try:
            method.function(model, images, target)
        except ExplainError as error:
            refused[name] = str(error)
        else:
            given[name] = method
    if not given:
        raise ExplainError(next(iter(refused.values()), "No method was chosen: choose at least one."))
    return given, refused


def pass_cost(method: Method) -> int:
    """Return the approximate cost of a map in forward passes."""
    return FAST_COST if method.fast else SLOW_COST


def make_maps(
    model: Network, methods: Mapping[str, Method], images: Tensor, target: Target, meter: Meter
) -> list[np.ndarray]:
    """Return each method's maps, ``(b rows columns)``; methods that use a recorded pass share it."""
    attentive = WITHOUT_GRADIENT + WITH_GRADIENT if isinstance(model, Recordable) else ()
    together = [name for name, method in methods.items() if name in attentive and method is METHODS[name]]
    maps = relevance_maps(model, images, target, together) if together else {}
    for name, method in methods.items():
        if method.fast:
            if name not in maps:
                maps[name] = method.function(model, images, target)
            meter.add(FAST_COST * len(images))
        else:
            maps[name] = _slow_maps(method, model, images, target, meter)
    return [on_grid(maps[name], grid_of(model)) for name in methods]


def _slow_maps(method: Method, model: Network, images: Tensor, target: Target, meter: Meter) -> np.ndarray:
    before = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal before
        meter.add(SLOW_COST * len(images) * (done / total - before))
        before = done / total

    return method.function(model, images, target, progress=progress)


def on_grid(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Resample maps ``(b rows columns)`` to another grid.

    Finer maps are averaged. Coarser maps, such as those of a convolutional network's last block, are interpolated
    bilinearly, as is usual for Grad-CAM.
    """
    if maps.shape[1:] == grid:
        return maps
    found = torch.from_numpy(maps)[:, None]
    coarser = maps.shape[1] < grid[0]
    found = F.interpolate(found, grid, mode="bilinear") if coarser else F.interpolate(found, grid, mode="area")
    return found[:, 0].numpy()
