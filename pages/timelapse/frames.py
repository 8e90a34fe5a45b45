"""Results of each epoch's network on an image, computed once per snapshot and cached for all sessions."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image

from pages.ui import cached_models
from pages.ui.cached_models import import_captum, is_convolutional
from vit.classes import class_names_of
from vit.runs import Run, snapshots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.timelapse import TimeLapse
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

CACHE_BYTES_MAX = 512 * 2**20
"""Size of the frame cache; beyond it, the least recently used entries are dropped."""

PROGRESS_DELAY = 0.5
"""Seconds before a progress bar appears."""


class FrameCache:
    """A thread-safe least-recently-used cache with a maximum size in bytes."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """Return the value of a key, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Store a value of ``size`` bytes, and drop old entries beyond :data:`CACHE_BYTES_MAX`."""
        with self._lock:
            if key not in self._entries:
                self._entries[key] = (value, size)
                self._bytes += size
            while self._bytes > CACHE_BYTES_MAX and len(self._entries) > 1:
                self._bytes -= self._entries.popitem(last=False)[1][1]


@st.cache_resource(show_spinner=False)
def frame_cache() -> FrameCache:
    return FrameCache()


def time_lapse(run: Run, image: Image.Image, epochs: Sequence[int]) -> "TimeLapse":
    """Run the network of each epoch on an image.

    Raises:
        ExplainError: the network has no attention.
        RunError: a snapshot is gone or damaged.
    """
    from vit.explain.timelapse import TimeLapse, make_frame

    images = cached_models.model_input(_checkpoint_info(run), image)
    return TimeLapse(
        tuple(_each(run, image, epochs, ("look",), lambda model, epoch: make_frame(model, images, epoch), "frames"))
    )


def method_maps(run: Run, image: Image.Image, epochs: Sequence[int], method: str, label: int | None) -> np.ndarray:
    """Return a method's map for a class after each epoch, ``(frame rows columns)``.

    Raises:
        ExplainError: the method is not defined for this network.
        RunError: a snapshot is gone or damaged.
    """
    from vit.explain import METHODS, Target

    chosen = METHODS[method]
    if is_convolutional(run) or not chosen.fast:
        import_captum()
    images = cached_models.model_input(_checkpoint_info(run), image)
    target = Target(label if chosen.for_class else None)

    def make(model: "Network", _: int) -> np.ndarray:
        return chosen.function(model, images, target)[0]

    return np.stack(_each(run, image, epochs, (method, target.label), make, "maps"))


def answers(run: Run, image: Image.Image, epochs: Sequence[int]) -> np.ndarray:
    """Return the class probabilities after each epoch, ``(frame k)``, of any network.

    Raises:
        RunError: a snapshot is gone or damaged.
    """
    from vit.evaluation import predict

    info = _checkpoint_info(run)

    def make(model: "Network", _: int) -> np.ndarray:
        return predict(model, info, [image])[0]

    return np.stack(_each(run, image, epochs, ("answer",), make, "answers"))


def _checkpoint_info(run: Run) -> "CheckpointInfo":
    """Return what the networks of all epochs need to know about their input and classes."""
    from vit.runs.weights import CheckpointInfo

    data = run.config.data
    return CheckpointInfo(class_names_of(run.config), data.mean, data.std, data.image_size, data.source, {}, run.config)


def _each(
    run: Run,
    image: Image.Image,
    epochs: Sequence[int],
    what: tuple,
    make: Callable[["Network", int], Any],
    words: str,
) -> list:
    """Return ``make(model, epoch)`` for every epoch; models are loaded one at a time, and only if a result is missing.

    Each result is cached at once, so the work is not lost if the visitor leaves.
    """
    config = run.config
    content = hashlib.sha256(b"%d %d " % image.size + image.tobytes()).hexdigest()
    started, bar, results = time.monotonic(), st.empty(), []
    for done, epoch in enumerate(epochs):
        key = (str(run.path), config.created, epoch, snapshots.stamp(run, epoch), content, *what)
        found = frame_cache().get(key)
        if found is None:
            if time.monotonic() - started > PROGRESS_DELAY:
                bar.progress(done / len(epochs), text=f"Computing the {words}: {done} of {len(epochs)} epochs")
            found = make(snapshots.load(run, epoch), epoch)
            frame_cache().put(key, found, found.nbytes)
        results.append(found)
    bar.empty()
    return results
