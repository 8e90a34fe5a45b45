"""The training loop as a stream of events."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.conftest import tiny_config
from vit import networks
from vit.config import NO_AUGMENTATION, RECIPES, ReferenceConfig, RunConfig, TrainingConfig
from vit.data import ImageData, Split
from vit.data.batches import Batches
from vit.trainer import (
    Checkpoint,
    Epoch,
    Snapshot,
    Step,
    TrainingFailed,
    fit,
    learning_rate,
    loop,
    snapshot_epochs,
)
from vit.trainer.optimizer import AdamW


def split(count: int, seed: int) -> Split:
    """Noise in which a bright stripe tells the class by its place."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 5
    images = random.integers(0, 120, (count, 3, 32, 32), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 6 * label : 6 * label + 6] += 130
    return Split(images, labels.astype(np.int64), None, ("",) * count)


DATA = ImageData("stripes", tuple("abcde"), 32, split(60, 0), split(25, 1))


def config(model: dict | None = None, **training) -> RunConfig:
    base = tiny_config(**(model or {}))
    recipe = {"epochs": 3, "batch_size": 20, "device": "cpu", "threads": 1} | training
    return base.model_copy(update={"training": TrainingConfig(**recipe)})


def losses(events: list) -> list[float]:
    return [event.loss for event in events if isinstance(event, Step)]


def test_events_come_in_order_and_count_every_step():
    events = list(fit(config(), DATA))
    assert [type(event).__name__ for event in events] == ["Step", "Step", "Step", "Epoch", "Snapshot"] * 3
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 10))
    assert [event.step for event in events if isinstance(event, Epoch)] == [3, 6, 9]


def test_the_default_recipe_learns_a_task_that_needs_the_positions():
    events = list(fit(config(epochs=25, **NO_AUGMENTATION), DATA))
    assert max(event.val_accuracy for event in events if isinstance(event, Epoch)) > 0.9


def test_the_same_settings_give_the_same_numbers_and_another_seed_others():
    first, second = list(fit(config({"dropout": 0.2}), DATA)), list(fit(config({"dropout": 0.2}), DATA))
    assert losses(first) == losses(second)
    assert losses(first) != losses(list(fit(config({"dropout": 0.2}, seed=1), DATA)))


def cloned(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint that the training which it is of no longer changes."""
    return Checkpoint({name: value.clone() for name, value in checkpoint.tensors.items()}, dict(checkpoint.position))


def told(events: list) -> list:
    """All that events tell but times: numbers, and the bytes of weights."""

    def plain(value: object) -> object:
        if isinstance(value, torch.Tensor):
            return value.dtype, tuple(value.shape), value.numpy().tobytes()
        if isinstance(value, dict):
            return {name: plain(it) for name, it in value.items() if name not in ("seconds", "images_per_second")}
        return plain(vars(value)) if isinstance(value, Checkpoint) else value

    return [(type(event).__name__, plain(vars(event))) for event in events]


def interrupted(settings: RunConfig, **brought) -> tuple[list, list[tuple[int, Checkpoint]]]:
    """What a training tells, and each of its checkpoints with how much had been told by then."""
    events, checkpoints = [], []
    for event in fit(settings, DATA, **brought):
        events += told([event])
        if isinstance(event, Checkpoint | Epoch):
            checkpoints.append((len(events), cloned(event if isinstance(event, Checkpoint) else event.checkpoint)))
    return events, checkpoints


@pytest.mark.parametrize("keep", ["validation", "training_loss"])
def test_a_training_goes_on_from_every_step_as_if_never_interrupted(keep, monkeypatch):
    monkeypatch.setattr(loop, "WINDOW", 2)  # so that windows are whole and half done, and weights kept on the way
    recipe = {"epochs": 2, "batch_size": 12, "resume_steps": 1, "keep": keep, "lr": 5e-3}
    settings = config({"dropout": 0.2, "drop_path": 0.2}, **recipe)
    events, checkpoints = interrupted(settings)
    assert [int(checkpoint.position["step"]) for _, checkpoint in checkpoints] == list(range(1, 11))
    plain = settings.model_copy(update={"training": settings.training.model_copy(update={"resume_steps": None})})
    assert [event for event in events if event[0] != "Checkpoint"] == told(fit(plain, DATA))
    for index, checkpoint in checkpoints:
        before = told([checkpoint])
        rest = told(fit(settings, DATA, resume=checkpoint))
        assert rest == events[index:], checkpoint.position  # the snapshot of an epoch that was whole among it
        assert told([checkpoint]) == before


def test_checkpoints_come_at_the_steps_asked_for_and_not_twice_at_the_end_of_an_epoch():
    events = list(fit(config(batch_size=10, resume_steps=4, epochs=2, snapshots=0), DATA))  # six steps an epoch
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Step"] * 4 + ["Checkpoint"] + ["Step"] * 2 + ["Epoch"] + [
        *("Step", "Step", "Checkpoint"),
        *(["Step"] * 4),
        "Epoch",
    ]
    again = list(fit(config(batch_size=10, resume_steps=3, epochs=2, snapshots=0), DATA))
    assert [event.position["step"] for event in again if isinstance(event, Checkpoint)] == [3, 9]


def test_a_checkpoint_within_an_epoch_counts_only_complete_epochs():
    positions = [event.position for event in fit(config(resume_steps=2), DATA) if isinstance(event, Checkpoint)]
    assert [(position["epoch"], position["step"], position["seen"]) for position in positions] == [
        (0, 2, 40),
        (1, 4, 20),
        (2, 8, 40),
    ]


@pytest.fixture(scope="module")
def amid() -> tuple[RunConfig, Checkpoint]:
    """Settings, and a checkpoint of theirs in the middle of the second epoch, with weights kept on the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "WINDOW", 2)
        settings = config(batch_size=12, resume_steps=3, keep="training_loss")
        checkpoints = (event for event in fit(settings, DATA) if isinstance(event, Checkpoint))
        return settings, cloned(next(checkpoints))


def spoil(name: str, value: float | None = None, *, dtype: torch.dtype | None = None):
    """A change of one tensor: gone, other numbers, or another type."""

    def change(tensors: dict, position: dict) -> None:
        if dtype:
            tensors[name] = tensors[name].to(dtype)
        elif value is None:
            del tensors[name]
        else:
            tensors[name] = torch.full_like(tensors[name], value)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil("optimizer.3.exp_avg"), r"optimizer\.3\.exp_avg is missing"),
        (spoil("model.head.weight"), r"model\.head\.weight is missing"),
        (spoil("kept.head.weight"), r"kept\.head\.weight is missing"),
        (spoil("window"), "window is missing"),
        (spoil("model.head.weight", dtype=torch.float16), "belongs to another network"),
        (spoil("optimizer.3.exp_avg_sq", dtype=torch.float64), "belongs to another network"),
        (spoil("optimizer.3.exp_avg", math.nan), "impossible values"),
        (spoil("optimizer.3.exp_avg_sq", -1.0), "impossible values"),
        (spoil("optimizer.3.step", -5.0), "impossible values"),
        (lambda tensors, _: tensors.update({"model.head.weight": torch.zeros(5, 17)}), "belongs to another network"),
        (lambda tensors, _: tensors.update({"evil": torch.zeros(1)}), "evil is not part of this training"),
        (lambda tensors, _: tensors.update({"optimizer.99.step": torch.zeros(())}), "not part of this training"),
        (lambda _, position: position.update(epoch=0.5), "position is not valid"),
        (lambda _, position: position.update(step=True), "position is not valid"),
        (lambda _, position: position.update(seconds=math.nan), "position is not valid"),
        (lambda _, position: position.update(best=10**400), "position is not valid"),
        (lambda _, position: position.update(note="hello"), "position is not valid"),
        (lambda _, position: position.pop("step"), "position is not valid"),
        (lambda _, position: position.update(step=9), "5 steps: restore the original images"),
        (lambda _, position: position.update(epoch=4, step=20), "restore the original images"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_advice(amid, change, reason, windows_of_two):
    settings, checkpoint = amid
    assert {"window", "kept.head.weight"} <= checkpoint.tensors.keys()
    spoilt = cloned(checkpoint)
    change(spoilt.tensors, spoilt.position)
    with pytest.raises(TrainingFailed, match=f"{reason}.*start the run over"):
        fit(settings, DATA, resume=spoilt)


def test_a_checkpoint_from_before_there_were_any_within_an_epoch_still_serves():
    epoch = next(event for event in fit(config(), DATA) if isinstance(event, Epoch))
    position = {name: epoch.checkpoint.position[name] for name in ("epoch", "step", "seconds", "best", "tie")}
    rest = list(fit(config(), DATA, resume=Checkpoint(epoch.checkpoint.tensors, position)))
    assert losses(rest) == losses(list(fit(config(), DATA)))[3:]


def test_stop_yields_the_current_weights_and_ends():
    events, seen = [], []
    for event in fit(config(), DATA, stop=lambda: len(seen) >= 2):
        events.append(event)
        if isinstance(event, Step):
            seen.append(event)
    assert [type(event).__name__ for event in events] == ["Step", "Step", "Snapshot", "Checkpoint"]
    assert events[-2].final
    assert events[-2].weights["head.weight"].dtype == torch.float32
    assert events[-1].position["step"] == 2


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    list(fit(config({"dropout": 0.5}, epochs=1), DATA))
    torch.testing.assert_close(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("keep", "better"),
    [
        ("validation", lambda event: (event.val_accuracy, -event.val_loss)),
        ("training_loss", lambda event: -event.train_loss),
        ("last", lambda event: event.epoch),
    ],
)
def test_weights_are_kept_whenever_the_chosen_score_is_the_best_so_far(keep, better):
    epochs = [event for event in fit(config(epochs=6, keep=keep), DATA) if isinstance(event, Epoch)]
    for index, event in enumerate(epochs):
        assert event.kept == all(better(event) > better(earlier) for earlier in epochs[:index])


def test_snapshots_are_half_precision_evenly_spaced_and_bounded():
    events = [event for event in fit(config(epochs=5, snapshots=2), DATA) if isinstance(event, Snapshot)]
    assert [event.epoch for event in events] == [3, 5]
    assert all(value.dtype == torch.float16 for value in events[0].weights.values())
    assert len(snapshot_epochs(1000, 20)) == 20
    assert max(snapshot_epochs(1000, 20)) == 1000
    assert snapshot_epochs(3, 20) == {1, 2, 3}
    assert snapshot_epochs(3, 0) == set()


def test_learning_rate_warms_up_to_its_peak_and_falls_to_zero():
    recipe = TrainingConfig(lr=0.1, warmup=0.1)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert max(rates) == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] < 0.001
    assert learning_rate(TrainingConfig(lr=0.1, warmup=0), 0, 1) == pytest.approx(0.1)


def test_biases_norms_positions_and_the_class_token_do_not_decay():
    from vit import ViT

    model = ViT(tiny_config().model)
    decayed = {id(parameter) for parameter in AdamW(model, TrainingConfig()).decayed}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
    assert {"blocks.0.attn.qkv.weight", "head.weight", "patch_embed.backbone.0.weight"} <= names
    assert not names & {"pos_embed", "cls_token", "norm.weight", "head.bias", "patch_embed.backbone.2.weight"}


def test_a_loss_that_is_no_longer_finite_fails_with_advice_on_the_learning_rate():
    with pytest.raises(TrainingFailed, match="learning rate below 1"):
        list(fit(config(lr=1.0, clip_norm=1000, epochs=200, **NO_AUGMENTATION), broken(np.full(3, np.nan))))


def broken(pixels) -> ImageData:
    """DATA whose training images fail on the way: a NaN, or an exception."""

    class Images:
        shape, nbytes = DATA.train.images.shape, DATA.train.images.nbytes

        def __getitem__(self, rows):
            if callable(pixels):
                return pixels()
            return np.full((len(rows), 3, 32, 32), np.nan, dtype=np.float32)

    return ImageData(
        "stripes", DATA.class_names, 32, Split(Images(), DATA.train.labels, None, DATA.train.files), DATA.val
    )


def test_images_that_vanish_fail_with_the_name_of_the_source():
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(TrainingFailed, match=r"'scenes' can no longer be read \(No such file"):
        list(fit(config(), broken(gone)))


def test_memory_that_is_exhausted_fails_with_advice_on_the_batch():
    with pytest.raises(TrainingFailed, match=r"batches of 20; choose a smaller batch"):
        list(fit(config(), broken(lambda: torch.empty(2**50))))


def test_losses_are_finite_numbers_of_the_size_of_guessing_at_the_start():
    first = next(fit(config(), DATA))
    assert first.loss == pytest.approx(math.log(5), rel=0.1)
    assert first.images_per_second > 0


# The course recipe, on 60 training and 25 validation images: batches of 16 leave 12 and 9 of them out.


LARGE_STEPS = 0.1
"""A learning rate at which the loss rises now and then."""


def course(**training) -> RunConfig:
    """A tiny course network and the course report's recipe."""
    base = config()
    recipe = {"epochs": 3, "device": "cpu", "threads": 1} | training
    return base.model_copy(
        update={
            "model": ReferenceConfig(image_size=32, embed_dim=16, depth=1),
            "training": TrainingConfig(**RECIPES["course"].model_dump() | recipe),
        }
    )


def scaled(images: np.ndarray) -> torch.Tensor:
    """Pixels 0 to 255 -> [-1, 1]."""
    return torch.from_numpy(images).float() / 255 * 2 - 1


def rows_of(epoch: int) -> list[torch.Tensor]:
    """Which training images the batches of an epoch hold, in their order, the incomplete last one included."""
    numbered = Split(DATA.train.images, np.arange(len(DATA.train)), None, DATA.train.files)
    order = Batches(numbered, batch_size=16, device="cpu", mean=(0.5,) * 3, std=(0.5,) * 3, seed=0)
    return [rows for _, rows in order.epoch(epoch)]


def test_the_course_recipe_trains_as_the_report_s_loop_written_out():
    model = networks.build_model(course().model, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.999))
    criterion = torch.nn.CrossEntropyLoss()
    train_losses, val_losses, val_accuracies = [], [], []
    for epoch in (1, 2, 3):
        for rows in rows_of(epoch):
            if len(rows) < 16:
                continue
            optimizer.zero_grad()
            loss = criterion(model(scaled(DATA.train.images[rows])), torch.from_numpy(DATA.train.labels[rows]))
            loss.backward()
            optimizer.step()
            train_losses.append(loss.item())
        with torch.no_grad():
            logits, labels = model(scaled(DATA.val.images[:16])), torch.from_numpy(DATA.val.labels[:16])
        val_losses.append(criterion(logits, labels).item())
        val_accuracies.append((logits.argmax(dim=1) == labels).float().mean().item())

    events = list(fit(course(), DATA))
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert len(losses(events)) == 9  # three a whole epoch, the fourth dropped
    assert losses(events) == pytest.approx(train_losses, abs=1e-5)
    assert {event.lr for event in events if isinstance(event, Step)} == {1e-4}
    assert [event.val_loss for event in epochs] == pytest.approx(val_losses, abs=1e-5)
    assert [event.val_accuracy for event in epochs] == pytest.approx(val_accuracies)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(epochs[-1].checkpoint.tensors[f"model.{name}"], value, rtol=0, atol=1e-5)


@pytest.fixture
def windows_of_two(monkeypatch):
    """The running loss is a mean of two steps; in an epoch of three steps the last one does not count."""
    monkeypatch.setattr(loop, "WINDOW", 2)


def test_the_course_recipe_keeps_the_weights_of_the_lowest_running_loss(windows_of_two):
    lowest, kept, seen = math.inf, [], []
    for event in fit(course(epochs=6, lr=LARGE_STEPS), DATA):
        if isinstance(event, Step):
            seen.append(event.loss)
        elif isinstance(event, Epoch):
            running = sum(seen[-3:-1]) / 2
            kept.append(event.kept)
            assert event.kept == (running < lowest)
            if event.kept:
                lowest = running
                assert event.best["step"] == event.step - 1  # where the window ended, not the epoch
    assert kept.count(True) > 1
    assert kept.count(False) > 0


def test_a_running_loss_never_spans_two_epochs(monkeypatch):
    monkeypatch.setattr(loop, "WINDOW", 100)  # more than an epoch has: all its steps are the window
    epochs = [event for event in fit(course(epochs=4), DATA) if isinstance(event, Epoch)]
    assert [event.best["step"] for event in epochs if event.kept] == [3 * event.epoch for event in epochs if event.kept]
    assert epochs[0].kept


def test_the_figures_of_the_kept_weights_are_measured_with_the_kept_weights(windows_of_two):
    checked = 0
    for event in fit(course(epochs=4, lr=LARGE_STEPS), DATA):
        if isinstance(event, Epoch) and event.kept:
            model = networks.build_model(course().model)
            model.load_state_dict(event.weights)
            with torch.no_grad():
                logits, labels = model(scaled(DATA.val.images[:16])), torch.from_numpy(DATA.val.labels[:16])
            assert event.best["val_loss"] == pytest.approx(
                torch.nn.functional.cross_entropy(logits, labels).item(), abs=1e-5
            )
            assert event.best["val_accuracy"] == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())
            assert event.best["val_loss"] != event.val_loss  # another step's weights than the epoch's
            checked += 1
    assert checked


def test_keeping_weights_on_the_way_does_not_change_the_training(windows_of_two):
    keeping, plain = (list(fit(course(keep=keep), DATA)) for keep in ("training_loss", "last"))
    assert losses(keeping) == losses(plain)


@pytest.mark.parametrize("asked", [3, 4])
def test_stop_ends_the_course_recipe_in_training_and_in_validation(asked):
    """Asked once a step, and then once a batch of validation."""
    questions = iter(range(100))
    events = list(fit(course(), DATA, stop=lambda: next(questions) >= asked))
    assert isinstance(events[-2], Snapshot)
    assert events[-2].final
    assert isinstance(events[-1], Checkpoint)
    assert events[-1].position["step"] == 3
    assert not any(isinstance(event, Epoch) for event in events)
