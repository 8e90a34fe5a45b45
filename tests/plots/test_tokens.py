"""Figures and pictures of tokens: check what they draw against the numbers."""

import numpy as np
import pytest
from PIL import Image

from vit import plots
from vit.pictures import token_tiles
from vit.pictures.colours import PALETTE, SIGNED

STATES = ["Embedding", "Layer 1", "Layer 2"]


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def test_lens_curves_name_the_shown_classes_and_gather_the_rest():
    probabilities = np.array([[0.5, 0.1, 0.1, 0.3], [0.2, 0.2, 0.5, 0.1], [0.1, 0.8, 0.05, 0.05]])
    figure = plots.lens_curves(probabilities, STATES, ["a", "<b>", "c", "d"], [0, 1], true=1)
    assert [trace.name for trace in figure.data] == ["a", "&lt;b&gt; (true)", "2 others"]
    assert list(figure.data[0].x) == STATES
    np.testing.assert_allclose(figure.data[1].y, probabilities[:, 1])
    np.testing.assert_allclose(figure.data[2].y, [0.4, 0.6, 0.1])
    assert list(figure.data[2].customdata) == ["d 30.0%", "c 50.0%", "c 5.0%"]
    assert figure.data[1].line.width > figure.data[0].line.width
    assert len({trace.line.color for trace in figure.data}) == 3


def test_without_other_classes_there_is_no_line_for_them():
    figure = plots.lens_curves(np.full((3, 2), 0.5), STATES, ["a", "b"], [0, 1])
    assert [trace.name for trace in figure.data] == ["a", "b"]


def test_norms_have_a_dot_for_each_patch_and_a_line_for_each_named_token():
    norms = np.arange(15, dtype=float).reshape(3, 5)
    names = plots.token_names((2, 2))
    dots, median, summary, chosen = plots.norm_spread(norms, STATES, names, 1, 3).data
    np.testing.assert_allclose(np.reshape(dots.y, (3, 4)), norms[:, 1:])
    assert list(dots.customdata[:4]) == names[1:]
    np.testing.assert_allclose(median.y, norms[:, 1:].mean(axis=1))
    assert (summary.name, list(summary.y)) == ("class token", [0, 5, 10])
    assert (chosen.name, list(chosen.y)) == ("patch r2 c1", [3, 8, 13])
    assert max(abs(np.reshape(dots.x, (3, 4)) - [[0], [1], [2]]).ravel()) < 0.5
    assert len(plots.norm_spread(norms, STATES, names, 1, 0).data) == 3


def test_class_tiles_show_the_class_colour_where_confident_and_the_grey_image_elsewhere():
    view = np.zeros((8, 8, 3), dtype=np.uint8)
    view[..., 0] = 200
    colours = [PALETTE["blue"], PALETTE["orange"]]
    tile = np.asarray(
        token_tiles.class_tile(view, np.array([[0, 1], [0, 1]]), np.array([[1, 1], [0, 0]]), colours, side=8)
    ).astype(int)
    for column, colour in ((0, "blue"), (7, "orange")):
        assert abs(tile[0, column] - rgb(PALETTE[colour])).max() < 50
        assert len(set(tile[7, column])) == 1


def test_signed_tiles_have_a_colour_for_each_sign_and_show_the_image_at_zero():
    view = np.full((6, 6, 3), 90, dtype=np.uint8)
    tile = np.asarray(token_tiles.signed_tile(view, np.array([[-2.0, 0.0, 2.0]]), top=2.0, side=6)).astype(int)
    assert abs(tile[0, 0] - rgb(SIGNED[0])).max() < 40
    assert (tile[0, 2] == 90).all()
    assert abs(tile[0, 5] - rgb(SIGNED[1])).max() < 40
    assert (np.asarray(token_tiles.signed_tile(view, np.zeros((1, 3)), top=0.0, side=6)) == 90).all()


def test_colour_tiles_are_the_colours():
    colours = np.array([[[0, 0.5, 1]], [[1, 0, 0]]])
    tile = np.asarray(token_tiles.colour_tile(colours, side=4))
    assert (tile[0, 0].tolist(), tile[3, 3].tolist()) == ([0, 128, 255], [255, 0, 0])


@pytest.mark.parametrize(("count", "columns", "rows"), [(3, 3, 1), (13, 7, 2)])
def test_a_sheet_holds_every_tile_in_rows(count, columns, rows):
    tiles = [Image.new("RGB", (10, 10), (index, 0, 0)) for index in range(1, count + 1)]
    pixels = np.asarray(token_tiles.tile_sheet(tiles, ["x"] * count))
    assert set(pixels[pixels[..., 3] == 255][:, 0]) >= set(range(1, count + 1))
    step = 10 + token_tiles.GAP
    assert pixels.shape[1] == columns * step - token_tiles.GAP
    assert pixels.shape[0] == rows * (step + token_tiles.LABEL) - token_tiles.GAP
    keyed = np.asarray(token_tiles.tile_sheet(tiles, ["x"] * count, legend=[("#123456", "a"), ("#abcdef", "b")]))
    assert (keyed[: len(pixels)] == pixels).all()
    for colour in ("#123456", "#abcdef"):
        assert (keyed[len(pixels) :, :, :3] == rgb(colour)).all(axis=-1).any()


def test_the_chosen_patch_is_outlined():
    tile = Image.new("RGB", (40, 40), "red")
    assert token_tiles.outlined(tile, (2, 2), 0) is tile
    pixels = np.asarray(token_tiles.outlined(tile, (2, 2), 2))
    assert (pixels[:20, :20] == (255, 0, 0)).all()
    assert (pixels[0, 20:] == 255).all()
    assert (pixels[20:] == (255, 0, 0)).all()
