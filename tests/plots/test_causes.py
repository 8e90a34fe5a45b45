"""Figures of causes: check what they draw against the numbers."""

import numpy as np
import pytest

from vit import plots


def test_each_bar_of_a_waterfall_begins_where_the_last_one_ends():
    values = np.array([1.0, -3.0, 0.5])
    figure = plots.waterfall(["embedding", "layer 1 <b>", "bias"], values, total="sum")
    (bar,) = figure.data
    assert list(bar.y) == ["embedding", "layer 1 &lt;b&gt;", "bias", "sum"]
    starts, lengths = np.array(bar.base), np.array(bar.x)
    assert lengths == pytest.approx([1, -3, 0.5, -1.5])
    assert starts[1:3] == pytest.approx((starts + lengths)[:2])
    assert starts[[0, 3]] == pytest.approx([0, 0])
    assert list(bar.text) == ["+1.00", "−3.00", "+0.50", "−1.50"]
    assert bar.marker.color[0] == bar.marker.color[2] != bar.marker.color[1]
    low, high = figure.layout.xaxis.range
    assert low < -2
    assert high > 1


def test_the_intervals_of_a_waterfall_are_error_bars():
    ends = np.array([[0.5, 1.5], [-4.0, -2.5]])
    (bar,) = plots.waterfall(["a", "b"], np.array([1.0, -3.0]), total="sum", intervals=ends).data
    assert list(bar.error_x.array) == pytest.approx([0.5, 0.5, 0])
    assert list(bar.error_x.arrayminus) == pytest.approx([0.5, 1.0, 0])
