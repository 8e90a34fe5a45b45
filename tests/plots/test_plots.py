"""Figures: check what they draw against the numbers."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vit import plots
from vit.plots.base import figure


def test_plots_import_neither_torch_nor_streamlit():
    code = "import sys, vit.plots; sys.exit(bool({'torch', 'streamlit'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_probability_bars_are_sorted_labelled_and_limited():
    bars = plots.probability_bars(["a", "b", "c", "d"], [0.1, 0.55, 0.05, 0.3], top=3).data[0]
    assert list(bars.customdata) == ["b", "d", "a"]
    assert list(bars.text) == ["55.0%", "30.0%", "10.0%"]
    assert list(bars.x) == [0.55, 0.3, 0.1]


def test_class_names_with_markup_are_escaped():
    figure = plots.probability_bars(["<b>cat</b>", "a & b"], [0.7, 0.3])
    assert list(figure.data[0].customdata) == ["&lt;b&gt;cat&lt;/b&gt;", "a &amp; b"]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;cat&lt;/b&gt;", "a &amp; b"]


def test_tokens_are_named_row_by_row_after_the_prefix():
    assert plots.token_names((2, 3))[:5] == ["class token", "patch r1 c1", "patch r1 c2", "patch r1 c3", "patch r2 c1"]
    assert plots.token_names((1, 1), ()) == ["patch r1 c1"]
    assert plots.token_names((1, 1), ("class token", "register 1"))[1:] == ["register 1", "patch r1 c1"]


def test_the_attention_matrix_names_query_and_key_on_hover():
    matrix = np.arange(25, dtype=np.float32).reshape(5, 5) / 300
    heatmap = plots.attention_matrix(matrix, (2, 2)).data[0]
    assert heatmap.x[2] == heatmap.y[2] == "patch r1 c2"
    assert "query: %{y}" in heatmap.hovertemplate
    assert "key: %{x}" in heatmap.hovertemplate
    np.testing.assert_array_equal(heatmap.z, matrix)


def test_a_single_large_value_does_not_darken_the_matrix():
    matrix = np.full((17, 17), 0.05, dtype=np.float32)
    matrix[3, 4] = 0.9
    assert plots.attention_matrix(matrix, (4, 4)).data[0].zmax == pytest.approx(0.05)


@pytest.mark.parametrize("matrix", [np.zeros((5, 5)), np.eye(5) * 0.7])
def test_an_attention_matrix_of_zeros_or_spikes_still_has_a_scale(matrix):
    assert plots.attention_matrix(matrix, (2, 2)).data[0].zmax > 0


@pytest.mark.parametrize("side", [1, 2, 8, 14, 32])
def test_matrix_ticks_are_few_and_name_tokens_of_the_matrix(side):
    axis = plots.attention_matrix(np.full((side**2 + 1,) * 2, 0.1), (side, side)).layout.xaxis
    assert axis.ticktext[0] == "cls"
    assert len(axis.tickvals) <= 17
    assert set(axis.tickvals) <= set(plots.token_names((side, side)))


def test_reliability_leaves_empty_bins_out():
    calibration = SimpleNamespace(
        edges=np.linspace(0, 1, 5),
        confidence=np.array([np.nan, 0.4, np.nan, 0.9]),
        accuracy=np.array([np.nan, 0.5, np.nan, 0.8]),
        count=np.array([0, 10, 0, 30]),
        ece=0.1,
    )
    bars = plots.reliability(calibration).data[0]
    assert list(bars.x) == pytest.approx([0.375, 0.875])
    assert list(bars.y) == [0.5, 0.8]
    assert list(bars.marker.opacity) == [0.5, 1]
    assert [list(row) for row in bars.customdata] == [[0.4, 10], [0.9, 30]]


def metrics(steps: int, epochs: int) -> list[dict]:
    lines = [{"event": "step", "step": n, "loss": 2.0 - n / steps, "lr": 1e-3} for n in range(1, steps + 1)]
    every = steps // epochs
    scores = {"train_loss": 1.0, "val_loss": 1.1, "train_accuracy": 0.5, "val_accuracy": 0.4}
    return lines + [{"event": "epoch", "epoch": n, "step": n * every, **scores} for n in range(1, epochs + 1)]


def test_labels_of_an_axis_stay_while_the_margins_are_unknown():
    drawn = figure([], xaxis={"title": {"text": "Seconds"}}, yaxis2={"ticklabeloverflow": "hide past div"})
    assert drawn.layout.xaxis.ticklabeloverflow == "allow"
    assert drawn.layout.yaxis2.ticklabeloverflow == "hide past div"
