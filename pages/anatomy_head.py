"""One head: its arithmetic on one image, step by step."""

import streamlit as st
from PIL import Image, ImageDraw

from pages import components
from pages.anatomy_heat import heat_map
from vit import plots
from vit.config import TransformerConfig
from vit.errors import UserError
from vit.explain.arithmetic import Step, walk
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


@st.cache_data(max_entries=24, show_spinner=False)
def steps_of(
    path: str, stamp: int, image_id: str, layer: int, head: int, token: int, _image: Image.Image
) -> tuple[tuple[Step, ...], Image.Image]:
    """The steps, and the image as the model sees it."""
    from vit.data.batches import to_tensor
    from vit.evaluation import model_view

    model, info = components.load_path(path, stamp)
    view = model_view(info, _image)
    images = to_tensor([view], info.mean, info.std)
    return walk(model, images, layer=layer, head=head, token=token), Image.fromarray(view)


def controls(config: TransformerConfig) -> tuple[int, int, int]:
    """The same numbers as on the Attention page: token, layer, head."""
    components.bounded("token", 0, config.grid**2, 0)
    components.bounded("layer", 1, config.depth, 1)
    components.bounded("head", 1, config.num_heads, 1)
    token = st.number_input(
        "Token",
        0,
        config.grid**2,
        0,
        key="token",
        bind="query-params",
        width=140,
        help=f"0 is the class token, 1 to {config.grid**2} are the patches, row by row.",
    )
    layer = st.number_input("Layer", 1, config.depth, 1, key="layer", bind="query-params", width=140)
    head = st.number_input("Head", 1, config.num_heads, 1, key="head", bind="query-params", width=140)
    return token, layer, head


def outlined(image: Image.Image, config: TransformerConfig, token: int) -> Image.Image:
    """The picture with the chosen patch framed."""
    side = max(1, VIEW // image.width) * image.width  # a whole multiple keeps the pixels crisp
    picture = image.resize((side, side), Image.Resampling.NEAREST)
    if token:
        row, column = divmod(token - 1, config.grid)
        step, pen = side / config.grid, ImageDraw.Draw(picture)
        box = (column * step, row * step, (column + 1) * step - 1, (row + 1) * step - 1)
        for colour, width in (("black", 5), ("white", 3)):
            pen.rectangle(box, outline=colour, width=width)
    return picture


def token_names(config: TransformerConfig) -> list[str]:
    """Each token's number and place."""
    return [f"{index}, {name}" for index, name in enumerate(plots.token_names((config.grid, config.grid)))]


def names_of(axis: str, length: int, config: TransformerConfig) -> list[str]:
    """What the rows or the columns along one axis are called."""
    match axis:
        case "n":
            return token_names(config)
        case "m":
            return [f"key: {name}" for name in token_names(config)]
        case "(r w)":
            return token_names(config)[1:]
        case "(c p1 p2)":
            p, colours = config.patch_size, ("red", "green", "blue")
            colours = colours if config.in_channels == len(colours) else range(1, config.in_channels + 1)
            return [f"{c} y{y + 1} x{x + 1}" for c in colours for y in range(p) for x in range(p)]
        case "(h d)":
            return [f"head {i // config.head_dim + 1}, number {i % config.head_dim + 1}" for i in range(length)]
        case _:
            return [f"number {i + 1}" for i in range(length)]


def show_step(number: int, step: Step, config: TransformerConfig, token: int) -> None:
    """One row: the words and the maths, and beside them the numbers."""
    rows, columns = step.value.shape
    mark = token if not step.of_patches else token - 1 if token else None
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
                row_names=names_of(step.axes[0], rows, config),
                column_names=names_of(step.axes[1], columns, config),
                mark=mark,
                share=step.is_share,
            )


@st.fragment
def explore(run: Run, picked: components.PickedImage, config: TransformerConfig) -> None:
    """What the choice of a token, a layer or a head changes."""
    picture, numbers = st.columns([1, 3], vertical_alignment="top")
    with numbers:
        with st.container(horizontal=True):
            token, layer, head = controls(config)
        st.caption(READING)
    steps, view = steps_of(str(run.path), run.stamp, picked.id, layer, head, token, picked.image)
    picture.image(outlined(view, config, token), width="stretch", alt=f"{picked.title} as the model sees it")
    with numbers:
        components.attention_link(
            run, picked.id, label="See this head over the image", layer=layer, head=head, token=token
        )
    for number, step in enumerate(steps, start=1):
        show_step(number, step, config, token)


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
            picked = components.pick_image(run)
        if picked is not None:
            explore(run, picked, config)
    except UserError as error:
        components.show_error(error)
