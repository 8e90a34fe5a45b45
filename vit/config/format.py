"""Formats of the run folder; ``docs/format.md`` describes the files and what is guaranteed.

Settings of an older format are upgraded step by step, as long as the networks that they describe still exist.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from vit.errors import SettingsError

FORMAT: Final = 4
"""Format of the runs that this program writes. It is increased when the same settings come to mean another network, or
when a field or a file is renamed or removed. A new field needs no new format if its default keeps the old behaviour."""

Settings = dict[str, Any]


def upgrade(settings: Mapping[str, Any]) -> Settings:
    """Return the settings of a run of any format in the format of this program.

    Args:
        settings: content of ``config.json``; without a ``format`` it is taken to be the present one.

    Raises:
        SettingsError: the settings describe a network that no longer exists, or come from a later program.
    """
    settings = dict(settings)
    while (number := settings.get("format", FORMAT)) != FORMAT:
        step = _STEPS.get(number) if type(number) is int else None
        if step is None:
            raise SettingsError(
                f"it is of format {str(number)[:20]}, and this program knows formats up to {FORMAT}: open it with the "
                "version that made it, or a later one."
            )
        settings = step(settings) | {"format": number + 1}
    return settings


def _from_1(_settings: Settings) -> Settings:
    raise SettingsError(
        "it was made by another version of this program (format 1), with other networks: train it again."
    )


_VIT_DEFAULTS_OF_2 = {
    "patch_size": 8,
    "embed_dim": 128,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2.0,
    "stem": "conv",
    "stem_blocks": 2,
    "pool": "mean",
}
"""What a field of ``vit`` that is not given meant in format 2."""
_TRAINING_DEFAULTS_OF_2 = {"epochs": 20, "blank_images": 0.0}
"""What a training setting that is not given meant in format 2."""


def _from_2(settings: Settings) -> Settings:
    model, training = settings.get("model", {}), settings.get("training", {})
    if isinstance(model, dict) and model.get("architecture", "vit") == "vit":
        model = {"architecture": "vit"} | _VIT_DEFAULTS_OF_2 | model
    if isinstance(training, dict):
        training = _TRAINING_DEFAULTS_OF_2 | training
    return settings | {"model": model, "training": training}


def _from_3(settings: Settings) -> Settings:
    training = settings.get("training", {})
    if isinstance(training, dict) and training.get("augment", "standard") in ("standard", "none"):
        training = dict(training)
        on = training.pop("augment", "standard") == "standard"
        method = training.get("learn_from")
        # DINO cropped, flipped and recoloured its images whatever the setting was; MAE cropped and flipped them.
        parts = {"flip": on, "shift": on, "colour": on and method != "mae", "erasing": on}
        if method == "dino":
            parts = dict.fromkeys(parts, True)
        training |= parts | ({"erasing": False} if method in ("dino", "mae") else {})
    return settings | {"training": training}


_STEPS: dict[int, Callable[[Settings], Settings]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""Upgrades from each format to the next."""
