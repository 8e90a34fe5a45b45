"""One head: its arithmetic on one image, step by step."""

import streamlit as st
from PIL import Image, ImageDraw

from pages.ui import answer, cached_models, image_picker, text, view_pickers
from pages.ui.widgets.heat_map import heat_map
from pages.ui.widgets.map_grid import tokens_before, words_before
from pages.ui.wording import term
from vit import plots
from vit.config import TransformerConfig
from vit.errors import UserError
from vit.explain.anatomy.arithmetic import head_arithmetic
from vit.explain.anatomy.step import ArithmeticStep
from vit.runs import Run

VIEW = 320  # pixels a side of the picture beside the controls

READING = """
Each step is computed from the ones above it and the trained weights, and equals what the model itself computes.
The line of numbers works one entry out for the chosen token; the strip below a map is that token's row.

**Colours.** :orange[Orange] is positive, :blue[blue] negative, and what fades into the page is near zero; the scale of
each map ends at the 99th percentile of its sizes. Attention, which has no sign, runs from dark (none) to yellow (much),
as on the Attention page. Hover over a cell for its number.

**Letters.** n and m count all tokens (n asks, m is asked), e the numbers of a token, d those of one head, h the heads;
(r w) are the patches row by row, (c p1 p2) the pixels of one patch, colour by colour.
"""


@st.cache_data(max_entries=12, show_spinner=False)
def steps_of(
    path: str, stamp: int, layer: int, head: int, token: int, image: Image.Image
) -> tuple[tuple[ArithmeticStep, ...], Image.Image]:
    """The steps, with the numbers of the token in this row worked out, and the image as the model sees it."""
    from vit.data.batches import to_tensor
    from vit.evaluation import model_view

    model, info = cached_models.load_path(path, stamp)
    view = model_view(info, image)
    images = to_tensor([view], info.mean, info.std)
    return head_arithmetic(model, images, layer=layer, head=head, token=token), Image.fromarray(view)


def controls(config: TransformerConfig) -> tuple[int, int, int]:
    """The same numbers as on the Attention page, but that 0 is the first token, of which there may be none before the
    patches: token, layer, head."""
    grid, zero = (config.grid, config.grid), config.prefix_names[0] if config.num_prefix_tokens else ""
    token = view_pickers.pick_token(grid, label="Token", zero=zero, others=tokens_before(config))
    layer, head = view_pickers.pick_layer(config.depth), view_pickers.pick_head(config.num_heads)
    return token, layer, head


def row_of(config: TransformerConfig, token: int) -> int:
    """The row in which the chosen token stands in the network."""
    prefix, patches = config.num_prefix_tokens, config.grid**2
    if token > patches:
        return token - patches - 1
    return prefix + token - 1 if token else 0


def said_before(config: TransformerConfig) -> str:
    """What stands before the patches, such as "the class token and 4 registers"."""
    return words_before(tokens_before(config)) if config.num_prefix_tokens else "the patches"


def outlined(image: Image.Image, config: TransformerConfig, token: int) -> Image.Image:
    """The picture with the chosen patch framed."""
    side = max(1, VIEW // image.width) * image.width  # a whole multiple keeps the pixels crisp
    picture = image.resize((side, side), Image.Resampling.NEAREST)
    if 1 <= token <= config.grid**2:
        row, column = divmod(token - 1, config.grid)
        step, pen = side / config.grid, ImageDraw.Draw(picture)
        box = (column * step, row * step, (column + 1) * step - 1, (row + 1) * step - 1)
        for colour, width in (("black", 5), ("white", 3)):
            pen.rectangle(box, outline=colour, width=width)
    return picture


def token_names(config: TransformerConfig) -> list[str]:
    """Each token's number and place."""
    names = plots.token_names((config.grid, config.grid), config.prefix_names)
    return [f"{index}, {name}" for index, name in enumerate(names)]


def class_names_of(axis: str, length: int, config: TransformerConfig) -> list[str]:
    """What the rows or the columns along one axis are called."""
    match axis:
        case "n":
            return token_names(config)
        case "m":
            return [f"key: {name}" for name in token_names(config)]
        case "(r w)":
            return token_names(config)[config.num_prefix_tokens :]
        case "(c p1 p2)":
            p, colours = config.patch_size, ("red", "green", "blue")
            colours = colours if config.in_channels == len(colours) else range(1, config.in_channels + 1)
            return [f"{c} y{y + 1} x{x + 1}" for c in colours for y in range(p) for x in range(p)]
        case "(h d)":
            return [f"head {i // config.head_dim + 1}, number {i % config.head_dim + 1}" for i in range(length)]
        case _:
            return [f"number {i + 1}" for i in range(length)]


def show_step(number: int, step: ArithmeticStep, config: TransformerConfig, at: int) -> None:
    """One row: the words and the maths, and beside them the numbers; ``at`` is the row of the chosen token."""
    rows, columns = step.value.shape
    among = at - config.num_prefix_tokens  # the patches; below 0 it is none
    mark = at if not step.of_patches else among if among >= 0 else None
    with st.container(border=True), st.grid(2, min_column_width=300, gap="medium") as cells:
        with cells.cell():
            st.markdown(f"**{number}. {step.title}**  \n{step.words}")
            st.markdown(rf"$\displaystyle {step.formula}$")
            if step.worked:
                st.markdown(f":small[${step.worked}$]")
        with cells.cell():
            st.caption(f"`{' '.join(step.axes)}` = {rows} × {columns}")
            heat_map(
                step.value,
                key=f"step_{step.name}",
                label=f"Heat map of {step.title.lower()}",
                row_names=class_names_of(step.axes[0], rows, config),
                column_names=class_names_of(step.axes[1], columns, config),
                mark=mark,
                share=step.is_share,
            )


@st.fragment
def explore(run: Run, picked: cached_models.PickedImage, config: TransformerConfig) -> None:
    """What the choice of a token, a layer or a head changes."""
    picture, numbers = st.columns([1, 3], vertical_alignment="top")
    with numbers:
        with st.container(horizontal=True):
            token, layer, head = controls(config)
        st.caption(READING, help=term("query", "key", "value", "softmax"))
        at = row_of(config, token)
        if at != token:
            st.caption(f"In the formulas it is token {at}: they count from 0, {said_before(config)} first.")
    steps, view = steps_of(str(run.path), run.stamp, layer, head, at, picked.image)
    picture.image(outlined(view, config, token), width="stretch", alt=f"{picked.title} as the model sees it")
    with numbers:
        answer.attention_link(run, picked.id, label="See this head over the image", layer=layer, head=head, token=token)
    for number, step in enumerate(steps, start=1):
        show_step(number, step, config, at)


def show(run: Run) -> None:
    """The part of the page."""
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        st.caption(
            f"This run is a {config.title}: it has no heads, so there is no arithmetic of attention to follow. "
            "Choose a run of a transformer, or see this network's diagram and filters."
        )
        return
    try:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            picked = image_picker.pick_image(run)
        if picked is not None:
            explore(run, picked, config)
    except UserError as error:
        text.show_error(error)
