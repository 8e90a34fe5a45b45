"""The controls of the stronger recipe on the Train page."""

import pytest

from pages.train.stronger import stronger_words
from tests.pages.opening import open_page
from tests.pages.train.test_train import set_up
from tests.runs.test_finetune import made
from vit import jobs, runs
from vit.config import RECIPES, STRONGER, CNNConfig, TrainingConfig


@pytest.fixture
def teachers(home) -> None:
    """A run that can be the teacher at 32 px, one at 64 px, and one with other classes."""
    made("small", CNNConfig(image_size=32))
    made("large", CNNConfig())
    made("others", CNNConfig(num_classes=2), ("a", "b"))


def test_the_recipe_sets_every_control_and_the_command_repeats_it(home):
    app = open_page("train", recipe="Stronger")
    assert set_up(app).training == RECIPES["strong"]
    assert "--recipe strong" in app.code[0].value
    app.selectbox(key="mixup").set_value(0.2).run()
    app.selectbox(key="mix_probability").set_value(0.5).run()
    app.selectbox(key="optimizer").set_value("muon").run()
    assert not app.exception
    expected = RECIPES["strong"].model_copy(update={"mixup": 0.2, "mix_probability": 0.5, "optimizer": "muon"})
    assert set_up(app).training == expected
    said = " ".join(caption.value for caption in app.caption)
    assert "mixup in 50% of the batches" in said
    assert "Muon for the matrices of the encoder" in said


def test_a_teacher_has_the_same_classes_and_size_and_another_size_drops_it(teachers, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda config, name: started.append(config) or runs.create(name, config))
    app = open_page("train", teacher="large", size="32")
    assert app.selectbox(key="teacher").options == ["None", "small"]
    assert set_up(app).training.teacher == ""

    app = open_page("train", form="All settings")
    assert app.selectbox(key="teacher").options == ["None", "large"]
    assert not any(box.key == "temperature" for box in app.selectbox)
    app.selectbox(key="teacher").set_value("large").run()
    app.selectbox(key="temperature").set_value(2.0).run()
    assert set_up(app).training == TrainingConfig(teacher="large", temperature=2.0)
    app.button(key="start_training").click().run()
    assert started[0].training.teacher == "large"


def test_controls_without_effect_are_left_out(home):
    app = open_page("train", network="CNN")
    shown = {box.key for box in app.selectbox}
    assert {"mixup", "average", "teacher"} <= shown
    assert not {"optimizer", "diversity", "mix_probability", "magnitude", "temperature"} & shown


def test_every_offered_value_is_within_its_bounds_and_its_part_is_described():
    for name, values in STRONGER.items():
        for value in values:
            TrainingConfig(**{name: value})
    assert stronger_words(TrainingConfig()) == ["4% blank images"]
    assert stronger_words(TrainingConfig(blank_images=0.0)) == []
    everything = TrainingConfig(
        mixup=0.2, cutmix=1.0, randaugment=1, repeats=3, blank_images=0.05, teacher="cnn", diversity=0.1, average=0.99
    )
    assert len(stronger_words(everything)) == 7
    assert "50% of the loss from the answers of cnn" in stronger_words(everything)
