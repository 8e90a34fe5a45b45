"""Figures of a time-lapse: check what they draw against the numbers."""

import numpy as np
import pytest

from vit import plots
from vit.plots.timelapse import LINES_MAX

EPOCHS = (0, 4, 8)


def test_each_head_has_a_line_in_the_colour_of_its_layer():
    values = np.arange(3 * 12 * 2).reshape(3, 12, 2)
    lines = plots.head_lines(values, EPOCHS, 4, quantity="Distance (pixels)", reference=("Even", 9.0)).data
    assert len(lines) == 25
    assert list(lines[5].y) == values[:, 2, 1].tolist()
    assert "layer 3, head 2" in lines[5].hovertemplate
    colours = [line.line.color for line in lines[:-1]]
    assert colours[::2] == colours[1::2]
    assert len({line.name for line in lines if line.showlegend is not False}) == 13
    assert (list(lines[-1].x), list(lines[-1].y)) == ([0, 8], [9.0, 9.0])


@pytest.mark.parametrize("depth", [1, 2, 6, 7, 12])
def test_neighbouring_layers_can_be_told_apart(depth):
    values = np.zeros((3, depth, 1))
    lines = plots.head_lines(values, EPOCHS, 0, quantity="Entropy", reference=("Even", 1.0)).data[:-1]
    colours = [line.line.color for line in lines]
    assert len(set(colours)) >= min(depth, 7)


def test_with_many_classes_only_the_most_probable_and_the_chosen_one_have_a_line():
    probabilities = np.full((3, 20), 0.01)
    probabilities[1, 3], probabilities[2, 17] = 0.5, 0.4
    figure = plots.class_lines(probabilities, EPOCHS, 8, [f"class {index}" for index in range(20)], 11)
    names = [line.name for line in figure.data]
    assert len(names) == LINES_MAX
    assert {"class 3", "class 11", "class 17"} <= set(names)
    assert [line.name for line in figure.data if line.line.width > 2] == ["class 11"]
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 8


def test_class_names_with_markup_are_escaped():
    figure = plots.class_lines(np.full((3, 2), 0.5), EPOCHS, 0, ["<b>cat</b>", "%{x}"], 0)
    shown = ["&lt;b&gt;cat&lt;/b&gt;", "&#37;{x}"]
    assert [line.name for line in figure.data] == shown
    assert [line.hovertemplate.partition("<br>")[0] for line in figure.data] == shown


def test_accuracies_match_the_history_and_have_a_dot_at_each_frame():
    history = {
        epoch: {"train_accuracy": epoch / 10, "val_accuracy": None if epoch == 2 else 0.5} for epoch in (1, 2, 4)
    }
    training, validation = plots.accuracy_lines(history, EPOCHS, 4).data
    assert (list(training.x), list(training.y)) == ([1, 2, 4], [0.1, 0.2, 0.4])
    assert list(validation.x) == [1, 4]
    assert list(training.marker.size) == [0, 0, 8]


def test_the_lens_has_one_row_per_stage_and_one_column_per_epoch_and_frames_the_chosen_epoch():
    lens = np.array([[0.1, 0.2], [0.3, 0.9], [0.5, 0.6]])
    figure = plots.lens_heatmap(lens, EPOCHS, 8, "dog")
    np.testing.assert_array_equal(figure.data[0].z, lens.T)
    assert list(figure.data[0].y) == ["Before layer 1", "After layer 1"]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (1.5, 2.5)
    written = {(note.x, note.y): (note.text, note.font.color) for note in figure.layout.annotations}
    assert written[1, 1] == ("90%", "#000000")
    assert written[0, 0] == ("10%", "#FFFFFF")


def test_a_lens_of_many_epochs_is_not_crowded_with_numbers():
    assert not plots.lens_heatmap(np.zeros((20, 13)), range(20), 0, "dog").layout.annotations
