"""Figures for notebooks: maps over the image, confusion matrix and curves; and the names of ``from vit import``."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import vit
from vit import plots
from vit.errors import RunError, SettingsError


def drawn(figure, x: float, y: float) -> float:
    """Return the value of the cell at a point of the figure."""
    heatmap = figure.data[0]
    column, row = (np.searchsorted(edges, at) - 1 for edges, at in ((heatmap.x, x), (heatmap.y, y)))
    return heatmap.z[row, column]


def test_a_grid_of_heads_has_each_value_at_its_patch():
    maps = np.random.default_rng(0).random((2, 3, 4, 5), dtype=np.float32)
    figure = plots.head_grid(maps, np.zeros((8, 10, 3), np.uint8))
    tiles = zip(figure.layout.images, np.ndindex(2, 3), strict=True)
    for tile, (layer, head) in tiles:
        for row, column in np.ndindex(4, 5):
            x, y = tile.x + (column + 0.5) / 5, tile.y + (row + 0.5) / 4
            assert drawn(figure, x, y) == maps[layer, head, row, column]
    assert np.isnan(drawn(figure, figure.layout.images[1].x - 0.01, 0.5))
    assert list(figure.layout.yaxis.ticktext) == ["Layer 1", "Layer 2"]
    assert "<b>Layer 2, Head 3</b><br>patch r4 c5" in figure.data[0].customdata[-1][-1]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1] == 0, "the first layer is at the top"


def test_maps_side_by_side_have_their_own_scale_and_signed_maps_are_transparent_at_zero():
    figure = plots.map_row({"<b>": np.array([[0.0, 2.0]]), "b": np.array([[-8.0, 4.0]])}, signed=True)
    assert [value for value in figure.data[0].z[0] if not np.isnan(value)] == [0, 1, -1, 0.5]
    assert list(figure.layout.xaxis.ticktext) == ["&lt;b&gt;", "b"]
    scale = dict(figure.data[0].colorscale)
    assert scale[0.5].endswith(",0.000)")
    assert (figure.data[0].zmin, figure.data[0].zmax) == (-1, 1)


def test_a_map_of_zeros_is_drawn():
    assert not np.nan_to_num(plots.map_row({"nothing": np.zeros((2, 2))}).data[0].z).any()
    assert plots.head_grid(np.zeros((1, 1, 2, 2), np.float32)).data[0].zmax > 0


def test_the_confusion_matrix_shows_counts_in_the_colour_of_their_share_of_the_row():
    heatmap = plots.confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "<b>"]).data[0]
    assert heatmap.z.tolist() == [[0.75, 0.25], [0, 0]]
    assert [list(row) for row in heatmap.text] == [[3, 1], [0, 0]]
    assert list(heatmap.customdata[0][1]) == ["a", "&lt;b&gt;", 1]


def test_training_curves_take_the_epochs_of_the_metrics():
    lines = [{"event": "step", "loss": 9.0}] + [
        {
            "event": "epoch",
            "epoch": n,
            "train_loss": 1 / n,
            "val_loss": None,
            "train_accuracy": 0.5,
            "val_accuracy": 0.25,
        }
        for n in (1, 2)
    ]
    figure = plots.training_curves(lines)
    assert [list(trace.y) for trace in figure.data] == [[1.0, 0.5], [None, None], [0.5, 0.5], [0.25, 0.25]]
    assert all(list(trace.x) == [1, 2] for trace in figure.data)


def test_every_public_name_exists_and_the_import_stays_light():
    heavy = "{'torch', 'numpy', 'pydantic', 'plotly'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", f"import sys, vit; sys.exit(bool({heavy}))"]).returncode == 0
    assert all(getattr(vit, name) is not None for name in vit.__all__)
    assert {name for name in vars(vit) if name.startswith("load")} <= set(vit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vit.nothing


def test_configure_accepts_the_names_of_the_flags():
    config = vit.configure(num_heads=2, image_size=32, depth=3, mended=None, epochs=1)
    assert (config.model.num_heads, config.model.embed_dim, config.model.depth) == (2, 64, 3)
    assert config.data.class_names == ("airplane", "bus", "cat", "dog", "pizza")
    with pytest.raises(SettingsError, match="'heads' is not a setting"):
        vit.configure(heads=2)
    with pytest.raises(SettingsError, match="model = 'resnet' is unknown"):
        vit.configure(model="resnet")


def test_a_training_in_a_script_prints_each_epoch_and_writes_a_run(home, capsys):
    settings = {"num_heads": 2, "embed_dim": 16, "image_size": 32, "stem": "patch", "epochs": 2, "batch_size": 20}
    run = vit.train(vit.configure(**settings, train_images=60, val_images=30), "mine")
    assert capsys.readouterr().out.startswith("epoch 1 of 2: loss ")
    assert (run.name, run.state) == ("mine", "finished")
    with pytest.raises(RunError, match="mine"):
        vit.train(run.config, "mine", quiet=True)


def test_a_picture_may_be_a_path_an_image_or_an_array(trained, tmp_path):
    model, info = vit.load_checkpoint("tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "it.png")
    pictures = [tmp_path / "it.png", str(tmp_path / "it.png"), Image.fromarray(pixels), pixels]
    images = vit.model_input(info, *pictures)
    assert images.shape == (4, 3, 32, 32)
    assert all(bool((image == images[0]).all()) for image in images)
    probabilities = vit.predict(model, info, pictures)
    np.testing.assert_allclose(probabilities, np.broadcast_to(probabilities[0], probabilities.shape), atol=1e-6)
    grey = vit.model_input(info, Image.fromarray(pixels).convert("L"))
    assert grey.shape == (1, 3, 32, 32)
