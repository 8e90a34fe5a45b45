"""The Vision Transformer, smallest part first.

This is a pre-norm ViT (Dosovitskiy et al. 2021). Its attention is exactly eq. 1 of Vaswani et al. (2017). Parameters
have the names of timm's ``VisionTransformer``.

Recording is an argument of ``forward``, not a state of the module, because threads share one model: pass an empty
dictionary, and ``forward`` fills it with every intermediate by name. So are changes to blocks (:mod:`vit.edits`).

Shapes in einops letters: ``b`` batch, ``c`` channel, ``h`` head, ``n`` token (query), ``m`` token (key), ``d``
head_dim, ``e`` embed_dim.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from vit.config import Activation, ModelConfig, ViTConfig
from vit.edits import BlockEdit, Edits

STEM_GROUPS = 8
STANDARDISE_EPS = 1e-6


def quick_gelu(x: Tensor) -> Tensor:
    """Compute ``x * sigmoid(1.702 * x)``, the approximation of GELU that OpenAI's CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
}
"""The activations by their names in :class:`vit.config.ViTConfig`."""


class StandardisedConv2d(nn.Conv2d):
    """A convolution that standardises each filter to mean 0 and variance 1 (weight standardisation, Qiao et al. 2019).

    With it, group norm trains about as fast as batch norm. The norm that follows removes the scale of the filters.
    """

    def forward(self, images: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) * torch.rsqrt(variance + STANDARDISE_EPS)
        return F.conv2d(images, weight, self.bias, self.stride, self.padding)


def group_norm(width: int) -> nn.GroupNorm:
    """Return a group norm (Wu and He 2018); unlike batch norm, it does not mix the images of a batch."""
    return nn.GroupNorm(STEM_GROUPS if width % STEM_GROUPS == 0 else 1, width)


class ResidualConv(nn.Module):
    """A residual convolution, x + ReLU(norm(convolution(x))): ``b e r w -> b e r w``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = StandardisedConv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm = group_norm(width)

    def forward(self, images: Tensor) -> Tensor:
        return images + F.relu(self.norm(self.conv(images)), inplace=True)


class ConvStem(nn.Sequential):
    """The convolutional stem: ``b c (2^s r) (2^s w) -> b e r w`` with s stages.

    Each stage (convolution, max-pooling, norm, ReLU) halves the image; residual convolutions follow. This is a compact
    convolutional tokenizer (Hassani et al. 2021).
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], blocks: int) -> None:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise((in_channels, *widths)):
            layers += [
                StandardisedConv2d(width_in, width_out, kernel_size=3, padding=1, bias=False),
                nn.MaxPool2d(2),  # before the norm, which then has only a quarter of the pixels to process
                group_norm(width_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, *(ResidualConv(widths[-1]) for _ in range(blocks)))

    def forward(self, images: Tensor) -> Tensor:
        # Channels last gives the same numbers, and pooling on a CPU takes a sixth of the time.
        return super().forward(images.contiguous(memory_format=torch.channels_last))


class PatchEmbedding(nn.Module):
    """Turn an image into patch tokens, row by row: ``b c (r p) (w p) -> b (r w) e``.

    With ``stem="patch"`` this is one linear map of each patch. Its parameters have the layout that timm stores, a
    convolution with kernel = stride = patch size. They are applied as a reshape and one matrix product, which is
    faster. With ``stem="conv"`` it is a :class:`ConvStem`.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        if config.stem == "conv":
            self.backbone = ConvStem(config.in_channels, config.stem_widths, config.stem_blocks)
        else:
            p, bias = config.patch_size, not config.pre_norm
            self.proj = nn.Conv2d(config.in_channels, config.embed_dim, p, stride=p, bias=bias)
        self.stem = config.stem

    def forward(self, images: Tensor) -> Tensor:
        if self.stem == "conv":
            return rearrange(self.backbone(images), "b e r w -> b (r w) e")
        p = self.patch_size
        patches = rearrange(images, "b c (r p1) (w p2) -> b (r w) (c p1 p2)", p1=p, p2=p)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute softmax(Q Kᵀ / sqrt(d)) V by PyTorch's fused kernel: ``b h n d, b h m d, b h m d -> b h n d``.

    Under autocast on a CPU it is computed in float32, because PyTorch's CPU kernel takes up to three times as long in
    bfloat16.
    """
    if q.is_cpu and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    return F.scaled_dot_product_attention(q, k, v)


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, eq. 1): ``b n e -> b n e``.

    Each head computes softmax(Q Kᵀ / sqrt(d)) V. The outputs of the heads are concatenated and projected.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.proj_drop = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, record: dict | None = None, edit: BlockEdit | None = None, first: int | None = None
    ) -> Tensor:
        """Compute the attention of every token, or only of the ``first`` tokens, to all tokens.

        ``first`` has an effect only if nothing is recorded or edited; then PyTorch's fused attention is used.
        """
        if record is None and edit is None:
            q, k, v = self._project(tokens, first)
            heads = fused_attention(q, k, v)  # b h n d
        else:
            edit = edit or BlockEdit()
            q, k, v = edit.on_projections(*self._project(tokens, None))
            scores = edit.on_scores(einsum(q, k, "b h n d, b h m d -> b h n m") * q.shape[-1] ** -0.5)
            attention = edit.on_attention(scores.softmax(dim=-1))  # each query's row sums to 1
            heads = edit.on_heads(einsum(attention, v, "b h n m, b h m d -> b h n d"))
            if record is not None:
                record.update(q=q, k=k, v=v, scores=scores, attention=attention, heads=heads)
        return self.proj_drop(self.proj(rearrange(heads, "b h n d -> b n (h d)")))

    def _project(self, tokens: Tensor, first: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries of the ``first`` tokens (None: all), keys and values of all tokens, ``b h n d`` each."""
        if first is None:
            # Split before the axis of the heads is moved: the backward pass then writes one matrix of gradients.
            q, k, v = rearrange(self.qkv(tokens), "b n (three h d) -> b n three h d", three=3, h=self.num_heads).unbind(
                2
            )
        else:
            sizes = (self.qkv.in_features, 2 * self.qkv.in_features)
            weights = self.qkv.weight.split(sizes)
            biases = (None, None) if self.qkv.bias is None else self.qkv.bias.split(sizes)
            q = rearrange(F.linear(tokens[:, :first], weights[0], biases[0]), "b n (h d) -> b n h d", h=self.num_heads)
            both = F.linear(tokens, weights[1], biases[1])
            k, v = rearrange(both, "b n (two h d) -> b n two h d", two=2, h=self.num_heads).unbind(2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


class MLP(nn.Module):
    """Two linear maps with an activation between them, applied to each token separately: ``b n e -> b n e``.

    The activation is the exact GELU by default.
    """

    def __init__(self, embed_dim: int, hidden: int, dropout: float, *, act_layer: Activation = "gelu") -> None:
        super().__init__()
        self.act = ACTIVATIONS[act_layer]
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, embed_dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(tokens)))))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): drop a residual branch for randomly chosen images while training.

    The branch of the other images is scaled up, so that its expected value stays the same.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return branch
        keep = 1 - self.probability
        mask = branch.new_empty(branch.shape[0], 1, 1).bernoulli_(keep)
        return branch * mask / keep


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch (Touvron et al. 2021): ``b n e -> b n e``."""

    def __init__(self, embed_dim: int, init_values: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((embed_dim,), init_values))

    def forward(self, branch: Tensor) -> Tensor:
        return branch * self.gamma


class EncoderBlock(nn.Module):
    """One encoder block: x + scale(attention(norm(x))), then x + scale(MLP(norm(x))), ``b n e -> b n e``.

    The scale is a :class:`LayerScale` if the settings ask for one, otherwise the identity.
    """

    def __init__(self, config: ViTConfig, drop_path: float) -> None:
        super().__init__()
        e = config.embed_dim
        self.norm1 = nn.LayerNorm(e, eps=config.norm_eps)
        self.attn = MultiHeadAttention(e, config.num_heads, config.dropout, qkv_bias=config.qkv_bias)
        self.norm2 = nn.LayerNorm(e, eps=config.norm_eps)
        self.mlp = MLP(e, round(e * config.mlp_ratio), config.dropout, act_layer=config.act_layer)
        scale = config.layer_scale
        self.ls1 = LayerScale(e, scale) if scale else nn.Identity()
        self.ls2 = LayerScale(e, scale) if scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(
        self, tokens: Tensor, record: dict | None = None, edit: BlockEdit | None = None, first: int | None = None
    ) -> Tensor:
        """Return all tokens after the block, or only the ``first`` ones."""
        if edit is not None:
            tokens = edit.on_tokens(tokens)
        out = self.ls1(self.attn(self.norm1(tokens), record, edit, first))
        tokens = tokens[:, :first] + self.drop_path(out)
        mlp = self.ls2(self.mlp(self.norm2(tokens)))
        if edit is not None:
            mlp = edit.on_mlp(mlp)
        tokens = tokens + self.drop_path(mlp)
        if record is not None:
            record.update(out=out, mlp=mlp, tokens=tokens)
        return tokens


class Blocks(nn.Sequential):
    """A sequence of encoder blocks: ``b n e -> b n e``."""

    def forward(
        self,
        tokens: Tensor,
        record: dict | None = None,
        edits: Edits | None = None,
        *,
        start: int = 0,
        first: int | None = None,
    ) -> Tensor:
        """Run the blocks from number ``start`` to the last.

        Args:
            tokens: ``(b n e)``, what enters block ``start``.
            record: the dictionary of :meth:`ViT.forward`; one dictionary for each block is appended to its ``layers``.
            edits: changes by block.
            start: number of the first block to run, from 0.
            first: how many tokens of the last block are needed; None for all. The others are not computed, unless
                something is recorded or the last block is edited.
        """
        for index in range(start, len(self)):
            layer: dict | None = None if record is None else {}
            edit = edits.get(index) if edits else None
            wanted = {"first": first} if first and edit is None and record is None and index == len(self) - 1 else {}
            tokens = self[index](tokens, layer, edit, **wanted)
            if record is not None:
                record["layers"].append(layer)
        return tokens


class Encoder(Blocks):
    """The blocks of a :class:`ViT`. The rate of stochastic depth grows linearly from the first block to the last."""

    def __init__(self, config: ViTConfig) -> None:
        last = max(1, config.depth - 1)
        super().__init__(*(EncoderBlock(config, config.drop_path * index / last) for index in range(config.depth)))


class ClassificationHead(nn.Linear):
    """A linear map from the summary token to class logits: ``b e -> b num_classes``."""


def check_images(images: Tensor, config: ModelConfig) -> None:
    """Raise a ValueError unless ``images`` is ``(b c h w)`` with the configured channels and size."""
    c, size = config.in_channels, config.image_size
    if images.ndim != 4 or tuple(images.shape[1:]) != (c, size, size):
        raise ValueError(f"images have shape {tuple(images.shape)}; this model takes (batch, {c}, {size}, {size}).")


class ViT(nn.Module):
    """Vision Transformer: images ``(b c h w)`` float32, normalised -> logits ``(b num_classes)``.

    Args:
        config: the settings, which :class:`vit.config.ViTConfig` has validated.
    """

    normalised_over: Literal["key", "query"] = "key"
    mixes_positions: bool = False
    pool: Literal["cls", "mean", "all"]
    class_names: tuple[str, ...] = ()

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.grid, self.pool = (config.grid, config.grid), config.pool
        self.num_prefix_tokens = config.num_prefix_tokens
        e = config.embed_dim
        self.cls_token = nn.Parameter(torch.zeros(1, 1, e)) if config.class_token else None
        self.reg_token = nn.Parameter(torch.zeros(1, config.reg_tokens, e)) if config.reg_tokens else None
        self.pos_embed = nn.Parameter(torch.zeros(1, config.num_positions, e))
        self.patch_embed = PatchEmbedding(config)
        self.pos_drop = nn.Dropout(config.dropout)
        self.norm_pre = nn.LayerNorm(e, eps=config.norm_eps) if config.pre_norm else nn.Identity()
        self.blocks = Encoder(config)
        self.norm = nn.Identity() if config.fc_norm else nn.LayerNorm(e, eps=config.norm_eps)
        self.fc_norm = nn.LayerNorm(e, eps=config.norm_eps) if config.fc_norm else nn.Identity()
        self.head = ClassificationHead(e, config.num_classes) if config.num_classes else nn.Identity()
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as timm does: linear weights and positions with deviation 0.02, biases zero."""
        if self.pos_embed.is_meta:  # no values needed; drawing them on "meta" would import torch's compiler (1 s)
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for token in (self.cls_token, self.reg_token):
            if token is not None:
                nn.init.normal_(token, std=1e-6)

    def forward(self, images: Tensor, *, record: dict | None = None, edits: Edits | None = None) -> Tensor:
        """Return the logits of a batch: :meth:`embed`, the blocks, :meth:`classify`.

        Args:
            images: ``(b c h w)``, with the configured channels and size.
            record: an empty dictionary, which is filled with the intermediates: ``embedded`` (b n e); ``layers``, one
                dictionary for each block with ``q k v heads`` (b h n d), ``scores attention`` (b h n m) and
                ``out mlp tokens`` (b n e); and ``summary`` (b e), the input of the classification head. Recording uses
                the explicit softmax instead of the fused attention, and computes every token of the last block instead
                of only those that the head reads.
            edits: changes by block (:mod:`vit.edits`). The record contains the values after the changes.

        Raises:
            ValueError: the shape of the images is not the configured one.
        """
        tokens = self.embed(images)
        if record is not None:
            record.update(embedded=tokens, layers=[])
        # The head reads only the class token, so the last block needs only its query and MLP. This saves a tenth to a
        # third of all operations.
        first = 1 if self.pool == "cls" else None
        summary = self.summarise(self.blocks(tokens, record, edits, first=first))
        if record is not None:
            record["summary"] = summary
        return self.head(summary)

    def embed(self, images: Tensor) -> Tensor:
        """Return the tokens that enter the first block: ``b c h w -> b n e``.

        Raises:
            ValueError: the shape of the images is not the configured one.
        """
        check_images(images, self.config)
        return self.add_positions(self.patch_embed(images), self.pos_embed)

    def add_positions(self, patches: Tensor, positions: Tensor) -> Tensor:
        """Return the tokens that enter the first block, from patch tokens and the position embeddings of their grid."""
        if self.config.no_embed_class:
            patches = patches + positions
        before = [token for token in (self.cls_token, self.reg_token) if token is not None]
        tokens = torch.cat([*(token.expand(patches.shape[0], -1, -1) for token in before), patches], dim=1)
        if not self.config.no_embed_class:
            tokens = tokens + positions
        return self.norm_pre(self.pos_drop(tokens))

    def summarise(self, tokens: Tensor) -> Tensor:
        """Return the normalised summary token that the head reads: ``b n e -> b e``.

        It can be computed from the tokens after any block.
        """
        tokens = self.norm(tokens)
        return self.fc_norm(tokens[:, 0] if self.pool == "cls" else tokens[:, self.num_prefix_tokens :].mean(dim=1))

    def classify(self, tokens: Tensor) -> Tensor:
        """Return the logits that the head computes from the tokens after any block: ``b n e -> b num_classes``."""
        return self.head(self.summarise(tokens))

    def classify_each(self, tokens: Tensor) -> Tensor:
        """Return the logits that the head computes from each token alone: ``... e -> ... num_classes``."""
        return self.head(self.fc_norm(self.norm(tokens)))


def interpolate_positions(
    pos_embed: Tensor, from_grid: tuple[int, int], to_grid: tuple[int, int], prefix: int
) -> Tensor:
    """Resample position embeddings to another grid: ``1 (prefix + r w) e -> 1 (prefix + r' w') e``.

    Interpolation is bicubic, with antialiasing if the grid becomes smaller, as in timm's ``resample_abs_pos_embed``
    (Dosovitskiy et al. 2021, section 3.2, use plain interpolation). The embeddings of the ``prefix`` tokens, which
    have no place in the image, do not change.

    Args:
        pos_embed: ``(1, prefix + r * w, e)``.
        from_grid: rows and columns of patches of ``pos_embed``.
        to_grid: rows and columns of patches of the result.
        prefix: number of tokens before the patches that have a position embedding.

    Raises:
        ValueError: ``pos_embed`` does not have the shape that ``from_grid`` and ``prefix`` give.
    """
    rows, columns = from_grid
    if pos_embed.shape[:2] != (1, prefix + rows * columns):
        raise ValueError(
            f"pos_embed has shape {tuple(pos_embed.shape)}; a grid of {rows} x {columns} with {prefix} prefix "
            f"tokens takes (1, {prefix + rows * columns}, embed_dim)."
        )
    if from_grid == to_grid:
        return pos_embed
    first, patches = pos_embed[:, :prefix], pos_embed[:, prefix:]
    grid = rearrange(patches.float(), "1 (r w) e -> 1 e r w", r=rows)
    grid = F.interpolate(grid, size=to_grid, mode="bicubic", antialias=True)
    return torch.cat([first, rearrange(grid, "1 e r w -> 1 (r w) e").to(pos_embed.dtype)], dim=1)
