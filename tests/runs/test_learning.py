"""A training that diverges or learns nothing says so while it trains and afterwards, and names likely causes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.conftest import tiny_config
from tests.helpers.record_tables import cells
from tests.pages.opening import open_page
from vit import jobs, runs
from vit.cli.main import main
from vit.config import DataConfig, RunConfig, StartConfig, TrainingConfig, ViTConfig
from vit.runs import Run, Status
from vit.runs.learning import DIVERGED, NOTHING_LEARNED, describe, guessing_loss, verdict


def told(train: float, val: float, *, epoch: int = 3, step: int = 500, config: RunConfig | None = None) -> str:
    line = {"epoch": epoch, "step": step, "train_loss": train, "val_loss": val}
    return describe(config or tiny_config(), line, guessing=math.log(5), best={"epoch": 2})


def recipe(**training) -> RunConfig:
    config = tiny_config()
    return config.model_copy(update={"training": TrainingConfig(**training)})


@pytest.mark.parametrize("loss", [1.4e8, 30.0, 5.0])
def test_losses_far_above_guessing_are_told(loss):
    sentence = told(loss, loss)
    assert sentence.startswith("Diverged: the training loss of the last epoch is")
    assert f"guessing has {math.log(5):.2f}. The weights of epoch 2 are kept. Choose" in sentence
    assert "learning rate below" in sentence


@pytest.mark.parametrize(("train", "val"), [(1.5, 1.5), (0.01, 6.0)])
def test_learning_and_learning_by_heart_are_neither(train, val):
    assert told(train, val) == ""


def test_a_loss_that_stays_at_guessing_after_a_quarter_of_the_epochs_is_told():
    config = recipe(epochs=16)
    assert told(1.605, 1.61, epoch=3, config=config) == ""
    assert told(1.605, 1.61, epoch=4, config=config).startswith("Nothing learned: the training loss of the last epoch")
    assert told(1.55, 1.56, epoch=4, config=config) == ""
    assert told(1.605, 1.61, epoch=4, step=49, config=config) == ""


def test_the_likely_causes_are_those_of_the_settings():
    flat = recipe(epochs=4, lr=2e-3)
    said = told(1.61, 1.61, config=flat)
    assert "classes are mirror images of each other while flips are on (--no-flip turns them off)" in said
    assert "the learning rate of 0.002 is too high; or the labels have nothing to do" in said
    assert "flips" not in told(1.61, 1.61, config=recipe(epochs=4, flip=False))
    assert "1e-05 is too low" in told(1.61, 1.61, config=recipe(epochs=4, lr=1e-5))
    frozen = flat.model_copy(update={"start": StartConfig(run="a", frozen=True)})
    assert "the frozen encoder" in told(1.61, 1.61, config=frozen)
    names = ("arrow-left", "arrow right", "bright", "leftover", "up")
    sides = flat.model_copy(update={"data": flat.data.model_copy(update={"class_names": names})})
    assert "'left' and 'right' are mirror images" in told(1.61, 1.61, config=sides)
    other = flat.model_copy(update={"data": flat.data.model_copy(update={"class_names": names[2:]})})
    assert "'left'" not in told(1.61, 1.61, config=other)


@pytest.mark.parametrize("settings", [{"label_smoothing": 0.0, "blank_images": 0.0}, {}, {"blank_images": 0.3}])
def test_the_loss_of_guessing_is_that_of_the_best_constant_answer(settings):
    config, labels = TrainingConfig(**settings), torch.tensor([0] * 70 + [1] * 25 + [3] * 5)
    targets = (1 - config.blank_images) * F.one_hot(labels, 4).float() + config.blank_images / 4

    def loss(answer: torch.Tensor) -> float:
        logits = answer.clamp(min=1e-30).log().expand(100, 4)
        return F.cross_entropy(logits, targets, label_smoothing=config.label_smoothing).item()

    smoothed = (1 - config.label_smoothing) * targets + config.label_smoothing / 4
    lowest = loss(smoothed.mean(dim=0))
    assert guessing_loss(labels.tolist(), 4, config) == pytest.approx(lowest, abs=1e-5)
    others = torch.distributions.Dirichlet(torch.ones(4)).sample((20,))
    assert all(loss(other) >= lowest for other in others)
    assert guessing_loss(labels.tolist(), 4, TrainingConfig(teacher="cnn")) is None
    assert guessing_loss([0, 1, 2, 3], 4, config) == pytest.approx(math.log(4))


def test_the_verdict_is_read_from_the_status():
    assert verdict(Status(state="finished", message="Diverged: so")) == DIVERGED  # also of older runs
    assert verdict(Status(state="running", message="1 of 2 epochs done.", warning="Nothing learned: so")) == (
        NOTHING_LEARNED
    )
    assert verdict(Status(state="finished", message="Finished all 2 epochs.")) == ""


def test_a_training_with_a_far_too_high_learning_rate_ends_as_diverged(home):
    config = tiny_config()
    wild = config.training.model_copy(update={"lr": 1.0, "warmup": 0.0, "clip_norm": 0.0, "epochs": 2})
    run = runs.create("wild", config.model_copy(update={"training": wild}))
    status = jobs.execute(run, resume=False)
    assert verdict(status) == DIVERGED or status.state == "failed", status.message
    assert "learning rate" in status.message


# Arrows to the left and to the right: mirror images of each other


@pytest.fixture(scope="module")
def arrows(tmp_path_factory):
    """A folder with arrows in many places, in train/ and val/."""
    folder = tmp_path_factory.mktemp("arrows")
    random = np.random.default_rng(0)
    for part, count in (("train", 40), ("val", 15)):
        for side in ("left", "right"):
            (folder / part / side).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(150, 256, (32, 32, 3), dtype=np.uint8)
                row, column = random.integers(8, 24), random.integers(6, 12)
                pixels[row - 1 : row + 2, column : column + 14] = 20
                for back in range(7):  # the head, at the left end
                    pixels[row - back : row + back + 1, column + back] = 20
                pixels = pixels if side == "left" else pixels[:, ::-1]
                Image.fromarray(pixels).save(folder / part / side / f"{number}.png")
    return folder


def trained_on(folder, name: str, *, flip: bool) -> tuple[Run, list[tuple[str, int]]]:
    """Train on arrows; the run, and what it said after which step."""
    model = ViTConfig(image_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=2)
    training = TrainingConfig(epochs=8, batch_size=8, device="cpu", threads=1, snapshots=0, flip=flip, erasing=False)
    data = DataConfig(source=str(folder), image_size=32, class_names=("left", "right"))
    run, said = runs.create(name, RunConfig(model=model, data=data, training=training)), []
    jobs.execute(run, report=lambda event: said.append((event, run.status.step)) if isinstance(event, str) else None)
    return run, said


def test_left_and_right_are_learned_without_flips_and_with_them_the_run_says_why_not(home, arrows, capsys):
    without, said = trained_on(arrows, "without", flip=False)
    assert without.best["val_accuracy"] >= 0.9, without.log()
    assert without.status.message == "Finished all 8 epochs."
    assert not any(sentence.startswith(NOTHING_LEARNED) for sentence, _ in said)

    flipped, said = trained_on(arrows, "flipped", flip=True)
    assert flipped.best["val_accuracy"] <= 0.75
    told = [step for sentence, step in said if sentence.startswith(NOTHING_LEARNED)]
    assert told[0] < 80, "it is told while it trains"
    assert flipped.state == "finished"
    assert flipped.status.message.startswith("Nothing learned: the training loss of the last epoch is 0.")
    assert "'left' and 'right' are mirror images of each other while flips are on" in flipped.status.message

    capsys.readouterr()
    assert main(["runs"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["flipped"].endswith("nothing learned")
    assert "learned" not in lines["without"]
    states = {name: line["State"] for name, line in cells(open_page("runs")).items()}
    assert states == {"flipped": "Nothing learned", "without": "Finished"}
    runs.update_status(flipped.path, message="7 of 8 epochs done.")
    app = open_page("train", run="flipped")
    assert any("mirror images" in warning.value for warning in app.warning)
