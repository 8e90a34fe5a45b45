"""The network: its parts as a diagram with the shape after each, and its layers in a table."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
import streamlit as st

from pages.ui import text
from pages.ui.wording import count, size, term
from vit import config as settings
from vit.config import MODELS, CNNConfig, ModelConfig, ReferenceConfig, ViTConfig
from vit.cost.diagram import Branch, Part, Stage, count_parameters, diagram, numbers
from vit.cost.estimate import count_flops
from vit.errors import SettingsError
from vit.pictures.colours import PALETTE
from vit.runs import Run

SHAPES = ("this run", "other settings")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)

LETTERS = """
Read it from the top: the image goes in, each box does one thing, and beside it stands the shape of what comes out.
A blue bracket is the way around: what came in is added to what comes out.

**Letters**

- b: images of the batch
- c, h, w: channels, height and width of the image
- (r w): patches or positions, row by row
- (c p1 p2): the pixels of one patch
- n: all tokens, the patches and those before them; m: the same, where they are looked at
- e: numbers of a token (embed_dim) or channels
- h, d: heads, and numbers of a token in one head (head_dim)
- f: numbers inside the MLP
- k: classes
"""

CNN_LETTERS = """
Read it from the top: the image goes in, each box does one thing, and beside it stands the shape of what comes out.
A blue bracket is the way around: what came in is added to what comes out.

**Letters**

- b: images of the batch
- c, h, w: channels, height and width of the image
- e, r, w: channels, rows and columns of a feature map
- k: classes
"""

DEPARTS = "An orange edge marks what the textbook does in another way; the part Course and textbook says how."

_CSS = (Path(__file__).parent / "network.css").read_text()


@st.cache_data(max_entries=32, show_spinner="Counting the layers")
def table_of(config: str, batch: int):
    """The torchinfo summary of a network."""
    from vit.cost.layer_table import summarise

    return summarise(ModelSettings.from_json(config).model, batch=batch)


class ModelSettings(settings.Settings):
    """The settings of any network, to be handed on as text."""

    model: settings.AnyModelConfig


def choice(label: str, options: Sequence, default, key: str):
    """A select box that begins with a network's own setting."""
    index = options.index(default) if default in options else 0
    return st.selectbox(label, options, index=index, key=key, bind="query-params", width=150)


def free_settings(of: ModelConfig) -> ModelConfig:
    """A network of any kind and size; raises a SettingsError where it cannot be."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Network", list(MODELS), key="net", bind="query-params", width=180)
        base = MODELS[name]
        chosen: dict = {
            "num_classes": of.num_classes or base.num_classes,
            "image_size": choice("Image size", settings.IMAGE_SIZES, base.image_size, "net_image"),
        }
        if not isinstance(base, CNNConfig):
            chosen["patch_size"] = choice("Patch size", settings.PATCH_SIZES, base.patch_size, "net_patch")
            chosen["num_heads"] = choice("Heads", settings.HEADS, base.num_heads, "net_heads")
            width = choice("Width of a head", settings.HEAD_DIMS, base.head_dim, "net_width")
            chosen["embed_dim"] = chosen["num_heads"] * width
            chosen["depth"] = choice("Depth", settings.DEPTHS, base.depth, "net_depth")
        if isinstance(base, ViTConfig):
            chosen["stem"] = choice("Stem", get_args(settings.Stem), base.stem, "net_stem")
            chosen["pool"] = choice("Summary", get_args(settings.Pool), base.pool, "net_pool")
        if isinstance(base, ReferenceConfig):
            chosen["mended"] = st.multiselect(
                "Mended", settings.DEPARTURES, key="net_mended", bind="query-params", width=360,
                help="Departures from the textbook that are put right; see the part Course and textbook.",
            )  # fmt: skip
    return type(base)(**base.model_dump() | chosen)


def _part(part: Part) -> str:
    parameters = count(part.parameters) if part.parameters else ""
    return (
        f'<div class="part{" departs" if part.departs else ""}"><span class="name">{html.escape(part.name)}</span>'
        f'<code class="letters">{html.escape(part.letters)}</code><span class="numbers">{numbers(part)}</span>'
        f'<span class="size">{parameters}</span></div>'
    )


def _branch(branch: Branch) -> str:
    parts = "".join(_part(part) for part in branch.parts)
    if not branch.residual:
        return f'<div class="branch">{parts}</div>'
    return f'<div class="branch residual">{parts}<div class="plus">+ what came in</div></div>'


def _stage(stage: Stage, total: int) -> str:
    branches = "".join(_branch(branch) for branch in stage.branches)
    if not stage.title:
        return f'<div class="stage">{branches}</div>'
    times = f" × {stage.repeat}" if stage.repeat > 1 else ""
    share = f"{count(stage.parameters)} parameters, {stage.parameters / total:.0%} of all"
    title = f"<b>{html.escape(stage.title)}{times}</b><span>{share}</span>"
    return f'<div class="stage block"><div class="title">{title}</div>{branches}</div>'


def draw(stages: tuple[Stage, ...]) -> None:
    """The diagram as HTML: its text follows the theme and the width of the page."""
    total = count_parameters(stages)
    head = (
        '<div class="part head"><span class="name">Step</span><span class="letters">Shape after it</span>'
        '<span class="numbers">in numbers</span><span class="size">Parameters</span></div>'
    )
    colours = f"--departs: {PALETTE['orange']}; --around: {PALETTE['blue']}"
    body = "".join(_stage(stage, total) for stage in stages)
    st.html(f'<style>{_CSS}</style><div class="anatomy" style="{colours}">{head}{body}</div>')


def show_table(config: ModelConfig, batch: int) -> None:
    """The layers as torchinfo counts them."""
    summary = table_of(ModelSettings(model=config).model_dump_json(), batch)
    with st.container(horizontal=True):
        st.metric("Parameters", f"{summary.parameters:,}", width="content")
        st.metric("Multiply-adds", count(summary.multiply_adds), width="content")
        st.metric("Weights in memory", size(4 * summary.parameters), width="content")
    rows = [
        {
            "Layer": row.name,
            "Kind": row.kind,
            "Output": " × ".join(map(str, row.output)),
            "Parameters": row.parameters,
            "Multiply-adds": row.multiply_adds,
        }
        for row in summary.rows
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=min(38 + 35 * len(rows), 720),
        column_config={
            "Layer": st.column_config.TextColumn(width="medium"),
            "Parameters": st.column_config.NumberColumn(format="localized"),
            "Multiply-adds": st.column_config.NumberColumn(format="localized"),
        },
        alt="Every layer with its output, its parameters and its multiply-adds",
    )
    st.caption(
        f"As torchinfo counts, for {batch} image{'s' if batch > 1 else ''}. It counts a linear map once an image, even "
        "where it is applied to every token, and products without weights, such as those inside the attention, not at "
        f"all. Counted in full, the matrix products are {count(batch * count_flops(config) / 2)} multiply-adds."
    )


def show(run: Run) -> None:
    """The part of the page."""
    config = run.config.model
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shapes = st.segmented_control(
            "Shapes of", SHAPES, default=SHAPES[0], required=True, key="shapes", bind="query-params"
        )
        batch = st.selectbox("Images in a batch", BATCHES, key="batch", bind="query-params", width=150)
    try:
        if shapes == SHAPES[1]:
            config = free_settings(config)
        stages = diagram(config, batch=batch)
    except SettingsError as error:
        text.show_error(error)
        return
    title = f"Vision Transformer, {config.title}" if isinstance(config, ViTConfig) else config.title
    st.subheader(title[:1].upper() + title[1:], anchor=False, help=term("block", "depth", "residual stream"))
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=590):
            draw(stages)
        with st.container(width=280):
            if any(part.departs for stage in stages for branch in stage.branches for part in branch.parts):
                st.caption(DEPARTS)
            st.caption(CNN_LETTERS if isinstance(config, CNNConfig) else LETTERS, help=term("embedding", "head_dim"))
    st.subheader("Every layer", anchor=False, help=term("MLP", "GELU", "layer norm", "layer scale"))
    show_table(config, batch)
