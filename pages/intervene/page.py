"""Intervene: change heads or the image, and compare the answer, the maps and the accuracy."""

import streamlit as st

from pages.intervene.head_controls import WIDE_BUTTON_HEADS_MAX, choose_changes
from pages.intervene.patch_controls import choose_patches
from pages.intervene.patching import show_patching
from pages.intervene.result import (
    answer_image,
    head_means,
    patch_grid,
    show_accuracy,
    show_answer_change,
    show_feature_change,
    show_maps,
    show_probabilities,
)
from pages.ui import answer, cached_models, run_picker, text
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker, reactive
from pages.ui.run_doubts import show_run_doubts
from pages.ui.widgets.map_grid import forget_browsers
from vit.classes import class_names_of
from vit.config import TransformerConfig
from vit.errors import UserError
from vit.explain.interventions.head_changes import NEED_MEANS, Change, changes_to_text
from vit.explain.passes.memory import require_room
from vit.runs import Run

PARTS = ("Change heads or the image", "Patch from another image")

INTRO = (
    "Attention shows where a head looks. Switch things off to see whether it matters: switch off or alter heads, cover "
    "or shuffle patches of the image, and compare the answer, the maps and the accuracy before and after."
)

NO_ANSWER = (
    "This model works without classes: it has no classification head, so it gives features and no answer. The line "
    "above shows how much the features change; the maps below change too."
)

NO_HEADS = (
    "This network is convolutional: it has no attention heads to switch off, and no attention maps. You can still "
    "change the image: cover or shuffle its squares, here {rows} × {columns}."
)

HELP = """
**What this page does.** A map shows where a head looks. To find out whether that matters, change the head and run the
model again. If the answer stays the same, this answer did not depend on the head, however clear its map looks.

**Off (zero) and off (mean).** *Zero* removes the whole output of the head, including the part that is the same for
every image. Later layers then receive values that never occur in training, and this causes some of the damage. *Mean*
replaces the output with the head's average over validation images, position by position. Later layers receive typical
values, and only the information about this image is missing. So mean ablation measures more fairly what a head
contributes about an image; zero ablation is harsher.

**Why switching off a head may change nothing.** The residual stream carries tokens past every head, other heads may
provide the same information, and later layers may not need it. This is redundancy; it does not prove that the head does
nothing. If two heads do the same job, the answer may change only when both are off. Click the label of a layer to
switch off all its heads.

**What replacing the pattern tests.** A head does two things: its pattern decides where to look, and its values decide
what to copy from there. *Uniform pattern* and *mean pattern* keep the values and replace the pattern. If the answer
hardly changes, the head works as an average and its map explains little, because any map would give the same result.
The mean pattern keeps habits that depend on position, such as "look at the left neighbour"; the uniform pattern removes
these too.

**Temperature.** The attention scores are divided by the temperature before the softmax. At 0.5 a head looks almost only
at its highest-scoring tokens, at 4 at nearly all tokens. This tests how focused the head has to be.

**Covering and shuffling.** Covering a patch tests whether the answer needs it. Shuffling tests whether the answer needs
the arrangement of the patches or only their content. Both give images unlike the training images, so a wrong answer may
come from that alone. Try the other fill, and compare with covering a part that should not matter.

**Limits.** One image is one case; the accuracy on validation images shows the effect on many. And the network was
trained with all its heads: a network trained without a head would do better than this one with the head switched off.
"""

CNN_HELP = """
**What this page does.** Covering a part of the image tests whether the answer needs it. Shuffling tests whether the
answer needs the arrangement of the parts or only their content. A convolutional network first looks at small
neighbourhoods, so when texture and colour are enough, its answer often survives shuffling.

**Limits.** Covered and shuffled images are unlike the training images, so a wrong answer may come from that alone. Try
the other fill, and compare with covering a part that should not matter. A covered patch adds artificial edges; the blur
adds fewer.
"""


@st.fragment
def show_intervention(run: Run, picked: cached_models.PickedImage) -> None:
    """Show the controls and their effect; a click on a head or a patch reruns only this part of the page."""
    config = run.config.model
    before = answer_image(run, picked.image)
    record = before.answer.record
    changes: tuple[Change, ...] = ()
    if record is not None and record.caveat:
        st.warning(record.caveat, icon=":material/info:")
    names = class_names_of(run.config)
    output = cached_models.output_of(run, picked.image)
    answer.show_answer(picked, names, before.answer.probabilities, output=output)
    summary, board = st.container(), st.container()
    # Boards with more heads do not fit in a third of the page.
    in_row = isinstance(config, TransformerConfig) and config.num_heads <= WIDE_BUTTON_HEADS_MAX
    with st.grid(3 if in_row else 2, min_column_width=270, gap="medium") as row:
        if isinstance(config, TransformerConfig) and record is not None:
            with row.cell() if in_row else board:
                changes = choose_changes(config, over_queries=record.normalised_over == "query")
        with row.cell():
            image_change = choose_patches(before.view, patch_grid(run))
        result = row.cell()
    try:
        with result:
            means = head_means(run, changes)
            if means is None and any(change.kind in NEED_MEANS for change in changes):
                return
            after = answer_image(run, picked.image, changes_to_text(changes), image_change, means)
            probabilities = (before.answer.probabilities, after.answer.probabilities)
            if names:
                show_probabilities(names, *probabilities)
            else:
                run_picker.show_no_classes(run, NO_ANSWER)
        with summary:
            changed = bool(changes) or image_change.is_active
            if names:
                show_answer_change(names, *probabilities, changed=changed)
            else:
                show_feature_change(before, after, changed=changed)
        if record is None:
            return
        version = f"{cached_models.version(run, picked.id)}/{changes_to_text(changes)}/{image_change}"
        show_maps(run, picked.id, before, after, version, shuffled=bool(image_change.seed))
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
convolutional, part = cached_models.is_convolutional(run), PARTS[0]
forget_browsers()
try:
    cached_models.load_model(run)
    require_room(run.config.model)
    with choices:
        picked = image_picker.pick_image(run, reactive.first_image)
    if picked is None:
        st.stop()
    reactive.explain_first_image(run, picked)
    if convolutional:
        rows, columns = patch_grid(run)
        st.info(NO_HEADS.format(rows=rows, columns=columns), icon=":material/info:")
    show_run_doubts(run)
    note_low_dependence(run)
    config = run.config.model
    if isinstance(config, TransformerConfig) and class_names_of(run.config):
        part = st.segmented_control(
            "Part", PARTS, default=PARTS[0], required=True, key="part", bind="query-params", wrap=True
        )
    if isinstance(config, TransformerConfig) and part != PARTS[0]:
        show_patching(run, config, picked)
    else:
        show_intervention(run, picked)
except UserError as error:
    text.show_error(error)
if part == PARTS[0]:
    with st.expander("How to read an intervention, and its limits", icon=":material/help:"):
        st.markdown(CNN_HELP if convolutional else HELP)
