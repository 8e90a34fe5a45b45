"""Scores, compared with torchmetrics, and predictions."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional import classification as metrics

from vit import load_checkpoint
from vit.data import load
from vit.evaluation import Evaluation, evaluate, model_view, predict

NAMES = tuple("abcd")


@pytest.fixture
def evaluation() -> Evaluation:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 500)  # the fourth class has no images
    logits = random.normal(size=(500, 4)) + 1.5 * np.eye(4)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Evaluation(NAMES, labels, probabilities.astype(np.float32), loss=1.0)


def test_scores_are_those_of_torchmetrics(evaluation):
    said, labels = torch.from_numpy(evaluation.probabilities), torch.from_numpy(evaluation.labels)
    matrix = metrics.multiclass_confusion_matrix(said, labels, num_classes=4)
    np.testing.assert_array_equal(evaluation.confusion_matrix, matrix)
    for name, function in {
        "precision": metrics.multiclass_precision,
        "recall": metrics.multiclass_recall,
        "f1": metrics.multiclass_f1_score,
    }.items():
        expected = function(said, labels, num_classes=4, average="none").numpy()
        assert [row[name] for row in evaluation.per_class] == pytest.approx(expected.tolist(), abs=1e-6)
    expected = metrics.multiclass_calibration_error(said, labels, num_classes=4, n_bins=15).item()
    assert evaluation.calibration(15).ece == pytest.approx(expected, abs=1e-6)
    assert evaluation.accuracy == pytest.approx(np.trace(evaluation.confusion_matrix) / 500)


def test_a_class_without_images_scores_zero_not_nan(evaluation):
    assert evaluation.per_class[3]["support"] == 0
    assert evaluation.per_class[3]["recall"] == 0
    assert "NaN" not in json.dumps(evaluation.to_dict())


def test_a_cell_lists_its_images_most_confident_first(evaluation):
    cell = evaluation.cell(0, 1)
    assert len(cell) == evaluation.confusion_matrix[0, 1] > 1
    assert (evaluation.labels[cell] == 0).all()
    assert (evaluation.predictions[cell] == 1).all()
    assert (np.diff(evaluation.confidence[cell]) <= 0).all()


def test_evaluating_a_run_agrees_with_what_training_measured_and_with_single_predictions(trained):
    model, info = load_checkpoint("tiny")
    val = load(info.config.data, splits=("val",)).val
    seen = []
    evaluation = evaluate(model, info, val, progress=lambda done, total: seen.append((done, total)))
    assert evaluation.accuracy == pytest.approx(info.metrics["val_accuracy"])
    assert evaluation.loss == pytest.approx(info.metrics["val_loss"], rel=1e-4)
    assert seen[-1] == (30, 30)
    picture = np.ascontiguousarray(val.images[3].transpose(1, 2, 0))
    np.testing.assert_allclose(predict(model, info, [picture])[0], evaluation.probabilities[3], atol=1e-5)


def test_pictures_of_any_size_are_resized_for_the_model(trained):
    model, info = load_checkpoint("tiny")
    pictures = [Image.new("RGB", size, "red") for size in ((500, 40), (7, 9), (32, 32))]
    assert all(model_view(info, picture).shape == (32, 32, 3) for picture in pictures)
    probabilities = predict(model, info, pictures)
    assert probabilities.shape == (3, 5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities[0], probabilities[2], atol=1e-5)
