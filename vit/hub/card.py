"""The model card of a run: the README of its folder, which the Hugging Face hub shows as the model's page.

Names of classes, runs and data sets are untrusted: they are escaped for Markdown and HTML here, and for YAML by
huggingface_hub.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vit.classes import class_names_of
from vit.config import RunConfig
from vit.cost.estimate import count_parameters
from vit.data import title
from vit.data.files import preparation
from vit.flags import command_line
from vit.hub.settings import why_not_timm
from vit.runs import comparison
from vit.runs.dependence import Dependence
from vit.support.untrusted_text import as_markdown, shown

if TYPE_CHECKING:
    from huggingface_hub import ModelCard, ModelCardData

    from vit.evaluation import Evaluation

CURVES, CONFUSION, ATTENTION = "curves.png", "confusion.png", "attention.png"
"""File names of the pictures that a card can show."""

CLASSES_MAX = 25
"""With more classes, the confusion matrix is only a picture, and the list of class names is cut off."""
NAME_COLUMNS = 40
TIMM_URL = "https://huggingface.co/docs/timm"


@dataclass(frozen=True)
class Card:
    """The content of a model card.

    Attributes:
        name: name of the run.
        config: settings of the run.
        repo: ``user/name`` on the hub, for the code examples.
        best: the run's record of its kept weights: ``epoch``, ``val_accuracy``, ``val_loss``.
        measured: a new evaluation on the validation images; None if they are not available.
        counts: number of training and of validation images; None if unknown.
        dependence: the stored attention dependence; None if it is not measured.
        pictures: which of :data:`CURVES`, :data:`CONFUSION` and :data:`ATTENTION` are in the card's folder.
    """

    name: str
    config: RunConfig
    repo: str = "USER/NAME"
    best: dict[str, Any] | None = None
    measured: "Evaluation | None" = None
    counts: tuple[int, int] | None = None
    dependence: Dependence | None = None
    pictures: Sequence[str] = field(default=())

    def model_card(self) -> "ModelCard":
        """Return the card: metadata as YAML, then Markdown."""
        from huggingface_hub import ModelCard  # a quarter of a second, which only an export should wait for

        parts = [
            "<!-- Add your licence to the metadata above, for example license: apache-2.0 or license: mit -->",
            *self._head(),
            *self._data(),
            *self._results(),
            *self._curves(),
            *self._attention(),
            *self._loading(),
            *self._settings(),
            *self._environment(),
        ]
        return ModelCard(f"---\n{self._metadata().to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")

    @property
    def _accuracy(self) -> float | None:
        if not self.config.model.num_classes:
            return None
        return self.measured.accuracy if self.measured else (self.best or {}).get("val_accuracy")

    def _metadata(self) -> "ModelCardData":
        from huggingface_hub import EvalResult, ModelCardData

        config, accuracy = self.config, self._accuracy
        data = shown(title(config.data.source), NAME_COLUMNS)
        results = None
        if accuracy is not None:
            result = EvalResult(
                task_type="image-classification",
                dataset_name=data,
                dataset_type="image-folder",
                dataset_split="validation",
                metric_type="accuracy",
                metric_value=round(accuracy, 4),
            )
            results = [result]
        kind = "vision-transformer" if config.model.architecture == "vit" else "computer-vision"
        return ModelCardData(
            library_name="pytorch" if why_not_timm(config) else "timm",
            pipeline_tag="image-classification" if config.model.num_classes else "image-feature-extraction",
            tags=[kind, "attention", "model_hub_mixin", "pytorch_model_hub_mixin"],
            datasets=[data] if config.data.source else None,
            metrics=["accuracy"] if results else None,
            model_name=shown(self.name) if results else None,
            eval_results=results,
        )

    def _head(self) -> Iterator[str]:
        config = self.config
        kind = "Vision Transformer, " if config.model.architecture == "vit" else ""
        yield f"# {as_markdown(self.name)}"
        yield (
            f"A {kind}{as_markdown(config.model.title)}, {count_parameters(config.model):,} parameters, for RGB images "
            f"of {config.model.image_size} × {config.model.image_size} pixels, trained with an interactive attention "
            "explorer."
        )
        if config.published:
            yield (
                f"The weights are those of the published model {as_markdown(config.published)} and are under its "
                "authors' licence."
            )
        if config.start:
            frozen = " with its encoder frozen" if config.start.frozen else ""
            yield f"Fine-tuned from the run {as_markdown(config.start.run)}{frozen}."

    def _data(self) -> Iterator[str]:
        data, names = self.config.data, class_names_of(self.config)
        yield "## Data"
        if not data.source:
            yield "The training images were not available when this card was written."
        else:
            images = f": {self.counts[0]:,} training and {self.counts[1]:,} validation images" if self.counts else ""
            yield f"{as_markdown(title(data.source))}{images}."
        if not names:
            yield "The model has no classes: its output is the summary token."
            return
        listed = ", ".join(as_markdown(name, NAME_COLUMNS) for name in names[:CLASSES_MAX])
        more = f" and {len(names) - CLASSES_MAX:,} more" if len(names) > CLASSES_MAX else ""
        yield f"{len(names):,} classes, in the order of the logits: {listed}{more}."

    def _neighbours(self) -> Iterator[str]:
        yield "The model has no classification head, so it has no accuracy of its own."
        if self.best and not self.config.training.labelled:
            yield (
                f"It was trained without labels. After epoch {self.best['epoch']}, a k-nearest-neighbour classifier of "
                f"its features had an accuracy of {self.best['val_accuracy']:.1%} on the validation images."
            )

    def _results(self) -> Iterator[str]:
        yield "## Results"
        if self.measured is None:
            if self.best and (accuracy := self._accuracy) is not None:
                yield f"After epoch {self.best['epoch']}, the accuracy on the validation images was {accuracy:.1%}."
            if not self.config.model.num_classes:
                yield from self._neighbours()
                return
            yield "The images themselves were not available when this card was written."
            return
        result, matrix = self.measured, self.measured.confusion_matrix
        yield (
            f"The accuracy on {len(result.labels):,} validation images is {result.accuracy:.1%}, the mean "
            f"cross-entropy {result.loss:.3f} and the expected calibration error {result.calibration().ece:.3f}."
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
            yield "Rows are true classes, columns predicted classes."
            rows = [(name, *(f"{count:,}" for count in row)) for name, row in zip(names, matrix, strict=True)]
            yield _table(("true \\\\ predicted", *names), rows)
        if CONFUSION in self.pictures:
            alt = "Confusion matrix: rows are true classes, columns predicted classes; blue is correct, red is wrong"
            yield f"![{alt}]({CONFUSION})"

    def _curves(self) -> Iterator[str]:
        if CURVES in self.pictures:
            yield "## Curves"
            yield f"![Loss by step, and accuracy by epoch, in training and validation]({CURVES})"
            augmented = "on augmented images, " if self.config.training.augments else ""
            yield f"Training loss and accuracy are means over an epoch, {augmented}while the weights change."

    def _attention(self) -> Iterator[str]:
        if self.dependence or ATTENTION in self.pictures:
            yield "## Attention"
        if self.dependence:
            if self.dependence.low:
                yield f"**{self.dependence.warning}**"
            yield _table(("Figure", "Value", "What it means"), self.dependence.figures(), numbers=False)
        if ATTENTION in self.pictures:
            yield f"![What each head of each layer attends to, for one image]({ATTENTION})"

    def _loading(self) -> Iterator[str]:
        config = self.config
        yield "## How to load it"
        if reason := why_not_timm(config):
            yield f"timm cannot load it: {reason}."
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
        yield "With the attention explorer that trained it, which also shows its attention:"
        yield _code(
            f"from vit.hub.models import {kind}\n\n"
            f'model = {kind}.from_pretrained("{self.repo}")\n'
            "model.run.data.class_names, model.run.data.mean, model.run.data.std"
        )
        yield "### How images are prepared"
        yield preparation.sentence(config.data)

    def _settings(self) -> Iterator[str]:
        yield "## Settings"
        rows = [
            (as_markdown(name), as_markdown(comparison.shown(name, value), 4 * NAME_COLUMNS))
            for name, value in comparison.settings(self.config).items()
            if name != comparison.CLASSES
        ]
        yield _table(("Setting", "Value"), rows, numbers=False)

    def _environment(self) -> Iterator[str]:
        found = self.config.environment
        if found is None:
            return
        yield "## Environment"
        machine = ", ".join(as_markdown(part) for part in (found.processor, found.platform) if part)
        versions = f"vit {as_markdown(found.vit)}, torch {as_markdown(found.torch)}, Python {as_markdown(found.python)}"
        yield f"Trained with {versions} on {machine or as_markdown(found.device)}. To train the same run again:"
        yield _code(shown(command_line(self.config)), "sh")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    rule = ["---", *(["---:"] if numbers else ["---"]) * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _code(text: str, language: str = "python") -> str:
    """Return a code block whose fences are longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
