"""Time-lapse: one image in the snapshots of a run, to watch its attention maps form during training."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial

import streamlit as st

from pages import access
from pages.timelapse.charts import show_answers, show_lens, show_neighbours, show_statistics
from pages.timelapse.frames import answers, time_lapse
from pages.timelapse.maps import HEADS, Playback, choose_maps, show_heads, show_method
from pages.ui import cached_models, link_state, polling, run_picker, text
from pages.ui.cached_models import PickedImage
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker
from pages.ui.run_doubts import show_run_doubts
from pages.ui.view_pickers import pick_class
from pages.ui.widgets.map_grid import forget_browsers
from pages.ui.wording import term
from vit.classes import class_names_of
from vit.config import words
from vit.errors import UserError
from vit.runs import Run, snapshots

TRAINING, POLL_SECONDS = "training", 3.0  # key of the fragment that follows a training, and how often it checks

INTRO = (
    "A run saves its weights at some epochs during training. Press play or drag the slider to see the same image in "
    "each of these networks, from random weights to the trained network, and watch the attention maps and the answer "
    "form."
)

CLASS_HELP = "The class whose probability the charts show, and which a relevance method explains."

NO_SNAPSHOTS = (
    "This run saved no snapshots during training, so there is nothing to play. Runs started on the Train page save up "
    "to 20 snapshots automatically. On the command line, leave out `--snapshots 0`."
)

NEVER_TRAINED = (
    "This is a pretrained model, so there are no weights of earlier epochs to play. Fine-tune it on the Train page to "
    "watch it change here."
)

WHAT_IT_IS = """
**What it is.** During training, a run saves copies of its weights (snapshots) at evenly spaced epochs. This page runs
each of these networks on the same image. "Before training" shows the random initial weights, created again from the
seed. All tiles of all epochs share one colour scale, unless you choose one scale per tile.

**What to look for.** Before training, every head attends evenly to everything, and all classes have about the same
probability. Most heads learn their pattern in the first few epochs, often before the accuracy is good, and refine it
later. *Entropy* falls as a head becomes selective: at the dashed line it attends to all tokens evenly, near 0 to one
token. *Distance* shows whether a head attends to near or far patches; the dashed line is uniform attention. In the
*logit lens*, the chosen class tends to appear in earlier layers as training continues.

**Limits.** A head that finds the object in this image may do something else in the next image, so look at several
images. A tidier map in a later epoch is not necessarily a better reason for the answer. The network may change between
two snapshots in ways that no frame shows. Snapshots are stored in half precision, so probabilities may differ from
those of other pages in the last digit.

**The logit lens** applies the class head to the summary token after each layer. The head was trained on the output of
the last layer, so an uncertain answer after the first layer may only mean that the head cannot read the tokens there.

**Maps of a method.** A relevance method computes one map of all layers, for the chosen class. Its values grow with the
network's confidence, so each epoch's map is shown as shares of its total: compare the places, not the amounts. A random
network also has such a map. It has no meaning and is only a baseline for comparison.
"""

WHAT_IT_IS_CNN = """
**What it is.** During training, a run saves copies of its weights (snapshots) at evenly spaced epochs. This page runs
each of these networks on the same image. A convolutional network has no attention; the map of a method such as Grad-CAM
shows which places speak for the chosen class. "Before training" shows the random initial weights, created again from
the seed. Each epoch's map is shown as shares of its total: compare the places, not the amounts.

**Limits.** A random network also has such a map. It has no meaning and is only a baseline for comparison. A tidier map
in a later epoch is not necessarily a better reason for the answer. The network may change between two snapshots in ways
that no frame shows.
"""


def progress_of(run: Run) -> Hashable:
    """Return a value that changes when the displayed progress of a training changes."""
    try:
        return tuple(snapshots.epochs(run)), run.active, run.status.epoch
    except UserError:  # the run was deleted
        return None


def follow_training(run: Run, shown: Sequence[int], active: bool) -> None:
    """Show the progress of a training, and rerun the page when there is a new snapshot or the training has ended."""
    polling.shows(TRAINING, progress_of(run))
    try:
        changed = snapshots.epochs(run) != list(shown) or run.active != active
    except UserError:
        changed = True
    if changed:
        st.rerun()
    if active:
        status = run.status
        st.info(
            f"This run is still training: {status.epoch} of {run.config.training.epochs} epochs are done. A new frame "
            "appears after each snapshot.",
            icon=":material/model_training:",
        )


def choose_epoch(epochs: Sequence[int]) -> int:
    """Show the choice of an epoch, bound to ``?epoch=``; the newest by default."""
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
            here="Completed epochs; 0 is before training. The slider and the play button below also set it.",
        ),
    )
    return epochs[-1] if chosen is None else chosen


@st.fragment
def show_transformer(run: Run, picked: PickedImage, epochs: Sequence[int], history: Mapping[int, Mapping]) -> None:
    """Show a transformer's maps and charts; the controls rerun this part alone."""
    names = class_names_of(run.config)
    try:
        lapse = time_lapse(run, picked.image, epochs)
    except UserError as error:
        text.show_error(error)
        return
    caveat = lapse.frames[0].caveat
    if caveat:
        st.warning(caveat, icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = choose_maps(run)
        label = None
        if names:
            label = names.index(pick_class(names, names[int(lapse.probabilities[-1].argmax())], help=CLASS_HELP))
        playback = Playback(run, picked, epochs, choose_epoch(epochs), history, lapse.probabilities)
    show_image_and_run(playback)
    try:
        if shown == HEADS:
            show_heads(playback, lapse)
        else:
            show_method(playback, shown, label)
    except UserError as error:
        text.show_error(error)
    if label is not None:
        show_answers(playback, lapse.probabilities, label)
    if not caveat:
        show_statistics(playback, lapse)
    if label is None:
        show_neighbours(playback)
    else:
        show_lens(playback, lapse, label)


@st.fragment
def show_convolutional(run: Run, picked: PickedImage, epochs: Sequence[int], history: Mapping[int, Mapping]) -> None:
    """Show a convolutional network's maps of one method, and its answers; the controls rerun this part alone."""
    names = run.config.data.class_names
    try:
        probabilities = answers(run, picked.image, epochs)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            method = choose_maps(run)
            label = names.index(pick_class(names, names[int(probabilities[-1].argmax())], help=CLASS_HELP))
            playback = Playback(run, picked, epochs, choose_epoch(epochs), history, probabilities)
        show_image_and_run(playback)
        show_method(playback, method, label)
    except UserError as error:
        text.show_error(error)
        return
    show_answers(playback, probabilities, label)


def show_image_and_run(playback: Playback) -> None:
    """Show the image's title and true class, and which weights the run keeps; each frame shows its own prediction."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(text.plain(playback.picked.heading, text.CAPTION_COLUMNS), width="content")
        if playback.picked.label is not None:
            text.name_badge(playback.picked.label, before="true: ")
    if kept := describe_kept(playback.run):
        st.caption(kept)


def describe_kept(run: Run) -> str:
    """Say which epoch's weights the other pages use, with the accuracy that they show; empty if none was validated."""
    best = run.status.best
    if not best or best.get("val_accuracy") is None:
        return ""
    name = words.accuracy(run.config.training, start=False)
    return (
        f"The other pages use the weights that the run keeps, those after epoch {best['epoch']}: {name} "
        f"{best['val_accuracy']:.1%}. The frames here are of other epochs, with an accuracy of their own."
    )


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
    known = f" Runs with snapshots: {', '.join(others[:3])}." if others else ""
    reason = NEVER_TRAINED if run.config.published else NO_SNAPSHOTS
    st.info(reason + known, icon=":material/info:")
    st.page_link("train/page.py", label="Train a model", icon=":material/model_training:")
    st.stop()
if active:
    st.fragment(follow_training, key=TRAINING)(run, epochs, active)
    polling.watch(TRAINING, partial(progress_of, run), POLL_SECONDS)
if picked is None:
    st.stop()
forget_browsers()
show_run_doubts(run)
note_low_dependence(run)
convolutional = cached_models.is_convolutional(run)
(show_convolutional if convolutional else show_transformer)(run, picked, epochs, snapshots.history(run))
with st.expander("How to read a time-lapse, and its limits", icon=":material/help:"):
    st.markdown(WHAT_IT_IS_CNN if convolutional else WHAT_IT_IS)
