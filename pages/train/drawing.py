"""A drawing of the network of a new run: tokens, blocks and heads, with shapes and numbers of parameters."""

import html
from pathlib import Path

import streamlit as st

from pages.anatomy.network import draw_diagram
from pages.ui.wording import count, quantity
from vit.config import CNNConfig, ModelConfig, TransformerConfig, words
from vit.cost.diagram import Stage, count_parameters, diagram
from vit.pictures.colours import CATEGORICAL, PALETTE

GRID_MAX = 16
"""Lines of a grid with more patches along a side would be a grey area."""
TOKENS_MAX, CLASSES_MAX, HEADS_MAX = 20, 10, 16
"""Most tokens, classes and heads of a block that are drawn; the text has their number."""

_CSS = (Path(__file__).parent / "drawing.css").read_text()


def show_network(model: ModelConfig) -> None:
    """Show the drawing and, folded, every step with its shape."""
    stages = diagram(model)
    st.html(f"<style>{_CSS}</style>{drawing(model, stages)}")
    with st.popover("Every step and its shape", icon=":material/account_tree:"):
        draw_diagram(stages)


def drawing(model: ModelConfig, stages: tuple[Stage, ...]) -> str:
    """Return the drawing as HTML; its height depends on the kind of network only.

    Args:
        model: the settings of the network.
        stages: its :func:`vit.cost.diagram.diagram`.
    """
    if isinstance(model, TransformerConfig):
        rows = [_image(model), _tokens(model, stages[0]), _blocks(model, stages[1]), _answer(model, stages[-1])]
    else:
        rows = [_maps(stage) for stage in stages[:-1]] + [_answer(model, stages[-1])]
    total = f'<div class="total">{count(count_parameters(stages))} parameters in all</div>'
    attributes = f'role="group" aria-label="The network" style="--summary: {PALETTE["blue"]}"'
    return f'<div class="drawing" {attributes}>{"".join(rows)}{total}</div>'


def _row(picture: str, title: str, more: str, parameters: int | None = None) -> str:
    size = f'<span class="size">{count(parameters)} parameters</span>' if parameters else ""
    text = f'<div class="text"><b>{html.escape(title)}</b><span>{html.escape(more)}</span>{size}</div>'
    return f'<div class="row"><div class="picture" aria-hidden="true">{picture}</div>{text}</div>'


def _image(model: TransformerConfig) -> str:
    grid, size = model.grid, model.image_size
    picture = f'<div class="image" style="--grid: {min(grid, GRID_MAX)}"></div>'
    return _row(
        picture, f"{size} × {size} image", f"{grid} × {grid} patches of {model.patch_size} × {model.patch_size}"
    )


def _tokens(model: TransformerConfig, stage: Stage) -> str:
    prefix = model.num_prefix_tokens
    drawn = min(model.num_tokens, TOKENS_MAX)
    cells = "".join(f'<i class="{"prefix" if place < prefix else ""}"></i>' for place in range(drawn))
    more = "…" if drawn < model.num_tokens else ""
    before = f"{prefix} tokens before them" if prefix > 1 else "".join(f"the {name}" for name in model.prefix_names)
    said = " and ".join(filter(None, (quantity(model.grid**2, "patch", "es"), before)))
    picture = f'<div class="tokens">{cells}{more}</div>'
    return _row(picture, f"{model.num_tokens:,} tokens × {model.embed_dim:,}", said, stage.parameters)


def _blocks(model: TransformerConfig, stage: Stage) -> str:
    heads = min(model.num_heads, HEADS_MAX)
    cells = "".join(f'<i style="background: {CATEGORICAL[head % len(CATEGORICAL)]}"></i>' for head in range(heads))
    cells += "…" if heads < model.num_heads else ""
    block = f'<div class="block"><span class="heads">{cells}</span><span class="mlp"></span></div>'
    picture = f'<div class="blocks" style="--depth: {model.depth}">{block * model.depth}</div>'
    each = f"each {quantity(model.num_heads, 'head')} × {model.head_dim}, then an MLP"
    return _row(picture, quantity(model.depth, "encoder block"), each, stage.parameters)


def _answer(model: ModelConfig, stage: Stage) -> str:
    classes = model.num_classes
    if not classes:
        return _row('<div class="classes"></div>', "No classes", f"its output is the {words.summary_name(model)}")
    bars = "<i></i>" * min(classes, CLASSES_MAX)
    what = "mean over the positions" if isinstance(model, CNNConfig) else words.summary_name(model)
    picture = f'<div class="classes">{bars}{"…" if classes > CLASSES_MAX else ""}</div>'
    return _row(picture, quantity(classes, "class", "es"), f"read from the {what}", stage.parameters)


def _maps(stage: Stage) -> str:
    part = stage.branches[-1].parts[-1]
    _, width, side = part.shape[:3]
    picture = f'<div class="map" style="--side: {max(8, min(48, side * 3 // 4))}px"></div>'
    title = f"{width} × {side} × {side}"
    return _row(picture, title, part.name if stage.parameters else "channels × height × width", stage.parameters)
