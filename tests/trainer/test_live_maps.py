"""The attention that is recorded while a network trains."""

import numpy as np
import pytest
import torch

from tests.conftest import tiny_config
from tests.trainer.test_loop import DATA, config, interrupted, told
from tests.trainer.test_unlabelled import unlabelled
from vit import runs
from vit.config import CNNConfig, ViTConfig
from vit.data.batches import to_tensor
from vit.explain.recording import attention_arrays, capture, token_rows
from vit.networks import build_model
from vit.runs.folder import LIVE
from vit.runs.live_maps import LiveMaps, read_live_maps, write_live_maps
from vit.trainer import Epoch, Maps, Watch, fit, live_maps, watched_rows
from vit.trainer.checkpoint import Checkpoint


def always(rows=(0, 1)) -> Watch:
    """A watch that records after every step."""
    return Watch(rows, every=0, share=float("inf"))


def test_watching_changes_nothing_of_the_training_and_draws_no_random_numbers():
    settings = config({"dropout": 0.2, "drop_path": 0.2}, epochs=2, batch_size=12, resume_steps=3)
    plain, checkpoints = interrupted(settings)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    events, _ = interrupted(settings, watch=always())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sum(kind == "Maps" for kind, _ in events) == 10  # one a step
    assert [event for event in events if event[0] != "Maps"] == plain
    index, checkpoint = checkpoints[2]
    resumed = told(fit(settings, DATA, resume=checkpoint, watch=always()))
    assert [event for event in resumed if event[0] != "Maps"] == plain[index:]


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_the_recorded_maps_are_the_attention_of_the_weights_of_that_step(pool, monkeypatch):
    rows, last = watched_rows(DATA.splits()[1], tiny_config().model), None
    assert rows == (0, 1, 2, 3)  # the labels are 0 1 2 3 4 0 ...
    for stored_max in (10**9, 0):
        monkeypatch.setattr(live_maps, "STORED_MAX", stored_max)
        settings, model = config({"pool": pool}, epochs=1), None
        for event in fit(settings, DATA, watch=always(rows)):
            last = event.maps if isinstance(event, Maps) else last
            if isinstance(event, Epoch):
                model = event.checkpoint
        assert isinstance(model, Checkpoint)

        network = build_model(settings.model)
        network.load_state_dict({name[6:]: it for name, it in model.tensors.items() if name.startswith("model.")})
        images = to_tensor(
            list(DATA.splits()[1].images[:4].transpose(0, 2, 3, 1)), settings.data.mean, settings.data.std
        )
        record = capture(network.eval(), images)
        expected = attention_arrays(record, 2)
        assert last.step == 3
        np.testing.assert_array_equal(last.pixels[2], DATA.splits()[1].images[2].transpose(1, 2, 0))
        for token in (0, 5) if stored_max else (0,):
            right = token_rows(record, expected, token)
            top = right.max(axis=-1, keepdims=True)
            assert (np.abs(last.attention[2, :, :, token] - right) <= top / 510 + 1e-6).all()
    assert last.levels.shape[3] == 1  # of many weights only the summary token's are stored
    np.testing.assert_allclose(last.probabilities, record.logits.softmax(dim=-1), atol=1e-5)


def test_records_take_no_more_than_their_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(live_maps.time, "monotonic", lambda: now[0])
    watch, times = Watch((0,), every=5, share=0.02), []
    for step in range(1, 4000):
        now[0] += 0.1
        if watch.due(step):
            now[0] += 0.3  # so that 0.3 s are 2% only after 15 s
            times.append(now[0])
            watch.took(0.3, step)
    assert watch.spent <= 0.02 * now[0] + 0.3
    assert len(times) == pytest.approx(now[0] / 15, abs=2)
    cheap = Watch((0,), every=5, share=0.02)
    assert cheap.due(1)  # the first one at once
    cheap.took(0.001, 1)
    assert not cheap.due(2)
    now[0] += 1
    assert cheap.due(2, asked=True)  # a snapshot does not wait
    now[0] += 5
    assert cheap.due(2)
    assert not cheap.due(1, asked=True)  # that step has been recorded
    slow = Watch((0, 1, 2, 3), share=0.02)
    slow.took(0.3, 1)
    assert len(slow.rows) == 4  # the first record may have loaded a library
    slow.took(1, 2)  # with all four images the next one would come after half a minute
    assert slow.rows.tolist() == [0]
    assert slow.due(3, last=True)
    assert len(slow.rows) == 4  # so that the visitor can choose from all of them at the end
    slow.took(0.6, 3)
    for step in range(4, 12):
        slow.took(0.01, step)
    assert slow.rows.tolist() == [0, 1, 2, 3]
    cheap.took(9, 2)
    now[0] += 10
    assert not cheap.due(3)
    assert cheap.due(3, last=True)  # otherwise a short run would end with the maps of its first step


@pytest.mark.parametrize("learn_from", ["dino", "mae"])
def test_a_training_without_labels_is_watched_too(learn_from):
    events = list(fit(unlabelled(learn_from, epochs=1, batch_size=30), DATA, watch=always()))
    found = [event.maps for event in events if isinstance(event, Maps)]
    assert len(found) == 2
    assert found[-1].probabilities.shape == (2, 0)
    np.testing.assert_allclose(found[-1].attention[:, :, :, 0].sum(axis=-1), 1, atol=0.05)


def test_a_network_without_attention_or_with_too_much_of_it_is_not_watched():
    split = DATA.splits()[1]
    assert watched_rows(split, CNNConfig()) == ()
    large = ViTConfig(image_size=512, patch_size=8, depth=12, embed_dim=192, num_heads=12)
    assert watched_rows(split, large) == ()
    assert not Watch(()).due(1)
    assert not [event for event in fit(config(epochs=1), DATA, watch=Watch(())) if isinstance(event, Maps)]


def test_a_network_that_cannot_be_recorded_is_trained_all_the_same(monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Watch, "record", fail)
    events = list(fit(config(epochs=1), DATA, watch=always()))
    assert [type(event).__name__ for event in events] == ["Step", "Note", "Step", "Step", "Epoch", "Snapshot"]


def test_a_job_keeps_the_last_maps_and_a_new_start_removes_them(trained):
    run = runs.get_run("tiny")
    found = read_live_maps(run)
    assert isinstance(found, LiveMaps)
    assert found.step == run.status.step
    assert found.levels.shape == (4, 2, 2, 17, 17)
    assert found.spent <= found.seconds
    runs.start_over(run)
    assert not (run.path / LIVE).exists()


def test_a_damaged_file_is_as_good_as_none(trained):
    run = runs.get_run("tiny")
    found = read_live_maps(run)
    whole = (run.path / LIVE).read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        (run.path / LIVE).write_bytes(content)
        assert read_live_maps(run) is None
    for damage in ({"tops": found.tops * 100}, {"levels": found.levels[:1]}, {"pixels": found.pixels[0]}):
        write_live_maps(run.path, LiveMaps(**vars(found) | damage))
        assert read_live_maps(run) is None
