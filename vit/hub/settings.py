"""``config.json`` of a folder for the Hugging Face hub: one file for timm, the hub's mixin and this program.

timm reads ``architecture``, ``num_classes``, ``model_args`` and ``pretrained_cfg``, as in its own repositories, and
ignores the rest. :mod:`vit.hub.models` reads only ``run``, the settings of the run.
"""

from typing import Any

from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig, ViTConfig

NORM_EPS = {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}
"""A timm model for each epsilon of the norms. JSON cannot set the epsilon; all other arguments of these models are set,
so that they become any ViT of this program."""

CONV_STEM = "its patches are made by small convolutions, which timm's VisionTransformer does not have"


def why_not_timm(config: RunConfig) -> str:
    """Return why timm cannot load a run's network, as a clause; empty if it can."""
    match config.model:
        case ReferenceConfig():
            return "the course network is not one of timm's Vision Transformers"
        case CNNConfig():
            return "it is this program's own convolutional network"
        case ViTConfig(stem="conv"):
            return CONV_STEM
        case ViTConfig(norm_eps=eps) if eps not in NORM_EPS:
            return f"its norms have an epsilon of {eps:g}, and timm's 1e-6 or 1e-5"
    return ""


def config_json(config: RunConfig) -> dict[str, Any]:
    """Return the content of ``config.json``, with timm's part if timm can load the network.

    Args:
        config: the settings of a run :func:`~vit.runs.privacy.without_private_settings`.
    """
    # The other runs of its sweep are not in the folder.
    own = {"run": config.model_copy(update={"sweep": ""}).model_dump(mode="json")}
    if why_not_timm(config) or not isinstance(config.model, ViTConfig):
        return own
    return _timm(config.model, config.data) | own


def _timm(model: ViTConfig, data: DataConfig) -> dict[str, Any]:
    size = (model.in_channels, model.image_size, model.image_size)
    pool = "token" if model.pool == "cls" else "avg"
    unusual: dict[str, Any] = {} if model.in_channels == 3 else {"in_chans": model.in_channels}
    unusual |= {"init_values": model.layer_scale} if model.layer_scale else {}
    classes = {"label_names": list(data.class_names)} if data.class_names else {}
    return {
        "architecture": NORM_EPS[model.norm_eps],
        "num_classes": model.num_classes,
        "num_features": model.embed_dim,
        "global_pool": pool,
        "model_args": {
            "img_size": model.image_size,
            "patch_size": model.patch_size,
            "embed_dim": model.embed_dim,
            "depth": model.depth,
            "num_heads": model.num_heads,
            "mlp_ratio": _mlp_ratio(model),
            "qkv_bias": model.qkv_bias,
            "class_token": model.class_token,
            "no_embed_class": model.no_embed_class,
            "reg_tokens": model.reg_tokens,
            "pre_norm": model.pre_norm,
            "fc_norm": model.fc_norm,
            "act_layer": model.act_layer,
            "global_pool": pool,
            **unusual,
        },
        "pretrained_cfg": {
            "num_classes": model.num_classes,
            "input_size": size,
            "fixed_input_size": True,
            "crop_pct": data.crop_pct,
            "crop_mode": "center",
            "interpolation": data.interpolation,
            "mean": data.mean,
            "std": data.std,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "custom_load": False,
            **classes,
        },
        **classes,
    }


def _mlp_ratio(model: ViTConfig) -> float:
    """Return a ratio that gives timm the same hidden width: timm rounds down, this program to the nearest."""
    hidden = round(model.embed_dim * model.mlp_ratio)
    exact = int(model.embed_dim * model.mlp_ratio) == hidden
    return model.mlp_ratio if exact else (hidden + 0.5) / model.embed_dim
