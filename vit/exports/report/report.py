"""All that there is to hand in of a run, as one HTML file: images, summary, settings, curves, confusions, attention.

The course asked for a sheet of training images, the summary table, the curves and the confusion matrix; the attention
maps are what it did not ask for.
"""

from collections.abc import Callable, Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vit.config import RunConfig
from vit.data import load, sample, title
from vit.errors import UserError
from vit.exports.report import html
from vit.flags import command_line
from vit.pictures import overlays
from vit.plots import svg
from vit.plots.panels import Panel, panels
from vit.runs import Run, comparison
from vit.support.untrusted_text import as_html

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vit.data import Split
    from vit.evaluation import Evaluation
    from vit.runs.weights import CheckpointInfo

SAMPLES = 9
LOOKS = 4
"""Validation images whose attention is shown, of as many classes as there are."""

BATCH = 16
"""Images of the summary's batch: the course counted multiply-adds for as many."""

CLASSES_MAX = 25
"""A larger confusion matrix has no numbers in it."""

Say = Callable[[str], None]
Explain = Callable[["nn.Module", "Tensor", list[np.ndarray]], tuple[str, list[Image.Image]]]
"""A model, images ``(b c h w)`` and the same as ``(h w c)`` uint8 -> a sentence, and a picture for each image."""


def report(run: Run, say: Say = lambda sentence: None) -> str:
    """The report of a run as HTML that needs no other file, and no network.

    What cannot be shown, since the data set or the weights are gone, is replaced by a sentence that says so.

    Args:
        say: told what is being done.

    Raises:
        RunError: the run's settings cannot be read.
    """
    parts = [
        _header(run, comparison.summary(run)),
        *_part("Training images", lambda: _samples(run)),
        *_part("Summary", lambda: _summary(run.config)),
        *_part("Settings", lambda: _settings(run.config)),
        *_part("Curves", lambda: _curves(run)),
    ]
    try:
        parts += _judged(run, say)
    except UserError as error:
        parts += [_section("Confusion matrix and attention"), html.paragraph(str(error), kind="missing")]
    return html.document(f"Report on {run.name}", [*parts, *_part("The same again", lambda: _again(run))])


def _judged(run: Run, say: Say) -> list[str]:
    """What takes the weights and the validation images."""
    from vit.evaluation import evaluate
    from vit.runs.weights import load_checkpoint

    say("Showing the validation images to the model.")
    model, info = load_checkpoint(run.path)
    split = load(run.config.data, splits=("val",)).val
    result = evaluate(model, info, split)
    say("Drawing what the model looks at.")
    convolutional = run.config.model.architecture == "cnn"
    return [
        *_part("Confusion matrix", lambda: _confusions(result)),
        *_part(
            "Where the network looks" if convolutional else "Attention of every head",
            lambda: _looks(_grad_cams if convolutional else _attentions, model, info, split, result),
        ),
    ]


def _section(heading: str) -> str:
    return f"<h2>{as_html(heading)}</h2>"


def _part(heading: str, make: Callable[[], Iterator[str]]) -> list[str]:
    """A heading with what ``make`` yields, or with the sentence of its error."""
    try:
        return [_section(heading), *make()]
    except UserError as error:
        return [_section(heading), html.paragraph(str(error), kind="missing")]


def _header(run: Run, summary: comparison.Summary) -> str:
    config = run.config
    facts = {
        "Validation accuracy": _percent(summary.val_accuracy),
        "Training accuracy": _percent(summary.train_accuracy),
        "Parameters": f"{summary.parameters:,}",
        "Epochs": f"{run.status.epoch} of {config.training.epochs}",
        "Trained for": "–" if summary.seconds is None else f"{summary.seconds:,.0f} s",
    }
    tiles = "".join(f"<div><b>{as_html(value)}</b><span>{as_html(name)}</span></div>" for name, value in facts.items())
    when = f", begun on {summary.created:%d %B %Y}" if summary.created else ""
    where = f", trained on {summary.device}" if summary.device else ""
    network = f"Vision Transformer, {config.model.title}" if config.model.architecture == "vit" else config.model.title
    sentence = f"{network[0].upper()}{network[1:]}, on {summary.data}{when}{where}. {run.status.message}"
    kept = "" if summary.best_epoch is None else f"Both accuracies are of epoch {summary.best_epoch}, whose weights "
    kept += "the run keeps." if kept else "No weights have been validated."
    return (
        f"<h1>{as_html(run.name)}</h1>{html.paragraph(sentence)}"
        f'<div class="facts">{tiles}</div>{html.paragraph(kept, kind="quiet")}'
    )


def _samples(run: Run) -> Iterator[str]:
    data = run.config.data
    figures = [
        html.figure(html.image(Image.fromarray(pixels), f"A training image of {label}", crisp=True), label)
        for pixels, label in sample(data.source, SAMPLES, image_size=data.image_size, seed=data.seed)
    ]
    yield html.paragraph(f"{title(data.source)}, at {data.image_size} x {data.image_size} pixels.", kind="quiet")
    yield f'<div class="samples">{"".join(figures)}</div>'


def _summary(config: RunConfig) -> Iterator[str]:
    from vit.cost.layer_table import summarise

    found = summarise(config.model, batch=BATCH)
    yield html.paragraph(
        f"{found.parameters:,} parameters, and {found.multiply_adds / 1e6:,.2f} M multiply-adds for a batch of {BATCH} "
        "images, as torchinfo counts them."
    )
    rows = (
        (row.name, row.kind, " × ".join(map(str, row.output)), f"{row.parameters:,}", f"{row.multiply_adds:,}")
        for row in found.rows
    )
    yield html.table(("Layer", "Kind", "Output", "Parameters", "Multiply-adds"), rows, texts=2)


def _settings(config: RunConfig) -> Iterator[str]:
    lines = "".join(
        f"<div><span>{as_html(name)}</span><span>{as_html(comparison.in_words(name, value))}</span></div>"
        for name, value in comparison.settings(config).items()
    )
    yield f'<div class="settings">{lines}</div>'


def _curves(run: Run) -> Iterator[str]:
    charts = panels(run.metrics()[0])
    if not charts:
        yield html.paragraph("There are none: the training has not taken a step.", kind="missing")
        return
    figures = [_curves_figure(chart) for chart in charts]
    yield f'<div class="curves">{"".join(figures)}</div>'
    yield html.paragraph(
        "Training loss and accuracy are means over an epoch, on augmented images while the weights still moved.",
        kind="quiet",
    )


def _curves_figure(panel: Panel) -> str:
    key = "".join(
        f'<span class="key"><i style="border-color:{line.colour}"></i>{as_html(line.name)}</span>'
        for line in panel.lines
        if len(line.xs)
    )
    return f"<figure><h3>{as_html(panel.y)}</h3><div>{key}</div>{svg.curves(panel)}</figure>"


def _confusions(result: "Evaluation") -> Iterator[str]:
    names, matrix = result.class_names, result.confusion_matrix
    yield html.paragraph(
        f"{result.accuracy:.1%} of {len(result.labels):,} validation images are recognised. Rows are true classes, "
        "columns what the model said; blue is right, orange is wrong, and the stronger the larger the share of its row."
    )
    if len(names) <= CLASSES_MAX:
        yield svg.confusion_table(matrix, names)
    else:
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        picture = Image.fromarray(overlays.colours(shares))
        side = max(1, 600 // len(names)) * len(names)
        picture = picture.resize((side, side), Image.Resampling.NEAREST)
        yield html.figure(html.image(picture, "Confusion matrix", crisp=True), "The share of each cell in its row.")
    yield "<h3>Each class</h3>"
    yield html.table(
        ("Class", "Precision", "Recall", "F1", "Images"),
        [
            (row["label"], *(_percent(row[score]) for score in ("precision", "recall", "f1")), str(row["support"]))
            for row in result.per_class
        ],
    )


def _looks(
    explain: Explain, model: "nn.Module", info: "CheckpointInfo", split: "Split", result: "Evaluation"
) -> Iterator[str]:
    """A few validation images of different classes, each with its maps."""
    from vit.data.batches import to_tensor

    chosen = [int(np.flatnonzero(split.labels == label)[0]) for label in np.unique(split.labels)[:LOOKS]]
    views = [np.ascontiguousarray(np.moveaxis(split.images[index], 0, -1)) for index in chosen]
    sentence, pictures = explain(model, to_tensor(views, info.mean, info.std), views)
    yield html.paragraph(sentence)
    for index, view, picture in zip(chosen, views, pictures, strict=True):
        true, said = (result.class_names[int(labels[index])] for labels in (split.labels, result.predictions))
        caption = f"{true}, recognised" if true == said else f"{true}, taken for {said}"
        caption += f", {result.confidence[index]:.0%} sure (validation image {index})"
        seen = html.figure(html.image(Image.fromarray(view), caption, crisp=True), caption)
        yield f'<div class="look">{seen}{html.figure(html.image(picture, f"What counts in {caption}"))}</div>'


def _attentions(model: "nn.Module", images: "Tensor", views: list[np.ndarray]) -> tuple[str, list[Image.Image]]:
    from vit.explain import attention_arrays, capture, token_maps

    record = capture(model, images)
    if record.normalised_over == "query":  # the summary token's map would be even
        sentence = f"Each head's whole map, queries down and keys across. {record.caveat}"
        maps = [attention_arrays(record, image) for image in range(len(views))]
        views = [np.full_like(view, overlays.colours(np.zeros(()))) for view in views]
    else:
        summary = {"cls": "the class token", "mean": "the mean of the patches", "all": "the mean of all tokens"}
        sentence = f"What {summary[record.pool]}, which the classifier reads, attends to in each head of each layer. "
        sentence += f"The brightest colour is the 99th percentile of an image's maps. {record.caveat}"
        maps = [token_maps(record, 0, image) for image in range(len(views))]
    depth, heads = maps[0].shape[:2]
    layers, columns = range(1, depth + 1), range(1, heads + 1)
    return sentence, [overlays.attention_grid(*pair, layers, columns) for pair in zip(views, maps, strict=True)]


def _grad_cams(model: "nn.Module", images: "Tensor", views: list[np.ndarray]) -> tuple[str, list[Image.Image]]:
    from vit.explain.maps.gradcam import grad_cam

    maps = grad_cam(model, images)
    sentence = (
        "A convolutional network has no attention. Grad-CAM (Selvaraju et al. 2017) of its last block shows which "
        "parts of an image speak for the class that the network names."
    )
    pairs = zip(views, maps, strict=True)
    return sentence, [
        overlays.overlay(view, heat, top=float(heat.max()), side=2 * overlays.TILE) for view, heat in pairs
    ]


def _again(run: Run) -> Iterator[str]:
    if environment := run.config.environment:
        machine = ", ".join(part for part in (environment.processor, environment.platform) if part)
        yield html.paragraph(
            f"Trained with vit {environment.vit} and torch {environment.torch} on {machine}.", kind="quiet"
        )
    yield f"<pre>{escape(command_line(run.config))}</pre>"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
