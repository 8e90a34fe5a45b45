"""The Train page's choice of how a network is trained, and the words for it."""

import streamlit as st

from pages.train.controls import RECIPE_NAMES, Controls, show
from pages.ui.wording import term
from vit.config import EPOCHS, RECIPES, DataConfig, TrainingConfig
from vit.support.hardware import Device

KEPT = {
    "validation": "keeps the weights of the best validation accuracy",
    "training_loss": "keeps the weights of the lowest running training loss (the mean over 100 steps)",
    "last": "keeps the last weights",
}
"""What a run does with its weights, by ``keep``."""


def training_controls(controls: Controls, devices: tuple[Device, ...]) -> None:
    """Epochs first, then what the recipe brings with it; the rest in an expander."""
    recipe = RECIPES[controls.space.recipe]
    controls.number(
        "epochs",
        "Epochs",
        st.slider,
        EPOCHS[0],
        controls.space.values("epochs")[-1],
        help=term("epoch"),
    )
    config = controls.space.config(controls.values)
    now, images = config.training, config.data
    st.caption(
        f"{_sentence(step_words(now))} **{RECIPE_NAMES[controls.space.recipe]}** besides: "
        f"{recipe_words(recipe, images)}.",
        help=term("weight decay", "label smoothing"),
    )
    with st.expander("More about the training", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            controls.slider("batch", "Batch size", help=term("batch"))
            controls.slider(
                "lr", "Learning rate", help=term("learning rate", "warm-up", here=_sentence(rate_words(recipe)))
            )
            controls.choice("augment", "Augmentation", help=term("augmentation"))
        with right:
            titles = {device.name: device.title for device in devices}
            fastest = titles[devices[0].name]
            controls.choice("device", "Device", help=f"auto takes the fastest: {fastest}.")
            if controls.space.gpus(controls.values) > 1:
                controls.choice(
                    "processes",
                    "GPUs",
                    help="Each takes its share of every batch; the losses are those of one. A small network or small "
                    "batches gain nothing: the GPUs then wait for each other.",
                )
            low, high, _ = TrainingConfig.limits("seed")
            controls.number("seed", "Seed", st.number_input, low, high, help=term("seed"))


def step_words(training: TrainingConfig) -> str:
    """What a step is made of: the settings of a recipe that can be changed, but for the epochs."""
    augmentation = "no" if training.augment == "none" else show("augment", training.augment).lower()
    return f"batches of {training.batch_size}, learning rate {training.lr:g}, {augmentation} augmentation"


def rate_words(training: TrainingConfig) -> str:
    """What the learning rate does over a run."""
    warmup = f"rises over the first {training.warmup:.0%} of the steps, then " if training.warmup else ""
    return f"the learning rate {warmup}" + (
        "falls along a cosine to zero" if training.schedule == "cosine" else "stays as it is"
    )


def pixel_words(images: DataConfig) -> str:
    """How pixels are normalised."""
    mean, std = images.mean[0], images.std[0]
    if {*images.mean} == {mean} and {*images.std} == {std}:
        return f"pixels scaled to [{-mean / std:g}, {(1 - mean) / std:g}]"
    return "each colour normalised as the network was trained with"


def recipe_words(training: TrainingConfig, images: DataConfig | None = None) -> str:
    """The settings of a recipe that have no control of their own, as one sentence without its full stop."""
    decay = f"AdamW with weight decay {training.weight_decay:g}" if training.weight_decay else "Adam"
    parts = [
        f"{decay}, betas {training.betas[0]:g} and {training.betas[1]:g}",
        rate_words(training),
        f"cross-entropy with label smoothing {training.label_smoothing:g}"
        if training.label_smoothing
        else "plain cross-entropy",
        f"gradients clipped to norm {training.clip_norm:g}" if training.clip_norm else "",
        pixel_words(images or DataConfig()),
        "the last incomplete batch left out, in validation too" if training.drop_last else "",
        KEPT[training.keep],
        f"{training.snapshots} snapshots along the way" if training.snapshots else "no snapshots",
    ]
    return "; ".join(part for part in parts if part)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
