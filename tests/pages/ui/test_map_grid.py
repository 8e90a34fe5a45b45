"""The grid of maps: what is sent to the browser, and what its events set."""

import json

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.widgets import map_grid


def script(frames: tuple[int, ...], signed: bool):
    import numpy as np
    from PIL import Image

    from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid

    count = max(1, len(frames))
    values = np.arange(count * 5 * 2 * 3 * 5, dtype=np.float32).reshape(count, 5, 2, 3, 5)
    map_grid(
        TileMaps(
            maps=lambda tokens: values[:, list(tokens)],
            image=Image.new("RGB", (20, 30), "red"),
            version="v1",
            grid=(2, 2),
            prefix=1,
            pool="cls",
            row_names=["Layer 1", "Layer 2"],
            column_names=["Head 1", "Head 2", "Head 3"],
            signed=signed,
            frames=frames,
        ),
        Selection(token=3, row=2, frame=len(frames) - 1),
        key="grid",
    )


def sent(app: AppTest) -> tuple[dict, np.ndarray | None]:
    proto = app.get("bidi_component")[0].proto
    data = json.loads(proto.mixed.json or proto.json)
    blobs = list(proto.mixed.arrow_blobs.values())
    values = pa.ipc.open_stream(blobs[0].data).read_all().column(0).to_numpy() if blobs else None
    return data, values


@pytest.mark.parametrize("frames", [(), (4, 8)])
def test_the_maps_of_all_frames_and_tokens_are_sent_in_the_order_that_the_browser_reads(frames):
    app = AppTest.from_function(script, args=(frames, False), default_timeout=60).run()
    assert not app.exception
    data, values = sent(app)
    count = max(1, len(frames))
    assert (data["every"], data["first"], data["tokens"]) == (True, 0, 5)
    np.testing.assert_array_equal(values, np.arange(count * 5 * 2 * 3 * 5))
    assert (data["frames"], data["frame"]) == (list(frames), len(frames) - 1)


def test_large_maps_are_sent_in_half_precision_unless_a_number_is_too_large(monkeypatch):
    monkeypatch.setattr(map_grid, "EXACT_BYTES_MAX", 100)
    values = sent(AppTest.from_function(script, args=((), False), default_timeout=60).run())[1]
    assert values.dtype == np.uint16
    np.testing.assert_allclose(values.view(np.float16), np.arange(5 * 2 * 3 * 5), rtol=2**-11)
    monkeypatch.setattr(map_grid, "HALF_MAX", 100.0)
    values = sent(AppTest.from_function(script, args=((), False), default_timeout=60).run())[1]
    assert values.dtype == np.float32


def test_maps_that_are_too_large_are_sent_for_the_chosen_token_only(monkeypatch):
    monkeypatch.setattr(map_grid, "MAPS_BYTES_MAX", 100)
    data, values = sent(AppTest.from_function(script, args=((4, 8), False), default_timeout=60).run())
    assert (data["every"], data["first"], data["tokens"], data["version"]) == (False, 3, 1, "v1#3")
    whole = np.arange(2 * 5 * 2 * 3 * 5).reshape(2, 5, 2, 3, 5)
    np.testing.assert_array_equal(values, whole[:, 3].ravel())


def test_signed_maps_have_two_colours():
    assert len(sent(AppTest.from_function(script, args=((), True), default_timeout=60).run())[0]["colours"]) == 2
    assert len(sent(AppTest.from_function(script, args=((), False), default_timeout=60).run())[0]["colours"]) > 2


class Event(dict):
    """An event in the form of the component's state."""

    @property
    def pick(self) -> dict:
        return self


def test_an_event_sets_its_selection_and_an_epoch_within_bounds(monkeypatch):
    state = {"grid": Event(token=3, row=2, column=1, frame=99, version="v1", seq=5), "grid_browsers": {}}
    monkeypatch.setattr(map_grid.st, "session_state", state)
    map_grid._take_pick("grid", ("token", "layer", "head"), [4, 8])
    assert (state["token"], state["layer"], state["head"], state["epoch"]) == (3, 2, 1, 8)
    assert state["grid_browsers"]["grid"] == {"version": "v1", "seq": 5}
    state["grid"] = Event(token="<b>", row=None, version=None, seq=6)
    map_grid._take_pick("grid", ("token", "layer", "head"), [])
    assert (state["token"], state["layer"]) == (3, 2)
