"""The Vision Transformer, smallest part first.

A pre-norm ViT (Dosovitskiy et al. 2021) whose attention is eq. 1 of Vaswani et al. (2017), exactly. Parameters have
the names of timm's ``VisionTransformer``. Recording is an argument of ``forward``, never a state of the module, because
many threads may look into one model: pass a dictionary and it comes back filled with every intermediate by name. So are
changes to heads (:mod:`vit.edits`).

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
from vit.edits import Edits, HeadEdit

STEM_GROUPS = 8
STANDARDISE_EPS = 1e-6


def quick_gelu(x: Tensor) -> Tensor:
    """X sigmoid(1.702 x), the approximation that OpenAI's CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
}
"""By what :class:`vit.config.ViTConfig` calls them."""


class StandardisedConv2d(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1 at each use (weight standardisation, Qiao et al. 2019).

    With it group norm learns about as fast as batch norm does; the norm that follows takes the filters' scale out.
    """

    def forward(self, images: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) * torch.rsqrt(variance + STANDARDISE_EPS)
        return F.conv2d(images, weight, self.bias, self.stride, self.padding)


def group_norm(width: int) -> nn.GroupNorm:
    """Groups of channels of each image normalised (Wu and He 2018), so that an image's tokens know no other image."""
    return nn.GroupNorm(STEM_GROUPS if width % STEM_GROUPS == 0 else 1, width)


class ResidualConv(nn.Module):
    """x + ReLU(norm(convolution(x))): ``b e r w -> b e r w``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = StandardisedConv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm = group_norm(width)

    def forward(self, images: Tensor) -> Tensor:
        return images + F.relu(self.norm(self.conv(images)), inplace=True)


class ConvStem(nn.Sequential):
    """Stages of convolution, max-pooling, norm and ReLU, each halving the image, then residual convolutions.

    A compact convolutional tokenizer (Hassani et al. 2021): ``b c (2^s r) (2^s w) -> b e r w`` with s stages.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], blocks: int) -> None:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise((in_channels, *widths)):
            layers += [
                StandardisedConv2d(width_in, width_out, kernel_size=3, padding=1, bias=False),
                nn.MaxPool2d(2),  # before the norm, which then sees a quarter of the pixels
                group_norm(width_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, *(ResidualConv(widths[-1]) for _ in range(blocks)))

    def forward(self, images: Tensor) -> Tensor:
        # Channels last: the same numbers, and on a CPU pooling takes a sixth of the time.
        return super().forward(images.contiguous(memory_format=torch.channels_last))


class PatchEmbedding(nn.Module):
    """Image to patch tokens, row by row: ``b c (r p) (w p) -> b (r w) e``.

    With ``stem="patch"`` one linear map of each patch. Its parameters keep the layout of the convolution with
    kernel = stride = patch that timm stores, and are applied as a reshape and one matrix product, which is faster.
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


class MultiHeadAttention(nn.Module):
    """softmax(Q Kᵀ / sqrt(d)) V for each head, heads concatenated and projected: ``b n e -> b n e``."""

    def __init__(self, embed_dim: int, num_heads: int, dropout: float, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.proj_drop = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, record: dict | None = None, edit: HeadEdit | None = None, first: int | None = None
    ) -> Tensor:
        """Attention of all tokens to all, or, where nothing is recorded or edited, of the ``first`` so many to all."""
        if record is None and edit is None:
            q, k, v = self._project(tokens, first)
            heads = F.scaled_dot_product_attention(q, k, v)  # b h n d
        else:
            edit = edit or HeadEdit()
            q, k, v = self._project(tokens, None)
            scores = edit.on_scores(einsum(q, k, "b h n d, b h m d -> b h n m") * q.shape[-1] ** -0.5)
            attention = edit.on_attention(scores.softmax(dim=-1))  # each query's row sums to 1
            heads = edit.on_heads(einsum(attention, v, "b h n m, b h m d -> b h n d"))
            if record is not None:
                record.update(q=q, k=k, v=v, scores=scores, attention=attention, heads=heads)
        return self.proj_drop(self.proj(rearrange(heads, "b h n d -> b n (h d)")))

    def _project(self, tokens: Tensor, first: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the ``first`` tokens, None for all, keys and values of all: ``b h n d`` each.

        Parted before the heads' axis is moved: then the backward pass writes the three gradients into one matrix.
        """
        if first is None:
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
    """Two linear maps with a GELU between, the exact one unless told otherwise, on each token by itself:
    ``b n e -> b n e``.
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
    """Stochastic depth: leaves a residual branch out for whole images, and scales the others up (Huang et al. 2016)."""

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
    """A learned factor for each number of a residual branch (Touvron et al. 2021): ``b n e -> b n e``."""

    def __init__(self, embed_dim: int, init_values: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((embed_dim,), init_values))

    def forward(self, branch: Tensor) -> Tensor:
        return branch * self.gamma


class EncoderBlock(nn.Module):
    """x + scale(attention(norm(x))), then x + scale(MLP(norm(x))): ``b n e -> b n e``.

    The scales are there where the settings ask for them.
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
        self, tokens: Tensor, record: dict | None = None, edit: HeadEdit | None = None, first: int | None = None
    ) -> Tensor:
        """With ``first``, only the so many first tokens come out."""
        out = self.ls1(self.attn(self.norm1(tokens), record, edit, first))
        tokens = tokens[:, :first] + self.drop_path(out)
        tokens = tokens + self.drop_path(self.ls2(self.mlp(self.norm2(tokens))))
        if record is not None:
            record.update(out=out, tokens=tokens)
        return tokens


class Blocks(nn.Sequential):
    """Encoder blocks, one after another: ``b n e -> b n e``."""

    def forward(
        self,
        tokens: Tensor,
        record: dict | None = None,
        edits: Edits | None = None,
        *,
        start: int = 0,
        first: int | None = None,
    ) -> Tensor:
        """Run the blocks from number ``start`` on, for tokens that came out of those before.

        Args:
            first: how many of the last block's tokens are wanted, None for all; the others are not computed where
                nothing is recorded or edited.
        """
        for index in range(start, len(self)):
            layer: dict | None = None if record is None else {}
            wanted = {"first": first} if first and not edits and record is None and index == len(self) - 1 else {}
            tokens = self[index](tokens, layer, edits.get(index) if edits else None, **wanted)
            if record is not None:
                record["layers"].append(layer)
        return tokens


class Encoder(Blocks):
    """The blocks of a :class:`ViT`; a block's stochastic depth grows linearly with its place."""

    def __init__(self, config: ViTConfig) -> None:
        last = max(1, config.depth - 1)
        super().__init__(*(EncoderBlock(config, config.drop_path * index / last) for index in range(config.depth)))


class ClassificationHead(nn.Linear):
    """The summary token to class logits: ``b e -> b num_classes``."""


def check_images(images: Tensor, config: ModelConfig) -> None:
    """Raise a ValueError unless ``images`` are ``(b c h w)`` of the configured channels and size."""
    c, size = config.in_channels, config.image_size
    if images.ndim != 4 or tuple(images.shape[1:]) != (c, size, size):
        raise ValueError(f"images have shape {tuple(images.shape)}; this model takes (batch, {c}, {size}, {size}).")


class ViT(nn.Module):
    """Vision Transformer: images ``(b c h w)`` float32, normalised -> logits ``(b num_classes)``.

    Args:
        config: its settings; the ones that cannot be are refused there.
    """

    normalised_over: Literal["key", "query"] = "key"
    mixes_positions: bool = False
    pool: Literal["cls", "mean", "all"]

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
        """Timm's initialisation: linear weights and positions with deviation 0.02, biases zero."""
        if self.pos_embed.is_meta:  # shapes alone are wanted; drawing there would import torch's compiler, for a second
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
        """Logits of a batch: :meth:`embed`, the blocks, :meth:`classify`.

        Args:
            images: ``(b c h w)``, of the configured channels and size.
            record: an empty dictionary to be filled with the intermediates: ``embedded`` (b n e), ``layers``, one
                dictionary a block with ``q k v heads`` (b h n d), ``scores attention`` (b h n m), ``out tokens``
                (b n e), and ``summary`` (b e), what the head read. With it the softmax is written out, else fused, and
                every token of the last block is computed, else only those that are read.
            edits: changes to heads, by block; what is recorded is what they left.

        Raises:
            ValueError: the images' shape is not the configured one.
        """
        tokens = self.embed(images)
        if record is not None:
            record.update(embedded=tokens, layers=[])
        # The head reads one token: of the last block's queries and MLP, a tenth to a third of all, no more is needed.
        first = 1 if self.pool == "cls" else None
        summary = self.summarise(self.blocks(tokens, record, edits, first=first))
        if record is not None:
            record["summary"] = summary
        return self.head(summary)

    def embed(self, images: Tensor) -> Tensor:
        """What enters the first block: ``b c h w -> b n e``.

        Raises:
            ValueError: the images' shape is not the configured one.
        """
        check_images(images, self.config)
        patches = self.patch_embed(images)
        if self.config.no_embed_class:
            patches = patches + self.pos_embed
        before = [token for token in (self.cls_token, self.reg_token) if token is not None]
        tokens = torch.cat([*(token.expand(patches.shape[0], -1, -1) for token in before), patches], dim=1)
        if not self.config.no_embed_class:
            tokens = tokens + self.pos_embed
        return self.norm_pre(self.pos_drop(tokens))

    def summarise(self, tokens: Tensor) -> Tensor:
        """The summary token that the head reads, normed: ``b n e -> b e``; of tokens after any block."""
        tokens = self.norm(tokens)
        return self.fc_norm(tokens[:, 0] if self.pool == "cls" else tokens[:, self.num_prefix_tokens :].mean(dim=1))

    def classify(self, tokens: Tensor) -> Tensor:
        """Logits read from tokens after any block: ``b n e -> b num_classes``."""
        return self.head(self.summarise(tokens))

    def classify_each(self, tokens: Tensor) -> Tensor:
        """Logits that the head would read from each token by itself: ``... e -> ... num_classes``."""
        return self.head(self.fc_norm(self.norm(tokens)))


def interpolate_positions(
    pos_embed: Tensor, from_grid: tuple[int, int], to_grid: tuple[int, int], prefix: int
) -> Tensor:
    """Learned positions of one grid, bicubically resampled to another: ``1 (prefix + r w) e -> 1 (prefix + r' w') e``.

    Those of the ``prefix`` tokens, which have no place in the image, stay as they are. As timm's
    ``resample_abs_pos_embed`` does it, with antialiasing where the grid becomes smaller (Dosovitskiy et al. 2021,
    section 3.2, where it is plain interpolation).

    Args:
        from_grid, to_grid: rows and columns of patches.
        prefix: how many tokens with a position stand before the patches.

    Raises:
        ValueError: there are not so many positions.
    """
    rows, columns = from_grid
    if pos_embed.shape[:2] != (1, prefix + rows * columns):
        raise ValueError(
            f"pos_embed has shape {tuple(pos_embed.shape)}; a grid of {rows} x {columns} with {prefix} tokens before "
            f"it takes (1, {prefix + rows * columns}, embed_dim)."
        )
    if from_grid == to_grid:
        return pos_embed
    first, patches = pos_embed[:, :prefix], pos_embed[:, prefix:]
    grid = rearrange(patches.float(), "1 (r w) e -> 1 e r w", r=rows)
    grid = F.interpolate(grid, size=to_grid, mode="bicubic", antialias=True)
    return torch.cat([first, rearrange(grid, "1 e r w -> 1 (r w) e").to(pos_embed.dtype)], dim=1)
