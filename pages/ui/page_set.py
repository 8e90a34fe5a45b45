"""The basic and the full set of pages in the sidebar, and the switch between them, which the browser remembers."""

from typing import Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.util import calc_hash

BASIC = ("train", "runs", "predict", "evaluate", "attention", "lessons")
"""Addresses of the basic set, besides Overview; the other pages are listed with "All pages", or while they are open."""
COOKIE = "vit_pages"
ALL = "all"
"""Value of the cookie in a browser that lists all pages."""
KEY = "all_pages"
"""Session-state key of the switch."""

_remember = st.components.v2.component(
    "remember_pages",
    js="""export default function ({ data }) {
  const secure = location.protocol === "https:" ? "; secure" : ""
  document.cookie = `${data.name}=${data.value}; path=/; max-age=31536000; samesite=lax${secure}`
}""",
)
"""Set a cookie in the browser; the server reads it when the browser connects."""


def lists_all() -> bool:
    """Return whether the sidebar lists all pages: as chosen in this session, or as this browser remembers it."""
    return bool(st.session_state.setdefault(KEY, _remembered()))


def visibility(url_path: str) -> Literal["visible", "hidden"]:
    """Return whether the sidebar lists a page; a link opens it in both cases.

    Args:
        url_path: the address of the page.
    """
    return "visible" if lists_all() or url_path in BASIC or _is_open(url_path) else "hidden"


def show_switch() -> None:
    """Show the switch, and let the browser remember it once it is changed."""
    everything = st.toggle("All pages", key=KEY, help="Off: the pages that most visitors need. On: every page.")
    if everything != _remembered():
        _remember(key="remember_pages", data={"name": COOKIE, "value": ALL if everything else "basic"})


def _remembered() -> bool:
    return st.context.cookies.get(COOKIE) == ALL


def _is_open(url_path: str) -> bool:
    """Return whether a page is asked for; ``st.navigation`` tells it only after it has listed the pages."""
    ctx = get_script_run_ctx()
    if ctx is None:
        return False
    asked = ctx.pages_manager.intended_page_script_hash
    return asked == calc_hash(url_path) if asked else ctx.pages_manager.intended_page_name == url_path
