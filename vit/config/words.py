"""The words of a setting, read from its declaration.

Every label and help text of a setting comes from here: the command line, the Train page, the Runs page, reports and
model cards.
"""

from collections.abc import Sequence
from typing import Any

from vit.config.base import Settings
from vit.config.model import ModelConfig, TransformerConfig
from vit.config.training import TrainingConfig

NETWORKS = {
    "vit": "Vision Transformer",
    "reference": "Course network",
    "reference-einsum": "Course network (einsum)",
    "cnn": "CNN",
    "cnn-residual": "Residual CNN",
}
"""The networks of :data:`vit.config.MODELS`."""

SUMMARIES = {"cls": "class token", "mean": "mean of the patches", "all": "mean of all tokens"}
"""What the class head reads, by the ``pool`` of a network: the network's summary token."""

HEAD_WIDTH = ("Head width", "Length of the query, key and value of a token in one head")
"""Title and description of ``head_dim``, which is chosen in place of ``embed_dim``."""


def title(settings: type[Settings], field: str) -> str:
    """Return the label of a setting, such as "Learning rate"."""
    return settings.model_fields[field].title or field.replace("_", " ").capitalize()


def description(settings: type[Settings], field: str) -> str:
    """Return what a setting does, as a phrase without a full stop; empty if its declaration does not say."""
    return settings.model_fields[field].description or ""


def unit(settings: type[Settings], field: str) -> str:
    """Return the unit of a setting, such as "pixels"; empty if it has none."""
    return _extra(settings, field).get("unit", "")


def label(settings: type[Settings], field: str) -> str:
    """Return the title with the unit, such as "Image size (pixels)"."""
    measure = unit(settings, field)
    return title(settings, field) + (f" ({measure})" if measure else "")


def choice(settings: type[Settings], field: str, value: Any) -> str:
    """Return the name of one value of a setting, such as "Class token" for ``pool="cls"``."""
    return _extra(settings, field).get("choices", {}).get(value) or str(value)


def accuracy(training: TrainingConfig, *, start: bool = True) -> str:
    """Return the name of ``val_accuracy`` in the metrics of a training: without labels it is that of neighbours.

    Args:
        training: the recipe.
        start: whether the name starts a sentence or a label, and so has a capital letter.
    """
    if not training.labelled:
        return "k-NN accuracy"
    return "Validation accuracy" if start else "validation accuracy"


def summary_name(network: ModelConfig) -> str:
    """Return what the class head of a transformer reads, such as "mean of the patches"."""
    return SUMMARIES[getattr(network, "pool", "all")]  # the course network has no setting for it


def tokens_before(config: TransformerConfig) -> tuple[str, ...]:
    """Return the names of the tokens before the patches if there are registers among them, otherwise nothing.

    A class token alone needs no extra number: it is the summary token, or the network does not read it.
    """
    return config.prefix_names if any(name != "class token" for name in config.prefix_names) else ()


def words_before(before: Sequence[str]) -> str:
    """Return the names from :func:`tokens_before` as a phrase, such as "the class token and 4 registers"."""
    registers = sum(name != "class token" for name in before)
    said = ["the class token"] if registers == 0 or registers < len(before) else []
    said += [f"{registers} register{'s' if registers > 1 else ''}"] if registers else []
    return " and ".join(said)


def short_before(before: Sequence[str]) -> str:
    """Return a short form of :func:`words_before` for the corner of a tile."""
    return "class token" if not before else "class+reg." if "class token" in before else "registers"


def _extra(settings: type[Settings], field: str) -> dict[str, Any]:
    extra = settings.model_fields[field].json_schema_extra
    return extra if isinstance(extra, dict) else {}
