"""The steps from the image to the tokens that enter the first block."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit.explain.anatomy.step import ArithmeticStep, latex_number, latex_sum, layer_norm_step, to_array
from vit.networks import Transformer


def embedding_steps(model: Transformer, images: Tensor, token: int) -> tuple[Tensor, list[ArithmeticStep]]:
    """Return the tokens that enter the first block, ``n e``, and the steps from the image to them."""
    config, prefix = model.config, model.num_prefix_tokens
    patch = token - prefix if token >= prefix else None  # its number among the patches, from 0
    steps = []
    stem = getattr(model.patch_embed, "proj", model.patch_embed)
    if isinstance(stem, nn.Conv2d):
        p = config.patch_size
        patches = rearrange(images[0], "c (r p1) (w p2) -> (r w) (c p1 p2)", p1=p, p2=p)
        weight = rearrange(stem.weight, "e c p1 p2 -> e (c p1 p2)")
        embedded = F.linear(patches, weight, stem.bias)
        steps.append(
            ArithmeticStep(
                "patches",
                "The patches",
                r"P = \operatorname{patches}(\text{image})",
                f"The image is cut into squares of {p} by {p} pixels. Each square is one row: all red values, then all "
                "green, then all blue ones, normalised as in training.",
                ("(r w)", "(c p1 p2)"),
                to_array(patches),
            )
        )
        bias, worked = stem.bias, ""
        if patch is not None:
            product = (patches[patch] * weight[0]).sum()
            total = "" if bias is None else f"{latex_sum(product, bias[0])} = "
            worked = rf"x_{{{token},1}} = p_{{{token}}} \cdot w_1{'' if bias is None else ' + b_1'} = {total}"
            worked += latex_number(embedded[patch, 0])
        steps.append(
            ArithmeticStep(
                "embedded_patches",
                "Patch to token",
                r"X = P\,W_E^\top" + ("" if bias is None else " + b_E"),
                "One linear map, the same for every patch, turns its pixels into a vector of embed_dim numbers.",
                ("(r w)", "e"),
                to_array(embedded),
                worked,
            )
        )
    else:
        embedded = stem(images)[0]
        steps.append(
            ArithmeticStep(
                "embedded_patches",
                "Image to patch tokens",
                r"X = \operatorname{stem}(\text{image})",
                "This network has a convolutional stem instead of a linear map of each patch. Its convolutions also "
                "see a few pixels beyond the patch's edge. The tokens below are the output of the stem.",
                ("(r w)", "e"),
                to_array(embedded),
            )
        )
    first = [one[0] for one in (model.cls_token, getattr(model, "reg_token", None)) if one is not None]
    bare = torch.cat([*first, embedded])
    positions = model.pos_embed[0]
    place = token - (len(bare) - len(positions))  # row of this token's position embedding; negative if it has none
    tokens = bare.clone()
    tokens[-len(positions) :] += positions
    formula, words = _joined(config.prefix_names, len(positions) < len(bare))
    added = rf" + e_{{{token},1}} = {latex_sum(bare[token, 0], positions[place, 0])}" if place >= 0 else ""
    first_norm = getattr(model, "norm_pre", None)
    pre_norm = isinstance(first_norm, nn.LayerNorm)
    steps.append(
        ArithmeticStep(
            "joined" if pre_norm else "tokens",
            "The tokens",
            formula,
            words,
            ("n", "e"),
            to_array(tokens),
            rf"z_{{{token},1}} = x_{{{token},1}}{added} = {latex_number(tokens[token, 0])}",
        )
    )
    if isinstance(first_norm, nn.LayerNorm):
        tokens, step = layer_norm_step(first_norm, tokens, token)
        words = "This network also normalises each token to mean 0 and deviation 1 before its first layer."
        steps.append(replace(step, name="tokens", title="The norm before the first layer", words=words))
    return tokens, steps


def _joined(prefix: Sequence[str], bare: bool) -> tuple[str, str]:
    """Return the formula and the explanation of how the tokens are joined.

    Args:
        prefix: names of the tokens before the patches.
        bare: whether these have no position embedding.
    """
    if not prefix:
        words = "Each patch's position embedding is added: without it the network could not tell where a patch was."
        return r"Z = X + E_\text{pos}", words
    registers = sum(name != "class token" for name in prefix)
    names = [r"x_\text{class}"] * (registers < len(prefix)) + [r"x_\text{reg}"] * (registers > 0)
    front = ";\\ ".join(names)
    extra = "one register" if registers == 1 else f"{registers} registers, tokens whose output is not used,"
    said = [one for one, there in (("the class token", registers < len(prefix)), (extra, registers)) if there]
    many = len(prefix) > 1
    put = f"{' and '.join(said)} {'are' if many else 'is'} put in front"
    put = put[0].upper() + put[1:]
    where = "without it the network could not tell where a patch was."
    if bare:
        formula = rf"Z = [\,{front};\ X + E_\text{{pos}}\,]"
        return formula, f"Each patch's position embedding is added: {where} {put}, with no position."
    return rf"Z = [\,{front};\ X\,] + E_\text{{pos}}", f"{put}, and each token's position embedding is added: {where}"
