"""Choose an action and apply it to single heads, whole layers or all heads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import streamlit as st

from pages.ui import link_state
from pages.ui.text import plain
from pages.ui.widgets.boards import head_board
from vit.config import TransformerConfig
from vit.errors import SettingsError
from vit.explain.interventions.head_changes import Change, ChangeKind, changes_from_text, changes_to_text

ACTIONS: dict[ChangeKind, str] = {
    "zero": "Off (zero)",
    "mean": "Off (mean)",
    "uniform": "Uniform pattern",
    "mean-pattern": "Mean pattern",
    "temperature": "Temperature",
}
"""Names of the kinds of change."""

MEANINGS: dict[ChangeKind, str] = {
    "zero": "Replaces the head's output with zeros.",
    "mean": "Replaces the head's output with its mean over validation images, position by position. Later layers "
    "receive typical values, but nothing about this image.",
    "uniform": "The head attends equally to all {tokens} tokens (1/{tokens} each) and outputs the average of their "
    "values.{over}",
    "mean-pattern": "The head uses its average attention over validation images, whatever this image shows, with the "
    "values of this image.",
    "temperature": "Divides the head's attention scores by the temperature before the softmax: below 1 attention is "
    "concentrated on fewer tokens, above 1 it is spread over more.",
}
"""What each kind of change does, for the caption below the actions."""

OVER_QUERIES = (
    " In this network the softmax runs over the queries, so the columns of a pattern sum to 1; in the uniform pattern "
    "both rows and columns do."
)

TEXTS: dict[ChangeKind, tuple[str, str]] = {
    "zero": ("off", "off"),
    "mean": ("off (mean)", "off m"),
    "uniform": ("uniform", "unif"),
    "mean-pattern": ("mean pattern", "m pat"),
    "temperature": ("t {0:g}", "t {0:g}"),
}
"""Label of a changed head's button, and its short form for models with many heads."""

TONES: dict[ChangeKind, float] = {"zero": 1.0, "mean": 0.7, "uniform": -1.0, "mean-pattern": -0.7, "temperature": -0.35}
WIDE_BUTTON_HEADS_MAX = 6
"""With more heads per layer, buttons are small and have short labels."""

TEMPERATURES = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0)

Parsed = TypeVar("Parsed")


def parse_text_field(key: str, parse: Callable[[str], Parsed], write: Callable[[Parsed], str]) -> Parsed:
    """Parse the text in ``key`` and store it in its normal form; show a message and clear it if it is invalid.

    Text from a link replaces the session's when its field first appears, so call :func:`rerun_if_changed` after the
    field.
    """
    text = str(link_state.stored(key) or "").strip()
    try:
        found = parse(text)
    except SettingsError as error:
        st.toast(plain(str(error)), icon=":material/link_off:")
        found = parse("")
    link_state.settle(key, write(found))
    return found


def rerun_if_changed(shown: str, parsed: str) -> None:
    """Rerun the page when a field shows text other than the text that was parsed."""
    if shown != parsed:
        st.rerun()


def choose_changes(config: TransformerConfig, *, over_queries: bool) -> tuple[Change, ...]:
    """Show the board of heads with its actions and return the active changes."""
    depth, heads = config.depth, config.num_heads
    changes = parse_text_field("changes", lambda text: changes_from_text(text, depth, heads), changes_to_text)
    st.markdown("**Heads**")
    kind = choose_action()
    over = OVER_QUERIES if over_queries else ""
    temperature = 1.0
    if kind == "temperature":
        temperature = choose_temperature(changes)
    st.caption(MEANINGS[kind].format(tokens=config.num_tokens, over=over))
    draw_board(changes, depth, heads, Change(1, 1, kind, temperature))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.text_input(
            "Changes as text",
            key="changes",
            bind="query-params",
            placeholder="none",
            help="The same text as in the link: layer.head and a letter, with - between changes. z: off (zero), m: off "
            "(mean), u: uniform pattern, p: mean pattern, t and a number: temperature. Example: 1.2z-2.3u-2.4t0.5",
            width="stretch",
        )
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            key="changes_reset",
            disabled=not changes,
            on_click=set_changes,
            args=((),),
        )
    rerun_if_changed(shown, changes_to_text(changes))
    return changes


def choose_action() -> ChangeKind:
    """Choose what the next click does, bound to ``?action=``."""
    link_state.among("action", dict(ACTIONS.items()), "zero")
    default: ChangeKind = "zero"
    return st.pills(
        "Click a head to set it to",
        list(ACTIONS),
        default=default,
        required=True,
        format_func=ACTIONS.__getitem__,
        key="action",
        bind="query-params",
        persist_state="session",
        wrap=True,
    )


def choose_temperature(changes: Sequence[Change]) -> float:
    """Choose a temperature; moving the slider also changes every head that already has one."""

    def apply_to_changed() -> None:
        value = st.session_state["temperature"]
        set_changes(
            Change(one.layer, one.head, one.kind, value) if one.kind == "temperature" else one for one in changes
        )

    if st.session_state.get("temperature") not in TEMPERATURES:
        link_state.settle("temperature", 2.0)
    return st.select_slider(
        "Temperature",
        TEMPERATURES,
        key="temperature",
        persist_state="session",
        on_change=apply_to_changed,
        help="Applies to the next click and to every head that already has a temperature.",
    )


def draw_board(changes: Sequence[Change], depth: int, heads: int, action: Change) -> None:
    """Draw one button per head, and row and column labels that change all heads of a layer or of a column."""
    by_head = {(one.layer, one.head): one for one in changes}
    texts = [["on"] * heads for _ in range(depth)]
    says = [[f"Layer {layer}, head {head}: unchanged" for head in range(1, heads + 1)] for layer in range(1, depth + 1)]
    tones = np.zeros((depth, heads))
    for (layer, head), one in by_head.items():
        value = f" {one.temperature:g}" if one.kind == "temperature" else ""
        texts[layer - 1][head - 1] = TEXTS[one.kind][heads > WIDE_BUTTON_HEADS_MAX].format(one.temperature)
        says[layer - 1][head - 1] = f"Layer {layer}, head {head}: {ACTIONS[one.kind]}{value}"
        tones[layer - 1, head - 1] = TONES[one.kind]

    def apply(layer: int, head: int) -> None:
        set_changes(toggle_changes(changes, action, layer, head, (depth, heads)))

    head_board(
        texts,
        tones,
        says,
        key="head_actions",
        label="Heads, one row per layer. Click to apply the action, click again to undo it.",
        pressed=list(by_head),
        on_pick=apply,
        groups=True,
    )
    st.caption("Click a row or column label to change all its heads; click again to undo.")


def toggle_changes(
    changes: Sequence[Change], action: Change, layer: int, head: int, shape: tuple[int, int]
) -> tuple[Change, ...]:
    """Return the changes after a click; clicking heads that already have the action removes it.

    Args:
        changes: the changes before the click.
        action: what the click does; its own layer and head are ignored.
        layer: the clicked layer from 1; 0 for all layers.
        head: the clicked head from 1; 0 for all heads.
        shape: number of layers and of heads per layer.
    """
    layers = [layer] if layer else range(1, shape[0] + 1)
    heads = [head] if head else range(1, shape[1] + 1)
    by_head = {(one.layer, one.head): one for one in changes}
    wanted = {(one, other): replace(action, layer=one, head=other) for one in layers for other in heads}
    if all(by_head.get(at) == change for at, change in wanted.items()):
        return tuple(change for at, change in by_head.items() if at not in wanted)
    return tuple((by_head | wanted).values())


def set_changes(changes: Iterable[Change]) -> None:
    """Store the changes that the next rerun applies."""
    st.session_state["changes"] = changes_to_text(changes)
