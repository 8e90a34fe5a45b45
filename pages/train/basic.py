"""The basic form for a new run: heads, depth and a time budget; all other settings are those of the standard recipe."""

from collections.abc import Mapping

import streamlit as st

from pages.train.controls import Controls
from pages.ui.run_words import ALL_SETTINGS, BASIC
from pages.ui.wording import about, duration, quantity, term
from vit.config import EPOCHS

FIELDS = ("heads", "depth")
"""The controls of the basic form that the full form has too."""
PARAMETERS = {"show", "form", "data", "folder", "hub", "image_column", "label_column", "ground", "name", "budget"}
PARAMETERS |= set(FIELDS)
"""Query parameters of the basic form."""
OTHER_VIEWS = {"show", "run", "sweep", "follow", "tune", "smoothing", "beside"}
"""Query parameters of the other views of the page; all others are settings of the full form."""
RECIPE = "As in the recipe"
BUDGETS = {f"{minutes} min": 60.0 * minutes for minutes in (1, 3, 10, 30)} | {"1 h": 3600.0, "3 h": 10800.0}
"""Seconds of each time budget."""


def choose_form() -> str:
    """Choose between the basic form and the one with all settings; the choice is remembered and in the link."""
    return st.segmented_control(
        "Settings",
        (BASIC, ALL_SETTINGS),
        default=BASIC,
        required=True,
        key="form",
        bind="query-params",
        persist_state="session",
        on_change=_carry_over,
        help="**Basic** has the images, heads, depth and time. All other settings are then those of the default "
        "network and the standard recipe, whatever is set under **All settings**.",
    )


def needs_all(parameters: Mapping[str, str]) -> bool:
    """Return whether a link has settings that only the full form shows."""
    return bool(set(parameters) - PARAMETERS - OTHER_VIEWS)


def _carry_over() -> None:
    """Let the full form begin with the epochs of the basic one."""
    epochs = st.session_state.get("basic_epochs")
    if st.session_state["form"] == ALL_SETTINGS and epochs and st.session_state.get("budget", RECIPE) != RECIPE:
        st.session_state["epochs"] = epochs


def basic_controls(controls: Controls) -> None:
    """Show the sliders of heads and depth."""
    heads = controls.slider("heads")
    controls.slider("depth")
    width = controls.values["head_dim"]
    st.caption(f"Each head is {width} numbers wide, so a token has {heads} × {width} = {heads * width} numbers.")


def choose_budget(controls: Controls, seconds_per_epoch: float | None) -> None:
    """Choose a time budget, which sets the epochs; without a known speed, choose the epochs.

    Args:
        controls: the controls, whose number of epochs is set.
        seconds_per_epoch: the expected time of an epoch; None if nothing was measured on this machine.
    """
    usual, most = controls.space.defaults()["epochs"], controls.space.values("epochs")[-1]
    if seconds_per_epoch is None:
        controls.number("epochs", widget=st.slider, low=EPOCHS[0], high=most)
        st.caption(
            "How long an epoch takes is not known yet, because no similar network was trained on this device. After "
            "the first such run you can choose a time here instead of epochs."
        )
        st.session_state["basic_epochs"] = controls.values["epochs"]
        return
    chosen = st.pills(
        "Time budget",
        (RECIPE, *BUDGETS),
        default=RECIPE,
        required=True,
        key="budget",
        wrap=True,
        bind="query-params",
        persist_state="session",
        help=term("epoch", here="The training gets as many epochs as are expected to fit into this time."),
    )
    epochs = usual if chosen == RECIPE else epochs_within(BUDGETS[chosen], seconds_per_epoch, most)
    controls.values["epochs"] = st.session_state["basic_epochs"] = epochs
    st.caption(budget_words(epochs, most, seconds_per_epoch, None if chosen == RECIPE else BUDGETS[chosen]))


def epochs_within(seconds: float, seconds_per_epoch: float, most: int) -> int:
    """Return how many epochs fit into a time, at least one and at most ``most``."""
    return max(EPOCHS[0], min(most, int(seconds / seconds_per_epoch)))


def budget_words(epochs: int, most: int, seconds_per_epoch: float, budget: float | None) -> str:
    """Say how many epochs there are, how long they take, and why they may not be those of the budget."""
    # `about` rounds to at least 5 s.
    each = about(seconds_per_epoch) if seconds_per_epoch >= 5 else f"about {seconds_per_epoch:.1g} s"
    said = f"{quantity(epochs, 'epoch')} of {each}{' each' if epochs > 1 else ''}."
    if budget is None:
        return said
    if seconds_per_epoch > budget:
        return f"Even one epoch takes {about(seconds_per_epoch)}, more than {duration(budget)}. {said}"
    if epochs == most and (epochs + 1) * seconds_per_epoch <= budget:
        return f"{said} More than {most:,} epochs are not offered."
    return said
