"""Intervene: change heads or the image, and see the answer, the maps and the accuracy follow."""

import streamlit as st

from pages.intervene.head_controls import MANY, choose_changes
from pages.intervene.patch_controls import choose_patches
from pages.intervene.result import (
    grid_of,
    means_of,
    see,
    show_accuracy,
    show_answer,
    show_likeness,
    show_maps,
    show_sentence,
)
from pages.ui import answer, cached_models, image_picker, run_picker, text
from pages.ui.widgets.map_grid import forget_browsers
from vit.classes import class_names_of
from vit.errors import UserError
from vit.explain.interventions.head_changes import NEED_MEANS, changes_to_text
from vit.explain.passes.memory import require_room
from vit.runs import Run

INTRO = (
    "Looking says where a head looks, not whether it matters. Here you change something and see the model's mind "
    "change, or not: switch heads off or alter them, cover or shuffle patches of the image, and the answer, the maps "
    "and the accuracy follow."
)

NO_ANSWER = (
    "This model was published as features, without classes, so there is no answer to follow: the line above says how "
    "far its features turn, and the maps below change all the same."
)

NO_HEADS = (
    "This network is convolutional: it has no attention heads that could be switched off, and no maps behind its "
    "answer. What you can change is the image: cover or shuffle parts of it, here {rows} × {columns} squares."
)

WHAT_IT_IS = """
**What it is.** A map shows what a head looks at. Whether that matters is another question, and the way to answer it is
to change the head and run the model again. If the answer stays, the head was not needed for it, however telling its map
looks.

**Off, zero or mean.** *Zero* takes away everything that the head hands on, also what is the same for every image and
what the layers after it are used to: they then work on numbers that they have never met, and some of the damage comes
from that. *Mean* puts the head's average output over validation images in its place, position by position: the layers
after it get what they are used to, and only the news about this image is missing. So mean ablation is the fairer
measure of what a head tells about an image, and zero ablation the harsher one.

**Why a head can be off without harm.** Tokens go past every head as well as through it (each layer adds to them), other
heads may have gathered the same, and the layers after it can do without. This is redundancy, not proof that the head
does nothing: switch off two heads that do the same job, and the answer may break where each alone was harmless. Heads
of a layer can be switched off together by a click on the layer's name.

**What replacing the pattern tests.** A head does two things: it decides where to look (the pattern), and hands on what
it finds there. *Even pattern* and *mean pattern* keep the second and take the decision away. If little changes, the
head works as an average, and its map explains little, for any map would have done. The mean pattern keeps habits of
place, such as "look at the left neighbour"; the even one takes these too.

**Temperature.** Divides the numbers that the softmax is taken of: at 0.5 a head looks almost at its favourites alone,
at 4 at nearly everything. It tells how sharply a head has to look.

**Covering and shuffling.** Covered patches tell what the answer needs; shuffled ones whether it needs the arrangement
or the pieces alone. Both make images that the model has never met, so a wrong answer may come from the strangeness: try
the other fill, and compare with covering a part that should not matter.

**What it is not.** One image is one case: the accuracy below says what a change does on many. And a change outside
training is unfair to the network in any case: had it been trained without the head, it would do better than this.
"""

WHAT_IT_IS_CNN = """
**What it is.** Covered parts tell what the answer needs; shuffled ones whether it needs the arrangement or the pieces
alone. A convolutional network looks at small neighbourhoods first, so it often keeps its answer longer than one would
think when the pieces are shuffled, if texture and colour decide.

**What it is not.** Both make images that the network has never met, so a wrong answer may come from the strangeness:
try the other fill, and compare with covering a part that should not matter. A covered patch has edges of its own; the
blur has fewer.
"""


@st.fragment
def explore(run: Run, picked: cached_models.PickedImage) -> None:
    """What a click on a head or a patch changes, and nothing else."""
    before = see(run, picked.image)
    record, changes = before.answer.record, ()  # a convolutional network has neither record nor heads
    if record is not None and record.caveat:
        st.warning(record.caveat, icon=":material/info:")
    names = class_names_of(run.config)
    answer.show_answer(picked, names, before.answer.probabilities)
    said, board = st.container(), st.container()
    in_row = record is not None and run.config.model.num_heads <= MANY  # more have no room in a third of the page
    with st.grid(3 if in_row else 2, min_column_width=270, gap="medium") as row:
        if record is not None:
            with row.cell() if in_row else board:
                changes = choose_changes(run.config.model, over_queries=record.normalised_over == "query")
        with row.cell():
            tampering = choose_patches(before.view, grid_of(run))
        result = row.cell()
    try:
        with result:
            means = means_of(run, changes)
            if means is None and any(change.kind in NEED_MEANS for change in changes):
                return
            after = see(run, picked.image, changes_to_text(changes), tampering, means)
            answers = (before.answer.probabilities, after.answer.probabilities)
            if names:
                show_answer(names, *answers)
            else:
                run_picker.show_no_classes(run, NO_ANSWER)
        with said:
            changed = bool(changes) or tampering.anything
            if names:
                show_sentence(names, *answers, changed=changed)
            else:
                show_likeness(before, after, changed=changed)
        if record is None:
            return
        version = f"{cached_models.version(run, picked.id)}/{changes_to_text(changes)}/{tampering}"
        show_maps(run, picked.id, before, after, version, shuffled=bool(tampering.seed))
        if names:
            show_accuracy(run, changes, means)
    except UserError as error:
        text.show_error(error)


st.title("Intervene", anchor=False)
st.caption(INTRO)
choices = st.container(horizontal=True, vertical_alignment="bottom")
with choices:
    run = run_picker.pick_run(width=240)
if run is None:
    st.stop()
convolutional = cached_models.is_convolutional(run)
forget_browsers()
try:
    cached_models.load_model(run)
    require_room(run.config.model)
    with choices:
        picked = image_picker.pick_image(run)
    if picked is None:
        st.stop()
    if convolutional:
        rows, columns = grid_of(run)
        st.info(NO_HEADS.format(rows=rows, columns=columns), icon=":material/info:")
    explore(run, picked)
except UserError as error:
    text.show_error(error)
with st.expander("What an intervention is, and what it is not", icon=":material/help:"):
    st.markdown(WHAT_IT_IS_CNN if convolutional else WHAT_IT_IS)
