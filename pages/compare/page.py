"""Side by side: compare two images or two runs with one set of controls."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages import access
from pages.relevance import maps as relevance_maps
from pages.ui import answer as answer_view
from pages.ui import cached_models, downloads, link_state, run_picker, text
from pages.ui.cached_models import Look, PickedImage
from pages.ui.dependence import note_low_dependence
from pages.ui.images import image_picker
from pages.ui.run_doubts import show_run_doubts
from pages.ui.run_picker import say_missing_run
from pages.ui.text import plain
from pages.ui.view_pickers import pick_optional_class, pick_token_layer_head
from pages.ui.widgets.map_grid import (
    Selection,
    TileMaps,
    forget_browsers,
    is_smooth,
    map_grid,
    scale_controls,
    smooth_control,
)
from vit.classes import class_names_of
from vit.config import TransformerConfig
from vit.config.words import SUMMARIES, tokens_before
from vit.errors import UserError
from vit.explain import METHODS
from vit.runs import Run

HEADS = "Every head"
SIDE = 384  # pixels of a picture

WHAT_IT_IS = """
**Two images of one run** show what a head does in every image. A head that attends one patch to the left does so in
both images; a head that attends to eyes finds them in both.

**Two runs on one image** show how training changes the maps: with another depth, another number of heads or another
seed. Heads have no order: head 2 of one run does not correspond to head 2 of another. Look for the head that does the
same, in any position. Two runs with the same answer may attend to different places, so a map does not prove a reason
that all networks share.

**One set of controls.** Patch, layer and head apply to both sides. If one side has fewer layers or heads, its last one
is shown. If the two runs use different patch sizes, the patch at the same place is used.

**Colours.** Shared: all tiles of both sides use one scale, so brightness can be compared, also between the sides. A
network with more patches spreads its attention over more of them, so its tiles are darker. Per tile: each tile has its
own scale. The map of a method has its own scale on each side: compare places and shapes, not brightness.
"""


class Side(NamedTuple):
    """One side of the comparison; ``look`` is None for a network without attention."""

    run: Run
    picked: PickedImage
    look: Look | None
    probabilities: np.ndarray


def pick_other(run: Run, picked: PickedImage) -> tuple[Run, PickedImage]:
    """Show the select boxes for the right side: a run, bound to ``?run2=``, and an image, bound to ``?image2=``.

    Without a choice, the right side is the next validation image.

    Raises:
        DataError: the image does not exist.
    """
    others = {other.name: other for other in access.my_runs() if other.has_weights and other.name != run.name}
    say_missing_run("run2")
    link_state.one_of("run2", others)
    name = st.selectbox(
        "Second run",
        list(others),
        index=None,
        key="run2",
        bind="query-params",
        placeholder="The same run" if others else "No other run yet",
        disabled=not others,
        width=220,
    )
    other = others.get(name, run) if name else run
    image_id = image_picker.pick_second_image(run, "The same image" if name else "The next image")
    if image_id is None:
        image_id = picked.id if name else image_picker.next_image(picked.id, run)
    # The image comes from the left run's data set; the right run sees the same image at its own size.
    return other, picked if image_id == picked.id else image_picker.open_id(image_id, run)


def side_of(run: Run, picked: PickedImage) -> Side:
    """Run a model on an image.

    Raises:
        UserError: the run cannot be loaded.
    """
    if run.config.model.architecture == "cnn":
        return Side(run, picked, None, cached_models.prediction(run, picked.image).probabilities)
    look = cached_models.look(run, picked)
    return Side(run, picked, look, look.probabilities)


def corresponding(token: int, ours: tuple[int, int], theirs: tuple[int, int]) -> int:
    """Return the patch of another grid that covers the centre of a patch; 0 is the summary token in both grids.

    Args:
        token: the patch in its own grid, from 1.
        ours: rows and columns of its own grid.
        theirs: rows and columns of the other grid.
    """
    if not token or ours == theirs:
        return token
    row, column = divmod(token - 1, ours[1])
    place = [int((at + 0.5) / old * new) for at, old, new in zip((row, column), ours, theirs, strict=True)]
    return place[0] * theirs[1] + place[1] + 1


def show_heading(side: Side) -> None:
    """Show the side's run, image, true label and prediction."""
    st.markdown(f"**{plain(side.run.name)}** :small[{plain(side.run.config.model.title)}]")
    output = cached_models.output_of(side.run, side.picked.image)
    answer_view.show_answer(side.picked, class_names_of(side.run.config), side.probabilities, output=output)


def show_heads(sides: list[Side]) -> None:
    """Show the maps of every head of both sides, with the same patch, layer and head."""
    looks = [side.look for side in sides if side.look is not None]
    if not looks:
        st.caption("Neither network has attention heads. Choose a method above that works without attention.")
        return
    grid = looks[0].record.grid
    for key, side in enumerate(sides):  # a click on the right side is translated to the left side's grid
        clicked = st.session_state.pop(f"token_{key}", None)
        if clicked is not None and side.look is not None:
            st.session_state["token"] = corresponding(clicked, side.look.record.grid, grid)
    depth, heads = (max(look.attention.shape[axis] for look in looks) for axis in (0, 1))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        before = common_prefix(sides)
        summaries = dict.fromkeys(SUMMARIES[look.record.pool] for look in looks)
        scale_controls()
        token, layer, head = pick_token_layer_head(depth, heads, grid, zero=" or the ".join(summaries), others=before)
    with st.grid(2, min_column_width=420, gap="large") as row:  # one column where the tiles would not fit
        columns = [row.cell() for _ in sides]
    own_tokens = [0 if side.look is None else corresponding(token, grid, side.look.record.grid) for side in sides]
    top = shared_top(sides, own_tokens)
    for key, (column, side, own_token) in enumerate(zip(columns, sides, own_tokens, strict=True)):
        with column:
            with st.container(key=f"heading_{key}"):  # theme.css gives it a height, so that the tiles align
                show_heading(side)
            if side.look is None:
                st.caption("This network is convolutional and has no attention heads. Choose a method above.")
            else:
                show_grid(side, side.look, key, own_token, layer, head, before, top)


def shared_top(sides: list[Side], tokens: list[int]) -> float:
    """Return the end of the colour scale of both sides: the 99th percentile of the attention to patches."""
    from vit.explain import token_rows

    values = [
        token_rows(side.look.record, side.look.attention, token)[..., side.look.record.prefix_tokens :].ravel()
        for side, token in zip(sides, tokens, strict=True)
        if side.look is not None
    ]
    return float(np.percentile(np.concatenate(values), 99))


def common_prefix(sides: list[Side]) -> tuple[str, ...]:
    """Return the names of the tokens before the patches if both sides have the same tokens, else nothing."""
    shapes = set()
    for side in sides:
        config = side.run.config.model
        if side.look is None or not isinstance(config, TransformerConfig):
            return ()
        shapes.add((side.look.record.grid, tokens_before(config)))
    return shapes.pop()[1] if len(shapes) == 1 else ()


def show_grid(
    side: Side, look: Look, key: int, token: int, layer: int, head: int, before: tuple[str, ...], top: float
) -> None:
    """Show the maps of every head of one side."""
    from vit.explain import token_rows

    record, attention = look.record, look.attention
    depth, heads = attention.shape[:2]
    map_grid(
        TileMaps(
            maps=lambda tokens: np.stack([token_rows(record, attention, one) for one in tokens])[None],
            image=cached_models.looked_at(side.run, side.picked.image),
            version=cached_models.version(side.run, side.picked.id),
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            before=before,
            top=top,
        ),
        Selection(token=token, row=min(layer, depth), column=min(head, heads), keys=(f"token_{key}", "layer", "head")),
        key=f"grid_{key}",
    )
    if record.caveat:
        st.warning(record.caveat, icon=":material/info:")


def show_method(sides: list[Side], method: str) -> None:
    """Show one method's map on both sides, for one class."""
    names = class_names_of(sides[0].run.config)
    label = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if METHODS[method].for_class and names:
            label = pick_optional_class(names, "Each side's prediction")
        smooth_control()
    for place, (column, side) in enumerate(zip(st.columns(2, gap="large"), sides, strict=True)):
        with column:
            show_heading(side)
            theirs = class_names_of(side.run.config)
            if label is not None and label not in theirs:
                st.caption(f"This run does not know the class {plain(label)}.")
                continue
            view = cached_models.view_of(side.run, side.picked.image)
            likeliest = int(side.probabilities.argmax()) if theirs else None
            index = likeliest if label is None else theirs.index(label)
            try:
                heat = relevance_maps.method_map(side.run, view, method, (index, None))
            except UserError as error:
                text.show_error(error)
                continue
            picture = relevance_maps.draw(view, heat, METHODS[method].signed, SIDE, is_smooth())
            st.image(picture, width="stretch", alt=f"{METHODS[method].title} of {side.run.name}")
            colours = "Orange: for the class; blue: against it." if METHODS[method].signed else ""
            st.caption(f"{METHODS[method].what} {colours}")
            downloads.downloads(
                f"{side.run.name}-{side.picked.id}-{method}",
                key=f"map_{place}",
                picture=picture.copy,
                arrays=partial(relevance_array, heat),
            )


def relevance_array(heat: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return the contents of a downloaded NPZ file."""
    return {"relevance": heat}


@st.fragment
def show_both_sides(sides: list[Side]) -> None:
    """Show every head or one method's map on both sides; the controls rerun this part alone."""
    titles = {HEADS: HEADS} | {name: method.title for name, method in METHODS.items()}
    link_state.named("method", titles)
    method = st.selectbox(
        "Show",
        list(titles),
        index=None,
        format_func=titles.__getitem__,
        placeholder=HEADS,
        key="method",
        bind="query-params",
        width=280,
    )
    if method in (None, HEADS):
        show_heads(sides)
    else:
        show_method(sides, method)


st.title("Side by side", anchor=False)
st.caption("Compare two images of one run, or two runs on one image, with the same patch, layer, head or method.")
with st.container(horizontal=True, vertical_alignment="bottom"):
    run = run_picker.pick_run(width=220)
    picked = image_picker.pick_image(run) if run is not None else None
if run is None or picked is None:
    st.stop()
try:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        right = pick_other(run, picked)
    sides = [side_of(run, picked), side_of(*right)]
except UserError as error:
    text.show_error(error)
    st.stop()
shown = {side.run.name: side.run for side in sides}
for one in shown.values():
    show_run_doubts(one, named=len(shown) > 1)
    note_low_dependence(one, named=len(shown) > 1)
forget_browsers()
show_both_sides(sides)
with st.expander("How to read a comparison, and its limits", icon=":material/help:"):
    st.markdown(WHAT_IT_IS)
