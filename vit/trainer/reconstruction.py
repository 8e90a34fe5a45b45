"""Reconstructions of a run that learns by masked autoencoding, computed from its latest resume checkpoint.

The run keeps only the encoder; the decoder is in ``last.safetensors``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vit.config import ViTConfig
from vit.data.batches import normalise
from vit.errors import RunError
from vit.model import ViT
from vit.runs.folder import LAST
from vit.trainer.objectives.mae import build_decoder, hide, normalised_patches, reconstruct, unpatchify
from vit.trainer.resume_file import load_resume

if TYPE_CHECKING:
    from vit.runs import Run

_SEED = 0


@dataclass(frozen=True)
class Reconstructions:
    """Images, what the encoder saw of them, and what the decoder made of it; uint8 (b h w c) each.

    Attributes:
        time: when the network had these weights, such as "epoch 3".
        originals: the images.
        masked: the images with grey hidden patches.
        reconstructed: the images with reconstructed hidden patches. The network predicts each patch with mean 0 and
            variance 1, so mean and contrast of the hidden patches are those of the original.
    """

    time: str
    originals: np.ndarray
    masked: np.ndarray
    reconstructed: np.ndarray


@torch.no_grad()
def reconstructions(run: "Run", images: np.ndarray) -> Reconstructions:
    """Reconstruct images with the latest weights of a run; the same patches are hidden at each call.

    Args:
        run: a run with ``learn_from="mae"``.
        images: uint8 (b c h w), at the run's image size.

    Raises:
        RunError: the run learns otherwise, or has no usable resume checkpoint.
    """
    config = run.config
    if config.training.learn_from != "mae" or not isinstance(config.model, ViTConfig):
        raise RunError(f"The run {run.name!r} reconstructs no images: choose a run that learns with MAE.")
    checkpoint = load_resume(run.path)
    if checkpoint is None:
        raise RunError(f"The run {run.name!r} has no {LAST}, which holds its decoder: train it again.")
    model, decoder = ViT(config.model).eval(), build_decoder(config.model, 0).eval()
    try:
        for module, prefix in ((model, "model."), (decoder, "objective.decoder.")):
            saved = checkpoint.tensors.items()
            module.load_state_dict({name[len(prefix) :]: it for name, it in saved if name.startswith(prefix)})
    except RuntimeError:
        raise RunError(f"The decoder of {run.name!r} does not fit its config.json: train the run again.") from None
    position = checkpoint.position
    pixels = torch.from_numpy(np.array(images))
    inputs = normalise(pixels, config.data.mean, config.data.std)
    noise = torch.rand(len(inputs), config.model.grid**2, generator=torch.Generator().manual_seed(_SEED))
    found = reconstruct(model, decoder, inputs, noise, config.training.mask_ratio)
    p, grid = config.model.patch_size, config.model.grid
    _, mean, deviation = normalised_patches(inputs, p)
    decoded = unpatchify(found.patches * deviation + mean, p, grid)
    shown = hide(torch.ones_like(inputs), found.hidden, p)
    std, centre = (torch.tensor(it).view(1, -1, 1, 1) for it in (config.data.std, config.data.mean))

    def as_images(values: torch.Tensor) -> np.ndarray:
        bytes_ = ((values * std + centre) * 255).round().clamp(0, 255).to(torch.uint8)
        return bytes_.permute(0, 2, 3, 1).numpy()

    return Reconstructions(
        time="step {step:,}".format(**position) if position.get("seen") else "epoch {epoch}".format(**position),
        originals=pixels.permute(0, 2, 3, 1).numpy(),
        masked=as_images(inputs * shown),
        reconstructed=as_images(inputs * shown + decoded * (1 - shown)),
    )
