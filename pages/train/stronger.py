"""The controls of a stronger recipe for few images, and the phrases that describe it."""

import streamlit as st

from pages import access
from pages.train.controls import Controls
from pages.ui.text import plain
from vit.config import TrainingConfig, ViTConfig
from vit.data import DataInfo
from vit.runs import finetune

NO_TEACHER = "Runs on images of the same classes and size appear here, for example a CNN that you train first."


def find_teachers(info: DataInfo) -> dict[str, int]:
    """Return the image size of each of the visitor's runs that can be a teacher on these images."""
    classes = set(info.class_names)
    found = (run for run in access.my_runs() if finetune.can_start_from(run))
    return {run.name: run.config.model.image_size for run in found if set(run.config.data.class_names) == classes}


def stronger_controls(controls: Controls) -> None:
    """Show the controls in an expander; those that have no effect at present are left out."""
    with st.expander("Stronger recipe for few images", icon=":material/fitness_center:"):
        left, right = st.columns(2, gap="large")
        with left:
            controls.choice("teacher", note=NO_TEACHER)
            if controls.values["teacher"]:
                controls.choice("distillation")
                controls.choice("teacher_weight")
                if controls.values["distillation"] == "soft":
                    controls.choice("temperature")
            controls.choice("average")
            controls.choice("blank_images")
            if len(controls.space.values("optimizer")) > 1:
                controls.choice("optimizer")
            if isinstance(controls.space.base, ViTConfig):
                controls.choice("diversity")
        with right:
            controls.choice("mixup")
            controls.choice("cutmix")
            if controls.values["mixup"] or controls.values["cutmix"]:
                controls.choice("mix_probability")
            controls.choice("randaugment")
            if controls.values["randaugment"]:
                controls.choice("magnitude")
            controls.choice("repeats")


def stronger_words(training: TrainingConfig) -> list[str]:
    """Return a phrase for each part of a stronger recipe that is on."""
    kinds = [name for name, on in (("mixup", training.mixup), ("CutMix", training.cutmix)) if on]
    mixed = f"{' or '.join(kinds)} in {training.mix_probability:.0%} of the batches"
    operations = f"{training.randaugment} random operation{'s' * (training.randaugment > 1)} for each image"
    taught = "answers" if training.distillation == "soft" else "chosen classes"
    parts = [
        (mixed, kinds),
        (operations, training.randaugment),
        (f"each image {training.repeats} times in a batch", training.repeats > 1),
        (f"{training.blank_images:.0%} blank images", training.blank_images),
        (f"{training.teacher_weight:.0%} of the loss from the {taught} of {plain(training.teacher)}", training.teacher),
        ("a penalty on heads that look alike", training.diversity),
        ("an average of the weights", training.average),
    ]
    return [words for words, on in parts if on]
