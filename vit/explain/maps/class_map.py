"""One map of an image for a class, whatever kind of network it comes from, so that two kinds can stand side by side."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from vit.classes import require_classes
from vit.cnn import CNN
from vit.explain.maps.gradcam import grad_cam
from vit.explain.maps.methods import chefer
from vit.explain.recording import capture, token_maps
from vit.networks import Network


@dataclass(frozen=True)
class ClassMap:
    """What :func:`class_map` gives.

    Attributes:
        heat: ``(rows columns)``, not negative; two networks differ in scale.
        method: what it was made with; ``raw`` knows no classes.
        caveat: what a reader must know of a raw map, else empty.
    """

    heat: np.ndarray
    method: Literal["gradcam", "chefer", "raw"]
    caveat: str = ""


def class_map(model: Network, images: Tensor, label: int) -> ClassMap:
    """How much each place of the first of ``images (b c h w)`` speaks for class ``label``.

    For a convolutional network Grad-CAM of its last block; for a transformer the relevance of Chefer et al. Where a
    transformer's attention cannot be followed from layer to layer, what the summary token attends to in the last layer,
    mean over heads.

    Raises:
        ExplainError: a TypeError; the model is of neither kind, or has no classes.
    """
    require_classes(model.config)
    if isinstance(model, CNN):
        return ClassMap(grad_cam(model, images[:1], label)[0], "gradcam")
    record = capture(model, images[:1])
    if record.caveat:
        return ClassMap(token_maps(record, 0)[-1].mean(axis=0), "raw", record.caveat)
    return ClassMap(chefer(model, images[:1], label)[0], "chefer")
