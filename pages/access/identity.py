"""Identify the visitor and the limits that apply to them."""

import threading

import streamlit as st

from pages.server import secrets
from pages.server.limits import DemoLimits, in_force, owner_mark
from pages.server.visitor_cookie import visitor_mark
from vit.errors import RunError

UNKNOWN_VISITOR = "0" * 32
"""Owns nothing: a visitor whom nothing tells from others."""
NO_COOKIE = (
    "This browser keeps no cookie for this page, so nothing can be kept as yours: allow it and open the page again."
)
admission_lock = threading.Lock()


def bounds() -> DemoLimits | None:
    """The bounds of this demo; None on a server that is its user's own.

    Raises:
        SettingsError: what the operator wrote cannot be read; nobody is let in then.
    """
    return in_force(secrets.table("demo"))


def visitor() -> str:
    """The mark of who is looking; empty where that is not known, or does not matter."""
    if bounds() is None:
        return ""
    if signs_in():
        account = [st.user.get(claim) for claim in ("iss", "sub")]
        return owner_mark("account", *map(str, account)) if all(account) else ""
    cookie = visitor_mark(st.context.cookies)
    return owner_mark("cookie", cookie) if cookie else ""


def signs_in() -> bool:
    """Whether visitors are told apart by their sign-in, not by a cookie."""
    return secrets.table("auth") is not None


def owner() -> str:
    """Whose uploads and pictures who is looking has: on an own machine everybody's, on a demo the visitor's."""
    return "" if bounds() is None else visitor() or UNKNOWN_VISITOR


def require_visitor() -> str:
    mine = visitor()
    if not mine:
        raise RunError(NO_COOKIE)
    return mine


def own_words() -> str:
    """On a demo, who sees what a visitor uploads, and how long it stays; empty on an own machine."""
    limits = bounds()
    return f"Only you see them here; unused, they are deleted after {limits.kept}." if limits else ""
