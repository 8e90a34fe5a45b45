"""What can be changed in the heads of a block while a model runs: an argument of ``forward``, no state of the module.

Shapes in einops letters, as in :mod:`vit.model`: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d``
head_dim. Every tensor may have 1 for any axis along which it does not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class HeadEdit:
    """Changes to the heads of one block, in the order in which they act.

    Attributes:
        temperature: ``(b h 1 1)``; what the softmax is taken of is divided by it: below 1 sharpens, above 1 flattens.
        pattern: ``(b h n m)``, takes the place of the attention where ``replaced`` is 1.
        replaced: ``(b h 1 1)``, 0 or 1; a share between blends the two.
        output: ``(b h n d)``, takes the place of what a head hands on (attention times V) where ``ablated`` is 1.
            None is zero.
        ablated: ``(b h 1 1)``, 0 or 1.
    """

    temperature: Tensor | None = None
    pattern: Tensor | None = None
    replaced: Tensor | None = None
    output: Tensor | None = None
    ablated: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.pattern is None) != (self.replaced is None):
            raise ValueError("pattern and replaced go together: give both, or neither.")
        if self.output is not None and self.ablated is None:
            raise ValueError("output needs ablated, which says of which heads it is the output.")

    def on_scores(self, scores: Tensor) -> Tensor:
        """What the softmax is taken of, ``b h n m``."""
        return scores if self.temperature is None else scores / self.temperature

    def on_attention(self, attention: Tensor) -> Tensor:
        """The attention, ``b h n m``."""
        if self.pattern is None or self.replaced is None:  # the one is never without the other
            return attention
        return attention * (1 - self.replaced) + self.pattern * self.replaced

    def on_heads(self, heads: Tensor) -> Tensor:
        """What the heads hand on, ``b h n d``."""
        if self.ablated is None:
            return heads
        kept = heads * (1 - self.ablated)
        return kept if self.output is None else kept + self.output * self.ablated


Edits = Mapping[int, HeadEdit]
"""Changes by block, counted from 0; a block that is not in it stays as it is."""
