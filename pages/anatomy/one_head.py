"""Show the arithmetic of one head on one image, step by step."""

from collections.abc import Sequence

import streamlit as st
from PIL import Image, ImageDraw

from pages.ui import answer, cached_models, text, view_pickers
from pages.ui.images import image_picker
from pages.ui.widgets.heat_map import heat_map
from pages.ui.widgets.query_key_value import Tokens, query_key_value
from pages.ui.wording import term
from vit import plots
from vit.config import TransformerConfig, ViTConfig
from vit.config.words import SUMMARIES, summary_name, tokens_before, words_before
from vit.errors import UserError
from vit.explain.anatomy.arithmetic import head_arithmetic
from vit.explain.anatomy.step import ArithmeticStep
from vit.runs import Run

VIEW = 320  # pixels a side of the picture beside the controls

READING = """
Each step is computed from the steps above it and the trained weights, and gives the same numbers as the model itself.
The line of numbers works out one entry for the chosen token. The strip below a map is the row of that token.

**Colours.** :orange[Orange] is positive, :blue[blue] is negative, and values near zero fade into the background. The
scale of each map ends at the 99th percentile of its absolute values. Attention has no sign: it runs from dark (none) to
yellow (much), as on the Attention page. Hover over a cell for its number.

**Letters.** n and m count all tokens (n as queries, m as keys); e is the width of a token, d the width of a head, h the
number of heads; (r w) are the patches row by row, (c p1 p2) the pixels of one patch, channel by channel.
"""


@st.cache_data(max_entries=12, show_spinner=False)
def head_steps(
    path: str, stamp: int, layer: int, head: int, token: int, image: Image.Image
) -> tuple[tuple[ArithmeticStep, ...], Image.Image]:
    """Return the steps of one head and the image as the model receives it.

    Args:
        path: the run's folder.
        stamp: the version of its weights.
        layer: from 1.
        head: from 1.
        token: the row of the token whose numbers are worked out.
        image: the original image.
    """
    from vit.data.batches import to_tensor
    from vit.evaluation import model_view

    model, info = cached_models.load_path(path, stamp)
    view = model_view(info, image)
    images = to_tensor([view], info.mean, info.std)
    return head_arithmetic(model, images, layer=layer, head=head, token=token), Image.fromarray(view)


def controls(config: TransformerConfig) -> tuple[int, int, int]:
    """Choose token, layer and head, with the same numbers as on the Attention page.

    Numbers mean the same as on the Attention page: 0 is the summary token. If that is a mean, it has no query of its
    own and cannot be chosen here; the class token then comes after the last patch, as registers do.
    """
    grid = config.grid, config.grid
    read = summary_name(config) == SUMMARIES["cls"]
    others = tokens_before(config) if read else config.prefix_names
    token = view_pickers.pick_token(grid, label="Token", zero=SUMMARIES["cls"] if read else "", others=others)
    layer, head = view_pickers.pick_layer(config.depth), view_pickers.pick_head(config.num_heads)
    return token, layer, head


def token_row(config: TransformerConfig, token: int) -> int:
    """Return the row of the chosen token in the network's sequence."""
    prefix, patches = config.num_prefix_tokens, config.grid**2
    if token > patches:
        return token - patches - 1
    return prefix + token - 1 if token else 0


def first_tokens(config: TransformerConfig) -> str:
    """Return a phrase for the first tokens of the sequence, such as "the class token and 4 registers"."""
    return words_before(tokens_before(config)) if config.num_prefix_tokens else "the patches"


def frame_patch(image: Image.Image, config: TransformerConfig, token: int) -> Image.Image:
    """Enlarge the image and draw a frame around the chosen patch."""
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
    """Return the number and position of each token."""
    names = plots.token_names((config.grid, config.grid), config.prefix_names)
    return [f"{index}, {name}" for index, name in enumerate(names)]


def axis_names(axis: str, length: int, config: TransformerConfig) -> list[str]:
    """Return the names of the rows or columns along an axis, given in einops letters."""
    match axis:
        case "n":
            return token_names(config)
        case "m":
            return [f"key: {name}" for name in token_names(config)]
        case "(r w)":
            return token_names(config)[config.num_prefix_tokens :]
        case "(c p1 p2)":
            p = config.patch_size
            colours: Sequence[str | int] = ("red", "green", "blue")
            if config.in_channels != len(colours):
                colours = range(1, config.in_channels + 1)
            return [f"{c} y{y + 1} x{x + 1}" for c in colours for y in range(p) for x in range(p)]
        case "(h d)":
            return [f"head {i // config.head_dim + 1}, number {i % config.head_dim + 1}" for i in range(length)]
        case _:
            return [f"number {i + 1}" for i in range(length)]


def show_step(number: int, step: ArithmeticStep, config: TransformerConfig, at: int) -> None:
    """Show one step: explanation and formula, and beside them the values; ``at`` is the row of the chosen token."""
    rows, columns = step.value.shape
    patch = at - config.num_prefix_tokens  # negative for the tokens before the patches
    mark = at if not step.of_patches else patch if patch >= 0 else None
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
                row_names=axis_names(step.axes[0], rows, config),
                column_names=axis_names(step.axes[1], columns, config),
                mark=mark,
                share=step.is_share,
            )


@st.fragment
def show_steps(run: Run, picked: cached_models.PickedImage, config: TransformerConfig) -> None:
    """Show the controls and all steps; a change of token, layer or head reruns only this part of the page."""
    picture, numbers = st.columns([1, 3], vertical_alignment="top")
    with numbers:
        with st.container(horizontal=True):
            token, layer, head = controls(config)
        st.caption(READING, help=term("query", "key", "value", "softmax"))
        at = token_row(config, token)
        if at != token:
            st.caption(f"In the formulas this is token {at}: they count from 0, starting with {first_tokens(config)}.")
    steps, view = head_steps(str(run.path), run.stamp, layer, head, at, picked.image)
    picture.image(frame_patch(view, config, token), width="stretch", alt=f"{picked.title} as the model receives it")
    with numbers:
        on_attention = {} if token > config.grid**2 and not tokens_before(config) else {"token": token}
        answer.attention_link(
            run, picked.id, label="See this head over the image", layer=layer, head=head, **on_attention
        )
    show_animation(run, picked, config, (layer, head, at), view)
    for number, step in enumerate(steps, start=1):
        show_step(number, step, config, at)


def show_animation(
    run: Run,
    picked: cached_models.PickedImage,
    config: TransformerConfig,
    place: tuple[int, int, int],
    view: Image.Image,
) -> None:
    """Show how the token's attention and output come about, for a network whose softmax runs over the keys.

    Args:
        run: the run.
        picked: the image.
        config: of the run's model.
        place: layer and head, from 1, and the row of the token, from 0.
        view: the image as the model receives it.
    """
    from vit.explain.anatomy.head_vectors import head_vectors

    if not isinstance(config, ViTConfig):
        return
    layer, head, at = place
    with st.container(border=True):
        st.markdown("**From query to output.** The steps from Q to O below, for the chosen token.")
        query_key_value(
            head_vectors(cached_models.look(run, picked).record, layer=layer, head=head, token=at),
            Tokens(image=view, grid=(config.grid, config.grid), before=tuple(config.prefix_names)),
            token=at,
            title=f"Layer {layer}, head {head}",
            version=cached_models.version(run, picked.id, layer, head),
            key="anatomy_computation",
        )


def show(run: Run) -> None:
    """Show the part "One head" of the page."""
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        st.caption(
            f"This run is a {config.title}. It has no attention heads. Choose a run of a transformer, or see the parts "
            "Network and Filters and positions."
        )
        return
    try:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            picked = image_picker.pick_image(run)
        if picked is not None:
            show_steps(run, picked, config)
    except UserError as error:
        text.show_error(error)
