"""Identify the visitor and the limits that apply to them."""

import threading

import streamlit as st

from pages.server import secrets
from pages.server.addresses import mark_of_page
from pages.server.limits import DemoLimits, in_force, owner_mark
from pages.server.visitor_cookie import visitor_mark
from vit.errors import RunError

UNKNOWN_VISITOR = "0" * 32
"""The owner mark of a visitor who cannot be identified; it owns nothing."""
NO_COOKIE = (
    "This browser does not keep this page's cookie, so the demo cannot store anything for you: allow the cookie and "
    "open the page again."
)
admission_lock = threading.Lock()


def bounds() -> DemoLimits | None:
    """Return the limits of this demo; None on the user's own machine.

    Raises:
        SettingsError: the operator's settings cannot be read; the server stays closed then.
    """
    return in_force(secrets.table("demo"))


def visitor() -> str:
    """Return the owner mark of the visitor; empty if it is unknown, and on the user's own machine."""
    if bounds() is None:
        return ""
    if signs_in():
        account = [st.user.get(claim) for claim in ("iss", "sub")]
        return owner_mark("account", *map(str, account)) if all(account) else ""
    cookie = visitor_mark(st.context.cookies)
    return owner_mark("cookie", cookie) if cookie else ""


def address() -> str:
    """Return the mark of the visitor's internet address; empty if it is unknown or an account identifies them."""
    return "" if signs_in() else mark_of_page(st.context.headers)


def signs_in() -> bool:
    """Return whether visitors are identified by their sign-in instead of a cookie."""
    return secrets.table("auth") is not None


def owner() -> str:
    """Return the owner of the uploads that the visitor may use; empty on the user's own machine."""
    return "" if bounds() is None else visitor() or UNKNOWN_VISITOR


def require_visitor() -> str:
    """Return the owner mark of the visitor.

    Raises:
        RunError: the visitor cannot be identified.
    """
    mine = visitor()
    if not mine:
        raise RunError(NO_COOKIE)
    return mine


def own_words() -> str:
    """Return who sees a visitor's uploads on a demo and how long they stay; empty on the user's own machine."""
    limits = bounds()
    return f"Only you can see them here. They are deleted after {limits.kept} without use." if limits else ""
