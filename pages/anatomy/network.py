"""Show a network as a diagram of its parts with their output shapes, and as a table of its layers."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd
import streamlit as st

from pages.ui import text
from pages.ui.wording import count, size, term
from vit import config as settings
from vit.config import MODELS, CNNConfig, ModelConfig, ReferenceConfig, TransformerConfig, ViTConfig, words
from vit.cost.diagram import Branch, Part, Stage, count_parameters, diagram, numbers
from vit.cost.estimate import count_flops
from vit.errors import SettingsError
from vit.pictures.colours import PALETTE
from vit.runs import Run

if TYPE_CHECKING:  # torchinfo imports torch
    from vit.cost.layer_table import Summary

SHAPES = ("this run", "other settings")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)

READING = """
Read the diagram from top to bottom: each box is one step, with the shape of its output beside it. A blue bracket marks
a residual connection: the input of the bracket is added to its output.

**Letters**

- b: images of the batch
- c, h, w: channels, height and width of the image
"""

LETTERS = f"""{READING}- (r w): patches or positions, row by row
- (c p1 p2): the pixels of one patch
- n: all tokens, that is, the patches and the tokens before them; m: the same tokens as keys
- e: width of a token (embed_dim), or channels
- h, d: heads, and width of one head (head_dim)
- f: width of the hidden layer of the MLP
- k: classes
"""

CNN_LETTERS = f"""{READING}- e, r, w: channels, rows and columns of a feature map
- k: classes
"""

DEPARTS = "An orange edge marks a step that differs from the textbook; see the part Course and textbook."

_CSS = (Path(__file__).parent / "network.css").read_text()


@st.cache_data(max_entries=32, show_spinner="Counting the layers")
def layer_table(config: str, batch: int) -> "Summary":
    """Return the torchinfo summary of the network with these settings, given as JSON."""
    from vit.cost.layer_table import summarise

    return summarise(ModelSettings.from_json(config).model, batch=batch)


class ModelSettings(settings.Settings):
    """Settings of any network, to convert them to JSON and back."""

    model: settings.AnyModelConfig


def select_setting(field: str, options: Sequence[Any], default: Any, key: str) -> Any:
    """Show a select box for a setting of a network, with the network's own value as default."""
    label = words.HEAD_WIDTH[0] if field == "head_dim" else words.title(ViTConfig, field)
    index = options.index(default) if default in options else 0
    return st.selectbox(label, options, index=index, key=key, bind="query-params", width=150)


def choose_settings(of: ModelConfig) -> ModelConfig:
    """Let the user choose the settings of a network of any kind and size.

    Args:
        of: the network whose number of classes is kept.

    Raises:
        SettingsError: no network can have these settings.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Network", list(MODELS), key="net", bind="query-params", width=180)
        base = MODELS[name]
        chosen: dict = {
            "num_classes": of.num_classes or base.num_classes,
            "image_size": select_setting("image_size", settings.IMAGE_SIZES, base.image_size, "net_image"),
        }
        if isinstance(base, TransformerConfig):
            chosen["patch_size"] = select_setting("patch_size", settings.PATCH_SIZES, base.patch_size, "net_patch")
            chosen["num_heads"] = select_setting("num_heads", settings.HEADS, base.num_heads, "net_heads")
            width = select_setting("head_dim", settings.HEAD_DIMS, base.head_dim, "net_width")
            chosen["embed_dim"] = chosen["num_heads"] * width
            chosen["depth"] = select_setting("depth", settings.DEPTHS, base.depth, "net_depth")
        if isinstance(base, ViTConfig):
            chosen["stem"] = select_setting("stem", get_args(settings.Stem), base.stem, "net_stem")
            chosen["pool"] = select_setting("pool", get_args(settings.Pool), base.pool, "net_pool")
        if isinstance(base, ReferenceConfig):
            chosen["mended"] = st.multiselect(
                "Fixed departures", settings.DEPARTURES, key="net_mended", bind="query-params", width=360,
                help="Departures from the textbook to fix; see the part Course and textbook.",
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
    return f'<div class="branch residual">{parts}<div class="plus">+ residual</div></div>'


def _stage(stage: Stage, total: int) -> str:
    branches = "".join(_branch(branch) for branch in stage.branches)
    if not stage.title:
        return f'<div class="stage">{branches}</div>'
    times = f" × {stage.repeat}" if stage.repeat > 1 else ""
    share = f"{count(stage.parameters)} parameters, {stage.parameters / total:.0%} of the network"
    title = f"<b>{html.escape(stage.title)}{times}</b><span>{share}</span>"
    return f'<div class="stage block"><div class="title">{title}</div>{branches}</div>'


def draw_diagram(stages: tuple[Stage, ...]) -> None:
    """Draw the diagram as HTML, whose text follows the theme and the width of the page."""
    total = count_parameters(stages)
    head = (
        '<div class="part head"><span class="name">Step</span><span class="letters">Output shape</span>'
        '<span class="numbers">in numbers</span><span class="size">Parameters</span></div>'
    )
    colours = f"--departs: {PALETTE['orange']}; --around: {PALETTE['blue']}"
    body = "".join(_stage(stage, total) for stage in stages)
    st.html(f'<style>{_CSS}</style><div class="anatomy" style="{colours}">{head}{body}</div>')


def show_layer_table(config: ModelConfig, batch: int) -> None:
    """Show the layers of the network as counted by torchinfo."""
    summary = layer_table(ModelSettings(model=config).model_dump_json(), batch)
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
        alt="Every layer with its output shape, parameters and multiply-adds",
    )
    st.caption(
        f"Counted by torchinfo for {batch} image{'s' if batch > 1 else ''}. It counts a linear layer once per image, "
        "even if it is applied to every token, and leaves out products without weights, such as those inside "
        f"attention. All matrix products together are {count(batch * count_flops(config) / 2)} multiply-adds."
    )


def show(run: Run) -> None:
    """Show the part "Network" of the page."""
    config: ModelConfig = run.config.model
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shapes = st.segmented_control(
            "Settings", SHAPES, default=SHAPES[0], required=True, key="shapes", bind="query-params"
        )
        batch = st.selectbox("Images in a batch", BATCHES, key="batch", bind="query-params", width=150)
    try:
        if shapes == SHAPES[1]:
            config = choose_settings(config)
        stages = diagram(config, batch=batch)
    except SettingsError as error:
        text.show_error(error)
        return
    title = f"Vision Transformer, {config.title}" if isinstance(config, ViTConfig) else config.title
    st.subheader(title[:1].upper() + title[1:], anchor=False, help=term("block", "depth", "residual stream"))
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=590):
            draw_diagram(stages)
        with st.container(width=280):
            if any(part.departs for stage in stages for branch in stage.branches for part in branch.parts):
                st.caption(DEPARTS)
            st.caption(CNN_LETTERS if isinstance(config, CNNConfig) else LETTERS, help=term("embedding", "head_dim"))
    st.subheader("Every layer", anchor=False, help=term("MLP", "GELU", "layer norm", "layer scale"))
    show_layer_table(config, batch)
