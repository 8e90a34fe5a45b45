"""The words of a setting are written once, in its declaration."""

import argparse
import ast
from pathlib import Path

import pytest

from vit import flags
from vit.config import CNNConfig, DataConfig, ReferenceConfig, StartConfig, TrainingConfig, ViTConfig, words

PARTS = (ViTConfig, ReferenceConfig, CNNConfig, DataConfig, TrainingConfig, StartConfig)
SETTINGS = [(part, field) for part in PARTS for field in part.model_fields if field != "architecture"]
ROOT = Path(__file__).parents[2]
READERS = [
    *(ROOT / "pages" / "train").glob("*.py"),
    *(ROOT / "pages" / "runs").glob("*.py"),
    ROOT / "pages" / "anatomy" / "network.py",
    *(ROOT / "vit" / "cli").glob("*.py"),
    *(ROOT / "vit" / "exports" / "report").glob("*.py"),
    ROOT / "vit" / "hub" / "card.py",
    ROOT / "vit" / "runs" / "comparison.py",
    ROOT / "vit" / "flags.py",
]
OTHER_MEANINGS = {
    "Epochs": "complete epochs of a run in the report; an axis on the Runs page",
    "Training images": "a section of the report",
    "CutMix": "the method: a term of the glossary, and part of a sentence",
}
"""Strings that equal the title of a setting but label something else."""


def test_every_setting_has_a_title_and_a_description():
    for part, field in SETTINGS:
        info = part.model_fields[field]
        assert info.title, (part, field)
        assert info.description, (part, field)
        assert not info.description.endswith("."), (part, field)
        assert info.title[0].isupper()
        assert info.description[0].isupper()


def test_the_label_has_the_unit_and_a_choice_its_name():
    assert words.title(DataConfig, "image_size") == "Image size"
    assert words.label(DataConfig, "image_size") == words.label(ViTConfig, "image_size") == "Image size (pixels)"
    assert words.label(TrainingConfig, "lr") == "Learning rate"
    assert words.choice(ViTConfig, "pool", "cls") == "Class token"
    assert words.choice(TrainingConfig, "schedule", "cosine") == "cosine"


@pytest.mark.parametrize("file", READERS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_reader_writes_a_title_or_a_description_again(file):
    constants = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
    written = {node.value for node in constants if isinstance(node.value, str)}
    titles = {words.title(*setting) for setting in SETTINGS} | {words.label(*setting) for setting in SETTINGS}
    descriptions = {words.description(*setting) for setting in SETTINGS}
    again = written & (titles - OTHER_MEANINGS.keys() | descriptions)
    assert not again


def test_the_help_of_every_flag_is_the_description_of_its_setting():
    parser = argparse.ArgumentParser()
    flags.add_flags(parser)
    help_of = {action.option_strings[0]: action.help for action in parser._actions}
    for flag in flags.FLAGS:
        if flag.field != "name":
            said = words.description(flag.settings, flag.field)
            assert said[1:] in help_of[flag.name]
