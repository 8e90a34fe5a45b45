"""Models, validation images and recorded attention, cached and shared by all sessions."""

import gc
import re
from dataclasses import dataclass, replace
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui import stand_in_images
from vit import data
from vit.classes import class_names_of, match_classes
from vit.config import DataConfig
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model, not with the first page
    from torch import Tensor

    from vit.explain import Record
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo


IMAGE_ID = re.compile(r"(?:val-)?(\d{1,9})|pic-([0-9a-f]{16})")


def load_model(run: Run) -> "tuple[Network, CheckpointInfo]":
    """The run's kept model, shared by all sessions and frozen, and what goes with it.

    Raises:
        RunError: its weights are gone or damaged.
    """
    return load_path(str(access.see(run).path), run.stamp)


@st.cache_resource(max_entries=4, show_spinner="Loading the model")
def load_path(path: str, stamp: int) -> "tuple[Network, CheckpointInfo]":
    """:func:`load_model` for cached functions, whose arguments are the key."""
    from vit.runs.weights import load_checkpoint

    return load_checkpoint(path)


@st.cache_resource(ttl=3600, max_entries=4, show_spinner="Preparing the validation images")  # asked for: kept on disk
def _validation(config: str) -> data.ImageData:
    return data.load(DataConfig.from_json(config), splits=("val",))


def validation(run: Run) -> data.ImageData:
    """The images that the run is validated on, ``.val``, decoded once and memory-mapped; of a model that came trained
    those that were chosen in their place, with classes of their own.

    Raises:
        DataError: the data set is gone or was changed, or none was chosen.
    """
    return _validation(stand_in_images.taken(access.see(run).config).model_dump_json())


def judged(run: Run) -> data.Split:
    """Those images with the model's own labels, to hold its answers against.

    Raises:
        DataError: as :func:`validation`, or the images have classes that the model does not know.
    """
    images, config = validation(run), run.config
    if not stand_in_images.are_needed(config):
        return images.val
    ours = match_classes(images.class_names, class_names_of(config), data.title(images.source))
    return replace(images.val, labels=ours[np.asarray(images.val.labels)])


def measured_on(run: Run) -> tuple[str, int, str]:
    """Names what is measured on a run's images: the run, its weights, and the images where they are not its own."""
    return str(run.path), run.stamp, stand_in_images.source() if stand_in_images.are_needed(run.config) else ""


@dataclass(frozen=True)
class PickedImage:
    """One image by its id, ``val-17`` or ``pic-<hash>``; ``label`` where it is known."""

    id: str
    title: str
    image: Image.Image
    label: str | None = None


@dataclass(frozen=True)
class Look:
    """What a transformer made of one image.

    Attributes:
        record: the recorded pass.
        attention: ``(depth h n m)`` float32, shared with the record.
        probabilities: of the classes, ``(k,)``; none of a network without classes.
    """

    record: "Record"
    attention: np.ndarray
    probabilities: np.ndarray


def look(run: Run, image: PickedImage) -> Look:
    """Run the model over an image and record its attention.

    Raises:
        ExplainError: the model has no attention maps, or more than can be kept; the message says so.
        UserError: the run cannot be loaded.
    """
    from vit.explain.passes.memory import require_room

    require_room(run.config.model)
    return _look(str(access.see(run).path), run.stamp, image.image)


@st.cache_resource(max_entries=2, show_spinner=False)  # a ViT-B's record takes 60 MB
def _look(path: str, stamp: int, image: Image.Image) -> Look:
    from vit.explain import capture, class_probabilities
    from vit.explain.recording import share_attention_array

    model, info = load_path(path, stamp)
    record = capture(model, model_input(info, image))
    return Look(*share_attention_array(record), class_probabilities(model, record.logits)[0])


def looked_at(run: Run, image: Image.Image) -> Image.Image:
    """The part of an image that the run's network looks at, with all the pixels that it has: what lies below maps."""
    from vit.data.files.images import crop_square

    size = run.config.data
    return crop_square(image, size.image_size, size.crop_pct)


def view_of(run: Run, image: Image.Image) -> np.ndarray:
    """The image as the run's network sees it, ``(h w c)`` uint8."""
    from vit.data.files.images import fit_square

    size = run.config.data
    return fit_square(image, size.image_size, size.crop_pct, size.interpolation)


def version(run: Run, *of: object) -> str:
    """Names what a run's network makes of something, such as an image's id, to the browser, which learns no path."""
    path, stamp, images = measured_on(run)
    return "/".join(map(str, (Path(path).name, stamp, sha1(images.encode()).hexdigest()[:8] if images else "", *of)))


def deviation(run: Run, image: PickedImage) -> float:
    """How far the logits that follow from the recorded maps are from the model's own, at most.

    In shares of the largest logit where that is above 1.
    """
    return _deviation(str(access.see(run).path), run.stamp, image.image)


@st.cache_data(max_entries=256, show_spinner=False)
def _deviation(path: str, stamp: int, image: Image.Image) -> float:
    import torch

    from vit.explain import recompute

    model, info = load_path(path, stamp)
    images = model_input(info, image)
    with torch.inference_mode():
        own = model(images)  # fused, as in training and prediction
    found = recompute(model, images, _look(path, stamp, image).record)
    return ((found - own).abs().max() / own.abs().max().clamp(min=1)).item()


def model_input(info: "CheckpointInfo", image: Image.Image) -> "Tensor":
    """A batch of this one image, ``(1 c h w)``, normalised."""
    from vit.evaluation import model_input

    return model_input(info, image)


def is_convolutional(run: Run) -> bool:
    """Whether the run's network has Grad-CAM in place of attention maps."""
    return run.config.model.architecture == "cnn"


class Prediction(NamedTuple):
    """The image as a network sees it, ``(h w c)`` uint8, and the class probabilities ``(k,)``; none without classes."""

    view: np.ndarray
    probabilities: np.ndarray


# The image itself is part of the key, not its id: validation image 3 of one run need not be that of another.
cached = st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Run: lambda run: f"{run.path}:{run.stamp}"})


@st.cache_resource(show_spinner="Getting Grad-CAM ready")
def import_captum() -> None:
    """Import captum when it is first needed, and keep what came with it out of the garbage collector's rounds.

    As with torch at the start of the app: a round holds up every page.
    """
    import captum.attr  # noqa: F401

    gc.collect()
    gc.freeze()


@cached
def prediction(run: Run, image: Image.Image) -> Prediction:
    """What the run's network says of an image."""
    from vit.evaluation import model_view, predict

    model, info = load_model(run)
    view = model_view(info, image)
    return Prediction(view, predict(model, info, [image])[0] if info.class_names else np.zeros(0, dtype=np.float32))
