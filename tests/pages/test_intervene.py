"""Intervene: change heads and patches from controls and links, and check the answer, the maps and the accuracy."""

import json
import time

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.intervene.head_controls import toggle_changes
from pages.intervene.result import CNN_GRID, answer_change
from pages.ui import cached_models, text
from tests.pages.opening import open_page, own_widgets
from tests.pages.test_anatomy import train
from vit import data, runs
from vit.cnn import CNN
from vit.config import CNNConfig, ReferenceConfig
from vit.data.batches import to_tensor
from vit.data.files.pictures import save_picture
from vit.errors import DataError
from vit.explain.interventions.head_changes import Change, changes_from_text, to_edits, validation_means
from vit.explain.interventions.patch_changes import alter
from vit.explain.passes.sample import sample
from vit.runs import weights


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in ("markdown", "caption", "subheader", "info") for element in app.get(kind))


def answer_line(app: AppTest) -> str:
    """Return the sentence about the answer; empty until it is shown."""
    return next((one.value[6:] for one in app.markdown if one.value.startswith("##### ")), "")


@pytest.fixture
def strong(several) -> None:
    """Trained runs whose weights are so large that every head affects the answer."""
    for name in ("tiny", "tiny-deep"):
        strengthen(name)


def strengthen(name: str) -> None:
    path = runs.find_run(name).path
    model, info = weights.load_checkpoint(path)
    random, state = torch.Generator().manual_seed(0), model.state_dict()
    for key, value in state.items():
        if ".attn." in key and value.ndim == 2:
            state[key] = 0.5 * torch.randn(value.shape, generator=random)
        elif key.endswith("ls1.gamma"):
            state[key] = torch.ones_like(value)
        elif key == "head.weight":
            state[key] = 0.2 * torch.randn(value.shape, generator=random)
    weights.save_model(path, state, info.metrics)


def component_data(app: AppTest, word: str) -> dict:
    """Return the data of the component that has this key."""
    found = [element.proto for element in own_widgets(app)]
    found = [json.loads(proto.mixed.json or proto.json) for proto in found]
    return next(one for one in found if word in one)


def wait(app: AppTest, until) -> None:
    """Rerun the page until background work is done."""
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)
        app.run()
        assert not app.exception


def answer(name: str, index: int, changes: str = "", covered=(), fill="mean", seed=0) -> dict[str, float]:
    """Return the class probabilities of a validation image, computed with the library alone."""
    run = runs.find_run(name)
    model, info = weights.load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    pixels = np.moveaxis(split.images[index], 0, -1)
    if isinstance(model, CNN):  # it has squares of the image to change, and no heads
        logits = model(to_tensor([alter(pixels, CNN_GRID, covered, fill, seed)], info.mean, info.std))
        return dict(zip(info.class_names, logits[0].softmax(0).tolist(), strict=True))
    view = alter(pixels, model.grid, covered, fill, seed)
    changed = changes_from_text(changes, model.config.depth, model.config.num_heads)
    means = validation_means(model, sample(model, info, split, 200))
    logits = model(to_tensor([view], info.mean, info.std), edits=to_edits(model, changed, means))
    return dict(zip(info.class_names, logits[0].softmax(0).tolist(), strict=True))


def expected_line(before: dict, after: dict) -> str:
    return answer_change(list(before), np.array(list(before.values())), np.array(list(after.values())))


def test_without_a_run_the_page_leads_to_train(home):
    app = open_page("intervene")
    assert "No trained run yet" in app.markdown[-1].value


def test_without_changes_the_page_shows_the_answer_and_what_to_click(trained):
    app = open_page("intervene", image="val-3")
    best, share = max(answer("tiny", 3).items(), key=lambda one: one[1])
    assert f"**{best}**, {share:.1%}. Nothing is changed yet" in texts(app)
    assert app.button(key="changes_reset").disabled
    assert app.button(key="uncover").disabled
    assert not app.metric


def test_a_link_reproduces_changes_cover_fill_and_shuffle(strong):
    link = {
        "changes": "1.2z-2.1u-3.2t0.5",
        "covered": "1-3.9",
        "fill": "blur",
        "shuffle": "7",
        "compared": "difference",
    }
    app = open_page("intervene", run="tiny-deep", image="val-2", action="temperature", **link)
    assert [app.text_input(key=key).value for key in ("changes", "covered")] == [link["changes"], link["covered"]]
    assert app.number_input(key="shuffle").value == 7
    board, patches, grid = component_data(app, "texts"), component_data(app, "covered"), component_data(app, "rowNames")
    assert board["texts"] == [["on", "off"], ["uniform", "on"], ["on", "t 0.5"]]
    assert sorted(board["pressed"]) == [[1, 2], [2, 1], [3, 2]]
    assert patches["covered"] == [1, 2, 3, 9]
    assert (grid["signed"], grid["title"], len(grid["rowNames"])) == (True, "After minus before", 3)
    assert "Temperature" in [slider.label for slider in app.get("select_slider")]
    after = answer("tiny-deep", 2, link["changes"], (1, 2, 3, 9), "blur", 7)
    assert answer_line(app) == expected_line(answer("tiny-deep", 2), after)
    assert after != answer("tiny-deep", 2, "", (1, 2, 3, 9), "blur", 7)


@pytest.mark.parametrize("changes", ["1.1m", "2.2p", "1.1m-2.2p-1.2z"])
def test_means_are_taken_over_validation_images(strong, changes):
    app = open_page("intervene", run="tiny", image="val-5", changes=changes)
    wait(app, lambda: answer_line(app))
    assert answer_line(app) == expected_line(answer("tiny", 5), answer("tiny", 5, changes))
    assert "stays at" not in answer_line(app)


def test_accuracy_with_the_changes_is_measured_on_all_validation_images(strong):
    app = open_page("intervene", run="tiny", changes="1.1z-1.2z-2.1z-2.2z")
    wait(app, lambda: len(app.metric) == 4)
    run = runs.find_run("tiny")
    model, info = weights.load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    images = to_tensor(list(np.moveaxis(split.images, 1, -1)), info.mean, info.std)
    edits = to_edits(model, changes_from_text("1.1z-1.2z-2.1z-2.2z", 2, 2))
    for metric, logits in ((app.metric[0], model(images)), (app.metric[1], model(images, edits=edits))):
        right = (logits.argmax(1).numpy() == split.labels).mean()
        assert metric.value == f"{right:.1%}"
    assert "On 30 validation images" in texts(app)
    assert "chance" in texts(app)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({"changes": "1.9z"}, "does not exist"),
        ({"changes": "<b>"}, "is not a change"),
        ({"covered": "17"}, "do not exist"),
        ({"covered": "a"}, "is not a list of patches"),
    ],
)
def test_an_invalid_link_is_cleared_with_a_message(trained, link, message):
    app = open_page("intervene", **link)
    assert message in app.toast[0].value
    assert [app.text_input(key=key).value for key in ("changes", "covered")] == ["", ""]
    assert "Nothing is changed yet" in texts(app)


def test_unknown_choices_in_a_link_are_replaced_by_the_defaults(trained):
    app = open_page("intervene", action="explode", fill="lava", compared="q", shuffle="-3", temperature="9")
    assert app.number_input(key="shuffle").value == 0
    assert [one.value for one in app.get("segmented_control")[1:3]] == ["mean", "after"]


def test_typed_changes_take_effect_and_reset_removes_them(trained):
    app = open_page("intervene")
    app.text_input(key="changes").set_value("2.1u-1.1z").run()
    assert app.text_input(key="changes").value == "1.1z-2.1u"
    assert component_data(app, "texts")["texts"] == [["off", "on"], ["uniform", "on"]]
    app.button(key="changes_reset").click().run()
    assert not app.exception
    assert app.text_input(key="changes").value == ""
    assert "Nothing is changed yet" in texts(app)


def test_shuffling_draws_an_order_and_restoring_undoes_every_image_change(strong):
    app = open_page("intervene", run="tiny", image="val-0", covered="4-6")
    app.button(key="shuffle_now").click().run()
    seed = app.number_input(key="shuffle").value
    assert seed > 0
    assert answer_line(app) == expected_line(answer("tiny", 0), answer("tiny", 0, "", (4, 5, 6), "mean", seed))
    app.button(key="uncover").click().run()
    assert (app.number_input(key="shuffle").value, app.text_input(key="covered").value) == (0, "")
    assert component_data(app, "covered")["covered"] == []


def test_the_temperature_slider_changes_the_heads_that_have_a_temperature(trained):
    app = open_page("intervene", changes="1.1z-1.2t2-2.1t0.5", action="temperature")
    app.get("select_slider")[0].set_value(4.0).run()
    assert not app.exception
    assert app.text_input(key="changes").value == "1.1z-1.2t4-2.1t4"


def test_a_run_with_fewer_layers_drops_changes_of_missing_layers(several):
    app = open_page("intervene", run="tiny-deep", changes="3.1z")
    app.selectbox(key="run").set_value("tiny").run()
    assert not app.exception
    assert app.text_input(key="changes").value == ""


def test_a_convolutional_network_has_only_the_image_to_change(trained):
    train("cnn", CNNConfig(image_size=32))
    strengthen("cnn")
    before = answer("cnn", 0)
    app = open_page("intervene", run="cnn", image="val-0", covered="1-40", changes="1.1z")
    assert not app.error
    assert "no attention heads" in texts(app)
    assert len(own_widgets(app)) == 1
    assert answer_line(app) == expected_line(before, answer("cnn", 0, covered=range(1, 41)))
    assert "stays at" not in answer_line(app)
    app = open_page("intervene", run="cnn", image="val-0", shuffle="5")
    assert not app.error
    assert answer_line(app) == expected_line(before, answer("cnn", 0, seed=5))
    assert "stays at" not in answer_line(app)


def test_the_course_network_s_heads_can_be_changed_and_its_caveat_is_shown(trained):
    train("course", ReferenceConfig(image_size=32, patch_size=8, embed_dim=16))
    strengthen("course")
    app = open_page("intervene", run="course", image="val-0", changes="1.1z-1.2u-2.1t0.5", action="uniform")
    assert not app.error
    assert "mixes positions" in app.warning[0].value
    assert "the columns of a pattern sum to 1" in texts(app)
    assert answer_line(app) == expected_line(answer("course", 0), answer("course", 0, "1.1z-1.2u-2.1t0.5"))
    assert "stays at" not in answer_line(app)


def test_an_uploaded_image_can_be_changed_when_the_data_set_is_gone(trained, monkeypatch):
    picture = save_picture(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)))
    monkeypatch.setattr(data, "load", lambda *_, **__: (_ for _ in ()).throw(DataError("It is gone.")))
    cached_models._validation.clear()
    app = open_page("intervene", image=f"pic-{picture}", covered="1-8")
    assert answer_line(app)
    assert component_data(app, "covered")["covered"] == list(range(1, 9))
    app = open_page("intervene", image=f"pic-{picture}", changes="1.1m")
    assert {error.value for error in app.error} == {text.plain("It is gone.")}


def test_a_click_sets_a_head_and_a_second_click_undoes_it():
    zero, sharp = Change(1, 1, "zero"), Change(1, 1, "temperature", 0.5)
    once = toggle_changes((), zero, 2, 1, (2, 2))
    assert once == (Change(2, 1, "zero"),)
    assert toggle_changes(once, zero, 2, 1, (2, 2)) == ()
    assert toggle_changes(once, sharp, 2, 1, (2, 2)) == (Change(2, 1, "temperature", 0.5),)
    layer = toggle_changes(once, zero, 2, 0, (2, 2))
    assert set(layer) == {Change(2, 1, "zero"), Change(2, 2, "zero")}
    assert toggle_changes(layer, zero, 2, 0, (2, 2)) == ()
    assert len(toggle_changes(layer, zero, 0, 0, (2, 2))) == 4
    assert set(toggle_changes((), zero, 0, 2, (2, 2))) == {Change(1, 2, "zero"), Change(2, 2, "zero")}


def test_the_sentence_describes_the_change_of_the_answer():
    names = ["cat", "dog"]
    for before, after, expected in (
        ([0.079, 0.921], [0.597, 0.403], "**dog** falls from 92.1% to 40.3%; the answer is now **cat**, 59.7%."),
        ([0.079, 0.921], [0.2, 0.8], "**dog** falls from 92.1% to 80.0%; the answer does not change."),
        ([0.4, 0.6], [0.1, 0.9], "**dog** rises from 60.0% to 90.0%; the answer does not change."),
        ([0.4, 0.6], [0.4001, 0.5999], "**dog** stays at 60.0%."),
    ):
        assert answer_change(names, np.array(before), np.array(after)) == expected
