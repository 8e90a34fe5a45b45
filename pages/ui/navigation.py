"""Go from page to page with query parameters, whatever widgets the pages have bound to the same parameters.

Streamlit 1.67 fails in two ways when widgets are bound to query parameters:

- A link loses the parameters that the page that is left has bound too, as most pages here do with ``?run=``: the
  browser sends the parameters of the link, followed by those of the page that is left, and the server drops all that
  are bound there. The browser's Back button loses them likewise. Importing this module corrects that.
- ``st.switch_page`` raises an error while a bound parameter is in the address: pages call :func:`switch` instead.

``pages/server/history.js`` keeps the entries of the browser's history right.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn
from urllib.parse import parse_qsl, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state import get_session_state
from streamlit.runtime.state.query_params import QueryParams

MARKER = "to"
"""The query parameter that tells history.js which page the next parameters belong to; it is never in an address."""

_PAGE, _ARRIVED = "navigation_page", "navigation_arrived"


def switch(page: str, **parameters: str) -> NoReturn:
    """Go to a page with these query parameters.

    Args:
        page: file of the page, as for ``st.switch_page``.
        parameters: query parameters of the page.
    """
    with get_session_state().query_params() as params:
        for widget_id in list(params._bindings_by_widget):
            params.unbind_widget(widget_id)  # or they could be neither set nor cleared
    st.switch_page(page, query_params={**parameters, MARKER: page})


def arrive(page: str) -> None:
    """Complete a change of page; the router calls this before it runs the page.

    The values of a link or of an entry of the browser's history precede those that widgets of other pages have stored
    under the same keys.

    Args:
        page: the path of the page in its address; empty for the first page.
    """
    switched = st.query_params.pop(MARKER, None) is not None
    arrived = st.session_state.get(_PAGE) != page or switched
    st.session_state[_PAGE], st.session_state[_ARRIVED] = page, arrived
    if not arrived:
        return
    ctx = get_script_run_ctx()
    if ctx is not None and from_history():
        with get_session_state().query_params() as params:  # all of them are those of the entry, none is carried over
            params.populate_from_query_string(ctx.query_string)
            params.set_initial_query_params_from_current()
    for key in st.query_params:
        st.session_state.pop(key, None)
    # The browser still has the parameters that it carried over.
    if from_history():
        st.query_params.update({})
    else:
        st.query_params[MARKER] = page
        del st.query_params[MARKER]


def write(key: str, value: str) -> None:
    """Write a query parameter into the address, from which its widget then takes it; the widget comes later.

    Without effect if the widget is on the page already: it writes the parameter itself.
    """
    with get_session_state().query_params() as params:
        if not params.is_bound(key):
            params[key] = value
            params.set_initial_query_params_from_current()


def has_arrived() -> bool:
    """Return whether the script runs for the first time since this page was opened."""
    return bool(st.session_state.get(_ARRIVED))


def from_history() -> bool:
    """Return whether the script runs because of the browser's Back or Forward button: then only the address counts."""
    ctx = get_script_run_ctx()
    return ctx is not None and ctx.is_history_navigation


def without_carried(query: str, carried: Mapping[str, Sequence[str]]) -> str:
    """Return a query string without the parameters that the browser appended from the page that is left.

    Args:
        query: the parameters of the link, followed by the appended ones.
        carried: the values of the page that is left, by parameter. Other values are those of the link.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, values in carried.items():
        places = [place for place, pair in enumerate(pairs) if pair[0] == name][-len(values) :] if values else []
        if [pairs[place][1] for place in places] == list(values):
            pairs = [pair for place, pair in enumerate(pairs) if place not in places]
    return urlencode(pairs)


def _populate(
    self: QueryParams,
    query_string: str,
    valid_script_hashes: set[str] | None = None,
    *,
    _original: Callable[..., None] = QueryParams.populate_from_query_string,
) -> None:
    """Take the parameters of the opened page; with ``valid_script_hashes``, another page was open before."""
    if valid_script_hashes is not None:
        bindings = [one for one in self._bindings_by_widget.values() if one.script_hash not in valid_script_hashes]
        carried = {one.param_key: self.get_all(one.param_key) for one in bindings}
        query_string = without_carried(query_string, carried)
        for binding in bindings:
            self.unbind_widget(binding.widget_id)
    _original(self, query_string)


QueryParams.populate_from_query_string = _populate  # type: ignore[method-assign]
