"""Train's view of a run: its curves beside those of others, and its attention while it trains."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from pages.train import curves, live_maps
from tests.pages.opening import open_page
from vit import runs
from vit.runs.folder import LIVE
from vit.runs.live_maps import read_live_maps


def widget(app: AppTest, name: str) -> dict:
    """The data of a widget on the page."""
    proto = next(it.proto for it in app.get("bidi_component") if it.proto.component_name == name)
    return json.loads(proto.mixed.json or proto.json)


def test_all_curves_share_the_planned_steps_and_begin_at_the_first(several):
    app = open_page("train", run="tiny", beside="tiny-mean")
    assert not app.exception
    drawn = widget(app, "curves")
    assert (drawn["end"], drawn["perEpoch"]) == (6, 3)
    loss, accuracy, _ = drawn["plots"]
    for plot in (loss, accuracy):
        names = {line["name"]: line["xs"] for line in plot["lines"]}
        assert names == {
            "Training, each step": [1, 2, 3, 4, 5, 6],
            "Training, smoothed": [1, 2, 3, 4, 5, 6],
            "Validation": [3, 6],
            "tiny-mean": [3, 6],
        }
    app.slider(key="smoothing").set_value(0.0).run()
    assert widget(app, "curves")["plots"][0]["lines"][0]["name"] == "Training, each step"
    app.multiselect(key="beside").set_value([]).run()
    assert len(widget(app, "curves")["plots"][0]["lines"]) == 2


def test_the_best_finished_runs_on_the_same_images_are_compared_with_at_first(several):
    app = open_page("train", run="tiny")
    scores = {name: runs.get_run(name).best["val_accuracy"] for name in ("tiny-mean", "tiny-deep")}
    assert set(app.multiselect(key="beside").value) == set(scores)
    app.selectbox(key="run").set_value("tiny-deep").run()
    assert not app.exception
    assert "tiny-deep" not in app.multiselect(key="beside").value
    found = [runs.get_run(name) for name in scores]
    assert curves.best(found) == sorted(scores, key=lambda name: (scores[name], name), reverse=True)


def test_the_maps_of_the_last_step_lead_to_the_attention_of_that_image(several):
    run = runs.get_run("tiny")
    maps = read_live_maps(run)
    app = open_page("train", run="tiny")
    drawn = widget(app, "live_maps")
    assert (drawn["layers"], drawn["heads"], drawn["queries"], drawn["prefix"]) == (2, 2, 17, 1)
    assert len(drawn["images"]) == 4
    assert drawn["answer"].startswith("Classified as ")
    said = " ".join(caption.value for caption in app.caption)
    assert f"After step {maps.step} of 6, in epoch 2." in said
    app.session_state[live_maps.CHOSEN] = 2
    app.run()
    app.button(key="see_learned").click().run(timeout=60)
    assert not app.exception
    assert app.query_params["run"] in ("tiny", ["tiny"])
    assert app.query_params["image"] in (f"val-{maps.rows[2]}", [f"val-{maps.rows[2]}"])


@pytest.mark.parametrize("damage", ["missing", "other network"])
def test_maps_that_are_not_those_of_the_run_are_not_shown(several, damage):
    run = runs.get_run("tiny")
    if damage == "missing":
        (run.path / LIVE).unlink()
    else:
        (run.path / LIVE).write_bytes((runs.get_run("tiny-deep").path / LIVE).read_bytes())
    app = open_page("train", run="tiny")
    assert not app.exception
    assert "live_maps" not in {it.proto.component_name for it in app.get("bidi_component")}
    assert any("No attention was recorded during this training" in caption.value for caption in app.caption)
    assert app.button(key="see_learned")  # Attention computes them from the weights
