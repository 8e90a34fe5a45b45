"""The pages about one class start with an image whose answer depends on its object."""

import pytest

from pages.ui.images import reactive
from tests.pages.opening import open_page
from vit import data, runs
from vit.explain.reaction import strongest_reaction
from vit.runs.weights import load_checkpoint


@pytest.mark.parametrize("page", ["relevance", "intervene", "faithfulness"])
def test_the_page_starts_with_the_image_that_reacts_most_and_a_link_overrides_it(trained, page):
    run = runs.find_run("tiny")
    model, info = load_checkpoint(run.path)
    found = strongest_reaction(model, info, data.load(run.config.data, splits=("val",)).val)
    app = open_page(page, run="tiny")
    assert app.text_input(key="image").value == f"val-{found.image}"
    (said,) = [one.value for one in app.caption if "The page starts with this image" in one.value]
    figures = f"{info.class_names[found.answer]} goes from {found.before:.1%} to {found.after:.1%}"
    assert figures in said
    assert "first 30 validation images" in said
    other = f"val-{(found.image + 1) % 30}"
    app = open_page(page, run="tiny", image=other)
    assert app.text_input(key="image").value == other
    assert not [one for one in app.caption if "The page starts with" in one.value]


def test_without_images_there_is_none(trained, monkeypatch):
    monkeypatch.setattr(reactive, "validation_split", lambda run: (_ for _ in ()).throw(data.DataError("gone")))
    assert reactive.first_image(runs.find_run("tiny")) is None
