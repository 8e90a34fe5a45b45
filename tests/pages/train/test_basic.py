"""The basic form of Train, the sentence that says what will be trained, and the drawing of the network."""

from dataclasses import replace

import pytest

from pages.train.basic import BUDGETS, budget_words, epochs_within
from pages.train.drawing import drawing
from pages.train.summary import summary_words
from pages.ui.wording import count
from tests.conftest import tiny_config
from tests.pages.opening import open_page
from tests.pages.train.test_train import metrics, set_up
from vit import data
from vit.config import RECIPES, CNNConfig, ReferenceConfig, StartConfig, TrainingConfig, ViTConfig
from vit.cost.diagram import count_parameters, diagram
from vit.cost.estimate import Speed, estimate
from vit.runs import speeds

SCENES = data.describe("scenes")


def said(app) -> str:
    return next(text.value for text in app.markdown if "learns" in text.value)


def test_links_with_heads_and_depth_open_the_basic_form_and_others_all_settings(home):
    app = open_page("train", heads="7", depth="3")
    assert app.segmented_control(key="form").value == "Basic"
    assert {slider.key for slider in app.select_slider} == {"heads", "depth"}
    assert (set_up(app).model.num_heads, set_up(app).model.depth) == (7, 3)
    assert "**3 layers** of **7 heads**" in said(app)
    app.segmented_control(key="form").set_value("All settings").run()
    assert app.select_slider(key="heads").value == 7
    app.select_slider(key="patch").set_value(16).run()
    assert set_up(app).model.patch_size == 16
    app.segmented_control(key="form").set_value("Basic").run()
    assert set_up(app).model == ViTConfig(num_heads=7, embed_dim=224, depth=3)  # what is not shown has its default
    other = open_page("train", network="CNN")
    assert other.segmented_control(key="form").value == "All settings"
    assert "convolutional" in said(other)


def test_the_time_budget_chooses_the_epochs(home, monkeypatch):
    monkeypatch.setitem(speeds._brief, "cpu", Speed("", 1e9, 1e11))
    app = open_page("train")
    usual = set_up(app)
    assert usual.training.epochs == TrainingConfig().epochs
    seconds = estimate(usual, train_count=5000, val_count=1000, speeds=(Speed("", 1e9, 1e11),)).seconds
    app.pills(key="budget").set_value("3 min").run()
    epochs = set_up(app).training.epochs
    assert epochs == epochs_within(180, seconds / usual.training.epochs, 200)
    assert 1 < epochs < 200
    assert epochs * seconds / usual.training.epochs <= 180 < (epochs + 1) * seconds / usual.training.epochs
    assert f"in {epochs} epochs: **about " in said(app)
    app.segmented_control(key="form").set_value("All settings").run()
    assert app.slider(key="epochs").value == epochs


def test_without_a_measured_speed_there_is_no_time_and_epochs_are_chosen(home):
    app = open_page("train")
    assert not app.pills
    assert said(app).endswith(f"in {TrainingConfig().epochs} epochs.")
    assert metrics(app)["Expected time"] == "—"
    app.slider(key="epochs").set_value(3).run()
    assert set_up(app).training.epochs == 3
    assert any("not known yet" in caption.value for caption in app.caption)


def test_a_budget_below_one_epoch_or_above_all_is_said():
    assert epochs_within(60, 100, 200) == 1
    assert "Even one epoch takes about 1 min 40 s" in budget_words(1, 200, 100, 60)
    assert epochs_within(BUDGETS["3 h"], 1, 200) == 200
    assert "More than 200 epochs are not offered" in budget_words(200, 200, 1, BUDGETS["3 h"])
    assert budget_words(200, 200, 0.3, 180) == "200 epochs of about 0.3 s each. More than 200 epochs are not offered."
    assert budget_words(1, 200, 33, None) == "1 epoch of about 35 s."


def sentence(config, **changes) -> str:
    cost = estimate(config, train_count=SCENES.train_count, val_count=SCENES.val_count)
    return summary_words(config, replace(SCENES, **changes), replace(cost, seconds=360.0, measured=True))


def test_the_sentence_names_what_is_trained():
    config = tiny_config(depth=1, num_heads=1)
    config = config.model_copy(update={"training": TrainingConfig(epochs=1)})
    assert sentence(config) == (
        "A Vision Transformer with **1 layer** of **1 head** learns to name **5** kinds of objects from **60** drawn "
        "scenes, in 1 epoch: **about 6 min** on this machine."
    )
    own = config.model_copy(update={"data": config.data.model_copy(update={"train_images": None})})
    assert "**5** classes from **5,000** images of Fish" in sentence(own, source="fish", title="Fish")
    tuned = config.model_copy(update={"start": StartConfig(run="scenes", frozen=True)})
    assert "started from the weights of **scenes**, has only its classification head trained to name" in sentence(tuned)
    network = ReferenceConfig(image_size=32, mended=("mlp", "finish"))
    assert "The course network with **2 layers** of **2 heads** and 2 mended departures" in sentence(
        config.model_copy(update={"model": network})
    )
    for method, words in (("dino", "crops of one image"), ("mae", "reconstruct hidden patches")):
        assert words in sentence(config.model_copy(update={"training": RECIPES[method]}))
    cost = estimate(config, train_count=60)
    assert "minute" not in summary_words(config, SCENES, cost)
    assert summary_words(config, SCENES, replace(cost, seconds=9.0, measured=False)).endswith("a rough estimate.")


@pytest.mark.parametrize(
    ("model", "blocks", "words"),
    [
        (ViTConfig(depth=12, num_heads=6, embed_dim=192), 12, ("65 tokens × 192", "12 encoder blocks", "6 heads × 32")),
        (ViTConfig(pool="mean", depth=1), 1, ("read from the mean of the patches", "1 encoder block<")),
        (ReferenceConfig(), 2, ("2 encoder blocks", "mean of all tokens")),
        (ViTConfig(num_classes=0), 4, ("No classes",)),
        (CNNConfig(), 0, ("5 classes", "mean over the positions")),
    ],
)
def test_the_drawing_has_the_blocks_shapes_and_parameters_of_the_network(model, blocks, words):
    stages = diagram(model)
    drawn = drawing(model, stages)
    assert drawn.count('class="block"') == blocks
    for text in words:
        assert text in drawn
    assert f"{count(count_parameters(stages))} parameters in all" in drawn
