"""The included runs: small, complete, and what they are included for."""

from dataclasses import replace

import numpy as np
import pytest

from vit import load_checkpoint, runs
from vit.data import load, scenes
from vit.data.files.images import prepared_image
from vit.evaluation import evaluate, model_input
from vit.explain import capture
from vit.explain.heads.object_overlap import object_overlap
from vit.paths import project_root
from vit.results.answers import stored_answers
from vit.runs.dependence import read_dependence
from vit.runs.example import object_cover, on_object, read_example
from vit.runs.folder import RESULTS

RUN = project_root() / "checkpoints" / runs.SHIPPED_RUN


@pytest.fixture
def shipped(home) -> runs.Run:
    return runs.get_run(RUN)


def test_they_are_finished_and_small_and_all_of_them_are_here():
    found = [runs.get_run(project_root() / "checkpoints" / name) for name in runs.SHIPPED_RUNS]
    own = [file for run in found for file in (run.path / RESULTS).glob("*") if file.name != "answers.npz"]
    assert sum(run.size_bytes for run in found) - sum(file.stat().st_size for file in own) <= 25_000_000
    for run in found:
        assert (run.state, run.status.validated) == ("finished", True)
        assert run.shipped
        assert run.picture
        assert len(run.snapshots) >= 4
        assert not (run.path / runs.LAST).exists()


def test_the_first_one_has_a_fine_grid_and_is_accurate(shipped):
    assert shipped.config.model.grid == 16
    assert shipped.best["val_accuracy"] >= 0.97


def test_its_answer_goes_through_its_attention(shipped):
    measured = read_dependence(shipped)
    assert measured is not None
    assert measured.images >= 500
    assert measured.without_heads <= 0.35
    assert measured.even_patterns <= 0.55
    assert measured.grey <= 0.5
    assert max(head.inside for layer in measured.layers for head in layer) >= 0.6


def test_its_example_is_of_these_weights_and_shows_an_object_that_its_heads_attend_to(shipped):
    example = read_example(shipped)
    assert example is not None, "run vit.explain.example.keep_example, as `make shipped-runs` does"
    model, info = load_checkpoint(RUN)
    pixels, mask, label = scenes.draw(example.image, split="val", image_size=64)
    record = capture(model, model_input(info, prepared_image(pixels)))
    attention = record.attention[0].numpy()
    assert (abs(example.attention - attention) <= attention.max(axis=-1, keepdims=True) / 510 + 1e-4).all()
    assert example.probabilities.argmax() == label
    inside = on_object(example.attention[:, :, 0], object_cover(mask, record.grid), record.prefix_tokens)
    assert inside.mean() >= 0.5
    assert mask.mean() <= 0.3


def test_it_still_classifies_the_images_that_the_program_draws(shipped):
    model, info = load_checkpoint(RUN)
    val = load(info.config.data.model_copy(update={"val_images": 200}), splits=("val",)).val
    assert evaluate(model, info, val).accuracy >= 0.95


def test_its_stored_answers_are_those_of_its_weights_to_the_images_that_the_program_draws(shipped):
    model, info = load_checkpoint(RUN)
    val = load(info.config.data, splits=("val",)).val
    stored = stored_answers(shipped, val).read()
    assert stored is not None
    assert stored.accuracy == shipped.best["val_accuracy"]
    few = slice(0, 64)
    found = evaluate(model, info, replace(val, images=val.images[few], labels=val.labels[few], masks=None))
    np.testing.assert_allclose(stored.probabilities[few], found.probabilities, atol=1e-4)


def test_the_run_without_labels_outlines_objects_better_than_the_one_with_labels():
    best = {}
    for name in runs.SHIPPED_RUNS:
        run = runs.get_run(project_root() / "checkpoints" / name)
        model, info = load_checkpoint(run.path)
        val = load(run.config.data.model_copy(update={"val_images": 40}), splits=("val",)).val
        best[run.config.training.learn_from] = object_overlap(model, info, val, 40).heads.max()
    assert best["dino"] >= best["labels"] + 0.1


def test_neighbours_tell_the_classes_in_the_run_without_labels():
    run = runs.get_run(project_root() / "checkpoints" / "scenes-dino")
    assert run.config.training.learn_from == "dino"
    assert run.best["val_accuracy"] >= 0.65
