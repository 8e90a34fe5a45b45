"""What the Relevance page shows: the maps of one image for a class, computed once and kept, and their pictures."""

import io
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from pages.ui import cached_models
from pages.ui.background import Progress
from pages.ui.cached_models import PickedImage, cached, import_captum
from vit.cost.estimate import count_flops
from vit.errors import ExplainError
from vit.pictures import overlays
from vit.runs import Run

SMALL, LARGE = 192, 512  # pixels of a picture

QUICK_FLOPS = 1.2e11
"""Operations of a second or two: slow methods of networks within them are computed at once."""

Maps = dict[str, np.ndarray]
Target = tuple[int | None, int | None]
"""The number of the class that is explained, and of the one that it is held against; None of a network without any."""


class Question(NamedTuple):
    """What is explained: the class, another one that it is held against, and the names of all."""

    label: str
    against: str | None
    names: tuple[str, ...]

    @property
    def target(self) -> Target:
        """Their numbers."""
        if not self.names:
            return None, None
        return self.names.index(self.label), None if self.against is None else self.names.index(self.against)

    @property
    def words(self) -> str:
        """Such as "why dog and not cat"."""
        if not self.names:
            return "for no class"
        return f"why {self.label}" + (f" and not {self.against}" if self.against else "")


NO_QUESTION = Question("", None, ())
"""What can be asked of a network without classes."""


def is_quick(run: Run, slow: Iterable[str]) -> bool:
    """Whether the methods that run the network many times are a matter of a second or two."""
    from vit.explain.maps.attribution import CUTS, STEPS

    patches = getattr(run.config.model, "grid", CUTS) ** 2
    passes = {"integrated": 3 * STEPS, "occlusion": patches + 1}  # a backward pass is two forward ones
    return count_flops(run.config.model) * sum(passes[name] for name in slow) <= QUICK_FLOPS


@cached
def fast_maps(run: Run, view: np.ndarray, target: Target, fusion: str, discard: float) -> Maps:
    """The map ``(rows columns)`` of every fast method that the network can give, all from one pass.

    Args:
        view: the image as the model sees it, ``(h w c)`` uint8.
        fusion, discard: of rollout.
    """
    from vit import explain
    from vit.cnn import CNN

    model, info = cached_models.load_model(run)
    names = [name for name, method in explain.methods_for(model).items() if method.fast]
    images, asked = cached_models.model_input(info, Image.fromarray(view)), explain.Target(*target)
    if isinstance(model, CNN):
        import_captum()
        maps = {name: explain.METHODS[name].function(model, images, asked) for name in names}
    else:
        maps = explain.relevance_maps(model, images, asked, names, fusion=fusion, discard=discard)
    return {name: heat[0] for name, heat in maps.items()}


def compute_slow(run: Run, view: np.ndarray, name: str, target: Target, progress: Progress | None = None) -> np.ndarray:
    """The map ``(rows columns)`` of a method that runs the network many times."""
    from vit import explain

    import_captum()
    model, info = cached_models.load_model(run)
    images = cached_models.model_input(info, Image.fromarray(view))
    return explain.METHODS[name].function(model, images, explain.Target(*target), progress=progress)[0]


slow_map = cached(compute_slow)


def method_map(run: Run, view: np.ndarray, name: str, target: Target) -> np.ndarray:
    """The map ``(rows columns)`` of any method.

    Raises:
        ExplainError: this network cannot give it.
    """
    from vit import explain

    if name not in explain.methods_for(run.config.model):
        raise ExplainError(explain.why_not(run.config.model))
    return (
        fast_maps(run, view, target, "mean", 0.0)[name]
        if explain.METHODS[name].fast
        else slow_map(run, view, name, target)
    )


def caveat(run: Run, picked: PickedImage) -> str:
    """What keeps the last layer's attention from being read as it stands; empty but for some course networks."""
    return cached_models.look(run, picked).record.caveat if run.config.model.architecture == "reference" else ""


@cached
def gain_over_blank(run: Run, view: np.ndarray, target: Target) -> float:
    """How far the score is above that of a blank picture."""
    from vit import explain

    model, info = cached_models.load_model(run)
    images = cached_models.model_input(info, Image.fromarray(view))
    return float(explain.gain_over_blank(model, images, explain.Target(*target))[0])


def draw(view: np.ndarray, heat: np.ndarray, signed: bool, side: int) -> Image.Image:
    """A map over the image, on a colour scale of its own."""
    over = overlays.signed_overlay if signed else overlays.overlay
    return over(view, heat, top=float(np.abs(heat).max()), side=side)


@cached
def picture(view: np.ndarray, heat: np.ndarray | None, signed: bool, side: int) -> bytes:
    """:func:`draw` as JPEG, which takes a quarter of PNG's time; the image by itself where there is no map."""
    if heat is None:
        image = Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC)
    else:
        image = draw(view, heat, signed, side)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
