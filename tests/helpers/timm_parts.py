"""An independent look inside timm's Vision Transformer: its intermediates, caught and replaced by hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import timm
import torch
from torch import Tensor, nn

from vit.published.architecture import config_of

Site = str


def pair_of_models(**settings) -> tuple[nn.Module, "nn.Module"]:
    """Return a small model of timm with random weights, and this library's network with the same weights."""
    from vit.networks import build_model

    defaults = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 5}
    torch.manual_seed(0)
    theirs = timm.models.vision_transformer.VisionTransformer(**defaults | settings).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.15)
    for block in theirs.blocks:
        block.attn.fused_attn = False  # the softmax is then a step of its own, attn_drop
    ours = build_model(config_of(theirs)).eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict())
    return theirs.requires_grad_(False), ours


def place(model: nn.Module, site: Site, layer: int) -> tuple[nn.Module, bool]:
    """Return the module of timm that a site is the input (True) or the output (False) of."""
    block = model.blocks[layer]
    match site:
        case "residual":
            return block, True
        case "head":
            return block.attn.proj, True
        case "pattern":
            return block.attn.attn_drop, False
        case "mlp":
            return block.ls2, False
    return block.attn.qkv, False


def view(model: nn.Module, site: Site, tensor: Tensor) -> Tensor:
    """Return a view of a tensor whose last axes are those of one unit: ``(units ...)`` for a batch of one."""
    heads = model.blocks[0].attn.num_heads
    if site in ("residual", "mlp"):
        return tensor[0]
    if site == "pattern":
        return tensor[0]
    if site == "head":
        return tensor[0].unflatten(-1, (heads, -1)).transpose(0, 1)
    part = "qkv".index(site)
    return tensor[0].unflatten(-1, (3, heads, -1))[:, part].transpose(0, 1)


@contextmanager
def hooked(module: nn.Module, is_input: bool, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    if is_input:
        handle = module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    else:
        handle = module.register_forward_hook(lambda _, args, output: change(output))
    try:
        yield
    finally:
        handle.remove()


def caught(model: nn.Module, image: Tensor, site: Site, layer: int) -> Tensor:
    """Return the activation of a site, ``(units ...)``."""
    found = []
    with hooked(*place(model, site, layer), lambda tensor: (found.append(tensor.clone()), tensor)[1]):
        model(image)
    return view(model, site, found[0])


def patched(model: nn.Module, base: Tensor, source: Tensor, site: Site, layer: int, unit: int) -> Tensor:
    """Return the logits of ``base`` with one unit's activation from ``source``."""
    theirs = caught(model, source, site, layer)

    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        view(model, site, tensor)[unit] = theirs[unit]
        return tensor

    with hooked(*place(model, site, layer), change):
        return model(base)[0]
