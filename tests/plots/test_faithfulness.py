"""Figures of faithfulness: check what they draw against the numbers."""

import numpy as np

from vit.pictures.colours import PALETTE
from vit.plots.faithfulness import Comparison, Curve, advantage_forest, faithfulness_curves, image_curve

SHARES = np.linspace(0, 1, 11)


def curve(title: str, role: str, height: float) -> Curve:
    mean = np.linspace(1, height, 11)
    return Curve(title, role, mean, mean - 0.1, mean + 0.1)


def test_methods_are_coloured_and_controls_are_grey_and_dashed():
    figure = faithfulness_curves(
        [
            curve("One", "method", 0.1),
            curve("Two", "method", 0.2),
            curve("One, untrained", "untrained", 0.5),
            curve("Two, untrained", "untrained", 0.6),
            curve("Random order", "chance", 0.7),
        ],
        SHARES,
        "deletion",
    )
    one, two, *rest = figure.data
    assert one.line.color != two.line.color
    assert PALETTE["grey"] not in (one.line.color, two.line.color)
    assert {trace.line.color for trace in rest} == {PALETTE["grey"]}
    assert all(trace.line.dash for trace in rest)
    np.testing.assert_allclose(one.y, np.linspace(1, 0.1, 11))
    np.testing.assert_allclose(np.array(one.customdata)[:, 1], np.linspace(1.1, 0.2, 11))
    assert [trace.showlegend for trace in figure.data] == [True, True, True, False, True]
    assert "One, untrained" in rest[0].hovertemplate
    assert "covered" in figure.layout.xaxis.title.text
    assert "shown" in faithfulness_curves([], SHARES, "insertion").layout.xaxis.title.text


def test_each_method_has_its_own_line_style():
    figure = faithfulness_curves([curve(str(number), "method", 0.5) for number in range(8)], SHARES, "deletion")
    assert len({(trace.line.color, trace.line.dash, trace.marker.symbol) for trace in figure.data}) == 8


def test_a_comparison_is_sorted_by_its_interval():
    comparisons = [
        Comparison("Deletion", "Rollout", "Random order", 0.1, 0.05, 0.2),
        Comparison("Deletion", "Chefer", "Centred Gaussian", 0.1, -0.05, 0.2),
        Comparison("Insertion", "Rollout", "Random order", -0.1, -0.2, -0.01),
    ]
    figure = advantage_forest(comparisons)
    better, no_better, worse = figure.data
    ticks = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    assert list(ticks.values()) == ["<b>Deletion</b>", "Rollout", "Chefer", "<b>Insertion</b>", "Rollout"]
    for trace, comparison, place in ((better, 0, 1), (no_better, 1, 2), (worse, 2, 4)):
        expected = comparisons[comparison]
        assert list(trace.y) == [place]
        assert list(trace.x) == [expected.mean]
        np.testing.assert_allclose(trace.error_x.array, [expected.high - expected.mean])
        np.testing.assert_allclose(trace.error_x.arrayminus, [expected.mean - expected.low])
        assert trace.customdata[0][4] == expected.against
    assert better.name.startswith("better")
    assert figure.layout.xaxis.zeroline


def test_the_legend_names_every_state_even_without_a_point():
    figure = advantage_forest([Comparison("Deletion", "Rollout", "Random order", 0.1, 0.05, 0.2)])
    assert len(figure.data) == 3
    assert list(figure.data[2].x) == [None]


def test_the_curve_of_an_image_fills_the_area_under_it():
    trace = image_curve(SHARES, SHARES**2, "insertion").data[0]
    assert trace.fill == "tozeroy"
    np.testing.assert_allclose(trace.y, SHARES**2)
