"""The manifest of an exported page: everything about the run that the page shows, as JSON."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vit import __version__
from vit.config import TransformerConfig, words
from vit.config.words import SUMMARIES
from vit.data.files import preparation
from vit.data.files.uploads import upload_title
from vit.exports.web_page import samples
from vit.plots import curves
from vit.runs import Run, comparison
from vit.runs.privacy import last_name, without_private_settings
from vit.support.durations import duration
from vit.support.untrusted_text import shown
from vit.terms import GLOSSARY, heading

if TYPE_CHECKING:
    from vit.data import Split
    from vit.networks import Network, Transformer
    from vit.runs.weights import CheckpointInfo

CLASSES_MAX = 100
"""With more classes, the page has no confusion matrix."""


def manifest(
    run: Run, model: "Network", info: "CheckpointInfo", split: "Split | None", count: int, weights: dict[str, Any]
) -> dict[str, Any]:
    """Return the manifest.

    Args:
        run: the run.
        model: its network.
        info: what is known about it.
        split: its validation images; None if they are not on this machine.
        count: number of samples.
        weights: how the weights are stored.
    """
    found = network(model, info)
    names = words.tokens_before(model.config) if isinstance(model.config, TransformerConfig) else ()
    return found | {
        "before": {"names": list(names), "short": words.short_before(names), "words": words.words_before(names)},
        "title": run.name,
        "weights": weights,
        "samples": samples.samples(split, info.config.data, count) if split is not None else [],
        "card": card(run, model, info, split),
        "words": {name: {"title": heading(name), "text": term.words} for name, term in GLOSSARY.items()},
    }


def network(model: "Network", info: "CheckpointInfo") -> dict[str, Any]:
    """Return what the engine and the preprocessing need to know of a network."""
    from vit.explain.recording import caveat
    from vit.networks import Transformer

    data = info.config.data
    tokens: dict[str, Any] = {
        "depth": 0,
        "heads": 0,
        "grid": [0, 0],
        "prefix_tokens": [],
        "summary": None,
        "normalised_over": None,
    }
    if isinstance(model, Transformer):
        tokens = {
            "depth": model.config.depth,
            "heads": model.config.num_heads,
            "grid": list(model.grid),
            "prefix_tokens": _prefix_tokens(model),
            "summary": SUMMARIES[model.pool],
            "normalised_over": model.normalised_over,
            "mixes_positions": model.mixes_positions,
            "caveat": caveat(mixes_positions=model.mixes_positions, normalised_over=model.normalised_over),
        }
    return {
        "class_names": list(info.class_names),
        "image_size": info.image_size,
        "attention": isinstance(model, Transformer),
        "head_mask": isinstance(model, Transformer),
        "preparation": {
            "image_size": info.image_size,
            "crop_pct": info.crop_pct,
            "interpolation": info.interpolation,
            "ground": data.ground,
            "mean": list(info.mean),
            "std": list(info.std),
            "sentence": preparation.sentence(info),
        },
    } | tokens


def _prefix_tokens(model: "Transformer") -> list[str]:
    """Return the names of the tokens before the patches."""
    has_class_token = getattr(model, "cls_token", None) is not None
    registers = model.num_prefix_tokens - has_class_token
    named = ["register"] if registers == 1 else [f"register {index + 1}" for index in range(registers)]
    return [*(["class token"] if has_class_token else []), *named]


def card(run: Run, model: "Network", info: "CheckpointInfo", split: "Split | None") -> dict[str, Any]:
    """Return the results and settings of a run, without what is private."""
    config = run.config
    public = without_private_settings(config)
    if upload_title(config.data.source):  # shown by its title, which needs the whole path
        public = public.model_copy(update={"data": config.data})
    settings = comparison.settings(public)
    return {
        "settings": [[name, comparison.shown(name, value)] for name, value in settings.items()],
        "metrics": _metrics(run),
        "curves": _curves(run),
        "origin": f"Exported from the run {shown(run.name)} by vit-attention-explorer {__version__}.",
        **_confusions(model, info, split),
    }


def _metrics(run: Run) -> dict[str, str]:
    config = run.config
    found = comparison.summary(run)
    found = replace(found, data=last_name(found.data))
    labelled = config.training.labelled
    facts = {
        "Data": found.data,
        words.accuracy(config.training): _percent(found.val_accuracy if labelled else found.neighbour_accuracy),
        "Training accuracy": _percent(found.train_accuracy) if labelled else None,
        "Parameters": f"{found.parameters:,}",
        "Epochs": f"{run.status.epoch} of {config.training.epochs}",
        "Training time": None if found.seconds is None else duration(found.seconds),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _curves(run: Run) -> dict[str, Any] | None:
    lines, training = run.metrics()[0], run.config.training
    if not lines:
        return None
    plots = curves.plots_of_training(training, lines, curves.SMOOTHING)
    plots = [replace(plot, lines=tuple(_finite(line) for line in plot.lines)) for plot in plots]
    planned = run.status.steps_total
    steps = planned or max((line["step"] for line in lines if "step" in line), default=1)
    return curves.chart(plots, end=max(1, steps), per_epoch=planned / training.epochs)


def _finite(line: curves.Series) -> curves.Series:
    """Return a line without the points that JSON cannot hold, such as a loss that is not finite."""
    kept = [place for place, value in enumerate(line.ys) if np.isfinite(value)]
    return replace(line, xs=[line.xs[place] for place in kept], ys=[line.ys[place] for place in kept])


def _confusions(model: "Network", info: "CheckpointInfo", split: "Split | None") -> dict[str, Any]:
    """Return the confusion matrix on the validation images: rows true, columns predicted, counts."""
    if split is None or not 2 <= len(info.class_names) <= CLASSES_MAX:
        return {"confusion_matrix": None, "class_names": list(info.class_names)}
    from vit.evaluation import evaluate

    result = evaluate(model, info, split)
    return {"confusion_matrix": result.confusion_matrix.tolist(), "class_names": list(result.class_names)}


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
