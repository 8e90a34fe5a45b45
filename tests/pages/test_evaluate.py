"""Evaluate: the confusion matrix and the images behind it."""

import shutil

import pytest

from tests.pages.opening import open_page
from vit import data, runs
from vit.evaluation import evaluate
from vit.runs import weights


@pytest.fixture
def result(trained):
    """Return the evaluation that the page should show."""
    run = runs.find_run("tiny")
    model, info = weights.load_checkpoint(run.path)
    return evaluate(model, info, data.load(run.config.data, splits=("val",)).val)


def test_the_page_shows_the_scores_of_the_validation_images(result):
    app = open_page("evaluate")
    assert app.metric[0].value == f"{result.accuracy:.1%}"
    assert app.metric[0].value == f"{runs.find_run('tiny').best['val_accuracy']:.1%}"
    table = app.dataframe[0].value
    assert list(table["Class"]) == list(result.class_names)
    assert list(table["Recall"]) == pytest.approx([100 * row["recall"] for row in result.per_class])


def test_the_most_frequent_mistake_is_selected_first(result):
    app = open_page("evaluate")
    names = result.class_names
    true, predicted = names.index(app.selectbox(key="true").value), names.index(app.selectbox(key="predicted").value)
    errors = result.confusion_matrix.copy()
    errors[range(len(names)), range(len(names))] = 0
    assert errors[true, predicted] == errors.max()


def test_choosing_a_cell_shows_its_images_with_links_to_attention(result):
    app = open_page("evaluate", true="cat", predicted="cat")
    for true, predicted in (("cat", "cat"), ("dog", "bus")):
        app.selectbox(key="true").set_value(true)
        app.selectbox(key="predicted").set_value(predicted).run()
        assert not app.exception
        cell = result.cell(result.class_names.index(true), result.class_names.index(predicted))
        links = [link for link in app.main.get("page_link") if link.value == "Attention"]
        assert len(links) == len(cell) == len(app.image)
        assert any(f"{len(cell)} image" in text.value for text in app.markdown)


def test_a_link_reproduces_the_view(several):
    app = open_page("evaluate", run="tiny-mean", true="dog", predicted="pizza", numbers="Share of the row")
    assert app.selectbox(key="run").value == "tiny-mean"
    assert app.selectbox(key="true").value == "dog"
    assert next(it for it in app.get("segmented_control") if it.key == "numbers").value == "Share of the row"


def test_weights_without_a_validation_get_a_warning(trained):
    run = runs.find_run("tiny")
    runs.update_status(run.path, state="stopped", validated=False, best=None)
    assert "stopped before its first validation" in open_page("evaluate").warning[0].value


def test_a_missing_data_set_shows_an_error(trained, photo_zip, tmp_path):
    copy = tmp_path / "gone.zip"
    shutil.copy(photo_zip, copy)
    run = runs.find_run("tiny")
    source = run.config.data.model_copy(update={"source": str(copy), "class_names": ()})
    runs.write_config(run.path, run.config.model_copy(update={"data": source}))
    copy.unlink()
    app = open_page("evaluate")
    assert len(app.error) == 1


def test_training_images_can_be_evaluated_and_few_images_are_told(trained):
    run = runs.find_run("tiny")
    model, info = weights.load_checkpoint(run.path)
    app = open_page("evaluate")
    assert "These are only 30 images" in app.warning[0].value
    assert any("too few to say" in text.value for text in app.markdown)
    assert any("95 % intervals" in text.value for text in app.caption)
    app = open_page("evaluate", split="train")
    expected = evaluate(model, info, data.load(run.config.data).train)
    assert app.metric[0].value == f"{expected.accuracy:.1%}"
    assert not [link for link in app.main.get("page_link") if link.value == "Attention"]
    assert any("trained on these images" in text.value for text in app.caption)
