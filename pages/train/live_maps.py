"""The attention of a few validation images while a run trains."""

import streamlit as st

from pages.ui import navigation
from pages.ui.widgets.live_maps import live_maps
from pages.ui.wording import term
from vit.config import CNNConfig, TransformerConfig
from vit.runs import ACTIVE, Run, Status
from vit.runs.live_maps import LiveMaps, read_live_maps

CHOSEN = "watched"
"""The key in session state with the place of the image whose maps are shown."""


def show_live_maps(run: Run, status: Status) -> None:
    """Show the maps that the training recorded last, and after its end a button that leads to Attention."""
    config, active = run.config, status.state in ACTIVE
    st.markdown("**What it attends to**", help=term("head", "summary token"))
    if isinstance(config.model, CNNConfig):
        st.caption(
            "This network has no attention, so nothing is recorded while it trains. Relevance shows with Grad-CAM "
            "which parts of an image count for its answer."
        )
        return
    assert isinstance(config.model, TransformerConfig)
    maps = fitting(run, config.model)
    if maps is not None:
        st.session_state[CHOSEN] = min(st.session_state.get(CHOSEN, 0), len(maps.rows) - 1)
    if not active and run.has_weights:
        offer_attention(run, maps)
    if maps is None:
        st.caption(nothing_words(status))
        return
    with st.container(key="live_maps"):
        live_maps(maps, config.model, config.data.class_names, key="live", chosen=CHOSEN)
    st.caption(f"{when_words(maps, status)} {cost_words(maps, active)}")


def fitting(run: Run, network: TransformerConfig) -> LiveMaps | None:
    """Return the recorded maps if they are those of such a network."""
    maps = read_live_maps(run)
    if maps is None or not len(maps.rows):
        return None
    queries, keys = 1 + network.grid**2, network.num_tokens
    depth, heads, found, tokens = maps.levels.shape[1:]
    fits = (depth, heads, tokens) == (network.depth, network.num_heads, keys) and found in (1, queries)
    return maps if fits and maps.labels.max() < len(run.config.data.class_names) else None


def offer_attention(run: Run, maps: LiveMaps | None) -> None:
    """Show the button that opens this run on the Attention page, with the chosen image or else the first one."""
    if st.button("See what it learned", type="primary", icon=":material/visibility:", key="see_learned"):
        image = 0 if maps is None else maps.rows[st.session_state[CHOSEN]]
        navigation.switch("attention/page.py", run=run.name, image=f"val-{image}")


def nothing_words(status: Status) -> str:
    """Say why there are no maps."""
    if status.state in ACTIVE and not status.step:
        return "The maps of every head appear after the first step."
    if status.state in ACTIVE:
        return "No attention is recorded during this training: its maps are too large, or could not be computed."
    return (
        "No attention was recorded during this training: it was trained by an earlier version or on another machine, "
        "or its maps are too large. Attention shows the maps of the weights that the run keeps."
    )


def when_words(maps: LiveMaps, status: Status) -> str:
    """Say when the maps were recorded."""
    total = f" of {status.steps_total:,}" if status.steps_total else ""
    return f"After step {maps.step:,}{total}, in epoch {maps.epoch}."


def cost_words(maps: LiveMaps, active: bool) -> str:
    """Say what the maps cost the training, if that was measured."""
    if not maps.spent or not maps.seconds:
        return "The training records them itself, in a small part of its time."
    records, so_far = ("records", " so far") if active else ("recorded", "")
    return f"The training {records} them itself, in {maps.spent / maps.seconds:.1%} of its time{so_far}."
