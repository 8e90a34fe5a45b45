"""Show an unexpected error as a sentence with a reference number; only the server's log has the traceback."""

import logging
import secrets
import traceback

import streamlit as st

from vit.errors import UserError

_LOGGER = logging.getLogger(__name__)


def show_unexpected(error: Exception) -> bool:
    """Show an error that a page or a fragment did not handle; Streamlit calls this after it has logged the traceback.

    Args:
        error: the error. A :class:`~vit.errors.UserError` is shown as everywhere else.

    Returns:
        True, so that Streamlit does not show the error itself: its text may name files of the server.
    """
    from pages.ui.text import show_error  # not needed before the first error

    if isinstance(error, UserError):
        show_error(error)
        return True
    reference = secrets.token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    _LOGGER.error("Reference %s: %s%s, whose traceback is above", reference, type(error).__name__, where)
    st.error(
        f"An unexpected error ended what this page was doing (reference **{reference}**). Reload the page to go on. If "
        "it happens again, report this number: the server's log has the details.",
        icon=":material/error:",
    )
    return True
