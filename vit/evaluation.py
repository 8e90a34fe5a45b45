"""How good a model is: predictions, the confusion matrix, scores per class, calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from vit.data import Split
from vit.data.batches import Batches, to_tensor
from vit.data.images import fit_square
from vit.weights import CheckpointInfo

BATCH = 128


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy in equal bins of confidence (Guo et al. 2017).

    Attributes:
        edges: ``(bins + 1)`` from 0 to 1.
        confidence, accuracy: means of each bin, NaN where it is empty.
        count: images in each bin.
        ece: expected calibration error, the mean gap of the bins weighted by their counts.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float


@dataclass(frozen=True)
class Evaluation:
    """What a model said of a labelled set: ``labels (n)``, ``probabilities (n k)``, the mean cross-entropy ``loss``."""

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    loss: float

    @cached_property
    def predictions(self) -> np.ndarray:
        """The likeliest class of each image: ``(n)``."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of that class: ``(n)``."""
        return self.probabilities.max(axis=1)

    @cached_property
    def accuracy(self) -> float:
        """Share of images whose likeliest class is theirs."""
        return float((self.predictions == self.labels).mean())

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """Counts, ``(k k)``: rows are true classes, columns predicted ones."""
        k = len(self.class_names)
        return np.bincount(self.labels * k + self.predictions, minlength=k * k).reshape(k, k)

    @cached_property
    def per_class(self) -> list[dict]:
        """Label, precision, recall, F1 and support of each class; a ratio with nothing below it is 0."""
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

    def cell(self, true: int, predicted: int) -> np.ndarray:
        """Indices of the images of one cell of the matrix, the most confident first."""
        found = np.flatnonzero((self.labels == true) & (self.predictions == predicted))
        return found[np.argsort(-self.confidence[found], kind="stable")]

    def calibration(self, bins: int = 15) -> Calibration:
        """The reliability diagram's numbers."""
        edges = np.linspace(0, 1, bins + 1)
        place = np.clip(np.ceil(self.confidence * bins).astype(int) - 1, 0, bins - 1)  # a bin holds its upper edge
        count = np.bincount(place, minlength=bins)
        with np.errstate(invalid="ignore"):
            confidence = np.bincount(place, weights=self.confidence, minlength=bins) / count
            accuracy = np.bincount(place, weights=self.predictions == self.labels, minlength=bins) / count
        gaps = np.nan_to_num(np.abs(confidence - accuracy))
        return Calibration(edges, confidence, accuracy, count, float((gaps * count).sum() / count.sum()))

    def to_dict(self) -> dict:
        """The JSON object that the command line prints."""
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "images": len(self.labels),
            "class_names": list(self.class_names),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "per_class": self.per_class,
            "calibration_error": self.calibration().ece,
        }


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    info: CheckpointInfo,
    split: Split,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Probabilities of every image of ``split``, in its order; ``progress(done, total)`` counts images."""
    device = next(model.parameters()).device
    batches = Batches(split, batch_size=BATCH, device=device, mean=info.mean, std=info.std, augment="none", seed=0)
    probabilities, loss, done = [], 0.0, 0
    for images, labels in batches.in_order():
        logits = model(images).float()
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        probabilities.append(logits.softmax(dim=1).cpu().numpy())
        done += len(labels)
        if progress is not None:
            progress(done, len(split.labels))
    return Evaluation(info.class_names, np.asarray(split.labels), np.concatenate(probabilities), loss / max(1, done))


def model_view(info: CheckpointInfo, image: Image.Image | np.ndarray) -> np.ndarray:
    """The image as the model sees it: resized and cropped to its square, ``(h w c)`` uint8."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    return fit_square(image, info.image_size)


@torch.inference_mode()
def predict(model: nn.Module, info: CheckpointInfo, images: Sequence[Image.Image | np.ndarray]) -> np.ndarray:
    """Class probabilities of pictures of any size, ``(b k)``, rows in their order."""
    device = next(model.parameters()).device
    views = [model_view(info, image) for image in images]
    parts = [views[start : start + BATCH] for start in range(0, len(views), BATCH)]
    logits = [model(to_tensor(part, info.mean, info.std).to(device)).float() for part in parts]
    return torch.cat(logits).softmax(dim=1).cpu().numpy()
