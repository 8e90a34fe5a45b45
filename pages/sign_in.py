"""The sign-in form, which replaces every page until the visitor has signed in."""

import logging
from collections.abc import Callable
from functools import lru_cache

import streamlit as st

from pages import access
from pages.server import sign_in_rules
from pages.server.sign_in_middleware import FAILED_COOKIE
from pages.ui.text import plain
from vit.errors import SettingsError

CLOSED = "This server is not configured correctly, so it stays closed. Its operator finds the reason in its log."


def barrier() -> Callable[[], None] | None:
    """Return the function that replaces every page for a visitor who may not enter; None if they may.

    Settings of the operator that cannot be read close the server.
    """
    try:
        access.bounds()
        rules = sign_in_rules.required()
    except SettingsError as error:
        _tell_operator(str(error))
        return _show_closed
    if rules is None:
        return None
    if not st.user.get("is_logged_in"):
        return _show_sign_in
    refusal = sign_in_rules.refusal(st.user, rules)
    return (lambda: _show_refusal(refusal)) if refusal else None


def show_account() -> None:
    """Show who is signed in, with a button to sign out; nothing on a server without sign-in."""
    if st.user.get("is_logged_in"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(f"Signed in as {plain(_name())}", width="content")
            _sign_out_button()


def _name() -> str:
    return str(st.user.get("name") or st.user.get("email") or st.user.get("sub"))


def _sign_out_button() -> None:
    if st.button("Sign out", key="sign_out", icon=":material/logout:", type="tertiary"):
        st.logout()
        st.stop()  # the session is signed out from here on


def _show_sign_in() -> None:
    with _card():
        st.write("Sign in to train a Vision Transformer and see what its heads attend to.")
        if st.context.cookies.get(FAILED_COOKIE):
            st.warning("You are not signed in: the provider did not answer, or refused.", icon=":material/info:")
        for name in sign_in_rules.providers():
            label = "Sign in" if name == "default" else f"Sign in with {plain(_title(name))}"
            if st.button(label, key=f"sign_in_{name}", icon=":material/login:", type="primary", width="stretch"):
                st.login(None if name == "default" else name)


def _show_refusal(sentence: str) -> None:
    with _card():
        st.error(sentence, icon=":material/block:")
        st.caption(f"Signed in as {plain(str(st.user.get('email') or _name()))}")
        _sign_out_button()


def _show_closed() -> None:
    with _card():
        st.error(CLOSED, icon=":material/lock:")


def _card() -> st.delta_generator.DeltaGenerator:
    """Return a narrow column in the middle of the page, with the title."""
    card = st.container(horizontal_alignment="center").container(width=520, gap="small")
    card.title("Attention explorer")
    return card


def _title(name: str) -> str:
    return name if name != name.lower() else name.replace("-", " ").title()


@lru_cache(maxsize=32)  # log each message once, not at every rerun
def _tell_operator(sentence: str) -> None:
    logging.getLogger(__name__).error("The server is closed to all visitors. %s", sentence)
