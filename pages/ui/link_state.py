"""Validate the values of a link before their widgets are created, and say what a link names in vain."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.ui import navigation

_NOTES, _PLACE = "not_found_notes", "not_found_place"


def settle(key: str, value: Any) -> None:
    """Set the value of the widget with this key, which must be created later in the script."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def complete(key: str, value: Any) -> None:
    """Set a widget's value like :func:`settle`, and write it into the address, so that the link can be shared.

    For a choice without a constant default. The default of the widget must be None, because Streamlit removes a value
    that equals the default from the address.
    """
    differs = st.query_params.get(key) != str(value)
    if differs:
        navigation.write(key, str(value))
    if differs or st.session_state.get(key) != value:
        st.session_state[key] = value


def stored(key: str) -> Any:
    """Return the unchecked value that a widget, a link or another page stored for a key."""
    value = None if navigation.from_history() else st.session_state.get(key)
    return st.query_params.get(key) if value is None else value


def bounded(key: str, low: int, high: int, default: int) -> None:
    """Clip the whole number of a key to ``low`` and ``high``; ``default`` must be the widget's own default."""
    try:
        value = int(stored(key))
    except (TypeError, ValueError):
        value = default
    settle(key, min(max(value, low), high))


def one_of(key: str, options: Collection[str]) -> None:
    """Clear the choice of a key if it is not one of ``options``; the widget's own default must be None."""
    if stored(key) not in (None, *options):
        st.session_state[key] = None


def named(key: str, titles: Mapping[str, str]) -> None:
    """Validate a choice like :func:`one_of`, for names that are shown as titles; a link may contain either.

    Streamlit writes what the widget shows into the address; the name is what the command line takes.
    """
    linked = st.query_params.get(key)
    if linked is not None and titles.get(linked, linked) != linked:
        # The widget would remove a name that it does not show from the address, so replace it by its title.
        st.session_state.pop(key, None)
        st.query_params[key] = titles[linked]
        st.rerun()
    asked = stored(key)
    if asked not in (None, *titles, *titles.values()):
        st.session_state[key] = None
    elif asked in titles:
        settle(key, asked)


def among(key: str, titles: Mapping[str, str], default: str) -> None:
    """Validate a choice like :func:`named`, for a widget that always has a choice.

    Args:
        key: the key of the widget.
        titles: the titles by name.
        default: the name that replaces a value which is not one of ``titles``.
    """
    asked = stored(key)
    names = {title: name for name, title in titles.items()}
    if asked is not None:
        settle(key, asked if asked in titles else names.get(asked, default))


# What was not found is said in the page: a toast would be gone before it is read.


@dataclass(frozen=True)
class _Note:
    """One sentence, and the value that was shown instead: with another value, the sentence no longer matters."""

    sentence: str
    instead: Any


def place_not_found() -> None:
    """Show the sentences of :func:`say_not_found` above the page; the router calls this before it runs the page."""
    if navigation.has_arrived() or navigation.from_history():
        st.session_state[_NOTES] = {}
    notes: dict[str, _Note] = st.session_state.setdefault(_NOTES, {})
    for key in [key for key, note in notes.items() if st.session_state.get(key) != note.instead]:
        del notes[key]
    st.session_state[_PLACE] = st.container(key="not_found")
    for note in notes.values():
        _show(note)


def say_not_found(key: str, sentence: str, instead: Any) -> None:
    """Show above the page that the value of a query parameter does not exist, until another value is chosen.

    Args:
        key: the query parameter, and the key of its widget.
        sentence: what was not found and what is shown instead, in Markdown.
        instead: the value that the widget gets instead.
    """
    notes: dict[str, _Note] = st.session_state.setdefault(_NOTES, {})
    if key in notes and notes[key].sentence == sentence:
        return
    notes[key] = _Note(sentence, instead)
    _show(notes[key])


def _show(note: _Note) -> None:
    st.session_state[_PLACE].warning(note.sentence, icon=":material/search_off:")
