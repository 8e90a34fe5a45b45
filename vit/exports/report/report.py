"""The report of a run: one HTML file with images, summary, settings, curves, confusion matrix and attention maps.

The course asked for training images, the summary table, the curves and the confusion matrix. The attention maps are an
addition.
"""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from vit.config import RunConfig, TransformerConfig, words
from vit.config.words import SUMMARIES
from vit.data import load, sample, title
from vit.data.files.uploads import upload_title
from vit.errors import UserError
from vit.exports.report import html
from vit.flags import command_line
from vit.pictures import overlays
from vit.pictures.colours import RIGHT, WRONG, with_opacity
from vit.plots import svg
from vit.plots.panels import panels
from vit.runs import Run, comparison
from vit.runs.dependence import read_dependence
from vit.runs.privacy import last_name, without_paths, without_private_settings, without_private_status
from vit.support.durations import duration

if TYPE_CHECKING:
    from torch import Tensor

    from vit.data import Split
    from vit.evaluation import Evaluation
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

SAMPLES = 9
LOOKS = 4
"""Number of validation images with attention maps, of different classes where possible."""

BATCH = 16
"""Batch size of the summary: the course counted multiply-adds for it."""

CLASSES_MAX = 25
"""With more classes, the confusion matrix is a picture without numbers."""

UPRIGHT_MAX, UPRIGHT_LETTERS = 12, 12
"""With more columns or longer names than this, the column names of the confusion matrix are vertical."""

OPACITY = 0.6
"""Opacity of a full cell of the confusion matrix, so that its number is readable in light and dark mode."""

Say = Callable[[str], None]
Explain = Callable[["Network", "Tensor", list[np.ndarray]], tuple[str, list[Image.Image]]]
"""A model, images ``(b c h w)`` and the same as ``(h w c)`` uint8 -> a sentence, and a picture for each image."""

Section = dict[str, Any]
"""A section of the page: its ``heading``, its ``template``, and what the template shows."""


def report(run: Run, say: Say = lambda sentence: None) -> str:
    """Return the report of a run as one HTML page that loads nothing.

    A section whose data set or weights are missing holds a sentence that says so. Private settings are left out
    (:mod:`vit.runs.privacy`).

    Args:
        run: the run to report on.
        say: called with a sentence before each slow step.

    Raises:
        RunError: the run's settings cannot be read.
    """
    summary = comparison.summary(run)
    summary = replace(summary, data=last_name(summary.data))  # a path of another system is its own title here
    sections = [
        _section("Training images", "samples.html", lambda: _samples(run)),
        _section("Summary", "summary.html", lambda: _summary(run.config)),
        _section("Settings", "settings.html", lambda: _settings(run.config)),
        _section("Curves", "curves.html", lambda: _curves(run)),
    ]
    if isinstance(run.config.model, TransformerConfig):
        sections.append(_section("Attention dependence", "dependence.html", lambda: _dependence(run)))
    try:
        sections += _results(run, say)
    except UserError as error:
        sections.append(_missing("Confusion matrix and attention", error))
    sections.append(_section("Train this run again", "command.html", lambda: _command(run)))
    for section in sections:
        if "reason" in section:
            section["reason"] = without_paths(section["reason"], run.config.data.source)
    return html.render("report.html", run=run, summary=summary, sections=sections, **_header(run, summary))


def _section(heading: str, template: str, make: Callable[[], dict[str, Any]]) -> Section:
    """Return a section with the content from ``make``, or with the sentence of its error."""
    try:
        return {"heading": heading, "template": template} | make()
    except UserError as error:
        return _missing(heading, error)


def _missing(heading: str, error: UserError) -> Section:
    return {"heading": heading, "template": "missing.html", "reason": str(error)}


def _header(run: Run, summary: comparison.Summary) -> dict[str, Any]:
    config = run.config
    network = f"Vision Transformer, {config.model.title}" if config.model.architecture == "vit" else config.model.title
    facts = {
        words.accuracy(config.training): _percent(
            summary.val_accuracy if config.training.labelled else summary.neighbour_accuracy
        ),
        **({"Training accuracy": _percent(summary.train_accuracy)} if config.training.labelled else {}),
        "Parameters": f"{summary.parameters:,}",
        "Epochs": f"{run.status.epoch} of {config.training.epochs}",
        "Training time": "–" if summary.seconds is None else duration(summary.seconds),
    }
    message = without_private_status(run.status, config).message
    return {"network": f"{network[0].upper()}{network[1:]}", "facts": facts, "message": message}


def _samples(run: Run) -> dict[str, Any]:
    data = run.config.data
    found = sample(
        data.source,
        SAMPLES,
        image_size=data.image_size,
        seed=data.seed,
        ground=data.ground,
        window=data.window,
        columns=data.columns,
    )
    samples = [(Image.fromarray(pixels), label) for pixels, label in found]
    return {"title": title(data.source), "size": data.image_size, "samples": samples}


def _summary(config: RunConfig) -> dict[str, Any]:
    from vit.cost.layer_table import summarise

    found = summarise(config.model, batch=BATCH)
    return {
        "parameters": f"{found.parameters:,}",
        "multiply_adds": f"{found.multiply_adds / 1e6:,.2f}",
        "batch": BATCH,
        "rows": [
            (row.name, row.kind, " × ".join(map(str, row.output)), f"{row.parameters:,}", f"{row.multiply_adds:,}")
            for row in found.rows
        ],
    }


def _settings(config: RunConfig) -> dict[str, Any]:
    public = without_private_settings(config)
    if upload_title(config.data.source):  # shown by its title, which needs the whole path
        public = public.model_copy(update={"data": config.data})
    settings = comparison.settings(public)
    return {"settings": {name: comparison.shown(name, value) for name, value in settings.items()}}


def _curves(run: Run) -> dict[str, Any]:
    charts = panels(run.metrics()[0])
    if not charts:
        raise UserError("There are no curves yet: the training has not taken a step.")
    drawn = [(panel, Markup(svg.curves(panel))) for panel in charts]
    return {"charts": drawn, "augmented": run.config.training.augments}


def _dependence(run: Run) -> dict[str, Any]:
    found = read_dependence(run)
    if found is None:
        raise UserError(
            "It is not measured: open the run on the Heads page, or use python -m vit evaluate with --dependence."
        )
    heads = [
        (
            f"Layer {row}, head {column}",
            f"{100 * head.lost:.1f}",
            f"{100 * head.low:.1f} to {100 * head.high:.1f}",
            _percent(head.inside),
        )
        for row, layer in enumerate(found.layers, start=1)
        for column, head in enumerate(layer, start=1)
    ]
    return {"warning": found.warning, "figures": found.figures(), "heads": heads}


def _results(run: Run, say: Say) -> list[Section]:
    """Return the sections that need the weights and the validation images."""
    from vit.results.answers import answers
    from vit.runs.weights import load_checkpoint

    say("Evaluating the model on the validation images.")
    model, info = load_checkpoint(run.path)
    split = load(run.config.data, splits=("val",)).val
    assert split is not None
    result = answers(run, model, info, split)
    say("Drawing the attention maps.")
    heading, explain = "Attention of every head", _attentions
    if run.config.model.architecture == "cnn":
        heading, explain = "Where the network looks", _grad_cams
    return [
        _section("Confusion matrix", "confusions.html", lambda: _confusions(result)),
        _section(heading, "attention.html", lambda: _looks(explain, model, info, split, result)),
    ]


def _confusions(result: "Evaluation") -> dict[str, Any]:
    names, matrix = result.class_names, result.confusion_matrix
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    content: dict[str, Any] = {
        "images": f"{len(result.labels):,}",
        "accuracy": _percent(result.accuracy),
        "classes": [
            (row["label"], *(_percent(row[score]) for score in ("precision", "recall", "f1")), row["support"])
            for row in result.per_class
        ],
        "picture": None,
    }
    if len(names) > CLASSES_MAX:
        side = max(1, 600 // len(names)) * len(names)
        picture = Image.fromarray(overlays.to_colours(shares)).resize((side, side), Image.Resampling.NEAREST)
        return content | {"picture": picture}

    def cell(row: int, column: int) -> tuple[int, str]:
        colour = RIGHT if row == column else WRONG
        return matrix[row, column], with_opacity(colour, OPACITY * shares[row, column])

    return content | {
        "names": names,
        "upright": len(names) > UPRIGHT_MAX or any(len(name) > UPRIGHT_LETTERS for name in names),
        "matrix": [(name, [cell(row, column) for column in range(len(names))]) for row, name in enumerate(names)],
    }


def _looks(
    explain: Explain, model: "Network", info: "CheckpointInfo", split: "Split", result: "Evaluation"
) -> dict[str, Any]:
    """Explain a few validation images of different classes."""
    from vit.data.batches import to_tensor

    chosen = [int(np.flatnonzero(split.labels == label)[0]) for label in np.unique(split.labels)[:LOOKS]]
    views = [np.ascontiguousarray(np.moveaxis(split.images[index], 0, -1)) for index in chosen]
    sentence, pictures = explain(model, to_tensor(views, info.mean, info.std), views)
    images = []
    for index, view, picture in zip(chosen, views, pictures, strict=True):
        true, predicted = (result.class_names[int(labels[index])] for labels in (split.labels, result.predictions))
        caption = f"{true}, predicted correctly" if true == predicted else f"{true}, predicted as {predicted}"
        caption += f", confidence {result.confidence[index]:.0%} (validation image {index})"
        images.append((Image.fromarray(view), picture, caption))
    return {"sentence": sentence, "images": images}


def _attentions(model: "Network", images: "Tensor", views: list[np.ndarray]) -> tuple[str, list[Image.Image]]:
    from vit.explain import attention_arrays, capture, token_maps

    record = capture(model, images)
    if record.normalised_over == "query":  # the summary token's map would be uniform
        sentence = f"The whole map of each head: queries down, keys across. {record.caveat}"
        maps = [attention_arrays(record, image) for image in range(len(views))]
        views = [np.full_like(view, overlays.to_colours(np.zeros(()))) for view in views]
    else:
        sentence = (
            f"What the {SUMMARIES[record.pool]}, which the classifier reads, attends to in each head of each layer. "
        )
        sentence += f"The brightest colour is the 99th percentile of the image's maps. {record.caveat}"
        maps = [token_maps(record, 0, image) for image in range(len(views))]
    depth, heads = maps[0].shape[:2]
    layers, columns = range(1, depth + 1), range(1, heads + 1)
    return sentence, [overlays.attention_grid(*pair, layers, columns) for pair in zip(views, maps, strict=True)]


def _grad_cams(model: "Network", images: "Tensor", views: list[np.ndarray]) -> tuple[str, list[Image.Image]]:
    from vit.explain.maps.gradcam import grad_cam

    maps = grad_cam(model, images)
    sentence = (
        "A convolutional network has no attention. Grad-CAM (Selvaraju et al. 2017) of its last block shows which "
        "parts of an image support the predicted class."
    )
    pairs = zip(views, maps, strict=True)
    return sentence, [
        overlays.overlay(view, heat, top=float(heat.max()), side=2 * overlays.TILE) for view, heat in pairs
    ]


def _command(run: Run) -> dict[str, Any]:
    environment = run.config.environment
    machine = (environment.processor, environment.platform) if environment else ()
    return {
        "environment": environment,
        "machine": ", ".join(part for part in machine if part),
        # Escaped here: the page would collapse spaces within the command's arguments.
        "command": Markup(escape(command_line(without_private_settings(run.config)))),
    }


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
