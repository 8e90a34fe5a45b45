"""Figures of heads and layers: check what they draw against the numbers."""

import numpy as np
import pytest

from vit import plots


def points(figure) -> dict:
    """Return the value of each head, from all traces except the ring."""
    return {
        told[0]: y for trace in figure.data if trace.name for y, told in zip(trace.y, trace.customdata, strict=True)
    }


@pytest.fixture
def figure():
    names = np.array([["local", "sink", "local"], ["global", "content", "mixed"]])
    return plots.heads_by_depth(
        np.arange(6.0).reshape(2, 3),
        names,
        quantity="Distance",
        reference=("even", 7.0),
        chosen=(1, 0),
        hover={at: f"told {at}" for at in np.ndindex(2, 3)},
    )


def test_every_head_is_a_point_beside_the_others_of_its_layer(figure):
    assert points(figure) == {f"layer {n // 3 + 1}, head {n % 3 + 1}": n for n in range(6)}
    places = sorted(x for trace in figure.data if trace.name for x in trace.x)
    assert len(set(places)) == 6
    assert all(0.7 < x < 1.3 for x in places[:3])
    assert all(1.7 < x < 2.3 for x in places[3:])
    assert {trace.name for trace in figure.data if trace.name} == {"local", "sink", "global", "content", "mixed"}


def test_the_reference_is_on_the_figure_and_the_chosen_head_has_a_ring(figure):
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 7
    assert figure.layout.yaxis.range[1] > 7
    ring = figure.data[0]
    assert (ring.marker.symbol, list(ring.y)) == ("circle-open", [3])
    assert 1.5 < ring.x[0] < 2


def test_each_name_has_its_own_colour_and_symbol(figure):
    shown = [trace for trace in figure.data if trace.name]
    assert len({trace.marker.color for trace in shown}) == len({trace.marker.symbol for trace in shown}) == len(shown)


def test_a_small_similarity_has_its_numbers_written_in_and_a_missing_one_is_empty():
    values = np.array([[1.0, np.nan], [0.25, 0.5], [0.0, -0.01]])
    heatmap = plots.layer_similarity(values, ["a", "b", "c"], ["<x>", "y"], titles=("down", "across")).data[0]
    assert [list(row) for row in heatmap.text] == [["1.00", ""], ["0.25", "0.50"], ["0.00", "-0.01"]]
    assert heatmap.z[0][1] is None or np.isnan(heatmap.z[0][1])
    assert list(heatmap.customdata[1][0]) == ["b", "&lt;x&gt;", "0.250"]
    assert (heatmap.zmin, heatmap.zmax) == (0, 1)


def test_a_large_similarity_has_few_ticks_and_no_numbers():
    names = [f"stage {n}" for n in range(49)]
    figure = plots.layer_similarity(np.eye(49), names, names, titles=("a", "b"))
    assert figure.data[0].texttemplate is None
    assert len(figure.layout.xaxis.tickvals) <= 18
