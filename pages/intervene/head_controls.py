"""What is done to the heads: an action is chosen, and clicked onto heads or whole layers."""

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
    "uniform": "Even pattern",
    "mean-pattern": "Mean pattern",
    "temperature": "Temperature",
}
"""What each kind of change is called."""

MEANINGS: dict[ChangeKind, str] = {
    "zero": "The head hands on nothing: zeros in place of its output.",
    "mean": "The head hands on the same for every image: its mean output over validation images, position by position. "
    "The layers after it get what they are used to, without the news about this image.",
    "uniform": "The head looks at all {tokens} tokens alike, 1/{tokens} each, and hands on what it finds there.{over}",
    "mean-pattern": "The head looks where it looks on average over validation images, whatever this image shows, and "
    "hands on what it finds there.",
    "temperature": "What the head's softmax is taken of is divided by the temperature: below 1 it looks at fewer "
    "tokens, above 1 at more.",
}

OVER_QUERIES = (
    " In this network the softmax runs over the queries, so the columns of a pattern sum to 1; in the even one rows "
    "and columns both do."
)

TEXTS: dict[ChangeKind, tuple[str, str]] = {
    "zero": ("off", "off"),
    "mean": ("off (mean)", "off m"),
    "uniform": ("even", "even"),
    "mean-pattern": ("mean pattern", "m pat"),
    "temperature": ("t {0:g}", "t {0:g}"),
}
"""What stands on a changed head's button, and what where there are many heads."""

TONES: dict[ChangeKind, float] = {"zero": 1.0, "mean": 0.7, "uniform": -1.0, "mean-pattern": -0.7, "temperature": -0.35}
MANY = 6  # heads across, beyond which the buttons are small

TEMPERATURES = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0)

Parsed = TypeVar("Parsed")


def checked(key: str, parse: Callable[[str], Parsed], write: Callable[[Parsed], str]) -> Parsed:
    """What the text in ``key`` stands for; a text that stands for nothing is emptied, with a word on why.

    A link's text beats the session's where its field is new on the page, so :func:`as_checked` follows the field.
    """
    text = str(link_state.stored(key) or "").strip()
    try:
        found = parse(text)
    except SettingsError as error:
        st.toast(plain(str(error)), icon=":material/link_off:")
        found = parse("")
    link_state.settle(key, write(found))
    return found


def as_checked(shown: str, checked: str) -> None:
    """Run once more where a field shows another text than the one that was made of it."""
    if shown != checked:
        st.rerun()


def choose_changes(config: TransformerConfig, *, over_queries: bool) -> tuple[Change, ...]:
    """The board with its actions; the changes that are in force."""
    depth, heads = config.depth, config.num_heads
    changes = checked("changes", lambda text: changes_from_text(text, depth, heads), changes_to_text)
    st.markdown("**The heads**")
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
            help="As in the link: layer.head and a letter, - between changes. z off (zero), m off (mean), u even "
            "pattern, p mean pattern, t and a number temperature: 1.2z-2.3u-2.4t0.5",
            width="stretch",
        )
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            key="changes_reset",
            disabled=not changes,
            on_click=write,
            args=((),),
        )
    as_checked(shown, changes_to_text(changes))
    return changes


def choose_action() -> ChangeKind:
    """What the next click does, bound to ``?action=``."""
    link_state.among("action", ACTIONS, "zero")
    return st.pills(
        "A click sets a head to",
        list(ACTIONS),
        default="zero",
        required=True,
        format_func=ACTIONS.get,
        key="action",
        bind="query-params",
        persist_state="session",
        wrap=True,
    )


def choose_temperature(changes: Sequence[Change]) -> float:
    """The slider, which moves the heads that have a temperature along."""

    def follow() -> None:
        value = st.session_state["temperature"]
        write(Change(one.layer, one.head, one.kind, value) if one.kind == "temperature" else one for one in changes)

    if st.session_state.get("temperature") not in TEMPERATURES:
        link_state.settle("temperature", 2.0)
    return st.select_slider(
        "Temperature",
        TEMPERATURES,
        key="temperature",
        persist_state="session",
        on_change=follow,
        help="Of the next click, and of all heads that have a temperature already.",
    )


def draw_board(changes: Sequence[Change], depth: int, heads: int, action: Change) -> None:
    """A button for each head; names of layers and heads stand for all of theirs."""
    by_head = {(one.layer, one.head): one for one in changes}
    texts = [["on"] * heads for _ in range(depth)]
    says = [[f"Layer {layer}, head {head}: unchanged" for head in range(1, heads + 1)] for layer in range(1, depth + 1)]
    tones = np.zeros((depth, heads))
    for (layer, head), one in by_head.items():
        value = f" {one.temperature:g}" if one.kind == "temperature" else ""
        texts[layer - 1][head - 1] = TEXTS[one.kind][heads > MANY].format(one.temperature)
        says[layer - 1][head - 1] = f"Layer {layer}, head {head}: {ACTIONS[one.kind]}{value}"
        tones[layer - 1, head - 1] = TONES[one.kind]

    def apply(layer: int, head: int) -> None:
        write(clicked(changes, action, layer, head, (depth, heads)))

    head_board(
        texts,
        tones,
        says,
        key="head_actions",
        label="Heads, layers down: a click applies the action, a second one takes it back",
        pressed=list(by_head),
        on_pick=apply,
        groups=True,
    )
    st.caption("A name of a layer or a head stands for all of its heads; a second click takes the change back.")


def clicked(
    changes: Sequence[Change], action: Change, layer: int, head: int, shape: tuple[int, int]
) -> tuple[Change, ...]:
    """The changes after a click on a head, on a layer (head 0), on a head of all layers (layer 0) or on all (both 0).

    Args:
        action: what the click does; of which head does not matter.
        shape: layers and heads of the model.
    """
    layers = [layer] if layer else range(1, shape[0] + 1)
    heads = [head] if head else range(1, shape[1] + 1)
    by_head = {(one.layer, one.head): one for one in changes}
    wanted = {(one, other): replace(action, layer=one, head=other) for one in layers for other in heads}
    if all(by_head.get(at) == change for at, change in wanted.items()):  # a second click takes it back
        return tuple(change for at, change in by_head.items() if at not in wanted)
    return tuple((by_head | wanted).values())


def write(changes: Iterable[Change]) -> None:
    """Let these changes be in force from the next run on."""
    st.session_state["changes"] = changes_to_text(changes)
