"""A clock in the browser, by which a fragment is drawn anew where there is news, and not otherwise.

A fragment with ``run_every`` is drawn at every tick, whether anything has changed or not. Here a tick asks one
question, and only what a page has not shown yet is worth the work of drawing it. A hidden tab has no ticks, nor has a
page whose script runs: Streamlit drops the end of a run, and what it has not sent of it yet, when a fragment's rerun
comes in that very moment (see ``AppSession.request_rerun``).
"""

from collections.abc import Callable, Hashable

import streamlit as st

TICK = 2.0
"""Seconds between two looks."""

_component = st.components.v2.component(
    "clock",
    js="""const clocks = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  const clock = clocks.get(parentElement) ?? {}
  clocks.set(parentElement, clock)
  const busy = () => document.querySelector('[data-test-script-state]:not([data-test-script-state="notRunning"])')
  clock.tick = () => document.hidden || busy() || setTriggerValue("tick", true)
  if (clock.seconds !== data.seconds) {
    clearInterval(clock.timer)
    clock.seconds = data.seconds
    clock.timer = setInterval(() => clock.tick(), 1000 * data.seconds)
  }
  return () => {
    clearInterval(clock.timer)
    clocks.delete(parentElement)
  }
}""",
)


def shows(fragment: str, news: Hashable) -> None:
    """Called by the fragment of this key before it reads what it draws: it shows the state of this ``news``."""
    st.session_state[f"{fragment}_shows"] = news


@st.fragment
def watch(fragment: str, news: Callable[[], Hashable], seconds: float | Callable[[], float] = TICK) -> None:
    """Rerun the fragment of this key once ``news()`` is no longer what it :func:`shows`, looked at every so often.

    Args:
        seconds: between two looks; asked anew at each of them, where it is a function.
    """

    def look() -> None:
        if news() != st.session_state.get(f"{fragment}_shows"):
            st.rerun(fragment)

    pace = seconds() if callable(seconds) else seconds
    _component(key=f"{fragment}_clock", data={"seconds": pace}, on_tick_change=look)
