"""Check the values that a link brings before their widgets are made."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException


def settle(key: str, value: Any) -> None:
    """Give ``key`` its value for the widget that follows."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def complete(key: str, value: Any) -> None:
    """:func:`settle`, and write the value into the address, so that it can be handed on as it stands.

    For a choice without a constant default. The widget's own default must be None: Streamlit takes a value that equals
    the default out of the address.
    """
    absent = key not in st.query_params
    if absent:
        with suppress(StreamlitAPIException):  # refused while the widget is on the page, which then does it itself
            st.query_params[key] = str(value)
    if absent or st.session_state.get(key) != value:
        st.session_state[key] = value


def stored(key: str) -> Any:
    """What a widget, a link or another page left in ``key``, unchecked."""
    value = st.session_state.get(key)
    return st.query_params.get(key) if value is None else value


def bounded(key: str, low: int, high: int, default: int) -> None:
    """Bring the whole number in ``key`` into bounds; ``default`` must be the widget's own."""
    try:
        value = int(stored(key))
    except (TypeError, ValueError):
        value = default
    settle(key, min(max(value, low), high))


def one_of(key: str, options: Collection[str]) -> None:
    """Empty the choice in ``key`` where it is none of ``options``; the widget's own default must be None."""
    if stored(key) not in (None, *options):
        st.session_state[key] = None


def named(key: str, titles: Mapping[str, str]) -> None:
    """:func:`one_of` for a choice among names that shows their titles: a link may carry either.

    Streamlit writes into the address what the control shows; the name is what the command line takes.
    """
    linked = st.query_params.get(key)
    if titles.get(linked, linked) != linked:
        # The widget would take a name that it does not show out of the address, so it meets the title there.
        st.session_state.pop(key, None)
        st.query_params[key] = titles[linked]
        st.rerun()
    asked = stored(key)
    if asked not in (None, *titles, *titles.values()):
        st.session_state[key] = None
    elif asked in titles:
        settle(key, asked)


def among(key: str, titles: Mapping[str, str], default: str) -> None:
    """:func:`named` for a control that always has a choice, ``default`` where there is none of ``titles``."""
    asked = stored(key)
    names = {title: name for name, title in titles.items()}
    if asked is not None:
        settle(key, asked if asked in titles else names.get(asked, default))
