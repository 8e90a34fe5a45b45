"""The Train page's sweeps: the grid is chosen, priced, started, followed as a map, stopped and filled."""

import pytest
from streamlit.testing.v1 import AppTest

from pages import access
from pages.access import cleanup
from pages.server import limits
from pages.server.limits import DemoLimits
from tests.pages.access.test_demo import A, B, look  # noqa: F401 - a fixture
from tests.pages.opening import open_page
from tests.sweeps.test_sweep import end, grid, started  # noqa: F401 - a fixture
from vit import runs
from vit.config import DEPTHS, HEADS, TrainingConfig, ViTConfig
from vit.errors import RunError
from vit.sweeps import sweep


def form(**link: str) -> AppTest:
    """The page with the form for a sweep open."""
    return open_page("train", sweep_open="true", **link)


def buttons(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


def texts(app: AppTest) -> str:
    return "\n".join(element.value for kind in ("markdown", "caption", "warning", "error") for element in app.get(kind))


def number(app: AppTest, label: str) -> str:
    return next(metric.value for metric in app.metric if metric.label == label)


def test_a_grid_is_chosen_priced_and_started_and_the_page_follows_it(home, started):  # noqa: F811
    app = form(seed="5", epochs="3")
    assert app.pills(key="sweep_heads").options == [str(value) for value in HEADS]
    assert app.pills(key="sweep_depths").options == [str(value) for value in DEPTHS]
    assert app.button(key="sweep_start").label == "Start 9 runs"
    app.pills(key="sweep_heads").set_value([2, 8])
    app.pills(key="sweep_depths").set_value([1])
    app.number_input(key="sweep_seeds").set_value(2).run()
    assert number(app, "Runs") == "4"
    assert number(app, "Expected time")
    assert "--heads 2,8 --depths 1 --seeds 5,6 --same head" in app.code[-1].value
    app.text_input(key="sweep_name").set_value("mine").run()
    app.button(key="sweep_start").click().run()
    assert not app.exception
    assert started == ["mine-h2-d1-s5", "mine-h8-d1-s5", "mine-h2-d1-s6", "mine-h8-d1-s6"]
    assert runs.get_run("mine-h8-d1-s6").config.model == ViTConfig(num_heads=8, embed_dim=256, depth=1)
    assert runs.get_run("mine-h8-d1-s6").config.training.epochs == 3
    assert app.selectbox(key="sweep").value == "mine"
    assert "0 of 4 runs are done: 4 waiting" in texts(app)
    assert len(app.get("plotly_chart")) == 1


def test_an_existing_name_starts_only_the_missing_runs(home, started):  # noqa: F811
    app = form(sweep_heads="2", sweep_depths="1")
    app.text_input(key="sweep_name").set_value("mine").run()
    app.button(key="sweep_start").click().run()
    app = form(sweep_heads="2", sweep_depths="1", show="New run")
    app.text_input(key="sweep_name").set_value("mine").run()
    assert "All 1 runs of mine exist already" in texts(app)
    app.pills(key="sweep_depths").set_value([1, 3]).run()
    assert app.button(key="sweep_start").label == "Start 1 run"
    app.slider(key="epochs").set_value(7).run()
    assert f"other settings (Epochs {TrainingConfig().epochs}, not 7)".replace("(", "\\(").replace(")", "\\)") in texts(
        app
    )
    assert "sweep_start" not in buttons(app)


def test_an_impossible_sweep_gives_a_message_and_no_start_button(home):
    app = form()
    app.pills(key="sweep_heads").set_value([]).run()
    assert "Choose at least one number of heads and one depth" in texts(app)
    app.pills(key="sweep_heads").set_value([1, 2, 3, 4, 5, 6, 7, 8, 9])
    app.pills(key="sweep_depths").set_value(list(DEPTHS)).run()
    assert "These are 108 runs, but a sweep has at most 96" in texts(app)
    assert "sweep_start" not in buttons(app)
    app.pills(key="network").set_value("cnn").run()
    assert not app.exception
    assert "sweep_heads" not in [pills.key for pills in app.pills]


def test_only_heads_that_divide_a_constant_token_are_offered(home):
    app = form()
    app.pills(key="sweep_heads").set_value([1, 3]).run()
    app.segmented_control(key="sweep_same").set_value("token").run()
    assert not app.exception
    assert app.pills(key="sweep_heads").options == ["1", "2", "4", "8"]
    assert app.pills(key="sweep_heads").value == [1]


def test_without_a_sweep_the_view_says_what_to_do_and_a_missing_one_is_reported(home, started):  # noqa: F811
    app = open_page("train", sweep="gone")
    assert "There is no sweep yet" in texts(app)
    sweep.start(grid())
    app = open_page("train", sweep="gone")
    assert app.warning[0].value == "There is no sweep **gone**. Showing **wide** instead."
    assert app.selectbox(key="sweep").value == "wide"


def test_a_link_shows_its_sweep_with_links_to_its_runs(home, started):  # noqa: F811
    all_ = sweep.start(grid("first"))
    sweep.start(grid("second"))
    end(all_[0], accuracy=0.5)
    app = open_page("train", sweep="first")
    assert app.selectbox(key="sweep").value == "first"
    assert "1 of 4 runs are done: 3 waiting" in texts(app)
    assert "Best so far: 1 head at depth 1, 50.0%" in texts(app)
    app.selectbox(key="sweep_run").set_value(all_[1].name).run()
    assert "follow" in str(app.get("page_link")[-1].proto)
    app.query_params["follow"] = all_[1].name
    app.run()
    assert app.selectbox(key="run").value == all_[1].name


def test_all_runs_can_be_stopped_resumed_completed_and_deleted(home, started):  # noqa: F811
    all_ = sweep.start(grid())
    app = open_page("train", sweep="wide")
    app.button(key="sweep_stop").click().run()
    assert "This stops 4 training or waiting runs" in texts(app)
    assert all(run.active for run in all_)
    app.button(key="sweep_yes").click().run()
    assert not app.exception
    assert {run.state for run in all_} == {"stopped"}
    runs.delete(all_.pop())
    app.run()
    del started[:]
    app.button(key="sweep_fill").click().run()
    assert started == ["wide-h2-d3-s0"]
    app.button(key="sweep_resume").click().run()
    assert started[1:] == [run.name for run in all_]
    assert {"sweep_fill", "sweep_resume", "sweep_delete"}.isdisjoint(buttons(app))
    for run in runs.list_runs():
        end(run)
    app.run()
    app.button(key="sweep_delete").click().run()
    assert "permanently deletes" in texts(app)
    app.button(key="sweep_yes").click().run()
    assert not app.exception
    assert runs.list_runs() == []
    assert "There is no sweep yet" in texts(app)


# On a demo


def test_the_limits_of_a_demo_apply_to_a_sweep_and_are_shown(home, look, started):  # noqa: F811
    limits = DemoLimits()
    app = form()
    assert f"On this demo you can start {limits.runs} runs now" in texts(app)
    assert app.pills(key="sweep_depths").options == [str(depth) for depth in DEPTHS if depth <= limits.depth]
    assert max(map(int, app.pills(key="sweep_heads").options)) * ViTConfig().head_dim <= limits.embed_dim
    assert app.button(key="sweep_start").disabled
    assert f"you can start {limits.runs} now: choose fewer" in texts(app)
    app.pills(key="sweep_heads").set_value([1, 2])
    app.pills(key="sweep_depths").set_value([1, 2]).run()
    app.button(key="sweep_start").click().run()
    assert not app.exception
    assert len(started) == 4
    for run in runs.list_runs():
        assert run.config.owner == access.visitor()
        assert run.config.training.max_seconds == limits.seconds
    name = app.selectbox(key="sweep").value
    again = grid(name, base=runs.get_run(started[0]).config, heads=(1, 2), depths=(1, 2))
    assert access.start_sweep(again) == []
    with pytest.raises(RunError, match="These are 1 runs, and you can start none now"):
        access.start_sweep(grid(name, base=again.base, heads=(1, 2, 4), depths=(1,)))


def test_a_visitor_neither_sees_nor_stops_the_sweep_of_another(home, look, started):  # noqa: F811
    all_ = access_start(grid("secret", heads=(1,)))
    look(B)
    assert access.my_sweeps() == {}
    assert "secret" not in texts(open_page("train", sweep="secret"))
    for change in (access.stop_sweep, access.resume_sweep, access.delete_sweep):
        with pytest.raises(RunError, match="There is no run"):
            change(all_)
    assert all(run.active for run in all_)
    look(A)
    access.stop_sweep(all_)
    assert not any(run.active for run in all_)


def access_start(config):
    cleanup.measure_anew()
    assert limits.in_force()
    return access.start_sweep(config)
