"""Whole runs under a name."""

import argparse

import pytest

from pages.server import limits
from tests.conftest import tiny_config
from vit import flags, runs
from vit.cli import main, train
from vit.config import RunConfig, presets
from vit.errors import SettingsError
from vit.flags import configure


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_makes_a_run_that_its_flags_repeat(name, home):
    config = configure(preset=name)
    assert config != RunConfig()
    words = flags.command_line(config).split()[4:]
    parser = argparse.ArgumentParser()
    flags.add_flags(parser)
    assert flags.to_config(parser.parse_args(words)) == config


def test_minute_is_cheaper_than_the_default_and_within_the_bounds_of_a_demo():
    config = configure(preset="minute")
    assert config.training.epochs * config.model.embed_dim < RunConfig().training.epochs * RunConfig().model.embed_dim
    limits.DemoLimits().check(config)


def test_a_flag_changes_a_preset():
    assert configure(preset="minute", epochs=2) == configure(preset="minute").model_copy(
        update={"training": configure(preset="minute").training.model_copy(update={"epochs": 2})}
    )


def test_an_unknown_preset_is_refused():
    with pytest.raises(SettingsError, match="preset = 'hour' is unknown: choose from minute"):
        configure(preset="hour")


def test_a_run_from_the_command_line_is_called_after_its_preset(home, monkeypatch):
    started = []
    monkeypatch.setattr(train, "in_foreground", lambda run, **_: started.append(run.name) or 0)
    tiny = tiny_config()
    monkeypatch.setitem(
        presets.PRESETS,
        "minute",
        {"image_size": 32, "epochs": 1, "train_images": tiny.data.train_images, "val_images": tiny.data.val_images},
    )
    for _ in range(2):
        assert main.main(["train", "--preset", "minute"]) == 0
    assert started == ["minute", "minute-2"]
    assert runs.find_run("minute").config.training.epochs == 1
