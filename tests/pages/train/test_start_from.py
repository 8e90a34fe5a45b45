"""The Train page where a training starts from a run: facts, the choices that are left, and who may start from it."""

import argparse
import shlex

import pytest
from streamlit.testing.v1 import AppTest

from pages import access
from pages.server import limits
from pages.server.limits import DemoLimits
from pages.train.choices import make_tuned_space
from pages.ui.run_words import FROM_SCRATCH
from tests.helpers.record_tables import cells
from tests.pages.access.test_demo import DEVICES, bounds, look, shared  # noqa: F401 - fixtures
from tests.pages.opening import open_page
from vit import data, runs
from vit.config import RECIPES, CNNConfig, DataConfig, ReferenceConfig, RunConfig, StartConfig, ViTConfig
from vit.errors import RunError, SettingsError
from vit.flags import add_flags, to_config
from vit.jobs import control


def set_up(app: AppTest) -> RunConfig:
    """The run that the page stands for: its command, read as the command line reads it."""
    parser = argparse.ArgumentParser()
    add_flags(parser)
    command = next(code.value for code in app.code if code.value.startswith("python -m vit train"))
    return to_config(parser.parse_args(shlex.split(command)[4:]))


def words(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.caption, *app.markdown))


def keys(app: AppTest) -> set[str]:
    return {widget.key for widget in (*app.select_slider, *app.slider, *app.selectbox, *app.toggle)}


def test_a_link_starts_from_a_run_whose_network_is_shown_but_cannot_be_changed(several, monkeypatch):
    app = open_page("train", start="tiny-deep")
    assert {"heads", "depth", "head_dim", "patch", "stem"}.isdisjoint(keys(app))
    shown = {metric.label: metric.value for metric in app.metric}
    assert (shown["Heads"], shown["Depth"], shown["Token width"], shown["Patch size"]) == ("2", "3", "16", "8 px")
    assert "Its head is kept, because the classes are the same" in words(app)
    assert "large steps would destroy what the network has learned" in words(app)
    assert app.selectbox(key="start").options == [FROM_SCRATCH, *(run.name for run in runs.list_runs())]
    assert not any(box.label == "Sweep over heads and depth" for box in app.expander)
    config = set_up(app)
    assert config.training == RECIPES["fine-tune"]
    assert (config.start, config.model) == (StartConfig(run="tiny-deep"), runs.get_run("tiny-deep").config.model)

    app.selectbox(key="layer_decay").set_value(0.75).run()
    app.select_slider(key="size").set_value(64).run()
    assert "interpolated from 4 × 4 to 8 × 8 patches" in words(app)
    assert set_up(app).start.layer_decay == 0.75
    app.toggle(key="frozen").set_value(True).run()
    assert "layer_decay" not in keys(app)
    frozen = set_up(app)
    assert (frozen.start, frozen.training) == (StartConfig(run="tiny-deep", frozen=True), RECIPES["frozen"])
    assert frozen.model.image_size == 64

    monkeypatch.setattr(control, "_launch", lambda run, command: None)
    app.button(key="start_training").click().run()
    assert not app.exception
    assert runs.get_run("scenes-from-tiny-deep").config.start == frozen.start


def test_random_weights_bring_back_the_usual_form_and_recipe(several):
    app = open_page("train", start="tiny", frozen="true", epochs="7")
    assert app.slider(key="epochs").value == 7
    app.selectbox(key="start").set_value(FROM_SCRATCH).run()
    assert app.code[0].value == "python -m vit train"
    app.selectbox(key="start").set_value("tiny").run()
    assert app.slider(key="epochs").value == RECIPES["frozen"].epochs


def test_a_link_of_another_page_overrules_what_the_session_had_chosen(several):
    app = open_page("train", start="tiny")
    app.segmented_control(key="show").set_value("Follow a run").run()
    app.query_params["tune"] = "tiny-mean"
    app.run()
    assert app.selectbox(key="start").value == "tiny-mean"
    app = open_page("runs")
    assert "Fine-tune" in [link.proto.label for link in app.get("page_link")]


def test_a_missing_start_is_reported_and_random_weights_are_chosen(trained):
    app = open_page("train", start="bygone")
    assert app.code[0].value == "python -m vit train"
    assert "There is no run **bygone** to start from" in app.warning[0].value
    assert app.selectbox(key="start").options == [FROM_SCRATCH, "tiny"]


def test_a_run_deleted_before_the_click_gives_an_error_message(several):
    app = open_page("train", start="tiny")
    runs.delete(runs.get_run("tiny"))
    with pytest.raises(RunError, match="was deleted or renamed"):
        access.start(
            set_up(open_page("train", start="tiny-mean")).model_copy(update={"start": StartConfig(run="tiny")})
        )
    app.run()
    assert not app.exception
    assert app.selectbox(key="start").value == FROM_SCRATCH


def test_the_runs_page_shows_what_a_run_started_from(several):
    deep = runs.get_run("tiny-deep")
    runs.write_config(deep.path, deep.config.model_copy(update={"start": StartConfig(run="tiny", frozen=True)}))
    app = open_page("runs", columns="Start from")
    assert cells(app)["tiny-deep"]["Start from"] == "tiny"
    app = open_page("train", show="Follow a run", run="tiny-deep")
    assert "Starts from tiny; only the head is trained" in words(app)


@pytest.mark.parametrize(
    "model",
    [
        ViTConfig(image_size=224, patch_size=14, embed_dim=64, num_heads=2, stem="patch", pool="cls", reg_tokens=4),
        ViTConfig(image_size=96, dropout=0.15),
        ReferenceConfig(image_size=48),
        CNNConfig(image_size=96, residual=True),
    ],
    ids=lambda model: f"{model.name}{model.image_size}",
)
@pytest.mark.parametrize("frozen", [False, True])
def test_every_offered_value_makes_a_run(model, frozen):
    origin = RunConfig(model=model, data=DataConfig(image_size=model.image_size))
    space = make_tuned_space(origin, StartConfig(run="any", frozen=frozen), data.describe("scenes"), DEVICES)
    values = space.clamp(space.defaults())
    assert values["size"] == model.image_size
    assert space.config(values).model == model.model_copy(
        update={"num_classes": 5} | ({"dropout": 0.0} if frozen and hasattr(model, "dropout") else {})
    )
    for key in values:
        if key != "seed":
            assert all(space.config({**values, key: value}) for value in space.allowed(key, values))


def test_a_demo_takes_backbones_within_its_bounds_at_its_image_sizes():
    info, limits = data.describe("scenes"), DemoLimits(image_size=64, depth=4, embed_dim=128)

    def space(**changes):
        origin = RunConfig(model=ViTConfig(image_size=96, **changes), data=DataConfig(image_size=96))
        return make_tuned_space(origin, StartConfig(run="any"), info, DEVICES, limits)

    small, deep = space(depth=4), space(depth=5)
    values = small.clamp(small.defaults())
    assert values["size"] == 64
    limits.check(small.config(values))
    values = deep.clamp(deep.defaults())
    assert not deep.fits(values)
    with pytest.raises(SettingsError, match="depth of 4 at most"):
        limits.check(deep.config(values))


def test_a_visitor_can_start_from_own_runs_and_those_of_the_demo(shared):  # noqa: F811
    app = open_page("train", show="New run", form="All settings")
    assert app.selectbox(key="start").options == [FROM_SCRATCH, "tiny", "mine"]
    foreign = next(run for run in runs.list_runs() if run.config.owner == shared)
    config = set_up(open_page("train", show="New run", start="tiny"))
    with pytest.raises(RunError, match="was deleted or renamed") as refusal:
        access.start(config.model_copy(update={"start": StartConfig(run=foreign.name)}))
    assert shared not in str(refusal.value)
    assert limits.in_force() is not None
