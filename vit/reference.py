"""The course network, reproduced exactly, for comparison with the standard design (:mod:`vit.model`).

It comes from a course report (Purdue ECE 60146, Vision Transformers, 2023) on the transformer classes of A. Kak's
DLStudio. With its defaults it has 52,213,253 parameters in 46 tensors, and 859.00 M multiply-adds for 16 images, as
counted by torchinfo.

It departs from the standard design (Vaswani et al. 2017, eq. 1; Dosovitskiy et al. 2021) in seven ways. The name in
brackets is the switch in ``ReferenceConfig.mended`` that corrects the departure:

1. Each head gets only its own slice of the embedding; the standard design projects the whole embedding [projection].
2. Q, K and V are computed from the flattened slice of all tokens, so they mix positions: row j of Q is not "the query
   of patch j" [projection; a linear map of each token's whole embedding corrects 1 and 2].
3. The softmax runs over the queries, not over the keys: columns of an attention map sum to 1, rows do not [softmax].
4. The scaling by 1/sqrt(d) is applied after the product with V, so it has no effect on the softmax [scaling].
5. There is no output projection after the heads are concatenated [output].
6. The MLP works on the flattened sequence (73 % of all parameters), so it mixes positions [mlp].
7. It uses ReLU instead of GELU and has no final norm [finish]. It also averages over all tokens including the class
   token, draws the class token uniformly from [0, 1], and draws positions with deviation 1; these have no switch.

With every switch on, the attention is exactly eq. 1, and only attention mixes positions.

Shapes in einops letters: ``b`` batch, ``h`` head, ``n`` token (query), ``m`` token (key), ``d`` head_dim, ``e``
embed_dim.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit.config import ReferenceConfig
from vit.edits import BlockEdit, Edits
from vit.model import Blocks, check_images

PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "matmul": torch.matmul,
    "einsum": partial(torch.einsum, "...qn,...nk->...qk"),
}
"""The two ways in which the report writes the matrix products of a head. Weights and results are the same."""


class AttentionHead(nn.Module):
    """The maps that compute Q, K and V of one head: ``b n e`` -> three tensors ``b n d``.

    Each is a linear map of the head's slice of the embedding, flattened over all tokens: ``b (n d) -> b (n d)``. With
    the switch ``projection`` it is a linear map of each token's whole embedding: ``b n e -> b n d``.
    """

    def __init__(self, config: ReferenceConfig, index: int) -> None:
        super().__init__()
        self.slice = None
        width_in, width_out = config.embed_dim, config.head_dim
        if "projection" not in config.mended:
            self.slice = slice(index * config.head_dim, (index + 1) * config.head_dim)
            width_in = width_out = config.num_tokens * config.head_dim
        self.q = nn.Linear(width_in, width_out)
        self.k = nn.Linear(width_in, width_out)
        self.v = nn.Linear(width_in, width_out)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        linears = (self.q, self.k, self.v)
        if self.slice is None:
            return [linear(tokens) for linear in linears]
        own = tokens[..., self.slice]
        return [linear(own.flatten(1)).view_as(own) for linear in linears]


class SelfAttention(nn.Module):
    """The attention of the course network: ``b n e -> b n e``.

    Each head computes softmax_over_queries(Q Kᵀ) V / sqrt(d), and the heads are concatenated. With the switches
    ``softmax``, ``scaling`` and ``output`` it is softmax_over_keys(Q Kᵀ / sqrt(d)) V, concatenated and projected.
    """

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleList(AttentionHead(config, index) for index in range(config.num_heads))
        self.product = PRODUCTS[config.attention]
        self.scale = config.head_dim**-0.5
        self.scales_first = "scaling" in config.mended
        # Axes are (batch, head, query, key). With the course's softmax the column of each key sums to 1.
        self.softmax_dim = -1 if "softmax" in config.mended else -2
        self.proj = nn.Linear(config.embed_dim, config.embed_dim) if "output" in config.mended else None

    def forward(self, tokens: Tensor, record: dict | None = None, edit: BlockEdit | None = None) -> Tensor:
        edit = edit or BlockEdit()
        each = [head(tokens) for head in self.heads]
        q, k, v = edit.on_projections(*(torch.stack(part, dim=1) for part in zip(*each, strict=True)))  # b h n d
        scores = self.product(q, rearrange(k, "b h m d -> b h d m"))
        if self.scales_first:
            scores = scores * self.scale
        scores = edit.on_scores(scores)
        attention = edit.on_attention(scores.softmax(dim=self.softmax_dim))
        heads = self.product(attention, v)
        if not self.scales_first:
            heads = heads * self.scale
        heads = edit.on_heads(heads)
        out = rearrange(heads, "b h n d -> b n (h d)")
        if self.proj is not None:
            out = self.proj(out)
        if record is not None:
            record.update(q=q, k=k, v=v, scores=scores, attention=attention, heads=heads, out=out)
        return out


class MLP(nn.Module):
    """Two linear maps with a ReLU between them (with the switch ``finish`` a GELU): ``b n e -> b n e``.

    They map the flattened sequence, ``b (n e)``; with the switch ``mlp`` they map each token separately.
    """

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.flattens = "mlp" not in config.mended
        width = config.embed_dim * (config.num_tokens if self.flattens else 1)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.activation = F.gelu if "finish" in config.mended else F.relu

    def forward(self, tokens: Tensor) -> Tensor:
        inputs = tokens.flatten(1) if self.flattens else tokens
        return self.fc2(self.activation(self.fc1(inputs))).view_as(tokens)


class EncoderBlock(nn.Module):
    """One encoder block: x + attention(norm(x)), then x + MLP(norm(x)), ``b n e -> b n e``."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim)
        self.attn = SelfAttention(config)
        self.norm2 = nn.LayerNorm(config.embed_dim)
        self.mlp = MLP(config)

    def forward(self, tokens: Tensor, record: dict | None = None, edit: BlockEdit | None = None) -> Tensor:
        edit = edit or BlockEdit()
        tokens = edit.on_tokens(tokens)
        tokens = tokens + self.attn(self.norm1(tokens), record, edit)
        mlp = edit.on_mlp(self.mlp(self.norm2(tokens)))
        tokens = tokens + mlp
        if record is not None:
            record.update(mlp=mlp, tokens=tokens)
        return tokens


class ReferenceViT(nn.Module):
    """The course network: images ``(b c h w)`` float32, normalised -> logits ``(b num_classes)``.

    Args:
        attention: ``"matmul"`` or ``"einsum"``, how the products of a head are computed. Both have the same weights.
        settings: the other fields of :class:`vit.config.ReferenceConfig`; ``mended=DEPARTURES`` turns all switches on.
    """

    num_prefix_tokens = 1
    pool: Literal["cls", "mean", "all"] = "all"
    class_names: tuple[str, ...] = ()

    def __init__(self, attention: Literal["matmul", "einsum"] = "matmul", **settings: Any) -> None:
        super().__init__()
        self.config = config = ReferenceConfig(attention=attention, **settings)
        self.grid = (config.grid, config.grid)
        self.normalised_over: Literal["key", "query"] = "key" if "softmax" in config.mended else "query"
        self.mixes_positions = config.mixes_positions
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, config.num_tokens, config.embed_dim))
        if not self.cls_token.is_meta:  # on "meta" no values are needed, as in vit.model
            nn.init.uniform_(self.cls_token)
            nn.init.normal_(self.pos_embed)
        self.patch_embed = nn.Conv2d(config.in_channels, config.embed_dim, config.patch_size, stride=config.patch_size)
        self.blocks = Blocks(*(EncoderBlock(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim) if "finish" in config.mended else nn.Identity()
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, images: Tensor, *, record: dict | None = None, edits: Edits | None = None) -> Tensor:
        """Return the logits of a batch: :meth:`embed`, the blocks, :meth:`classify`.

        Args:
            images: ``(b c h w)``, with the configured channels and size.
            record: an empty dictionary, which is filled with the intermediates under the same names as in
                :class:`vit.model.ViT`. ``scores`` is the input of the softmax, so it is scaled only with the switch
                ``scaling``; ``heads`` is what is concatenated.
            edits: changes by block (:mod:`vit.edits`). The record contains the values after the changes.

        Raises:
            ValueError: the shape of the images is not the configured one.
        """
        tokens = self.embed(images)
        if record is not None:
            record.update(embedded=tokens, layers=[])
        summary = self.summarise(self.blocks(tokens, record, edits))
        if record is not None:
            record["summary"] = summary
        return self.head(summary)

    def embed(self, images: Tensor) -> Tensor:
        """Return the tokens that enter the first block: ``b c h w -> b n e``.

        Raises:
            ValueError: the shape of the images is not the configured one.
        """
        check_images(images, self.config)
        patches = rearrange(self.patch_embed(images), "b e r w -> b (r w) e")
        return torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1) + self.pos_embed

    def summarise(self, tokens: Tensor) -> Tensor:
        """Return the summary token that the head reads, from the tokens after any block: ``b n e -> b e``."""
        return self.norm(tokens).mean(dim=1)

    def classify(self, tokens: Tensor) -> Tensor:
        """Return the logits that the head computes from the tokens after any block: ``b n e -> b num_classes``."""
        return self.head(self.summarise(tokens))

    def classify_each(self, tokens: Tensor) -> Tensor:
        """Return the logits that the head computes from each token alone: ``... e -> ... num_classes``."""
        return self.head(self.norm(tokens))
