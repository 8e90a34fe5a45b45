"""The course network, to the letter, so that a student can hold the textbook's model (:mod:`vit.model`) beside it.

It comes from a course report (Purdue ECE 60146, Vision Transformers, 2023) on the transformer classes of A. Kak's
DLStudio. With its defaults it has 52,213,253 parameters in 46 tensors, and 859.00 M multiply-adds for 16 images as
torchinfo counts them.

It departs from the textbook (Vaswani et al. 2017, eq. 1; Dosovitskiy et al. 2021) in seven ways:

1. Each head sees only its own slice of the embedding, where the textbook projects the whole of it.
2. Q, K and V are computed from the flattened slice, so they mix positions: row j of Q is not "patch j's query".
3. The softmax runs over the queries, not the keys: columns of an attention map sum to 1, rows do not.
4. The scaling by 1/sqrt(d) comes after the product with V, so it does not temper the softmax.
5. There is no output projection after the heads are concatenated.
6. The MLP works on the flattened sequence (73 % of all parameters), and mixes positions.
7. ReLU for GELU, no final norm, a mean that includes the class token, positions drawn with deviation 1.

Shapes in einops letters: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d`` head_dim, ``e``
embed_dim.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit.config import ReferenceConfig
from vit.model import check_images

PRODUCTS = {"matmul": torch.matmul, "einsum": partial(torch.einsum, "...qn,...nk->...qk")}
"""The two ways in which the report writes the products of a head; the weights and the numbers are the same."""


class AttentionHead(nn.Module):
    """Q, K and V of one head, each a linear map of its whole flattened slice: ``b (n d)`` -> three of ``b n d``."""

    def __init__(self, num_tokens: int, head_dim: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        width = num_tokens * head_dim
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)

    def forward(self, flat: Tensor) -> list[Tensor]:
        return [rearrange(linear(flat), "b (n d) -> b n d", n=self.num_tokens) for linear in (self.q, self.k, self.v)]


class SelfAttention(nn.Module):
    """softmax_over_queries(Q Kᵀ) V / sqrt(d) for each head, heads concatenated: ``b n e -> b n e``."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleList(AttentionHead(config.num_tokens, config.head_dim) for _ in range(config.num_heads))
        self.product = PRODUCTS[config.attention]

    def forward(self, tokens: Tensor, record: dict | None = None) -> Tensor:
        slices = rearrange(tokens, "b n (h d) -> h b (n d)", h=len(self.heads))
        each = [head(flat) for head, flat in zip(self.heads, slices, strict=True)]
        q, k, v = (torch.stack(part, dim=1) for part in zip(*each, strict=True))  # b h n d
        scores = self.product(q, rearrange(k, "b h m d -> b h d m"))
        attention = scores.softmax(dim=-2)  # dim 1 of a head's (batch, query, key): each key's column sums to 1
        heads = self.product(attention, v) * v.shape[-1] ** -0.5
        out = rearrange(heads, "b h n d -> b n (h d)")
        if record is not None:
            record.update(q=q, k=k, v=v, scores=scores, attention=attention, heads=heads, out=out)
        return out


class MLP(nn.Module):
    """Two linear maps of the flattened sequence with a ReLU between: ``b n e -> b n e``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(tokens.flatten(1)))).view_as(tokens)


class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): ``b n e -> b n e``."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim)
        self.attn = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.embed_dim)
        self.mlp = MLP(config.num_tokens * config.embed_dim)

    def forward(self, tokens: Tensor, record: dict | None = None) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens), record)
        tokens = tokens + self.mlp(self.norm2(tokens))
        if record is not None:
            record["tokens"] = tokens
        return tokens


class ReferenceViT(nn.Module):
    """The course network: images ``(b c h w)`` float32, normalised -> logits ``(b num_classes)``.

    Args:
        attention: ``"matmul"`` or ``"einsum"``, how a head's products are written; weights go from one to the other.
        settings: the other fields of :class:`vit.config.ReferenceConfig`.
    """

    num_prefix_tokens = 1
    normalised_over = "query"
    pool = "all"

    def __init__(self, attention: str = "matmul", **settings: Any) -> None:
        super().__init__()
        self.config = config = ReferenceConfig(attention=attention, **settings)
        self.grid = (config.grid, config.grid)
        self.cls_token = nn.Parameter(torch.rand(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.randn(1, config.num_tokens, config.embed_dim))
        self.patch_embed = nn.Conv2d(config.in_channels, config.embed_dim, config.patch_size, stride=config.patch_size)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.depth))
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, images: Tensor, *, record: dict | None = None) -> Tensor:
        """Logits of a batch.

        Args:
            images: ``(b c h w)``, of the configured channels and size.
            record: an empty dictionary to be filled with the intermediates, named as those of :class:`vit.model.ViT`.

        Raises:
            ValueError: the images' shape is not the configured one.
        """
        check_images(images, self.config)
        patches = rearrange(self.patch_embed(images), "b e r w -> b (r w) e")
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed
        if record is not None:
            record.update(embedded=tokens, layers=[{} for _ in self.blocks])
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, None if record is None else record["layers"][index])
        summary = tokens.mean(dim=1)
        if record is not None:
            record["summary"] = summary
        return self.head(summary)
