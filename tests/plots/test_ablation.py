"""Figures of interventions: check what they draw against the numbers."""

import numpy as np

from vit import plots
from vit.plots.ablation import CELL, MARGIN


def test_probabilities_are_drawn_in_pairs_with_their_change():
    figure = plots.probability_change(["a", "b", "c"], [0.1, 0.7, 0.2], [0.5, 0.3004, 0.2], top=2)
    before, after = figure.data
    assert list(before.customdata) == list(after.customdata) == ["b", "a"]
    assert (list(before.x), list(after.x)) == ([0.7, 0.1], [0.3004, 0.5])
    assert list(before.text) == ["70.0%", "10.0%"]
    assert list(after.text) == ["30.0% (−40.0)", "50.0% (+40.0)"]
    same = plots.probability_change(["a", "b"], [0.4, 0.6], [0.4, 0.6]).data[1]
    assert list(same.text) == ["60.0%", "40.0%"]


def test_a_class_that_becomes_likely_is_shown():
    before = np.array([0.5, 0.2, 0.1, 0.1, 0.06, 0.04, 0.0])
    after = np.array([0.02, 0.02, 0.02, 0.02, 0.01, 0.01, 0.9])
    names = plots.probability_change(list("abcdefg"), before, after).data[0].customdata
    assert list(names) == ["a", "b", "c", "d", "e", "g"]


def test_class_names_with_markup_are_escaped():
    figure = plots.probability_change(["<b>cat</b>", "a & b"], [0.7, 0.3], [0.3, 0.7])
    assert list(figure.data[0].customdata) == ["&lt;b&gt;cat&lt;/b&gt;", "a &amp; b"]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;cat&lt;/b&gt;", "a &amp; b"]


def test_a_pruning_curve_has_a_line_a_ranking_and_the_range_of_random_orders():
    random = np.array([[1.0, 0.8, 0.2], [1.0, 0.4, 0.2]])
    figure = plots.pruning_curve(
        [0, 1, 2],
        {"loss": np.array([1.0, 0.9, 0.2]), "gradient": np.array([1.0, 0.7, 0.2])},
        random,
        titles={"loss": "loss gained", "gradient": "gradient"},
        errors={"loss": np.zeros(3), "gradient": np.zeros(3)},
        quantity="Accuracy on 20 images",
        share=True,
    )
    low, high, mean, loss, gradient = figure.data
    assert (list(low.y), list(high.y)) == ([1.0, 0.4, 0.2], [1.0, 0.8, 0.2])
    np.testing.assert_allclose(mean.y, [1.0, 0.6, 0.2])
    assert (loss.name, gradient.name) == ("By loss gained", "By gradient")
    assert list(loss.y) == [1.0, 0.9, 0.2]
    assert figure.layout.yaxis.title.text == "Accuracy on 20 images"


def test_a_sheet_of_heads_is_coloured_by_sign_and_size():
    sheet = plots.head_sheet([["+1", "−1"], ["0", "+1"]], np.array([[1.0, -1.0], [0.0, 0.5]]))

    def corner(layer: int, head: int) -> tuple[int, ...]:
        return sheet.getpixel((MARGIN + head * (CELL + 4) + 4, MARGIN // 2 + layer * (CELL + 4) + 4))

    assert corner(0, 0) == (0xD5, 0x5E, 0x00)
    assert corner(0, 1) == (0x00, 0x72, 0xB2)
    assert corner(1, 0) == (255, 255, 255)
    assert corner(1, 1)[2] in (127, 128)
