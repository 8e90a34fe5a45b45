"""Masked autoencoding (He et al. 2022).

A random share of the patches is hidden. The encoder, the network that the run keeps, sees only the visible ones; a
small decoder sees its tokens and a learned token at every hidden place, and reconstructs the hidden patches.

A convolution looks beyond its patch, so with a convolutional stem the tokens of visible patches could give away their
hidden neighbours. Hidden patches are therefore filled with the mean colour before the stem, and their tokens are left
out after it: the stem sees where patches are hidden, but not what they contain.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit.config import TrainingConfig, ViTConfig
from vit.config.unlabelled import decoder_config
from vit.data import views
from vit.data.batches import Batches, mix_seed
from vit.model import Encoder, ViT
from vit.trainer.objectives.unlabelled import UnlabelledObjective, draw

CROP_AREA = (0.4, 1.0)
"""Share of the image's area of a random crop."""
EPS = 1e-6
"""Added to the variance of a patch."""

_DECODER = -4  # part of the seed of the decoder's weights


class Masked(NamedTuple):
    """A reconstruction.

    Attributes:
        patches: the decoder's output for each patch, normalised pixels (b n (p q c)).
        hidden: whether a patch was hidden, bool (b n).
    """

    patches: Tensor
    hidden: Tensor


class Decoder(nn.Module):
    """Reconstruct all patches from the tokens of the visible ones: ``b (prefix + v) e -> b n (p p c)``."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        own = decoder_config(config)
        e, self.prefix = own.embed_dim, config.num_prefix_tokens
        self.embed = nn.Linear(config.embed_dim, e)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, e))
        self.pos_embed = nn.Parameter(torch.zeros(1, own.num_tokens, e))
        self.blocks = Encoder(own)
        self.norm = nn.LayerNorm(e, eps=own.norm_eps)
        self.pixels = nn.Linear(e, config.patch_size**2 * config.in_channels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return normalised pixels of every patch.

        Args:
            tokens: the encoder's output, (b (prefix + v) e).
            places: numbers of the visible patches, int64 (b v).
        """
        tokens = self.embed(tokens)
        b, e = len(tokens), tokens.shape[-1]
        everywhere = self.mask_token.to(tokens.dtype).expand(b, self.pos_embed.shape[1] - self.prefix, e)
        patches = everywhere.scatter(1, places[..., None].expand(-1, -1, e), tokens[:, self.prefix :])
        tokens = torch.cat([tokens[:, : self.prefix], patches], dim=1) + self.pos_embed
        return self.pixels(self.norm(self.blocks(tokens))[:, self.prefix :])


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches, row by row: ``b c (r p) (w q) -> b (r w) (p q c)``."""
    return rearrange(images, "b c (r p) (w q) -> b (r w) (p q c)", p=patch_size, q=patch_size)


def unpatchify(patches: Tensor, patch_size: int, grid: int) -> Tensor:
    """Put the patches of a square grid together: ``b (r w) (p q c) -> b c (r p) (w q)``."""
    return rearrange(patches, "b (r w) (p q c) -> b c (r p) (w q)", p=patch_size, q=patch_size, r=grid)


def random_places(noise: Tensor, mask_ratio: float) -> tuple[Tensor, Tensor]:
    """Return the numbers of the visible patches, int64 (b v) ascending, and which are hidden, bool (b n).

    Args:
        noise: random numbers, (b n); the patches with the smallest are visible.
        mask_ratio: share of hidden patches; at least one is hidden and one is visible.
    """
    n = noise.shape[1]
    visible = min(n - 1, max(1, n - round(mask_ratio * n)))
    places = noise.argsort(dim=1)[:, :visible].sort(dim=1).values
    hidden = torch.ones_like(noise, dtype=torch.bool).scatter_(1, places, False)
    return places, hidden


def hide(images: Tensor, hidden: Tensor, patch_size: int) -> Tensor:
    """Fill the hidden patches of normalised images with 0, the mean colour: ``b c h w -> b c h w``."""
    grid = images.shape[-1] // patch_size
    shown = rearrange(~hidden, "b (r w) -> b 1 r w", r=grid).to(images.dtype)
    return images * F.interpolate(shown, scale_factor=patch_size, mode="nearest")


def reconstruct(model: ViT, decoder: Decoder, images: Tensor, noise: Tensor, mask_ratio: float) -> Masked:
    """Hide patches of normalised images and reconstruct them."""
    places, hidden = random_places(noise, mask_ratio)
    tokens = model.embed(hide(images, hidden, model.config.patch_size))
    prefix = model.num_prefix_tokens
    index = places[..., None].expand(-1, -1, tokens.shape[-1])
    tokens = torch.cat([tokens[:, :prefix], tokens[:, prefix:].gather(1, index)], dim=1)
    return Masked(decoder(model.fc_norm(model.norm(model.blocks(tokens))), places), hidden)


def normalised_patches(images: Tensor, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return each patch with mean 0 and variance 1, (b n (p q c)), and its mean and deviation, (b n 1)."""
    patches = patchify(images, patch_size)
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    deviation = (variance + EPS).sqrt()
    return (patches - mean) / deviation, mean, deviation


class MaskedObjective(UnlabelledObjective):
    """Mean squared error of the normalised pixels of the hidden patches."""

    def __init__(self, model: nn.Module, batches: Batches, recipe: TrainingConfig) -> None:
        super().__init__(model, batches, recipe)
        self.decoder = build_decoder(self.model.config, recipe.seed).to(batches.device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The decoder."""
        return {"decoder": self.decoder}

    def loss_of(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the error on the hidden patches of random crops, of flipped images, or of the images themselves."""
        flip, shift = self.recipe.flip, self.recipe.shift
        if flip or shift:
            noise = draw(generator, len(images), views.CROP_NOISE, device=images.device)
            if shift:
                images = views.crop(images, noise, images.shape[-1], CROP_AREA, flip=flip)
            else:
                images = torch.where(noise[:, 4, None, None, None] < 0.5, images.flip(-1), images)
        return self._error(self.batches.standardise(images), generator)

    def measure(self, images: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Return the error on images without augmentation."""
        return {"loss": float(self._error(self.batches.standardise(images), generator))}

    def state(self) -> dict[str, Tensor]:
        """Return the decoder."""
        return {f"decoder.{name}": value for name, value in self.decoder.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of :meth:`state`."""
        self.decoder.load_state_dict({name.removeprefix("decoder."): value for name, value in state.items()})

    def _error(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error on the hidden patches of normalised images, float32 ()."""
        p = self.model.config.patch_size
        noise = draw(generator, len(images), self.model.config.grid**2, device=images.device)
        with self.autocast():
            found = reconstruct(self.model, self.decoder, images, noise, self.recipe.mask_ratio)
        targets, _, _ = normalised_patches(images, p)
        errors = (found.patches.float() - targets).square().mean(dim=-1)  # b n
        return (errors * found.hidden).sum() / found.hidden.sum()


def build_decoder(config: ViTConfig, seed: int) -> Decoder:
    """Return the decoder with the weights that a training with this seed starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(seed, _DECODER))
        return Decoder(config)
