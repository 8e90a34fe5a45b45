"""Changes to a block during a forward pass. They are an argument of ``forward``, not a state of the module.

Shapes in einops letters, as in :mod:`vit.model`: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d``
head_dim, ``e`` embed_dim. Every tensor may have size 1 along an axis, to be broadcast.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Replacement:
    """Values that replace a part of a tensor.

    Attributes:
        values: the new values, in the shape of the tensor.
        where: 1 where the tensor is replaced, 0 where it stays; a number between them blends both.
    """

    values: Tensor
    where: Tensor

    def on(self, tensor: Tensor) -> Tensor:
        """Return the tensor with the values in place; without any change where ``where`` is 0."""
        return tensor * (1 - self.where) + self.values * self.where


@dataclass(frozen=True)
class BlockEdit:
    """Changes to one block, in the order in which they are applied.

    Attributes:
        tokens: of ``(b n e)``, the tokens that enter the block (the residual stream).
        q, k, v: of ``(b h n d)``, the queries, keys and values.
        temperature: ``(b h 1 1)``, by which the scores are divided before the softmax. Below 1 it sharpens the
            attention, above 1 it flattens it.
        pattern: ``(b h n m)``, which replaces the attention where ``replaced`` is 1.
        replaced: ``(b h 1 1)``, 0 or 1. A number between 0 and 1 blends the pattern with the attention.
        output: ``(b h n d)``, which replaces the output of a head (attention times V) where ``ablated`` is 1.
            None means zeros.
        ablated: ``(b h 1 1)``, 0 or 1.
        mlp: of ``(b n e)``, what the MLP adds to the tokens, after the layer scale.

    Raises:
        ValueError: ``pattern`` without ``replaced`` or the other way round, or ``output`` without ``ablated``.
    """

    temperature: Tensor | None = None
    pattern: Tensor | None = None
    replaced: Tensor | None = None
    output: Tensor | None = None
    ablated: Tensor | None = None
    tokens: Replacement | None = None
    q: Replacement | None = None
    k: Replacement | None = None
    v: Replacement | None = None
    mlp: Replacement | None = None

    def __post_init__(self) -> None:
        if (self.pattern is None) != (self.replaced is None):
            raise ValueError("pattern and replaced go together: give both, or neither.")
        if self.output is not None and self.ablated is None:
            raise ValueError("output needs ablated, which selects the heads whose output it replaces.")

    def on_tokens(self, tokens: Tensor) -> Tensor:
        """Return the tokens that enter the block, ``b n e``."""
        return tokens if self.tokens is None else self.tokens.on(tokens)

    def on_projections(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, ``b h n d`` each."""
        return (
            q if self.q is None else self.q.on(q),
            k if self.k is None else self.k.on(k),
            v if self.v is None else self.v.on(v),
        )

    def on_scores(self, scores: Tensor) -> Tensor:
        """Return the scores for the softmax, ``b h n m``."""
        return scores if self.temperature is None else scores / self.temperature

    def on_attention(self, attention: Tensor) -> Tensor:
        """Return the attention, ``b h n m``."""
        if self.pattern is None or self.replaced is None:  # both are set, or neither is
            return attention
        return attention * (1 - self.replaced) + self.pattern * self.replaced

    def on_heads(self, heads: Tensor) -> Tensor:
        """Return the output of the heads, ``b h n d``."""
        if self.ablated is None:
            return heads
        kept = heads * (1 - self.ablated)
        return kept if self.output is None else kept + self.output * self.ablated

    def on_mlp(self, branch: Tensor) -> Tensor:
        """Return what the MLP adds to the tokens, ``b n e``."""
        return branch if self.mlp is None else self.mlp.on(branch)


Edits = Mapping[int, BlockEdit]
"""Changes by block number, from 0. Blocks without an entry are not changed."""
