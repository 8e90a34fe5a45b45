"""Time-lapse: one image through the snapshots of a run, so that its attention can be watched as it comes about."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import streamlit as st

from pages import access
from pages.timelapse.charts import show_answers, show_lens, show_statistics
from pages.timelapse.frames import answers, looks
from pages.timelapse.maps import HEADS, Scene, choose_maps, show_heads, show_method
from pages.ui import answer, cached_models, image_picker, link_state, polling, run_picker, text
from pages.ui.cached_models import PickedImage
from pages.ui.view_pickers import pick_class
from pages.ui.widgets.map_grid import forget_browsers
from pages.ui.wording import term
from vit.errors import UserError
from vit.runs import Run, snapshots

TRAINING, EVERY = "training", 3.0  # the fragment of a run that still trains; seconds between two looks at it

INTRO = (
    "A run keeps its weights at some epochs on the way. Play them, or drag the slider: the same image goes through "
    "each of these networks, from random weights to the finished one, and its attention and its answer come about."
)

CLASS_HELP = "The class whose probability the charts show, and which a relevance method explains."

NO_SNAPSHOTS = (
    "This run kept no weights on the way, so there is nothing to play. Runs that are started on the Train page keep "
    "them by themselves, at up to 20 epochs; on the command line leave `--snapshots 0` out."
)

NEVER_TRAINED = (
    "This model came trained, so there are no weights of earlier epochs to play. Fine-tune it on the Train page, and "
    "what becomes of it can be watched here."
)

WHAT_IT_IS = """
**What it is.** While a run trains, it saves a copy of its weights (a snapshot) at some epochs, evenly spaced. Here each
copy is loaded and shown the same image. "Before training" are the random weights that the run began with, drawn anew
from its seed. All tiles of all epochs have one scale of colours, unless you choose one per tile.

**What to look for.** Before training every head looks everywhere evenly, and the network finds all classes about
equally likely. Most heads find what they do in the first few epochs, often before the accuracy is good, and refine it
later. *Entropy* falls as a head becomes choosy: at the dashed line it looks at all tokens evenly, near 0 at one of
them. *Distance* says whether it looks near or far: at the dashed line as far as an even head. In the *logit lens* the
chosen class tends to be read from earlier layers as training goes on.

**What it is not.** One image is one image: a head that seems to find the object here may do something else in the next,
so step through several. A map that looks tidier in a later epoch is not therefore a better reason for the answer. And
between two snapshots the network may have taken a detour that no frame shows. Snapshots are stored in half precision,
so probabilities may differ from those of the other pages in the last digit.

**The logit lens** asks the class head what it would say of the summary token as it stands after each layer. The head
was trained on what the last layer leaves, so an unsure answer after the first layer may only mean that it speaks
another language there.

**Maps of a method.** A relevance method gives one map of all layers, for the chosen class. Its size grows with the
network's confidence, so each epoch's map is shown as shares of its own sum: compare the places, not the amounts. A
random network has such a map too, which means nothing: it is there to compare with.
"""

WHAT_IT_IS_CNN = """
**What it is.** While a run trains, it saves a copy of its weights (a snapshot) at some epochs, evenly spaced. Here each
copy is loaded and shown the same image. A convolutional network has no attention; the map of a method such as Grad-CAM
says which places speak for the chosen class. "Before training" are the random weights that the run began with, drawn
anew from its seed. Each epoch's map is shown as shares of its own sum: compare the places, not the amounts.

**What it is not.** A random network has such a map too, which means nothing: it is there to compare with. A map that
looks tidier in a later epoch is not therefore a better reason for the answer. And between two snapshots the network may
have taken a detour that no frame shows.
"""


def news(run: Run) -> Hashable:
    """Changes with all that is said of a run that trains."""
    try:
        return tuple(snapshots.epochs(run)), run.active, run.status.epoch
    except UserError:  # it was deleted
        return None


def watch(run: Run, shown: Sequence[int], active: bool) -> None:
    """A word on a run that is still training; a full rerun once it has left a new snapshot, or has ended."""
    polling.shows(TRAINING, news(run))
    try:
        changed = snapshots.epochs(run) != list(shown) or run.active != active
    except UserError:
        changed = True
    if changed:
        st.rerun()
    if active:
        status = run.status
        st.info(
            f"This run is still training, {status.epoch} of {run.config.training.epochs} epochs are done. A new frame "
            "joins as soon as it leaves its next snapshot.",
            icon=":material/model_training:",
        )


def choose_epoch(epochs: Sequence[int]) -> int:
    """The epoch that is looked at, bound to ``?epoch=``; the newest until one is chosen."""
    try:
        asked = int(link_state.stored("epoch"))
        link_state.settle("epoch", min(epochs, key=lambda epoch: abs(epoch - asked)))
    except (TypeError, ValueError):
        link_state.settle("epoch", None)
    chosen = st.selectbox(
        "Epoch",
        list(epochs),
        index=None,
        placeholder=f"{epochs[-1]} (newest)",
        key="epoch",
        bind="query-params",
        width=140,
        help=term(
            "epoch",
            "snapshot",
            here="Complete epochs; 0 is before training. The slider and the play button below set it too.",
        ),
    )
    return epochs[-1] if chosen is None else chosen


@st.fragment
def explore(run: Run, picked: PickedImage, epochs: Sequence[int], history: Mapping[int, Mapping]) -> None:
    """A transformer's maps, and below them what the charts follow."""
    names = run.config.data.class_names
    try:
        lapse = looks(run, picked.image, epochs)
    except UserError as error:
        text.show_error(error)
        return
    caveat = lapse.frames[0].caveat
    if caveat:
        st.warning(caveat, icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = choose_maps(run)
        predicted = names[int(lapse.probabilities[-1].argmax())]
        label = names.index(pick_class(names, predicted, help=CLASS_HELP))
        scene = Scene(run, picked, epochs, choose_epoch(epochs), history)
    show_scene_answer(scene, lapse.probabilities[scene.place])
    try:
        if shown == HEADS:
            show_heads(scene, lapse)
        else:
            show_method(scene, shown, label)
    except UserError as error:
        text.show_error(error)
    show_answers(scene, lapse.probabilities, label)
    if not caveat:
        show_statistics(scene, lapse)
    show_lens(scene, lapse, label)


@st.fragment
def explore_blocks(run: Run, picked: PickedImage, epochs: Sequence[int], history: Mapping[int, Mapping]) -> None:
    """A convolutional network's maps of one method, and below them its answers."""
    names = run.config.data.class_names
    try:
        probabilities = answers(run, picked.image, epochs)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            method = choose_maps(run)
            predicted = names[int(probabilities[-1].argmax())]
            label = names.index(pick_class(names, predicted, help=CLASS_HELP))
            scene = Scene(run, picked, epochs, choose_epoch(epochs), history)
        show_scene_answer(scene, probabilities[scene.place])
        show_method(scene, method, label)
    except UserError as error:
        text.show_error(error)
        return
    show_answers(scene, probabilities, label)


def show_scene_answer(scene: Scene, probabilities: np.ndarray) -> None:
    """What the image shows, and what the network says of it at the chosen epoch."""
    when = f"after epoch {scene.epoch}" if scene.epoch else "before training"
    answer.show_answer(scene.picked, scene.run.config.data.class_names, probabilities, when=when)


st.title("Time-lapse", anchor=False)
st.caption(INTRO)
with st.container(horizontal=True, vertical_alignment="bottom"):
    run = run_picker.pick_run(width=240)
    picked = image_picker.pick_image(run) if run is not None else None
if run is None:
    st.stop()
epochs, active = snapshots.epochs(run), run.active
if not epochs:
    others = [text.plain(other.name) for other in access.my_runs() if other.has_weights and other.snapshots]
    known = f" Of the runs that are here, choose {' or '.join(others[:3])}." if others else ""
    said = NEVER_TRAINED if run.config.published else NO_SNAPSHOTS
    st.info(said + known, icon=":material/info:")
    st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")
    st.stop()
if active:
    st.fragment(watch, key=TRAINING)(run, epochs, active)
    polling.watch(TRAINING, lambda: news(run), EVERY)
if picked is None:
    st.stop()
forget_browsers()
convolutional = cached_models.is_convolutional(run)
(explore_blocks if convolutional else explore)(run, picked, epochs, snapshots.history(run))
with st.expander("What a time-lapse is, and what it is not", icon=":material/help:"):
    st.markdown(WHAT_IT_IS_CNN if convolutional else WHAT_IT_IS)
