"""A small picture of what a run's network looks at, for lists of runs."""

import numpy as np
from PIL import Image

from vit.data import SCENES, load, scenes
from vit.data.files.images import prepared_image
from vit.errors import DataError
from vit.evaluation import model_input
from vit.explain.maps.gradcam import grad_cam
from vit.explain.passes.memory import require_room
from vit.explain.recording import capture, token_maps
from vit.pictures import overlays
from vit.runs import MODEL, Run
from vit.runs.weights import load_checkpoint

BYTES_MAX = 200_000_000
"""Larger weights are not loaded for a small picture."""


def run_thumbnail(run: Run, side: int) -> tuple[Image.Image, str] | None:
    """Draw where a run's network looks in its first validation image, and say what is drawn.

    This is the attention of the summary token to the patches, as the mean over the heads of the last layer; for a
    convolutional network it is Grad-CAM of its last block. Runs on the same images show the same image.

    Args:
        run: a run with weights.
        side: pixels of the picture's side.

    Returns:
        The picture and a phrase for it. None for the course network, whose maps are not what a token attends to, and
        for a published model, which has no images.

    Raises:
        UserError: the weights or the images are missing or damaged, or there is not enough memory.
    """
    config = run.config
    if config.published or config.model.architecture == "reference" or (run.path / MODEL).stat().st_size > BYTES_MAX:
        return None
    model, info = load_checkpoint(run.path)
    view = _first_image(run)
    images = model_input(info, prepared_image(view))
    if config.model.architecture == "cnn":
        heat, what = grad_cam(model, images)[0], "Grad-CAM of the last block"
    else:
        require_room(config.model)
        heat, what = token_maps(capture(model, images), 0)[-1].mean(axis=0), "mean attention of the last layer's heads"
    return overlays.overlay(view, heat, top=float(heat.max()), side=side), f"{what}, on the first validation image"


def _first_image(run: Run) -> np.ndarray:
    """Return the first validation image as the model sees it, ``(h w c)`` uint8."""
    data = run.config.data
    if data.source == SCENES:
        return scenes.draw(0, split="val", image_size=data.image_size, seed=data.seed)[0]
    split = load(data, splits=("val",)).val
    if split is None or not len(split):
        raise DataError(f"The run {run.name!r} has no validation images.")
    return np.ascontiguousarray(np.moveaxis(split.images[0], 0, -1))
