"""Evaluate a model: predictions, confusion matrix, scores per class, calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vit.classes import require_classes
from vit.cost.counts import count
from vit.data import Split
from vit.data.batches import Batches, to_tensor
from vit.data.files.colours import Colours
from vit.data.files.images import fit_square, open_image
from vit.networks import Network
from vit.runs.weights import CheckpointInfo
from vit.support.intervals import LEVEL, wilson_interval

BATCH = 128
BATCH_BYTES = 2**29
"""Maximum of images in one forward pass, and of its memory; large published models therefore use smaller batches."""

BINS = 15
"""Bins of the reliability diagram."""
RESAMPLES = 500
"""Sets of images that are drawn for the bootstrap intervals."""
FEW_IMAGES = 100
"""With fewer images, the scores depend much on which images they are."""

OTHERS = "another class"
"""The name under which :meth:`Evaluation.of_present_classes` combines the classes without images."""


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy in equal bins of confidence (Guo et al. 2017).

    Attributes:
        edges: ``(bins + 1)`` from 0 to 1.
        confidence, accuracy: ``(bins)``, the mean of each bin; NaN if it is empty.
        count: ``(bins)``, images in each bin.
        ece: expected calibration error: the mean over bins of |accuracy - confidence|, weighted by their counts.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float


@dataclass(frozen=True)
class Evaluation:
    """The predictions of a model for a labelled data set.

    Attributes:
        class_names: names of the ``k`` classes.
        labels: ``(n)``, the true class of each image.
        probabilities: ``(n k)``.
        loss: mean cross-entropy in nats.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    loss: float

    @cached_property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image: ``(n)``."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of that class: ``(n)``."""
        return self.probabilities.max(axis=1)

    @cached_property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one."""
        return float((self.predictions == self.labels).mean())

    @cached_property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy (Wilson 1927)."""
        return wilson_interval(int((self.predictions == self.labels).sum()), len(self.labels))

    @cached_property
    def calibration_interval(self) -> tuple[float, float]:
        """The 95 % interval of the calibration error: percentiles over resampled sets of images (bootstrap)."""
        return self._intervals[0]

    @cached_property
    def overconfidence_interval(self) -> tuple[float, float]:
        """The 95 % interval of mean confidence minus accuracy, by the same resampling."""
        return self._intervals[1]

    @cached_property
    def _intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        gap = self.confidence - (self.predictions == self.labels)
        place, choice = _bins(self.confidence, BINS), np.random.default_rng(0)
        errors, means = np.empty(RESAMPLES), np.empty(RESAMPLES)
        for index in range(RESAMPLES):
            rows = choice.integers(0, len(gap), len(gap))
            sums = np.bincount(place[rows], weights=gap[rows], minlength=BINS)
            errors[index], means[index] = np.abs(sums).sum() / len(gap), sums.sum() / len(gap)
        low, high = (100 - LEVEL) / 2, (100 + LEVEL) / 2
        interval = [np.percentile(values, (low, high)) for values in (errors, means)]
        return (float(interval[0][0]), float(interval[0][1])), (float(interval[1][0]), float(interval[1][1]))

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """Counts, ``(k k)``: rows are true classes, columns predicted ones."""
        k = len(self.class_names)
        return np.bincount(self.labels * k + self.predictions, minlength=k * k).reshape(k, k)

    @cached_property
    def per_class(self) -> list[dict]:
        """Label, precision, recall, F1 and support of each class; a ratio with denominator 0 is 0."""
        matrix = self.confusion_matrix
        hits, predicted, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        precision = hits / np.maximum(predicted, 1)
        recall = hits / np.maximum(support, 1)
        f1 = 2 * hits / np.maximum(predicted + support, 1)
        return [
            {
                "label": name,
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(support[index]),
            }
            for index, name in enumerate(self.class_names)
        ]

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the classes that have images."""
        return float(np.mean([row["f1"] for row in self.per_class if row["support"]]))

    def most_confused(self, most: int) -> list[tuple[str, str, int, float]]:
        """Return the ``most`` frequent errors: true class, predicted class, images, share of the true class."""
        counts = self.confusion_matrix * ~np.eye(len(self.class_names), dtype=bool)
        flat = np.argsort(-counts, axis=None, kind="stable")[:most]
        cells = [divmod(int(place), len(counts)) for place in flat]
        support = self.confusion_matrix.sum(axis=1)
        return [
            (self.class_names[true], self.class_names[said], int(images), float(images / support[true]))
            for true, said in cells
            if (images := counts[true, said])
        ]

    def of_present_classes(self) -> "Evaluation":
        """Return the evaluation over the classes that have images; all other classes are combined into a last one.

        The combined class has the probability of its most probable member, so predictions and confidence do not
        change. The probabilities of an image then need not sum to 1.
        """
        present = np.unique(self.labels)
        others = np.setdiff1d(np.arange(len(self.class_names)), present)
        if not len(others):
            return self
        names = (*(self.class_names[index] for index in present), OTHERS)
        rest = self.probabilities[:, others].max(axis=1, keepdims=True)
        probabilities = np.concatenate([self.probabilities[:, present], rest], axis=1)
        return Evaluation(names, np.searchsorted(present, self.labels), probabilities, self.loss)

    def cell(self, true: int, predicted: int) -> np.ndarray:
        """Return the indices of the images in one cell of the confusion matrix, most confident first."""
        found = np.flatnonzero((self.labels == true) & (self.predictions == predicted))
        return found[np.argsort(-self.confidence[found], kind="stable")]

    def calibration(self, bins: int = BINS) -> Calibration:
        """Return the values of the reliability diagram."""
        edges = np.linspace(0, 1, bins + 1)
        place = _bins(self.confidence, bins)
        count = np.bincount(place, minlength=bins)
        with np.errstate(invalid="ignore"):
            confidence = np.bincount(place, weights=self.confidence, minlength=bins) / count
            accuracy = np.bincount(place, weights=self.predictions == self.labels, minlength=bins) / count
        gaps = np.nan_to_num(np.abs(confidence - accuracy))
        return Calibration(edges, confidence, accuracy, count, float((gaps * count).sum() / count.sum()))

    def to_dict(self) -> dict:
        """Return the JSON object that the command line prints."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "loss": self.loss,
            "images": len(self.labels),
            "class_names": list(self.class_names),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "per_class": self.per_class,
            "calibration_error": self.calibration().ece,
            "calibration_error_interval": list(self.calibration_interval),
        }


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation of several sets of images together."""
    if len(parts) == 1:
        return parts[0]
    counts = [len(part.labels) for part in parts]
    loss = sum(part.loss * number for part, number in zip(parts, counts, strict=True)) / max(1, sum(counts))
    labels = np.concatenate([part.labels for part in parts])
    return Evaluation(parts[0].class_names, labels, np.concatenate([part.probabilities for part in parts]), loss)


def _bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each image; a bin holds its upper edge."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


@torch.inference_mode()
def evaluate(
    model: Network,
    info: CheckpointInfo,
    split: Split,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a model on every image of a split.

    Args:
        model: in eval mode.
        info: the model's class names and the normalisation of its images.
        split: the labelled images.
        progress: called with (done, total) in images after each batch.

    Returns:
        The labels and probabilities in the order of the split, and the mean loss.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    require_classes(model.config)
    device = next(model.parameters()).device
    size = inference_batch_size(model)
    batches = Batches(split, batch_size=size, device=device, mean=info.mean, std=info.std, seed=0)
    probabilities, loss, done = [], 0.0, 0
    for images, labels in batches.in_order():
        logits = model(images).float()
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        probabilities.append(logits.softmax(dim=1).cpu().numpy())
        done += len(labels)
        if progress is not None:
            progress(done, len(split.labels))
    return Evaluation(info.class_names, np.asarray(split.labels), np.concatenate(probabilities), loss / max(1, done))


def inference_batch_size(model: Network) -> int:
    """Return the number of images in one forward pass that keeps no intermediates."""
    return int(np.clip(BATCH_BYTES // sum(count(model.config).flow), 1, BATCH))


Picture = Image.Image | np.ndarray | str | Path
"""An image of any size: a PIL image, an array ``(h w c)`` uint8, or the path of a file."""


def model_view(info: CheckpointInfo, image: Picture) -> np.ndarray:
    """Return the image as the model sees it, resized and cropped to a square: ``(h w c)`` uint8.

    Raises:
        DataError: the file is not a readable image.
    """
    if isinstance(image, str | Path):
        image = open_image(Path(image), colours=Colours.of(info.config.data))
    elif isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return fit_square(image, info.image_size, info.crop_pct, info.interpolation)


def model_input(info: CheckpointInfo, *images: Picture) -> Tensor:
    """Return the model's input for these pictures: a batch ``(b c h w)`` float32, normalised.

    Raises:
        DataError: a file is not a readable image.
    """
    return to_tensor([model_view(info, image) for image in images], info.mean, info.std)


@torch.inference_mode()
def single_outputs(model: Network, info: CheckpointInfo, images: Sequence[Picture]) -> np.ndarray:
    """Return the number that a network with a single output computes for each picture: ``(b)``."""
    device, size = next(model.parameters()).device, inference_batch_size(model)
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    return torch.cat([model(model_input(info, *part).to(device)).float()[:, 0] for part in parts]).cpu().numpy()


@torch.inference_mode()
def predict(model: Network, info: CheckpointInfo, images: Sequence[Picture]) -> np.ndarray:
    """Return the class probabilities of pictures of any size: ``(b k)``, in their order.

    Raises:
        ExplainError: a TypeError; the model has no classes.
    """
    require_classes(model.config)
    device, size = next(model.parameters()).device, inference_batch_size(model)
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    logits = [model(model_input(info, *part).to(device)).float() for part in parts]
    return torch.cat(logits).softmax(dim=1).cpu().numpy()
