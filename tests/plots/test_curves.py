"""The curves of a training: smoothing, axes and lines."""

import numpy as np
import pytest

from vit import plots
from vit.plots.curves import OTHERS_MAX, POINTS_MAX, Plot, robust_top, smooth


def metrics(steps: int, epochs: int, **step_numbers: float) -> list[dict]:
    lines = [
        {"event": "step", "step": n, "loss": 2.0 - n / steps, "lr": 1e-3} | step_numbers for n in range(1, steps + 1)
    ]
    scores = {"train_loss": 1.0, "val_loss": 1.1, "train_accuracy": 0.5, "val_accuracy": 0.4}
    every = steps // epochs
    return lines + [{"event": "epoch", "epoch": n, "step": n * every, **scores} for n in range(1, epochs + 1)]


def line(plot: Plot, name: str):
    return next(one for one in plot.lines if one.name == name)


@pytest.mark.parametrize("weight", [0.0, 0.6, 0.99])
def test_smoothing_is_the_weighted_mean_of_all_values_so_far(weight):
    values = np.random.default_rng(0).normal(3, 1, 40).tolist()
    smoothed = smooth(values, weight)
    for t in range(len(values)):
        weights = np.array([weight ** (t - s) for s in range(t + 1)])
        assert smoothed[t] == pytest.approx(float(weights @ values[: t + 1] / weights.sum()))
    assert smooth([2.0] * 5, weight) == pytest.approx([2.0] * 5)  # no bias towards 0 at the start


def test_smoothing_comes_before_points_are_left_out():
    rising = [{"event": "step", "step": n, "loss": float(n % 2), "lr": 1.0} for n in range(1, 4001)]
    shown = line(plots.loss_curve(rising, smoothing=0.9), "Training, smoothed")
    assert len(shown.xs) <= POINTS_MAX
    expected = smooth([one["loss"] for one in rising], 0.9)
    np.testing.assert_allclose(shown.ys, [expected[step - 1] for step in shown.xs], rtol=1e-4)


def test_a_spike_does_not_squeeze_the_curve_and_the_start_stays_in_the_picture():
    falling = [2.3] * 10 + [0.2] * 990
    assert robust_top(falling, start=falling) == pytest.approx(2.3)
    spiked = [*falling, 1e6]
    assert robust_top(spiked, start=spiked) == pytest.approx(1.1 * 2.3)
    lines = [{"event": "step", "step": n, "loss": loss, "lr": 1.0} for n, loss in enumerate(spiked, start=1)]
    plot = plots.loss_curve(lines)
    assert plot.top < 3
    assert plot.above == 1  # the page says so
    high = [2.0, *[50.0] * 100]  # a training that diverges is seen to do so
    assert robust_top(high, start=high) == 50
    for nothing in ([], [0.0], [float("nan")]):
        assert robust_top(nothing) == 1


def test_a_curve_of_a_long_run_keeps_few_points_with_both_ends():
    for plot in (plots.loss_curve(metrics(20_000, 400)), plots.learning_rate_curve(metrics(20_000, 400))):
        steps = plot.lines[0].xs
        assert len(steps) <= POINTS_MAX
        assert (steps[0], steps[-1]) == (1, 20_000)
        assert steps == sorted(steps)


def test_accuracy_begins_at_the_first_step_and_validation_follows():
    plot = plots.accuracy_curve(metrics(30, 3, accuracy=0.25), smoothing=0.5)
    assert line(plot, "Training, each step").xs == line(plot, "Training, smoothed").xs == list(range(1, 31))
    assert line(plot, "Validation").xs == [10, 20, 30]
    assert plot.top == pytest.approx(0.44)
    older = plots.accuracy_curve(metrics(30, 3), smoothing=0.5)  # a run whose steps have no accuracy
    assert line(older, "Training, mean of the epoch").ys == [0.5] * 3


def test_other_runs_are_faint_lines_and_not_counted_as_outside():
    others = {f"run-{n}": metrics(30, 3) for n in range(OTHERS_MAX + 2)}
    plot = plots.loss_curve(metrics(30, 3), others=others)
    faint = [one for one in plot.lines if one.kind == "other"]
    assert [one.name for one in faint] == list(others)[:OTHERS_MAX]
    assert faint[0].ys == [1.1] * 3
    assert len({one.colour for one in plot.lines}) == 2 + OTHERS_MAX


def test_missing_measurements_are_left_out():
    epoch = {"event": "epoch", "epoch": 1, "step": 5, "train_loss": 1.0, "val_loss": None}
    assert not line(plots.loss_curve([epoch]), "Validation").xs
    for curve in (plots.loss_curve, plots.accuracy_curve, plots.learning_rate_curve, plots.neighbour_curve):
        plot = curve([])
        assert plot.top > 0
        assert not any(one.xs for one in plot.lines)
    lines = [{"event": "epoch", "epoch": 1, "step": 5, "teacher_entropy": 3.0, "divergence": 0.5}]
    assert [one.ys for one in plots.teacher_curve(lines).lines] == [[3.0], [0.5]]
