"""Side by side: two images, or two runs, with one set of controls for both."""

from typing import NamedTuple

import numpy as np
import streamlit as st

from pages import access
from pages.relevance import maps as seen
from pages.ui import answer as answer_view
from pages.ui import cached_models, downloads, image_picker, link_state, run_picker, text
from pages.ui.cached_models import Look, PickedImage
from pages.ui.text import plain
from pages.ui.view_pickers import pick_optional_class, pick_token_layer_head
from pages.ui.widgets.map_grid import Selection, TileMaps, forget_browsers, map_grid, scale_controls, tokens_before
from vit.classes import names_of
from vit.errors import UserError
from vit.explain import METHODS
from vit.runs import Run

HEADS = "Every head"
SIDE = 384  # pixels of a picture

WHAT_IT_IS = """
**Two images of one run** show what a head does whatever it is shown: a head that looks one patch to the left does so
in both; a head that looks for eyes finds them in each.

**Two runs on one image** show what the training made of the same patches: another depth, another number of heads,
another seed. Head 2 of one run has nothing to do with head 2 of another, for heads have no order: look for the one
that does the same, wherever it stands. And two runs that answer alike may look at different places, so a map is no
proof of a reason that all networks share.

**One set of controls.** Patch, layer and head count for both sides; where one side has fewer layers or heads, its last
one stands in. Where the two cut the image into different patches, the patch at the same place is taken. Each side has
its own scale of colours: compare places and shapes, not the brightness.
"""


class Side(NamedTuple):
    """What stands on one side; ``look`` is None for a network without attention."""

    run: Run
    picked: PickedImage
    look: Look | None
    probabilities: np.ndarray

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.look.record.grid

    @property
    def version(self) -> str:
        """Names the run, its weights and the image."""
        return cached_models.version(self.run, self.picked.id)


def pick_other(run: Run, picked: PickedImage) -> tuple[Run, PickedImage]:
    """The right side: another run, bound to ``?run2=``, another image, bound to ``?image2=``, or both.

    Until one is chosen, it is the next validation image.

    Raises:
        DataError: the image is not there.
    """
    others = {other.name: other for other in access.my_runs() if other.has_weights and other.name != run.name}
    link_state.one_of("run2", others)
    name = st.selectbox(
        "Run on the right",
        list(others),
        index=None,
        key="run2",
        bind="query-params",
        placeholder="The same run" if others else "No other run yet",
        disabled=not others,
        width=220,
    )
    other = others.get(name, run)
    asked = str(link_state.stored("image2") or "").strip()
    known = image_picker.known_image(asked, run) if asked else None
    if known != (asked or None):
        st.session_state["image2"] = known
    image_id = st.selectbox(
        "Image on the right",
        image_picker.listed_images(run, *([known] if known else [])),
        index=None,
        key="image2",
        bind="query-params",
        placeholder="The same image" if name else "The next image",
        accept_new_options=True,
        width=220,
    )
    if image_id is None:
        image_id = picked.id if name else image_picker.next_image(picked.id, run)
    elif image_id != image_picker.known_image(image_id, run):
        st.rerun()
    # The image is of the left run's data: the right run sees the very same picture, at its own size.
    return other, picked if image_id == picked.id else image_picker.open_id(image_id, run)


def side_of(run: Run, picked: PickedImage) -> Side:
    """Run the model over the image.

    Raises:
        UserError: the run cannot be loaded.
    """
    if run.config.model.architecture == "cnn":
        return Side(run, picked, None, cached_models.prediction(run, picked.image).probabilities)
    look = cached_models.look(run, picked)
    return Side(run, picked, look, look.probabilities)


def corresponding(token: int, ours: tuple[int, int], theirs: tuple[int, int]) -> int:
    """The patch of another grid at the place of the middle of this one's patch; 0 stays the summary token."""
    if not token or ours == theirs:
        return token
    row, column = divmod(token - 1, ours[1])
    place = [int((index + 0.5) / here * there) for index, here, there in zip((row, column), ours, theirs, strict=True)]
    return place[0] * theirs[1] + place[1] + 1


def show_answer(side: Side) -> None:
    """The side's heading: run, image, what it is and what the network says."""
    st.markdown(f"**{plain(side.run.name)}** :small[{plain(side.run.config.model.title)}]")
    answer_view.show_answer(side.picked, names_of(side.run.config), side.probabilities)


def show_heads(sides: list[Side]) -> None:
    """Every head of both sides, with the same patch, layer and head."""
    looks = [side.look for side in sides if side.look is not None]
    if not looks:
        st.caption("Neither network has heads: choose a method above that works without attention.")
        return
    grid = looks[0].record.grid
    for key, side in enumerate(sides):  # a click on the right sets its own patch, which is brought to the left's
        clicked = st.session_state.pop(f"token_{key}", None)
        if clicked is not None and side.look is not None:
            st.session_state["token"] = corresponding(clicked, side.grid, grid)
    depth, heads = (max(look.attention.shape[axis] for look in looks) for axis in (0, 1))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        before = before_both(sides)
        token, layer, head = pick_token_layer_head(depth, heads, grid, others=before)
        scale_controls()
    with st.grid(2, min_column_width=420, gap="large") as row:  # below each other where tiles would be cut off
        columns = [row.cell() for _ in sides]
    for key, (column, side) in enumerate(zip(columns, sides, strict=True)):
        with column:
            show_answer(side)
            if side.look is None:
                st.caption("This network is convolutional and has no heads: choose a method above instead.")
            else:
                show_grid(side, key, corresponding(token, grid, side.grid), layer, head, before)


def before_both(sides: list[Side]) -> tuple[str, ...]:
    """Registers and what stands beside them, where both sides have the same tokens."""
    shapes = {(side.grid, tokens_before(side.run.config.model)) if side.look else None for side in sides}
    return shapes.pop()[1] if len(shapes) == 1 and None not in shapes else ()


def show_grid(side: Side, key: int, token: int, layer: int, head: int, before: tuple[str, ...]) -> None:
    """One side's heads."""
    from vit.explain import token_rows

    record, attention = side.look.record, side.look.attention
    if record.caveat:
        st.warning(record.caveat, icon=":material/info:")
    depth, heads = attention.shape[:2]
    map_grid(
        TileMaps(
            maps=lambda tokens: np.stack([token_rows(record, attention, one) for one in tokens])[None],
            image=cached_models.looked_at(side.run, side.picked.image),
            version=side.version,
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            before=before,
        ),
        Selection(token=token, row=min(layer, depth), column=min(head, heads), keys=(f"token_{key}", "layer", "head")),
        key=f"grid_{key}",
    )


def show_method(sides: list[Side], method: str) -> None:
    """One method's map of both sides, for one class."""
    names = names_of(sides[0].run.config)
    label = None
    if METHODS[method].for_class and names:
        label = pick_optional_class(names, "What each predicts")
    for place, (column, side) in enumerate(zip(st.columns(2, gap="large"), sides, strict=True)):
        with column:
            show_answer(side)
            theirs = names_of(side.run.config)
            if label is not None and label not in theirs:
                st.caption(f"This run does not know the class {plain(label)}.")
                continue
            view = cached_models.view_of(side.run, side.picked.image)
            likeliest = int(side.probabilities.argmax()) if theirs else None
            index = likeliest if label is None else theirs.index(label)
            try:
                heat = seen.method_map(side.run, view, method, (index, None))
            except UserError as error:
                text.show_error(error)
                continue
            picture = seen.draw(view, heat, METHODS[method].signed, SIDE)
            st.image(picture, width="stretch", alt=f"{METHODS[method].title} of {side.run.name}")
            colours = "Orange: for the class; blue: against it." if METHODS[method].signed else ""
            st.caption(f"{METHODS[method].what} {colours}")
            downloads.downloads(
                f"{side.run.name}-{side.picked.id}-{method}",
                key=f"map_{place}",
                picture=lambda picture=picture: picture,
                arrays=lambda heat=heat: {"relevance": heat},
            )


@st.fragment
def explore(sides: list[Side]) -> None:
    """What the controls of both sides change."""
    shown = {HEADS: HEADS} | {name: method.title for name, method in METHODS.items()}
    link_state.named("method", shown)
    method = st.selectbox(
        "Show",
        list(shown),
        index=None,
        format_func=shown.get,
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
st.caption("Two images of one run, or two runs on one image: the same patch, layer, head or method on both sides.")
with st.container(horizontal=True, vertical_alignment="bottom"):
    run = run_picker.pick_run(width=220)
    picked = image_picker.pick_image(run) if run is not None else None
if picked is None:
    st.stop()
try:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        right = pick_other(run, picked)
    sides = [side_of(run, picked), side_of(*right)]
except UserError as error:
    text.show_error(error)
    st.stop()
forget_browsers()
explore(sides)
with st.expander("What a comparison tells, and what it does not", icon=":material/help:"):
    st.markdown(WHAT_IT_IS)
