"""Compute, cache and draw the relevance maps of one image for a class."""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from pages.ui import cached_models
from pages.ui.background import Progress
from pages.ui.cached_models import PickedImage, cached, import_captum
from vit.cost.estimate import count_flops
from vit.data.files.images import prepared_image
from vit.errors import ExplainError
from vit.pictures import overlays
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.maps.attention import Fusion

SMALL, LARGE = 192, 512  # pixels of a picture

QUICK_FLOPS = 1.2e11
"""Slow methods start without a click below this many operations, which take a second or two."""

Maps = dict[str, np.ndarray]
Target = tuple[int | None, int | None]
"""Indices of the explained class and of the class compared with it; None in a network without classes."""


class Question(NamedTuple):
    """The explained class, the class compared with it, and the names of all classes."""

    label: str
    against: str | None
    names: tuple[str, ...]

    @property
    def target(self) -> Target:
        """The indices of both classes."""
        if not self.names:
            return None, None
        return self.names.index(self.label), None if self.against is None else self.names.index(self.against)

    @property
    def text(self) -> str:
        """The question as text, such as "why dog and not cat"."""
        if not self.names:
            return "for no class"
        return f"why {self.label}" + (f" and not {self.against}" if self.against else "")


NO_QUESTION = Question("", None, ())
"""The question for a network without classes."""


def is_quick(run: Run, slow: Iterable[str]) -> bool:
    """Return whether these slow methods together take only a second or two."""
    from vit.explain.maps.attribution import CUTS, STEPS

    patches = getattr(run.config.model, "grid", CUTS) ** 2
    passes = {"integrated": 3 * STEPS, "occlusion": patches + 1}  # a backward pass is two forward ones
    return count_flops(run.config.model) * sum(passes[name] for name in slow) <= QUICK_FLOPS


@cached
def fast_maps(run: Run, view: np.ndarray, target: Target, fusion: "Fusion", discard: float) -> Maps:
    """Return the map ``(rows columns)`` of every fast method that the network supports, all from one pass.

    Args:
        run: the network.
        view: the image at the model's input size, ``(h w c)`` uint8.
        target: the classes that the maps explain.
        fusion: how rollout combines the heads.
        discard: the share of small weights that rollout leaves out.
    """
    from vit import explain
    from vit.cnn import CNN

    model, info = cached_models.load_model(run)
    names = [name for name, method in explain.methods_for(model).items() if method.fast]
    images, asked = cached_models.model_input(info, prepared_image(view)), explain.Target(*target)
    if isinstance(model, CNN):
        import_captum()
        maps = {name: explain.METHODS[name].function(model, images, asked) for name in names}
    else:
        maps = explain.relevance_maps(model, images, asked, names, fusion=fusion, discard=discard)
    return {name: heat[0] for name, heat in maps.items()}


def compute_slow(run: Run, view: np.ndarray, name: str, target: Target, progress: Progress | None = None) -> np.ndarray:
    """Return the map ``(rows columns)`` of a method that runs the network many times."""
    from vit import explain

    import_captum()
    model, info = cached_models.load_model(run)
    images = cached_models.model_input(info, prepared_image(view))
    return explain.METHODS[name].function(model, images, explain.Target(*target), progress=progress)[0]


slow_map = cached(compute_slow)


def method_map(run: Run, view: np.ndarray, name: str, target: Target) -> np.ndarray:
    """Return the map ``(rows columns)`` of any method.

    Raises:
        ExplainError: the method is not defined for this network.
    """
    from vit import explain

    if name not in explain.methods_for(run.config.model):
        raise ExplainError(explain.reason_unavailable(run.config.model))
    return (
        fast_maps(run, view, target, "mean", 0.0)[name]
        if explain.METHODS[name].fast
        else slow_map(run, view, name, target)
    )


def caveat(run: Run, picked: PickedImage) -> str:
    """Return a warning about reading the last layer's attention; empty except for some course networks."""
    return cached_models.look(run, picked).record.caveat if run.config.model.architecture == "reference" else ""


@cached
def gain_over_blank(run: Run, view: np.ndarray, target: Target) -> float:
    """Return the score minus that of a blank picture."""
    from vit import explain

    model, info = cached_models.load_model(run)
    images = cached_models.model_input(info, prepared_image(view))
    return float(explain.gain_over_blank(model, images, explain.Target(*target))[0])


def draw(view: np.ndarray, heat: np.ndarray, signed: bool, side: int, smooth: bool = False) -> Image.Image:
    """Draw a map over the image, with its own colour scale."""
    over = overlays.signed_overlay if signed else overlays.overlay
    return over(view, heat, top=float(np.abs(heat).max()), side=side, smooth=smooth)


@cached
def map_jpeg(view: np.ndarray, heat: np.ndarray | None, signed: bool, side: int, smooth: bool = False) -> bytes:
    """Return a map over the image as JPEG, four times as fast as PNG; without a map, the image alone."""
    if heat is None:
        image = Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC)
    else:
        image = draw(view, heat, signed, side, smooth)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
