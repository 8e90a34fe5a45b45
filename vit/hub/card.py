"""The model card of a run: the README of its folder, which the Hugging Face hub shows as the model's page.

Names of classes, runs and data sets are anybody's, so they are escaped for Markdown, HTML and YAML, each where it
stands.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vit.classes import names_of
from vit.config import RunConfig
from vit.cost.estimate import count_parameters
from vit.data import title
from vit.flags import command_line
from vit.hub.settings import why_not_timm
from vit.runs import comparison
from vit.support.untrusted_text import as_markdown, shown

if TYPE_CHECKING:
    from vit.evaluation import Evaluation

CURVES, CONFUSION, ATTENTION = "curves.png", "confusion.png", "attention.png"
"""The pictures that a card shows, where they are there."""

CLASSES_MAX = 25
"""A confusion matrix of more classes is a picture alone; as many classes are listed by name."""
NAME_COLUMNS = 40
TIMM_URL = "https://huggingface.co/docs/timm"


@dataclass(frozen=True)
class Card:
    """What a card is written from.

    Attributes:
        name: of the run.
        config: its settings.
        repo: ``user/name`` on the hub, where the lines that load the model take it from.
        best: what the run says of its kept weights: ``epoch``, ``val_accuracy``, ``val_loss``.
        measured: the validation images judged anew; None where that was not possible.
        counts: training and validation images; None where it is not known.
        pictures: those of :data:`CURVES`, :data:`CONFUSION` and :data:`ATTENTION` that lie beside the card.
    """

    name: str
    config: RunConfig
    repo: str = "USER/NAME"
    best: dict[str, Any] | None = None
    measured: "Evaluation | None" = None
    counts: tuple[int, int] | None = None
    pictures: Sequence[str] = field(default=())

    def text(self) -> str:
        """The card: YAML between two lines of dashes, then Markdown."""
        parts = [
            *self._head(),
            *self._data(),
            *self._results(),
            *self._curves(),
            *self._attention(),
            *self._loading(),
            *self._settings(),
            *self._environment(),
        ]
        return f"---\n{self._front()}---\n\n" + "\n\n".join(parts) + "\n"

    @property
    def _accuracy(self) -> float | None:
        return self.measured.accuracy if self.measured else (self.best or {}).get("val_accuracy")

    def _front(self) -> str:
        """The metadata; a JSON string is a YAML string where it has no control characters."""
        config = self.config
        data = title(config.data.source)
        tags = ["vision-transformer" if config.model.architecture == "vit" else "computer-vision"]
        tags += ["attention", "model_hub_mixin", "pytorch_model_hub_mixin"]
        front: dict[str, Any] = {
            "library_name": "pytorch" if why_not_timm(config) else "timm",
            "pipeline_tag": "image-classification" if config.model.num_classes else "image-feature-extraction",
            "tags": tags,
        }
        if config.data.source:
            front["datasets"] = [shown(data, NAME_COLUMNS)]
        if (accuracy := self._accuracy) is not None:
            front["metrics"] = ["accuracy"]
            result = {
                "task": {"type": "image-classification"},
                "dataset": {"name": shown(data, NAME_COLUMNS), "type": "image-folder", "split": "validation"},
                "metrics": [{"type": "accuracy", "value": round(accuracy, 4)}],
            }
            front["model-index"] = [{"name": shown(self.name), "results": [result]}]
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items()]
        return "".join(lines) + "# license: yours to choose, such as apache-2.0 or mit\n"

    def _head(self) -> Iterator[str]:
        config = self.config
        kind = "Vision Transformer, " if config.model.architecture == "vit" else ""
        yield f"# {as_markdown(self.name)}"
        yield (
            f"A {kind}{as_markdown(config.model.title)}, {count_parameters(config.model):,} parameters, for RGB images "
            f"of {config.model.image_size} × {config.model.image_size} pixels, trained and looked into with an "
            "interactive attention explorer."
        )
        if config.published:
            yield (
                f"The weights are those of the published model {as_markdown(config.published)}: its authors' licence "
                "holds for them."
            )
        if config.start:
            frozen = " with its encoder frozen" if config.start.frozen else ""
            yield f"Fine-tuned from the run {as_markdown(config.start.run)}{frozen}."

    def _data(self) -> Iterator[str]:
        data, names = self.config.data, names_of(self.config)
        yield "## Data"
        if not data.source:
            yield "The images that it was trained on were not at hand when this card was written."
        else:
            images = f": {self.counts[0]:,} training and {self.counts[1]:,} validation images" if self.counts else ""
            yield f"{as_markdown(title(data.source))}{images}."
        if not names:
            yield "It has no classes: its output is the summary token."
            return
        listed = ", ".join(as_markdown(name, NAME_COLUMNS) for name in names[:CLASSES_MAX])
        more = f" and {len(names) - CLASSES_MAX:,} more" if len(names) > CLASSES_MAX else ""
        yield f"{len(names):,} classes, in the order of the logits: {listed}{more}."

    def _results(self) -> Iterator[str]:
        yield "## Results"
        if self.measured is None:
            if (accuracy := self._accuracy) is not None:
                yield f"{accuracy:.1%} of the validation images were recognised after epoch {self.best['epoch']}."
            yield "The images themselves were not at hand when this card was written."
            return
        result, matrix = self.measured, self.measured.confusion_matrix
        yield (
            f"{result.accuracy:.1%} of {len(result.labels):,} validation images are recognised, with a mean "
            f"cross-entropy of {result.loss:.3f} and an expected calibration error of {result.calibration().ece:.3f}."
        )
        names = [as_markdown(name, NAME_COLUMNS) for name in result.class_names]
        if len(names) <= CLASSES_MAX:
            rows = [
                (name, *(f"{row[score]:.1%}" for score in ("precision", "recall", "f1")), f"{row['support']:,}")
                for name, row in zip(names, result.per_class, strict=True)
            ]
            yield _table(("Class", "Precision", "Recall", "F1", "Images"), rows)
        yield "### Confusion matrix"
        if len(names) <= CLASSES_MAX:
            yield "Rows are true classes, columns what the model says."
            rows = [(name, *(f"{count:,}" for count in row)) for name, row in zip(names, matrix, strict=True)]
            yield _table(("true \\\\ said", *names), rows)
        if CONFUSION in self.pictures:
            alt = "Confusion matrix: rows are true classes, columns what the model says, blue is right and red wrong"
            yield f"![{alt}]({CONFUSION})"

    def _curves(self) -> Iterator[str]:
        if CURVES in self.pictures:
            yield "## Curves"
            yield f"![Loss by step, and accuracy by epoch, in training and validation]({CURVES})"
            yield "Training loss and accuracy are means over an epoch, on augmented images while the weights moved."

    def _attention(self) -> Iterator[str]:
        if ATTENTION in self.pictures:
            yield "## Attention"
            yield f"![What every head of every layer attends to, for one image]({ATTENTION})"

    def _loading(self) -> Iterator[str]:
        config = self.config
        yield "## How to load it"
        if why_not := why_not_timm(config):
            yield f"timm cannot load it: {why_not}."
        else:
            yield f"With [timm]({TIMM_URL}), or from a folder with `local-dir:` in place of `hf-hub:`:"
            yield _code(
                "import timm\n\n"
                f'model = timm.create_model("hf-hub:{self.repo}", pretrained=True).eval()\n'
                "data = timm.data.resolve_model_data_config(model)\n"
                "transform = timm.data.create_transform(**data, is_training=False)\n"
                'model.pretrained_cfg.get("label_names")  # in the order of the logits'
            )
        kind = {"vit": "HubViT", "reference": "HubReferenceViT", "cnn": "HubCNN"}[config.model.architecture]
        yield "With the explorer that it was trained in, where its attention can be looked at, too:"
        yield _code(
            f"from vit.hub.models import {kind}\n\n"
            f'model = {kind}.from_pretrained("{self.repo}")\n'
            "model.run.data.class_names, model.run.data.mean, model.run.data.std"
        )
        data = config.data
        part = "" if data.crop_pct == 1 else f", {data.crop_pct:.1%} of each side,"
        yield (
            f"An image's centre square{part} is resized to {data.image_size} × {data.image_size} pixels "
            f"({data.interpolation}), and its pixels in [0, 1] are normalised by the mean "
            f"({', '.join(f'{value:g}' for value in data.mean)}) and the deviation "
            f"({', '.join(f'{value:g}' for value in data.std)}) of each channel."
        )

    def _settings(self) -> Iterator[str]:
        yield "## Settings"
        rows = [
            (as_markdown(name), as_markdown(comparison.in_words(name, value), 4 * NAME_COLUMNS))
            for name, value in comparison.settings(self.config).items()
            if name != comparison.LABELS["data.class_names"]
        ]
        yield _table(("Setting", "Value"), rows, numbers=False)

    def _environment(self) -> Iterator[str]:
        found = self.config.environment
        if found is None:
            return
        yield "## Environment"
        machine = ", ".join(as_markdown(part) for part in (found.processor, found.platform) if part)
        versions = f"vit {as_markdown(found.vit)}, torch {as_markdown(found.torch)}, Python {as_markdown(found.python)}"
        yield f"Trained with {versions} on {machine or as_markdown(found.device)}. The same again:"
        yield _code(shown(command_line(self.config)), "sh")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    rule = ["---", *(["---:"] if numbers else ["---"]) * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _code(text: str, language: str = "python") -> str:
    """A block between fences that are longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
