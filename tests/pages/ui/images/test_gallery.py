"""The gallery of images: what the browser gets when it asks, and what a choice does."""

import base64
import io
import time

import numpy as np
import pytest
from PIL import Image

from pages import access
from pages.ui.cached_models import labelled_for, load_model
from pages.ui.images import answers, gallery, image_picker, thumbnails
from pages.ui.widgets.image_gallery import PAGE
from tests.conftest import tiny_config
from tests.pages.opening import open_page
from vit import data, runs
from vit.evaluation import evaluate


@pytest.fixture
def run(trained):
    return runs.find_run("tiny")


def pictures(told: dict) -> list[np.ndarray]:
    """Cut a sheet into its thumbnails."""
    content = base64.b64decode(told["image"].partition(",")[2])
    whole = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)
    side = whole.shape[1] // told["columns"]
    found = []
    for place in range(len(told["ids"])):
        row, column = divmod(place, told["columns"])
        found.append(whole[row * side : (row + 1) * side, column * side : (column + 1) * side])
    return found


def test_the_sheet_holds_the_thumbnails_in_the_order_that_was_asked_for(run):
    ids = ["val-12", "sample-chelsea", "val-3", "val-99999", *(f"val-{index}" for index in range(13, 20))]
    found = pictures(gallery.answer_to({"sheet": ids}, run)["sheet"])
    images = np.moveaxis(data.load(run.config.data, splits=("val",)).val.images, 1, -1)
    own = [np.asarray(Image.fromarray(images[index]).resize(found[0].shape[:2])).astype(float) for index in range(30)]
    for place, index in ((0, 12), (2, 3), (10, 19)):
        nearest = min(range(30), key=lambda other: np.abs(found[place] - own[other]).mean())
        assert nearest == index
    assert found[1].std() > 10
    assert np.abs(found[3] - 128).mean() < 2  # a missing image is grey


@pytest.mark.parametrize(
    "wants",
    [
        {"sheet": "val-1"},
        {"sheet": ["val-1", 7]},
        {"sheet": ["../../etc/passwd"]},
        {"sheet": [f"val-{index}" for index in range(PAGE + 1)]},
        {"lists": "yes", "answers": 1},
        {"other": True},
    ],
)
def test_invalid_questions_of_a_browser_get_no_answer(run, wants):
    assert gallery.answer_to(wants, run) == {}


def test_the_lists_name_classes_photographs_and_uploads(run):
    picture = access.save_picture(Image.new("RGB", (9, 9)), "\u202e<b>cat</b>" * 9 + ".png")
    told = gallery.answer_to({"lists": True}, run)["lists"]
    split = data.load(run.config.data, splits=("val",)).val
    assert told["labels"] == split.labels.tolist()
    assert told["classes"] == list(run.config.data.class_names)
    assert {"id": "sample-chelsea", "name": "Chelsea the cat", "about": "Stefan van der Walt, CC0"} in told[
        "photographs"
    ]
    (own,) = told["own"]
    assert own["id"] == f"pic-{picture}"
    assert len(own["name"]) <= gallery.NAME_COLUMNS
    assert "\u202e" not in own["name"]


def test_right_and_wrong_are_told_once_they_are_computed(run):
    told = gallery.answers_of(run, start=False)
    end = time.monotonic() + 30
    while told["state"] == "running":
        assert not {"said", "right", "sure"} & set(told)
        assert time.monotonic() < end
        told = gallery.answers_of(run, start=False)
    expected = evaluate(*load_model(run), labelled_for(run))
    assert told["state"] == "ready"
    assert told["said"] == expected.predictions.tolist()
    assert [bool(one) for one in told["right"]] == (expected.predictions == expected.labels).tolist()
    np.testing.assert_allclose(told["sure"], expected.confidence, atol=1e-4)


def test_a_large_evaluation_waits_until_it_is_asked_for(run, monkeypatch):
    monkeypatch.setattr(answers, "AUTO_FLOPS", 1)
    assert gallery.answers_of(run, start=False) == {"state": "asks", "words": "Run the model on 30 images"}
    assert gallery.answers_of(run, start=True)["state"] in ("running", "ready")


def test_a_network_without_classes_has_no_right_or_wrong(home):
    config = tiny_config()
    model = config.model.model_copy(update={"num_classes": 0})
    images = config.data.model_copy(update={"source": "", "class_names": ()})
    config = config.model_copy(update={"model": model, "data": images})
    told = gallery.answers_of(runs.create("features", config), start=True)
    assert told["state"] == "none"
    assert "no classes" in told["words"]


class Browser:
    """Sends its event when the gallery is drawn next, and keeps what each draw sent."""

    def __init__(self) -> None:
        self.event: dict | None = None
        self.sent: list[dict] = []

    def __call__(self, sent: dict, *, key: str, on_ask) -> None:
        self.sent.append(sent)
        if self.event:
            event, self.event = self.event, None
            on_ask(event)


@pytest.mark.parametrize(
    ("picks", "shown"),
    [(["val-5"], "val-5"), (["sample-coffee"], "sample-coffee"), (["val-5", "val-6"], "val-3"), (["<b>"], "val-3")],
)
def test_a_choice_becomes_the_image_and_an_invalid_one_does_not(run, monkeypatch, picks, shown):
    browser = Browser()
    monkeypatch.setattr(gallery, "image_gallery", browser)
    app = open_page("tokens", run="tiny", image="val-3")
    browser.event = {"seq": 4, "picks": picks}
    app.run().run()
    assert not app.exception
    assert app.text_input(key="image").value == shown
    assert browser.sent[-1]["current"]["id"] == shown
    assert browser.sent[-1]["seq"] == 4


def test_what_the_browser_asked_for_is_sent_once(run, monkeypatch):
    browser = Browser()
    monkeypatch.setattr(gallery, "image_gallery", browser)
    app = open_page("tokens", run="tiny", image="val-3")
    browser.event = {"seq": 1, "wants": {"lists": True, "sheet": ["val-0"]}}
    app.run().run().run()
    assert not app.exception
    assert [{"lists", "sheet"} <= set(one) for one in browser.sent].count(True) == 1


def test_the_steps_stay_among_images_of_one_kind(run):
    assert image_picker.next_image("val-29", run) == "val-0"
    assert image_picker.next_image("val-0", run, -1) == "val-29"
    names = [f"sample-{name}" for name in gallery.PHOTOGRAPHS]
    assert image_picker.next_image(names[-1], run) == names[0]
    first, second = (f"pic-{access.save_picture(Image.new('RGB', (9, 9), colour))}" for colour in ("red", "blue"))
    assert image_picker.next_image(first, run) == second
    assert image_picker.next_image(second, run) == first


def test_a_photograph_has_no_true_class_and_a_missing_one_is_named(trained):
    app = open_page("attention", run="tiny", image="sample-chelsea")
    said = " ".join(one.value for one in app.markdown)
    assert "Chelsea the cat" in said
    assert "true:" not in said
    app = open_page("attention", run="tiny", image="sample-nobody")
    assert "There is no sample photograph" in app.warning[0].value
    assert app.text_input(key="image").value == "val-0"


def test_thumbnails_of_large_images_are_small(run):
    (thumbnail,) = pictures(gallery.answer_to({"sheet": ["sample-astronaut"]}, run)["sheet"])
    assert thumbnail.shape == (thumbnails.SIDE, thumbnails.SIDE, 3)
