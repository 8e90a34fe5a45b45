"""Models, validation images, recorded attention and metrics of runs, cached and shared by all sessions."""

import gc
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui import stand_in_images
from vit import data
from vit.classes import class_names_of, has_one_output, match_classes
from vit.config import DataConfig
from vit.data.files.images import is_prepared
from vit.errors import DataError
from vit.results.kinds import Kind, Result
from vit.results.stored import StoredResult, stored_result
from vit.runs import Run
from vit.runs.run import History

if TYPE_CHECKING:  # torch is imported with the first model, not with the first page
    from torch import Tensor

    from vit.explain import Record
    from vit.explain.familiarity import Familiarity
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo


IMAGE_ID = re.compile(r"(?:val-)?(\d{1,9})|pic-([0-9a-f]{16})|sample-([a-z]{1,40})")
"""The number of a validation image, the id of an uploaded image, or the name of a sample photograph."""


UPLOADED = "uploaded image"
"""The title of an uploaded image without a file name."""

image_key: dict[str | type[Any], Callable[[Any], Any]] = {
    Image.Image: lambda image: (image.size, image.tobytes(), is_prepared(image))
}
"""How caches recognise an image: two with the same pixels differ if only one was cropped for the model already."""


def load_model(run: Run) -> "tuple[Network, CheckpointInfo]":
    """Return the run's model and its checkpoint information; all sessions share the frozen model.

    Raises:
        RunError: its weights are missing or damaged.
    """
    return load_path(str(access.see(run).path), run.stamp)


@st.cache_resource(max_entries=4, show_spinner="Loading the model")
def load_path(path: str, stamp: int) -> "tuple[Network, CheckpointInfo]":
    """Return what :func:`load_model` returns, for cached functions, whose arguments are the key of the cache.

    Args:
        path: the folder of the run.
        stamp: :attr:`Run.stamp`, which changes with the weights.
    """
    from vit.runs.weights import load_checkpoint

    return load_checkpoint(path)


@st.cache_resource(ttl=3600, max_entries=4, show_spinner="Preparing the validation images")  # memory-mapped
def _validation(config: str) -> data.ImageData:
    return data.load(DataConfig.from_json(config), splits=("val",))


def history(run: Run) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics, of steps and epochs; only those since the last call are read.

    Raises:
        RunError: there is no such run for this visitor.
    """
    return _history(str(access.see(run).path), run.config.created).lines()


def epochs_of(run: Run) -> list[dict[str, Any]]:
    """Return the lines of :func:`history` that are those of epochs."""
    return [line for line in history(run) if line.get("event") == "epoch"]


@st.cache_resource(max_entries=64, show_spinner=False)
def _history(path: str, created: str) -> History:
    del created  # another run may get the folder of a deleted one
    return History(Run(Path(path)))


def validation(run: Run) -> data.ImageData:
    """Return the run's validation images as ``.val``, decoded once and memory-mapped.

    For a published model without images, these are the images that were chosen instead, with their own classes.

    Raises:
        DataError: the data set is missing or was changed, or none was chosen.
    """
    return _validation(stand_in_images.taken(access.see(run).config).model_dump_json())


def validation_split(run: Run) -> data.Split:
    """Return the images of :func:`validation`.

    Raises:
        DataError: as in :func:`validation`.
    """
    split = validation(run).val
    assert split is not None, "the split is loaded"
    return split


def labelled_for(run: Run) -> data.Split:
    """Return the validation images with the labels of the model's own classes, to evaluate its predictions.

    Raises:
        DataError: as in :func:`validation`, or the images have classes that the model does not know.
    """
    images, split, config = validation(run), validation_split(run), run.config
    if not stand_in_images.are_needed(config):
        return split
    ours = match_classes(images.class_names, class_names_of(config), data.title(images.source))
    return replace(split, labels=ours[np.asarray(split.labels)])


def measured_on(run: Run) -> tuple[str, int, str]:
    """Return a cache key for what is measured on a run's images: the run, its weights, and images chosen instead."""
    return str(run.path), run.stamp, stand_in_images.source() if stand_in_images.are_needed(run.config) else ""


def place_of(
    run: Run, kind: Kind[Result], split: data.Split, settings: dict[str, Any] | None = None
) -> StoredResult[Result]:
    """Return where a result that is measured on a run is stored; visitors store only results of runs they may change.

    Args:
        run: the run.
        kind: the kind of the result.
        split: the images that it is measured on.
        settings: what else it depends on, as JSON values.
    """
    return stored_result(access.see(run), kind, split, settings, writable=access.may_change(run))


@dataclass(frozen=True)
class PickedImage:
    """One image.

    Attributes:
        id: ``val-17`` for a validation image, ``pic-<hash>`` for an uploaded one, ``sample-<name>`` for a photograph.
        title: its name on the page; the file name of an uploaded image, which is untrusted text.
        image: the image.
        label: its true class, if known.
    """

    id: str
    title: str
    image: Image.Image
    label: str | None = None

    @property
    def heading(self) -> str:
        """The title as the beginning of a line; a file name keeps its first letter."""
        is_name = self.id.startswith("pic-") and self.title != UPLOADED
        return self.title if is_name else self.title[:1].upper() + self.title[1:]


@dataclass(frozen=True)
class Look:
    """The recorded forward pass of a transformer on one image.

    Attributes:
        record: the recorded pass.
        attention: ``(depth h n m)`` float32, shared with the record.
        probabilities: of the classes, ``(k,)``; empty for a network without classes.
    """

    record: "Record"
    attention: np.ndarray
    probabilities: np.ndarray


def look(run: Run, image: PickedImage) -> Look:
    """Run the model on an image and record its attention.

    Raises:
        ExplainError: the model has no attention maps, or they need too much memory.
        UserError: the run cannot be loaded.
    """
    from vit.explain.passes.memory import require_room

    require_room(run.config.model)
    return _look(str(access.see(run).path), run.stamp, image.image)


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=image_key)  # the record of a ViT-B takes 60 MB
def _look(path: str, stamp: int, image: Image.Image) -> Look:
    from vit.explain import capture, class_probabilities
    from vit.explain.recording import share_attention_array

    model, info = load_path(path, stamp)
    record = capture(model, model_input(info, image))
    return Look(*share_attention_array(record), class_probabilities(model, record.logits)[0])


def looked_at(run: Run, image: Image.Image) -> Image.Image:
    """Return the part of an image that the run's network sees, at full resolution, to draw maps on."""
    from vit.data.files.images import crop_square

    size = run.config.data
    return crop_square(image, size.image_size, size.crop_pct)


def view_of(run: Run, image: Image.Image) -> np.ndarray:
    """Return the image as the run's network sees it, ``(h w c)`` uint8."""
    from vit.data.files.images import fit_square

    size = run.config.data
    return fit_square(image, size.image_size, size.crop_pct, size.interpolation)


def version(run: Run, *of: object) -> str:
    """Return a name for something that the run's network computes; the browser gets it, so it contains no path.

    Args:
        run: the run.
        of: what it is computed of, such as an image's id.
    """
    path, stamp, images = measured_on(run)
    return "/".join(map(str, (Path(path).name, stamp, sha1(images.encode()).hexdigest()[:8] if images else "", *of)))


def deviation(run: Run, image: PickedImage) -> float:
    """Return the largest difference between the model's logits and those recomputed from the recorded maps.

    It is relative to the largest logit if that is above 1.
    """
    return _deviation(str(access.see(run).path), run.stamp, image.image)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=image_key)
def _deviation(path: str, stamp: int, image: Image.Image) -> float:
    import torch

    from vit.explain import recompute

    model, info = load_path(path, stamp)
    images = model_input(info, image)
    with torch.inference_mode():
        own = model(images)  # fused attention, as in training and prediction
    found = recompute(model, images, _look(path, stamp, image).record)
    return ((found - own).abs().max() / own.abs().max().clamp(min=1)).item()


def model_input(info: "CheckpointInfo", image: Image.Image) -> "Tensor":
    """Return a normalised batch of one image, ``(1 c h w)``."""
    from vit.evaluation import model_input

    return model_input(info, image)


def is_convolutional(run: Run) -> bool:
    """Return whether the run's network has Grad-CAM instead of attention maps."""
    return run.config.model.architecture == "cnn"


class Prediction(NamedTuple):
    """What a network predicts for an image.

    Attributes:
        view: the image as the network sees it, ``(h w c)`` uint8.
        probabilities: of the classes, ``(k,)``; empty for a network without classes.
    """

    view: np.ndarray
    probabilities: np.ndarray


# The image itself is part of the key, not its id: validation image 3 of one run need not be that of another.
cached = st.cache_data(
    max_entries=64, show_spinner=False, hash_funcs={Run: lambda run: f"{run.path}:{run.stamp}", **image_key}
)


@st.cache_resource(show_spinner="Loading Grad-CAM")
def import_captum() -> None:
    """Import captum when it is first needed, and exclude its objects from garbage collection.

    As with torch when the app starts: a collection delays every page.
    """
    import captum.attr  # noqa: F401

    gc.collect()
    gc.freeze()


@cached
def output_of(run: Run, image: Image.Image) -> float | None:
    """Return the number that a network with a single output computes; None for a network with classes or features."""
    from vit.evaluation import single_outputs

    if not has_one_output(run.config.model):
        return None
    return float(single_outputs(*load_model(run), [image])[0])


KNOWN_IMAGES = 400
"""Validation images that pictures are compared with, and that give the threshold."""


def grey_answer(run: Run) -> np.ndarray | None:
    """Return the class probabilities of a grey picture; None for a network without classes."""
    return _grey_answer(str(access.see(run).path), run.stamp) if class_names_of(run.config) else None


@st.cache_data(max_entries=64, show_spinner=False)
def _grey_answer(path: str, stamp: int) -> np.ndarray:
    from vit.explain.familiarity import grey_probabilities

    model, info = load_path(path, stamp)
    return grey_probabilities(model, info.mean, info.std)


def familiarity(run: Run) -> "Familiarity | None":
    """Return what tells pictures that are unlike the run's own images; None for a run without (enough) images."""
    if stand_in_images.are_needed(run.config):
        return None
    try:
        return _familiarity(str(access.see(run).path), run.stamp, run)
    except DataError:
        return None


@st.cache_resource(max_entries=16, show_spinner="Comparing with the validation images")
def _familiarity(path: str, stamp: int, _run: Run) -> "Familiarity":
    from vit.explain.familiarity import learn_familiarity
    from vit.explain.passes.sample import sample

    model, info = load_path(path, stamp)
    split = validation_split(_run)
    return learn_familiarity(model, sample(model, info, split, min(KNOWN_IMAGES, len(split))))


@cached
def is_unlike(run: Run, image: Image.Image) -> bool:
    """Return whether a picture is unlike the images that the run was trained on; False if that is unknown."""
    known = familiarity(run)
    if known is None:
        return False
    model, info = load_model(run)
    return bool(known.is_unlike(model, model_input(info, image))[0])


@cached
def prediction(run: Run, image: Image.Image) -> Prediction:
    """Return what the run's network predicts for an image."""
    from vit.evaluation import model_view, predict

    model, info = load_model(run)
    view = model_view(info, image)
    return Prediction(view, predict(model, info, [image])[0] if info.class_names else np.zeros(0, dtype=np.float32))
