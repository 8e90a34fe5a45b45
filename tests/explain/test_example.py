"""The scene that is chosen for Overview."""

import numpy as np
import pytest

from vit import load_checkpoint, runs
from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.evaluation import model_input
from vit.explain import capture
from vit.explain.example import choose_example


@pytest.mark.parametrize(("name", "pool"), [("tiny", "cls"), ("tiny-mean", "mean")])
def test_it_is_the_right_answer_with_most_attention_on_the_object_beyond_its_area(several, name, pool):
    model, info = load_checkpoint(runs.get_run(name).path)
    assert model.config.pool == pool
    count, scores, maps = 12, [], []
    for index in range(count):
        pixels, mask, label = scenes.draw(index, split="val", image_size=32, seed=info.config.data.seed)
        record = capture(model, model_input(info, prepared_image(pixels)))
        maps.append(record.attention[0].numpy())
        rows = maps[-1][:, :, :1] if pool == "cls" else maps[-1][:, :, record.prefix_tokens :]
        row = rows.mean(axis=2)[..., record.prefix_tokens :]
        cover = mask.reshape(4, 8, 4, 8).mean(axis=(1, 3)).ravel()
        share = (row * cover).sum(axis=-1) / row.sum(axis=-1)
        right = int(record.logits[0].argmax()) == label
        scores.append((right, share.mean() - mask.mean()))
    best = max(range(count), key=lambda index: scores[index])
    example = choose_example(model, info, count=count)
    assert example.image == best
    tolerance = maps[best].max(axis=-1, keepdims=True) / 510 + 1e-6
    assert (np.abs(example.attention - maps[best]) <= tolerance).all()
    assert example.probabilities.sum() == pytest.approx(1, abs=1e-5)
