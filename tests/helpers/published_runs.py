"""Networks in the shapes of published models, as small as can be, and runs of them as they are when one is opened."""

import torch

from vit import runs
from vit.config import DataConfig, RunConfig, ViTConfig
from vit.model import ViT
from vit.runs import weights

_TINY = {
    "image_size": 32,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 4.0,
    "stem": "patch",
    "pool": "cls",
    "num_classes": 6,
}

SHAPES: dict[str, ViTConfig] = {
    name: ViTConfig(**_TINY | settings)
    for name, settings in {
        "plain": {},
        "thousand": {"num_classes": 1000, "class_token": False, "pool": "mean", "qkv_bias": False},
        "mean-normed": {"pool": "mean", "fc_norm": True},
        "scaled": {"no_embed_class": True, "init_values": 0.5},  # DeiT III
        "clip": {"pre_norm": True, "act_layer": "quick_gelu", "norm_eps": 1e-5, "num_classes": 0},
        "registers": {"reg_tokens": 4, "no_embed_class": True, "init_values": 0.5, "num_classes": 0},  # DINOv2
        "registers-placed": {"reg_tokens": 4, "pool": "mean", "fc_norm": True, "act_layer": "gelu_tanh"},
        "registers-alone": {"reg_tokens": 2, "class_token": False, "no_embed_class": True, "pool": "mean"},
    }.items()
}
"""What timm's families differ in, by a name of our own."""


def published_like(config: ViTConfig, seed: int = 0) -> ViT:
    """A network none of whose weights is zero or one, and whose heads look at one thing more than at another."""
    generator = torch.Generator().manual_seed(seed)
    model = ViT(config).eval()
    for name, parameter in model.named_parameters():
        spread = 1 / config.embed_dim**0.5 if "qkv" in name or name == "head.weight" else 0.1
        parameter.data += 2 * spread * torch.randn(parameter.shape, generator=generator)
    return model.requires_grad_(False)


def published_config(name: str, config: ViTConfig, source: str = "", **data) -> RunConfig:
    """The settings of a run of such a network; its classes have no names."""
    images = {"source": source, "image_size": config.image_size, "crop_pct": 0.875} | data
    return RunConfig(model=config, data=DataConfig(**images), published=f"vit_{name}.tests")


def open_published(name: str, config: ViTConfig, **data) -> runs.Run:
    """A run of such a network in the folder of runs, finished and never trained here."""
    run = runs.create(name, published_config(name, config, **data))
    weights.save_model(run.path, published_like(config).state_dict(), {"epoch": 0, "validated": False})
    runs.update_status(run.path, state="finished", message="Published weights.")
    return run
