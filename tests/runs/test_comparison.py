"""Runs side by side: their summaries, and the settings in which they differ."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.conftest import tiny_config
from vit import plots, runs
from vit.config import DEPARTURES, CNNConfig, ReferenceConfig, RunConfig, StartConfig, TrainingConfig, ViTConfig
from vit.networks import build_model
from vit.runs import comparison
from vit.runs.comparison import ABSENT, SEED, best_finished, differences, gap_sentence, settings, shown, summary


def changed(**training) -> RunConfig:
    config = tiny_config()
    return config.model_copy(update={"training": config.training.model_copy(update=training)})


def with_model(model) -> RunConfig:
    return tiny_config().model_copy(update={"model": model})


def test_comparing_imports_no_torch():
    code = "import sys, vit.runs.comparison; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_summary_has_the_kind_of_a_run_and_its_scores(trained):
    run = runs.find_run("tiny")
    found, best = summary(run), run.status.best
    assert (found.kind, found.heads, found.depth, found.mended, found.data) == (
        "Vision Transformer",
        2,
        2,
        None,
        "Scenes",
    )
    assert (found.val_accuracy, found.train_accuracy) == (best["val_accuracy"], best["train_accuracy"])
    assert found.parameters == sum(it.numel() for it in build_model(run.config.model).parameters())
    assert found.seconds == run.metrics()[0][-1]["seconds"]
    assert found.created.tzinfo


def test_a_run_that_was_never_validated_has_no_score(home):
    found = summary(runs.create("new", tiny_config()))
    assert (found.val_accuracy, found.train_accuracy, found.best_epoch, found.seconds) == (None, None, None, None)
    assert "not validated" in gap_sentence(found)


@pytest.mark.parametrize(
    ("model", "kind", "mended"),
    [
        (ReferenceConfig(image_size=32), "Course network", 0),
        (ReferenceConfig(image_size=32, mended=DEPARTURES[:3]), "Course network, mended", 3),
        (CNNConfig(image_size=32), "CNN", None),
        (CNNConfig(image_size=32, residual=True), "Residual CNN", None),
    ],
)
def test_a_summary_distinguishes_kinds_of_network_and_rungs(home, model, kind, mended):
    found = summary(runs.create("other", with_model(model)))
    assert (found.kind, found.mended) == (kind, mended)
    assert found.parameters == sum(it.numel() for it in build_model(model).parameters())


@pytest.mark.parametrize("model", [ViTConfig, ReferenceConfig, CNNConfig])
def test_no_two_settings_of_a_run_share_a_title(model):
    config = with_model(model(image_size=32)).model_copy(update={"start": StartConfig(run="other")})
    fields = [
        (section, field)
        for section in ("start", "model", "data", "training")
        for field in type(getattr(config, section)).model_fields
        if section != "model" or field not in comparison._IMPLIED
    ]
    assert len(settings(config)) == len(fields) + 1


def test_only_settings_that_differ_are_listed():
    found = differences([changed(lr=1e-3, drop_last=True), changed(lr=2e-3), changed(lr=2e-3)])
    assert found == {
        "Learning rate": ("0.001", "0.002", "0.002"),
        "Drop last batch": ("yes", "no", "no"),
    }
    assert differences([tiny_config(), tiny_config()]) == {}
    assert list(differences([changed(seed=0), changed(seed=1)])) == [SEED]


def test_a_setting_that_a_network_does_not_have_is_marked():
    found = differences([tiny_config(), with_model(CNNConfig(image_size=32))])
    assert found["Network"] == ("Vision Transformer", "CNN")
    assert found["Heads"] == ("2", ABSENT)
    assert "Epochs" not in found


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("Training images", None, "all"),
        ("CPU threads", None, "automatic"),
        ("Gradient clipping", 0.0, "none"),
        ("Mended departures", (), "none"),
        ("Mended departures", DEPARTURES[:2], "projection, softmax"),
        ("Mended departures", DEPARTURES, "all"),
        ("AdamW betas", (0.9, 0.999), "0.9, 0.999"),
        ("Patch size", 8, "8 pixels"),
        ("Pooling", "mean", "Mean of the patches"),
        ("Network", "reference-einsum", "Course network (einsum)"),
        ("Classes", tuple("abcdefghij"), "a, b, c, d, e, f, g, h and 2 more"),
        ("Data set", "scenes", "Scenes"),
        ("Kept weights", TrainingConfig().keep, "Best validation accuracy"),
    ],
)
def test_a_value_is_shown_as_text(setting, value, words):
    assert shown(setting, value) == words


@pytest.mark.parametrize(
    ("train", "words"),
    [(0.95, "it overfits:"), (0.75, "overfits slightly"), (0.7, "as well on new"), (0.5, "augmented and")],
)
def test_the_gap_is_explained_in_a_sentence(trained, train, words):
    run = replace(summary(runs.find_run("tiny")), val_accuracy=0.7, train_accuracy=train, best_epoch=3)
    assert words in gap_sentence(run)
    assert "augmented" not in gap_sentence(replace(run, augmented=False))
    assert "70.0% in validation at epoch 3" in gap_sentence(run)


def test_a_date_without_a_zone_can_be_sorted_among_others():
    assert comparison._date("2026-01-02T03:04:05") < comparison._date("2026-01-02T03:04:06+00:00")
    assert comparison._date("yesterday") is None


def epochs(count: int) -> list[dict]:
    line = {"event": "epoch", "train_loss": 1.0, "val_loss": 2.0, "train_accuracy": 0.75, "val_accuracy": 0.5}
    return [{"event": "step", "step": 1}] + [line | {"epoch": it, "seconds": 2.0 * it} for it in range(1, count + 1)]


def test_compared_curves_are_subsampled_and_keep_both_ends():
    found = plots.compared_curves({name: epochs(1000) for name in "abcdefg"})
    assert [plot.title for plot in found.plots] == ["Loss", "Accuracy", "Training minus validation accuracy"]
    for plot in found.plots:
        assert sum(len(line.xs) for line in plot.lines if line.kind == "named") <= plots.POINTS_MAX
        assert all((line.xs[0], line.xs[-1]) == (1, 1000) for line in plot.lines)
    assert (found.axis, found.end) == ("Epoch", 1000)


def test_training_is_dashed_validation_solid_and_the_gap_is_their_difference():
    loss, accuracy, gap = plots.compared_curves({"a": epochs(2), "b": epochs(1)}, x="seconds").plots
    assert [(line.name, line.kind, line.xs, line.ys) for line in accuracy.lines] == [
        ("a, training", "dashed", [2, 4], [0.75, 0.75]),
        ("a", "named", [2, 4], [0.5, 0.5]),
        ("b, training", "dashed", [2], [0.75]),
        ("b", "named", [2], [0.5]),
    ]
    assert [line.ys for line in loss.lines[:2]] == [[1.0, 1.0], [2.0, 2.0]]
    assert [line.ys for line in gap.lines] == [[0.25, 0.25], [0.25]]
    for plot in (loss, accuracy, gap):
        assert len({line.colour for line in plot.lines if line.name.startswith("a")}) == 1
        assert all(plot.bottom <= value <= plot.top for line in plot.lines for value in line.ys)
    assert len({line.colour for line in gap.lines}) == 2


def test_a_gap_below_zero_is_inside_its_plot_and_so_is_zero():
    lines = [line | {"train_accuracy": 0.3} for line in epochs(3)]
    gap = plots.compared_curves({"a": lines}).plots[-1]
    assert gap.lines[0].ys == pytest.approx([-0.2] * 3)
    assert gap.bottom < -0.2 < 0 < gap.top


def test_runs_without_a_training_accuracy_have_no_gap():
    lines = [{key: value for key, value in line.items() if key != "train_accuracy"} for line in epochs(3)]
    found = plots.compared_curves({"a": lines})
    assert [plot.title for plot in found.plots] == ["Loss", "Accuracy"]
    assert plots.compared_curves({}).end == 1


def test_compared_curves_are_smoothed_as_in_tensorboard():
    lines = epochs(3)
    for line, value in zip(lines[1:], (1.0, 2.0, 4.0), strict=True):
        line["val_loss"] = value
    smoothed = plots.compared_curves({"a": lines}, smoothing=0.5).plots[0].lines[1]
    assert smoothed.ys == pytest.approx([1.0, (0.5 * 1 + 2) / 1.5, (0.25 * 1 + 0.5 * 2 + 4) / 1.75])


def test_times_are_in_the_unit_that_gives_small_numbers():
    for seconds, title, last in ((30.0, "s", 30), (600.0, "min", 10), (9000.0, "h", 2.5)):
        found = plots.compared_curves({"a": [epochs(1)[1] | {"seconds": seconds}]}, x="seconds")
        assert found.axis == f"Training time ({title})"
        assert (found.end, found.plots[0].lines[0].xs) == (last, [last])


def scored(name: str, data: str, accuracy: float | None, state: str = "finished"):
    return SimpleNamespace(name=name, data=data, val_accuracy=accuracy, state=state)


def test_the_best_finished_runs_are_those_of_one_data_set():
    found = [
        scored("new", "Photos", 0.99),
        scored("a", "Scenes", 0.5),
        scored("training", "Scenes", 0.9, "running"),
        scored("b", "Scenes", 0.8),
        scored("unlabelled", "Scenes", None),
        scored("c", "Scenes", 0.6),
    ]
    assert best_finished(found, 2) == ["b", "c"]
    assert best_finished(found[:2], 2) == ["new"]
    assert best_finished(found[2:3], 2) == []


def test_the_scatter_shows_scored_runs_by_kind_and_names_are_no_markup(trained):
    run = replace(summary(runs.find_run("tiny")), name="<b>x</b>")
    others = [replace(run, kind="CNN", parameters=10**6), replace(run, val_accuracy=None), replace(run, seconds=None)]
    kinds = list(comparison.KINDS.values())
    by_parameters = plots.cost_scatter([run, *others], "parameters", kinds)
    assert [(trace.name, len(trace.x)) for trace in by_parameters.data] == [("Vision Transformer", 2), ("CNN", 1)]
    assert by_parameters.data[0].customdata[0][0] == "&lt;b&gt;x&lt;/b&gt;"
    low, high = by_parameters.layout.xaxis.range
    assert 10**low <= run.parameters
    assert 10**high >= 10**6
    by_seconds = plots.cost_scatter([run, *others], "seconds", kinds)
    assert [len(trace.x) for trace in by_seconds.data] == [1, 1]
    assert by_seconds.data[1].marker.color == by_parameters.data[1].marker.color
