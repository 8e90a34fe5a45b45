"""A button with the current image that opens a gallery of thumbnails; the browser asks for what it shows."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.ui.widgets.component import register_widget

PAGE = 48
"""Thumbnails on one page of the gallery."""

_component = register_widget("image_gallery")


def image_gallery(data: dict[str, Any], *, key: str, on_ask: Callable[[dict[str, Any]], None]) -> None:
    """Draw the button and, once it is pressed, the gallery.

    Args:
        data: what ``index.js`` reads: see :mod:`pages.ui.images.gallery`.
        key: the key of the widget.
        on_ask: called with an event of the browser: ``picks``, the ids of chosen images, or ``wants``, the parts of
            the data that it lacks. Events come from outside: nothing in them is valid before it is checked.
    """

    def take() -> None:
        event = st.session_state[key].ask
        if isinstance(event, dict):
            on_ask(event)

    _component(key=key, data=data | {"page": PAGE}, width="content", on_ask_change=take)
