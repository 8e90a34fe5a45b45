"""Which score a map explains: a class's logit, or how far it is ahead of another's."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """What is to be explained of each image of a batch.

    Attributes:
        label: the class, one for all images or ``(b)``; None is each image's likeliest. A model without classes has
            nothing to be explained, and whoever asks is refused before this is.
        against: "why ``label`` and not ``against``": the difference of the two logits is explained. None explains the
            logit of ``label`` alone.
    """

    label: int | Tensor | None = None
    against: int | None = None

    @classmethod
    def of(cls, target: "Target | int | Tensor | None") -> "Target":
        """A target as it is, or the target that a class, the classes of a batch, or None stand for."""
        return target if isinstance(target, Target) else cls(target)

    def labels(self, logits: Tensor) -> Tensor:
        """The class of each image, ``(b)``, for ``logits (b num_classes)``."""
        if self.label is None:
            return logits.argmax(dim=1)
        return torch.as_tensor(self.label, device=logits.device).expand(len(logits))

    def score(self, logits: Tensor) -> Tensor:
        """What is explained of each image, ``(b)``, from ``logits (b num_classes)``."""
        score = logits.gather(1, self.labels(logits)[:, None])[:, 0]
        return score if self.against is None else score - logits[:, self.against]

    def part(self, images: slice) -> Self:
        """The target of some images of the batch."""
        if isinstance(self.label, Tensor) and self.label.ndim:
            return replace(self, label=self.label[images])
        return self
