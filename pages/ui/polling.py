"""A timer in the browser that redraws a fragment only when there is something new.

A fragment with ``run_every`` is redrawn at every tick. Here a tick only compares a short summary of the state, and the
fragment is redrawn if it has changed. There are no ticks in a hidden tab, nor while the script runs: if a fragment's
rerun arrives at the end of a script run, Streamlit drops what that run has not sent yet (see
``AppSession.request_rerun``). Nor do two clocks tick at once: Streamlit sends what happens at the same moment in one
message, which reruns only one of the fragments. A tick that has to wait comes as soon as it can.
"""

from collections.abc import Callable, Hashable

import streamlit as st

TICK = 2.0
"""Seconds between two checks."""

_component = st.components.v2.component(
    "clock",
    js="""const clocks = new WeakMap()
const APART = 250  // milliseconds between the ticks of two clocks, and between two tries of one that waits
// Shared by all clocks of the page: opening the sidebar loads this code a second time.
const ticks = (window.explorerTicks ??= { last: -APART })

export default function ({ data, parentElement, setTriggerValue }) {
  const clock = clocks.get(parentElement) ?? {}
  clocks.set(parentElement, clock)
  const busy = () => document.querySelector('[data-test-script-state]:not([data-test-script-state="notRunning"])')
  clock.tick = () => {
    clearTimeout(clock.again)
    if (document.hidden) return
    if (busy() || performance.now() - ticks.last < APART) {
      clock.again = setTimeout(() => clock.tick(), APART)
      return
    }
    ticks.last = performance.now()
    setTriggerValue("tick", true)
  }
  if (clock.seconds !== data.seconds) {
    clearInterval(clock.timer)
    clock.seconds = data.seconds
    clock.timer = setInterval(() => clock.tick(), 1000 * data.seconds)
  }
  return () => {
    clearInterval(clock.timer)
    clearTimeout(clock.again)
    clocks.delete(parentElement)
  }
}""",
)


def shows(fragment: str, news: Hashable) -> None:
    """Record the state that a fragment is about to draw; the fragment calls this before it reads that state.

    Args:
        fragment: the key of the fragment.
        news: a summary of the state.
    """
    st.session_state[f"{fragment}_shows"] = news


@st.fragment
def watch(fragment: str, news: Callable[[], Hashable], seconds: float | Callable[[], float] = TICK) -> None:
    """Rerun a fragment when ``news()`` differs from what it :func:`shows`.

    Args:
        fragment: the key of the fragment.
        news: returns a summary of the present state.
        seconds: the time between two checks; a function is called at each check.
    """

    def look() -> None:
        if news() != st.session_state.get(f"{fragment}_shows"):
            st.rerun(fragment)

    pace = seconds() if callable(seconds) else seconds
    _component(key=f"{fragment}_clock", data={"seconds": pace}, on_tick_change=look)
