"""What each epoch's network made of an image, computed once for each snapshot and kept for all sessions."""

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
from vit.runs import Run, snapshots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.timelapse import TimeLapse
    from vit.networks import Network

KEPT_BYTES = 512 * 2**20
"""Frames are kept up to this size; the ones that were looked at longest ago go first."""

PATIENCE = 0.5
"""Seconds after which a progress bar says how far it is."""


class Kept:
    """Results by key, up to a size, for all sessions."""

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Any:
        """What is kept under a key, or None."""
        with self._lock:
            if key not in self._found:
                return None
            self._found.move_to_end(key)
            return self._found[key][0]

    def keep(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of so many bytes, and let the oldest go beyond :data:`KEPT_BYTES`."""
        with self._lock:
            if key not in self._found:
                self._found[key] = (value, size)
                self._bytes += size
            while self._bytes > KEPT_BYTES and len(self._found) > 1:
                self._bytes -= self._found.popitem(last=False)[1][1]


@st.cache_resource(show_spinner=False)
def kept() -> Kept:
    """The one store of the server."""
    return Kept()


def looks(run: Run, image: Image.Image, epochs: Sequence[int]) -> "TimeLapse":
    """The image through the network of each epoch.

    Raises:
        ExplainError: the network has no attention.
        RunError: a snapshot is gone or damaged.
    """
    from vit.explain.timelapse import TimeLapse, look

    images = cached_models.model_input(run.config.data, image)
    return TimeLapse(
        tuple(_each(run, image, epochs, ("look",), lambda model, epoch: look(model, images, epoch), "frames"))
    )


def method_maps(run: Run, image: Image.Image, epochs: Sequence[int], method: str, label: int) -> np.ndarray:
    """A method's map for a class after each epoch, ``(frame rows columns)``.

    Raises:
        ExplainError: the network cannot give this map.
        RunError: a snapshot is gone or damaged.
    """
    from vit.explain import METHODS, Target

    chosen = METHODS[method]
    if is_convolutional(run) or not chosen.fast:
        import_captum()
    images = cached_models.model_input(run.config.data, image)
    target = Target(label if chosen.for_class else None)

    def make(model: "Network", _: int) -> np.ndarray:
        return chosen.function(model, images, target)[0]

    return np.stack(_each(run, image, epochs, (method, target.label), make, "maps"))


def answers(run: Run, image: Image.Image, epochs: Sequence[int]) -> np.ndarray:
    """Class probabilities after each epoch, ``(frame k)``, of any network.

    Raises:
        RunError: a snapshot is gone or damaged.
    """
    from vit.evaluation import predict

    def make(model: "Network", _: int) -> np.ndarray:
        return predict(model, run.config.data, [image])[0]

    return np.stack(_each(run, image, epochs, ("answer",), make, "answers"))


def _each(
    run: Run,
    image: Image.Image,
    epochs: Sequence[int],
    what: tuple,
    make: Callable[["Network", int], Any],
    words: str,
) -> list:
    """``make(model, epoch)`` of every epoch; models are loaded one at a time, for what is not kept yet.

    Each is kept as soon as it is made, so a visitor who leaves has lost nothing.
    """
    config = run.config
    content = hashlib.sha256(b"%d %d " % image.size + image.tobytes()).hexdigest()
    begun, bar, results = time.monotonic(), st.empty(), []
    for done, epoch in enumerate(epochs):
        key = (str(run.path), config.created, epoch, snapshots.stamp(run, epoch), content, *what)
        found = kept().find(key)
        if found is None:
            if time.monotonic() - begun > PATIENCE:
                bar.progress(done / len(epochs), text=f"Computing the {words}: {done} of {len(epochs)} epochs")
            found = make(snapshots.load(run, epoch), epoch)
            kept().keep(key, found, found.nbytes)
        results.append(found)
    bar.empty()
    return results
