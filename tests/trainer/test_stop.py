"""A training that is stopped anywhere, in an epoch or in its validation, and resumed from its last step, bit by bit."""

from itertools import count

import pytest

from tests.trainer.test_loop import DATA, config, told
from tests.trainer.test_strong_recipe import EVERYTHING, teacher
from tests.trainer.test_unlabelled import unlabelled
from vit.config import RunConfig
from vit.trainer import Checkpoint, fit, loop

DROPS = {"dropout": 0.2, "drop_path": 0.2}
LOWEST = {"epochs": 2, "batch_size": 12, "keep": "training_loss", "lr": 5e-3}
SETTINGS = {
    "standard": lambda: config(DROPS, epochs=2),
    "lowest loss": lambda: config(DROPS, **LOWEST),
    "average of the weights": lambda: config(DROPS, epochs=2, average=0.9),
    "strong": lambda: config(DROPS, epochs=2, keep="training_loss", **EVERYTHING),
    "dino": lambda: unlabelled("dino"),
    "mae": lambda: unlabelled("mae"),
}


def stopped(settings: RunConfig, asked: int, **brought) -> tuple[list, list]:
    """The events of a training that is told to stop when it asks for the given time, and what they tell."""
    questions, events, said = count(1), [], []
    for event in fit(settings, DATA, stop=lambda: next(questions) >= asked, **brought):
        events.append(event)
        said += told([event])  # at once: its weights change with the next step
    return events, said


@pytest.mark.parametrize("name", SETTINGS)
def test_a_stopped_training_continues_after_its_last_step(name, monkeypatch):
    settings = SETTINGS[name]()
    brought = {"teacher": teacher()} if settings.training.teacher else {}
    monkeypatch.setattr(loop, "WINDOW", 2 if name == "lowest loss" else 100)  # shorter and longer than an epoch
    per_epoch = 60 // settings.training.batch_size
    _, whole = stopped(settings, 10**6, **brought)
    places = set()
    # within an epoch; after its last step; in the validation that follows; in the next epoch
    for asked in (1, per_epoch, per_epoch + 1, per_epoch + 2, per_epoch + 5):
        events, said = stopped(settings, asked, **brought)
        checkpoint, before = events[-1], len(events) - 2
        assert isinstance(checkpoint, Checkpoint)
        assert events[-2].final
        assert said[:before] == whole[:before]
        places.add((whole[before][0], checkpoint.position["epoch"], checkpoint.position["step"] % per_epoch == 0))
        again = told(fit(settings, DATA, resume=checkpoint, **brought))
        assert again == whole[before:], checkpoint.position
    assert {("Step", 0, False), ("Epoch", 0, True)} <= places
