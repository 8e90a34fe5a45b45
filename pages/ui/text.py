"""Escape untrusted text for Markdown, and show names and errors."""

import re
from typing import Literal

import streamlit as st

from pages import access
from pages.ui import stand_in_images
from vit.support.untrusted_text import shown

BADGE_COLUMNS, CAPTION_COLUMNS = 32, 40
"""Maximum width of a name in a badge, and below a small image."""
SENTENCE_COLUMNS = 1000
"""Maximum length of an error, which may quote a name or a link of any length."""

BadgeColor = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]


def plain(text: object, most: int | None = None) -> str:
    """Escape untrusted text (a class, a file, a run), so that Markdown shows it unchanged.

    Args:
        text: the text.
        most: the maximum number of columns; the middle of a longer text is replaced by an ellipsis.
    """
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+\-.!|$~^=&@])", r"\\\1", shown(text, most))
    # Escapes do not help here: an invisible joiner keeps ":name:" from becoming an icon, addresses from becoming
    # links, and "->" from becoming an arrow.
    joined = re.sub(r"(:(?=[\w/])|@|www(?=\\\.))", "\\1\u2060", escaped, flags=re.IGNORECASE)
    return re.sub(r"(?<=[-<>~])(?=\\[-=>])", "\u2060", joined)


def name_badge(
    name: str, *, before: str = "", after: str = "", icon: str | None = None, color: BadgeColor = "gray"
) -> None:
    """Show a badge with an untrusted name between our own words; the tooltip has the whole name if it is shortened.

    Args:
        name: the name.
        before: our words before it.
        after: our words after it.
        icon: the icon of the badge.
        color: the colour of the badge.
    """
    # st.badge escapes brackets itself.
    short = plain(name, BADGE_COLUMNS).replace("\\[", "[").replace("\\]", "]")
    whole = plain(name) if "…" in short and "…" not in name else None
    st.badge(before + short + after, icon=icon, color=color, help=whole)


def show_error(error: Exception) -> None:
    """Show the message of an error; :class:`NoImages`, which only asks for a choice, is shown as information."""
    if isinstance(error, stand_in_images.NoImages):
        st.info(str(error), icon=":material/add_photo_alternate:")
        return
    st.error(plain(access.without_paths(str(error)), SENTENCE_COLUMNS), icon=":material/error:")
