"""Escape untrusted text for Markdown, and show names and errors."""

import re

import streamlit as st

from pages import access
from pages.ui import stand_in_images
from vit.support.untrusted_text import shown

BADGE_COLUMNS, CAPTION_COLUMNS = 32, 40
"""Of a name in a badge, and below a small picture."""
SENTENCE_COLUMNS = 1000
"""Of an error: it may quote a name or a link of any length."""


def plain(text: object, most: int | None = None) -> str:
    """Text from elsewhere (a class, a file, a run) so that Markdown shows it as it is.

    Args:
        most: columns; the middle of a longer text gives way to an ellipsis.
    """
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+\-.!|$~^=&@])", r"\\\1", shown(text, most))
    # Escapes do not reach these: an invisible joiner keeps ":name:" from becoming an icon, addresses from becoming
    # links, and "->" from becoming an arrow.
    joined = re.sub(r"(:(?=[\w/])|@|www(?=\\\.))", "\\1\u2060", escaped, flags=re.IGNORECASE)
    return re.sub(r"(?<=[-<>~])(?=\\[-=>])", "\u2060", joined)


def name_badge(name: str, *, before: str = "", after: str = "", icon: str | None = None, color: str = "gray") -> None:
    """A badge with a name between our own words: shortened so that they stay in sight, and whole for the pointer."""
    # st.badge escapes brackets by itself.
    short = plain(name, BADGE_COLUMNS).replace("\\[", "[").replace("\\]", "]")
    whole = plain(name) if "…" in short and "…" not in name else None
    st.badge(before + short + after, icon=icon, color=color, help=whole)


def show_error(error: Exception) -> None:
    """The sentence of an error, in place of the answer; of one that only asks for a choice, without alarm."""
    if isinstance(error, stand_in_images.NoImages):
        st.info(str(error), icon=":material/add_photo_alternate:")
        return
    st.error(plain(access.without_paths(str(error)), SENTENCE_COLUMNS), icon=":material/error:")
