"""The small picture of a run: the map of its network on the first validation image."""

import numpy as np
import pytest

from tests.conftest import tiny_config
from vit import load_checkpoint, runs
from vit.config import ReferenceConfig
from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.evaluation import model_input
from vit.explain import capture
from vit.explain.run_thumbnail import run_thumbnail
from vit.pictures import overlays


@pytest.mark.parametrize("name", ["tiny", "tiny-mean"])
def test_it_shows_the_mean_attention_of_the_last_layer(several, name):
    run = runs.get_run(name)
    picture, phrase = run_thumbnail(run, 64)
    assert "attention of the last layer" in phrase
    model, info = load_checkpoint(run.path)
    view, *_ = scenes.draw(0, split="val", image_size=32, seed=run.config.data.seed)
    attention = capture(model, model_input(info, prepared_image(view))).attention[0, -1].numpy()
    row = attention[:, 0, 1:] if name == "tiny" else attention[:, 1:, 1:].mean(axis=1)
    heat = row.mean(axis=0).reshape(4, 4)
    expected = overlays.overlay(view, heat, top=float(heat.max()), side=64)
    assert np.abs(np.asarray(picture, int) - np.asarray(expected, int)).max() <= 1


def test_the_course_network_has_none(trained):
    run = runs.get_run("tiny")
    reference = ReferenceConfig(image_size=32, num_classes=5)
    runs.write_config(run.path, tiny_config().model_copy(update={"model": reference}))
    assert run_thumbnail(run, 64) is None
