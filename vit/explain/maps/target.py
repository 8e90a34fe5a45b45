"""The score that a map explains: the logit of a class, or the difference between two logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from vit.classes import index_of, join_names
from vit.errors import UserError
from vit.networks import Network

Label = int | str


@dataclass(frozen=True)
class Target:
    """What to explain for each image of a batch.

    A class is given by its index, or by its name if the model has class names, as one from
    :func:`vit.load_checkpoint` has.

    Attributes:
        label: the class, one for all images or one for each image; None means each image's most probable class.
        against: a second class, to ask "why ``label`` and not ``against``": then the difference of the two logits is
            explained. None explains the logit of ``label``.
    """

    label: Label | Sequence[Label] | np.ndarray | Tensor | None = None
    against: Label | None = None

    @classmethod
    def of(cls, target: "Target | Label | Sequence[Label] | Tensor | None") -> "Target":
        """Return a target unchanged, or make one from a class, the classes of a batch, or None."""
        return target if isinstance(target, Target) else cls(target)

    def for_model(self, model: Network, count: int) -> "Target":
        """Return this target with class indices in place of names, for ``count`` images.

        Raises:
            UserError: the model has no such class, or there is not one class for each image.
        """
        found, label = self.against, self.label
        against = None if found is None else _index(found, model)
        if label is None:
            return Target(None, against)
        plain = label.tolist() if isinstance(label, Tensor | np.ndarray) else label
        if isinstance(plain, str) or not isinstance(plain, Sequence):
            return Target(_index(plain, model), against)
        labels = [_index(one, model) for one in plain]
        if len(labels) != count:
            raise UserError(f"There are {len(labels)} classes for {count} images: give one class for each image.")
        with torch.inference_mode(False):  # a tensor of inference mode could not be part of a graph
            return Target(torch.tensor(labels), against)

    def labels(self, logits: Tensor) -> Tensor:
        """Return the explained class of each image, ``(b)``, for ``logits (b num_classes)``."""
        if self.label is None:
            return logits.argmax(dim=1)
        return torch.as_tensor(self.label, device=logits.device).expand(len(logits))

    def score(self, logits: Tensor) -> Tensor:
        """Return the explained score of each image, ``(b)``, from ``logits (b num_classes)``."""
        score = logits.gather(1, self.labels(logits)[:, None])[:, 0]
        if self.against is None:
            return score
        assert isinstance(self.against, int), "for_model replaces names"
        return score - logits[:, self.against]

    def part(self, images: slice | list[int]) -> Self:
        """Return the target of some images of the batch."""
        if isinstance(self.label, Tensor) and self.label.ndim:
            return replace(self, label=self.label[images])
        return self


def _index(label: object, model: Network) -> int:
    """Return the index of a class of the model, which is given by its index or its name."""
    if isinstance(label, np.generic):
        label = label.item()
    names, count = model.class_names, model.config.num_classes
    if isinstance(label, str):
        if not names:
            raise UserError(
                f"The class {label!r} cannot be looked up, because this model has no class names: give the index of "
                f"the class, from 0 to {count - 1}, or set model.class_names."
            )
        found = index_of(label, names)
        if found is None:
            raise UserError(f"This model has no class {label!r}: its classes are {join_names(names)}.")
        return found
    if isinstance(label, bool) or not isinstance(label, int):
        raise UserError(f"{label!r} is not a class: give an index from 0 to {count - 1}, or a class name.")
    if not 0 <= label < count:
        one = "it has a single output, 0" if count == 1 else f"its classes are 0 to {count - 1}"
        raise UserError(f"This model has no class {label}: {one}.")
    return label
