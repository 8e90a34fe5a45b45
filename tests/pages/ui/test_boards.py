"""The board of heads: what a click sets."""

from types import SimpleNamespace

import numpy as np

from pages.ui.widgets import boards

TEXTS = [["on", "on"], ["on", "on"]]


def test_a_click_that_is_delivered_twice_has_the_effect_of_one(monkeypatch):
    """The second delivery comes with the values from before the click, after the board was drawn with the change."""
    state, drawn = {"off": frozenset()}, []
    monkeypatch.setattr(boards.st, "session_state", state)
    monkeypatch.setattr(boards, "_head_board", lambda **settings: drawn.append(settings["on_pick_change"]))

    def draw() -> None:
        off = state["off"]
        boards.head_board(
            TEXTS,
            np.zeros((2, 2)),
            TEXTS,
            key="heads",
            label="Heads",
            pressed=off,
            on_pick=lambda layer, head: state.update(off=off ^ {(layer, head)}),
        )

    def deliver(head: int, click: str) -> None:
        state["heads"] = SimpleNamespace(pick={"layer": 1, "head": head, "click": click})
        drawn[-1]()
        draw()

    draw()
    deliver(1, "first")
    state["off"] = frozenset()  # what the browser still had when it asked for a rerun
    deliver(1, "first")
    assert state["off"] == {(1, 1)}
    deliver(2, "second")
    assert state["off"] == {(1, 1), (1, 2)}
    deliver(1, "third")
    assert state["off"] == {(1, 2)}
