"""Say on the page what a link names that does not exist, and what is shown instead.

A toast would be gone before it is read, and the address already has what is shown.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.ui import navigation

_NOTES, _PLACE = "not_found_notes", "not_found_place"


@dataclass(frozen=True)
class _Note:
    """One sentence, and the value that was shown instead: with another value, the sentence no longer matters."""

    sentence: str
    instead: Any


def place() -> None:
    """Show the sentences above the page; the router calls this before it runs the page."""
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
