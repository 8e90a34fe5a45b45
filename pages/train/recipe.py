"""How a new run is trained, and sentences that describe a recipe."""

import streamlit as st

from pages.train.choices import RECIPE_FIELDS
from pages.train.controls import RECIPE_NAMES, Controls, label
from pages.train.stronger import stronger_controls, stronger_words
from pages.ui.wording import term
from vit.config import AUGMENTATIONS, EPOCHS, RECIPES, DataConfig, TrainingConfig
from vit.support.hardware import Device

KEPT = {
    "validation": "keeps the weights with the best validation accuracy",
    "training_loss": "keeps the weights with the lowest running training loss (the mean over 100 steps)",
    "last": "keeps the last weights",
}
"""Which weights a run keeps, by ``keep``."""

METHODS = {
    "dino": (
        "A student network learns to predict what its teacher, a moving average of itself, says about another crop of "
        "the same image. The labels are used only to measure the features with nearest neighbours. The trained network "
        "has no classes; fine-tune it to give it some. A step takes several times as long as with labels."
    ),
    "mae": (
        "Most patches of each image are hidden, and the network learns to reconstruct them. The labels are used only "
        "to measure the features with nearest neighbours. The trained network has no classes; fine-tune it to give it "
        "some."
    ),
}
"""What a training without labels is, by ``learn_from``."""


def training_controls(controls: Controls, devices: tuple[Device, ...]) -> None:
    """Show the training controls: epochs and a summary of the recipe first, the rest in an expander."""
    recipe = RECIPES[controls.space.recipe]
    controls.number("epochs", widget=st.slider, low=EPOCHS[0], high=controls.space.values("epochs")[-1])
    config = controls.space.config(controls.values)
    now, images = config.training, config.data
    st.caption(
        f"{_sentence(step_words(now))} Other settings in the recipe **{RECIPE_NAMES[controls.space.recipe]}**: "
        f"{recipe_words(recipe.model_copy(update={'optimizer': now.optimizer}), images)}.",
        help=term("weight decay", "label smoothing") if recipe.labelled else term("weight decay", "k-NN accuracy"),
    )
    with st.expander("More about the training", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            controls.slider("batch")
            controls.slider("lr", note=_sentence(rate_words(recipe)))
            offered = [key for key in AUGMENTATIONS if len(controls.space.values(key)) > 1]
            controls.switches("Augmentation", offered, term("augmentation"))
            for key in controls.space.recipe_fields:
                if key not in RECIPE_FIELDS and len(controls.space.values(key)) > 1:
                    controls.slider(key)
        with right:
            titles = {device.name: device.title for device in devices}
            fastest = titles[devices[0].name]
            controls.choice("device", note=f"Here that is {fastest}.")
            controls.choice("precision", note="Validation and all pages always compute in float32.")
            if controls.space.gpus(controls.values) > 1:
                controls.choice(
                    "processes",
                    note="Each GPU computes a share of every batch; the losses are those of one GPU. Small networks "
                    "and small batches train no faster, because the GPUs wait for each other.",
                )
            low, high, _ = TrainingConfig.limits("seed")
            controls.number("seed", widget=st.number_input, low=low or 0, high=high or 0)
    if recipe.labelled:
        stronger_controls(controls)


def step_words(training: TrainingConfig) -> str:
    """Describe the settings of a step: batch size, learning rate, augmentation, and what a stronger recipe adds."""
    if training.learn_from == "dino":
        flipped = "" if training.flip else " without flips"
        crops = f"2 large and {training.local_crops} small crops of each image{flipped}"
        if training.swap_backgrounds:
            crops += f", {training.swap_backgrounds:.0%} of them on other backgrounds"
        return f"batches of {training.batch_size}, {crops}, learning rate {training.lr:g}"
    if training.learn_from == "mae":
        kinds = [name for name, on in (("random crops", training.shift), ("flips", training.flip)) if on]
        hidden = f"{training.mask_ratio:.0%} of the patches hidden"
        crops = " and ".join(kinds) or "no augmentation"
        return f"batches of {training.batch_size}, {hidden}, learning rate {training.lr:g}, {crops}"
    parts = [f"batches of {training.batch_size}", f"learning rate {training.lr:g}", augmentation_words(training)]
    return ", ".join([*parts, *stronger_words(training)])


def augmentation_words(training: TrainingConfig) -> str:
    """Name the parts of the augmentation that are on."""
    *names, last = [label(name).lower() for name in training.augmentations] or [""]
    if not last:
        return "no augmentation"
    return f"augmented by {', '.join(names)} and {last}" if names else f"augmented by {last}"


def rate_words(training: TrainingConfig) -> str:
    """Describe how the learning rate changes over a run."""
    warmup = f"rises over the first {training.warmup:.0%} of the steps, then " if training.warmup else ""
    return f"the learning rate {warmup}" + (
        "falls to zero along a cosine" if training.schedule == "cosine" else "stays constant"
    )


def loss_words(training: TrainingConfig) -> str:
    """Describe what a training minimises."""
    match training.learn_from:
        case "dino":
            return "cross-entropy between the teacher's and the student's output"
        case "mae":
            return "mean squared error of the normalised pixels of hidden patches"
    smoothing = training.label_smoothing
    return f"cross-entropy with label smoothing {smoothing:g}" if smoothing else "plain cross-entropy"


def pixel_words(images: DataConfig) -> str:
    """Describe how pixels are normalised."""
    mean, std = images.mean[0], images.std[0]
    if {*images.mean} == {mean} and {*images.std} == {std}:
        return f"pixels scaled to [{-mean / std:g}, {(1 - mean) / std:g}]"
    return "each colour channel normalised as for the original network"


def recipe_words(training: TrainingConfig, images: DataConfig | None = None) -> str:
    """Describe the settings of a recipe that have no control, as a sentence without its full stop."""
    decay = f"AdamW with weight decay {training.weight_decay:g}" if training.weight_decay else "Adam"
    if training.optimizer == "muon":
        decay = f"Muon for the matrices of the encoder, {decay}"
    parts = [
        f"{decay}, betas {training.betas[0]:g} and {training.betas[1]:g}",
        rate_words(training),
        loss_words(training),
        f"gradients clipped to norm {training.clip_norm:g}" if training.clip_norm else "",
        pixel_words(images or DataConfig()),
        "the last, incomplete batch left out, also in validation" if training.drop_last else "",
        KEPT[training.keep],
        f"{training.snapshots} snapshots" if training.snapshots else "no snapshots",
    ]
    return "; ".join(part for part in parts if part)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
