"""The score that a map explains: the logit of a class, or the difference between two logits."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """What to explain for each image of a batch.

    Attributes:
        label: the class, one for all images or ``(b)``; None means each image's most probable class.
        against: a second class, to ask "why ``label`` and not ``against``": then the difference of the two logits is
            explained. None explains the logit of ``label``.
    """

    label: int | Tensor | None = None
    against: int | None = None

    @classmethod
    def of(cls, target: "Target | int | Tensor | None") -> "Target":
        """Return a target unchanged, or make one from a class, the classes of a batch, or None."""
        return target if isinstance(target, Target) else cls(target)

    def labels(self, logits: Tensor) -> Tensor:
        """Return the explained class of each image, ``(b)``, for ``logits (b num_classes)``."""
        if self.label is None:
            return logits.argmax(dim=1)
        return torch.as_tensor(self.label, device=logits.device).expand(len(logits))

    def score(self, logits: Tensor) -> Tensor:
        """Return the explained score of each image, ``(b)``, from ``logits (b num_classes)``."""
        score = logits.gather(1, self.labels(logits)[:, None])[:, 0]
        return score if self.against is None else score - logits[:, self.against]

    def part(self, images: slice) -> Self:
        """Return the target of some images of the batch."""
        if isinstance(self.label, Tensor) and self.label.ndim:
            return replace(self, label=self.label[images])
        return self
