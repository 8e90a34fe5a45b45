"""One map of an image for a class, for any kind of network, so that two kinds can be compared."""

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
    """The result of :func:`class_map`.

    Attributes:
        heat: ``(rows columns)``, not negative; the scale differs between networks.
        method: the method; ``raw`` does not depend on the class.
        caveat: how to read a raw map; otherwise empty.
    """

    heat: np.ndarray
    method: Literal["gradcam", "chefer", "raw"]
    caveat: str = ""


def class_map(model: Network, images: Tensor, label: int) -> ClassMap:
    """Return how much each place of the first of ``images (b c h w)``, normalised, supports class ``label``.

    For a convolutional network this is Grad-CAM of its last block, for a transformer the relevance of Chefer et al. If
    a transformer's attention cannot be followed from layer to layer, it is the summary token's attention in the last
    layer, mean over heads.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    require_classes(model.config)
    if isinstance(model, CNN):
        return ClassMap(grad_cam(model, images[:1], label)[0], "gradcam")
    record = capture(model, images[:1])
    if record.caveat:
        return ClassMap(token_maps(record, 0)[-1].mean(axis=0), "raw", record.caveat)
    return ClassMap(chefer(model, images[:1], label)[0], "chefer")
