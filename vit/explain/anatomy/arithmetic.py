"""The arithmetic of one head on one image, step by step.

Every number is computed from the previous steps and the weights, not read from the model's record; tests compare each
step with the record. The steps of the course network (:mod:`vit.reference`) follow its own order and include the
departures that its switches do not correct.
"""

import copy

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from vit.config import DEPARTURES, ReferenceConfig, TransformerConfig
from vit.errors import ExplainError
from vit.explain.anatomy.embedding import embedding_steps
from vit.explain.anatomy.step import (
    ArithmeticStep,
    latex_first,
    latex_number,
    latex_sum,
    latex_terms,
    layer_norm_step,
    to_array,
)
from vit.explain.recording import Recordable
from vit.model import LayerScale
from vit.networks import Block, Network, Transformer, blocks_of
from vit.reference import AttentionHead, SelfAttention


def head_arithmetic(
    model: Network, images: Tensor, *, layer: int, head: int, token: int = 0
) -> tuple[ArithmeticStep, ...]:
    """Return every step of one head's computation, and how its output enters the tokens.

    In the first layer the steps begin with the patches, in later layers with the tokens that enter the layer.

    Args:
        model: a transformer.
        images: ``(b c h w)``, normalised; only the first is used.
        layer: number of the layer, from 1.
        head: number of the head, from 1.
        token: the token whose numbers are worked out, from 0 in the network's order: prefix tokens (class token,
            registers), then the patches row by row.

    Raises:
        ExplainError: a TypeError; the model has no attention.
        ValueError: the layer, head or token does not exist.
    """
    if not isinstance(model, Recordable):
        raise ExplainError(f"{type(model).__name__} has no attention, so there are no steps of a head to show.")
    config: TransformerConfig = model.config
    for name, value, low, high in (
        ("layer", layer, 1, config.depth),
        ("head", head, 1, config.num_heads),
        ("token", token, 0, config.num_tokens - 1),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value} does not exist; choose {low} to {high}.")
    if model.training:
        model = copy.deepcopy(model).eval()  # a copy, since other threads may be using the model
    images = images[:1].to(next(model.parameters()).device, torch.float32)
    with torch.no_grad():
        tokens, steps = embedding_steps(model, images, token)
        if layer > 1:
            for block in list(model.blocks)[: layer - 1]:
                tokens = block(tokens[None], {})[0]
            steps = [_entry(tokens, layer)]
        return (*steps, *_attend(model, tokens, layer, head - 1, token))


def mended_departures(config: TransformerConfig) -> tuple[str, ...]:
    """Return the departures of the course network that this network does not make; a ViT makes none of them."""
    return config.mended if isinstance(config, ReferenceConfig) else DEPARTURES


def project(tokens: Tensor, weight: Tensor, bias: Tensor | None, columns: slice | None = None) -> Tensor:
    """Compute queries, keys or values of one head: ``n e -> n d``.

    Without ``columns`` each token's whole embedding is projected. With ``columns``, the head's slice of the embedding,
    the slices of all tokens are flattened and projected together, as in the course network.
    """
    if columns is None:
        return F.linear(tokens, weight, bias)
    flat = rearrange(tokens[:, columns], "n d -> (n d)")
    return rearrange(F.linear(flat, weight, bias), "(n d) -> n d", n=len(tokens))


def head_weights(block: Block, head: int) -> list[tuple[Tensor, Tensor | None]]:
    """Return weight and bias (or None) of the linear maps for Q, K and V of one head; ``head`` from 0."""
    attention = block.attn
    if isinstance(attention, SelfAttention):
        own = attention.heads[head]
        assert isinstance(own, AttentionHead)
        return [(it.weight, it.bias) for it in (own.q, own.k, own.v)]
    parts = {"three": 3, "h": attention.num_heads}
    weight = rearrange(attention.qkv.weight, "(three h d) e -> h three d e", **parts)[head]
    if attention.qkv.bias is None:
        return [(one, None) for one in weight]
    bias = rearrange(attention.qkv.bias, "(three h d) -> h three d", **parts)[head]
    return list(zip(weight, bias, strict=True))


# The steps of a block


def _entry(tokens: Tensor, layer: int) -> ArithmeticStep:
    return ArithmeticStep(
        "tokens",
        "The tokens",
        rf"Z = Z^{{({layer - 1})}}",
        f"The tokens after layer {layer - 1}, which are the input of layer {layer}.",
        ("n", "e"),
        to_array(tokens),
    )


def _attend(model: Transformer, tokens: Tensor, layer: int, head: int, token: int) -> list[ArithmeticStep]:
    """Return the steps from the tokens that enter a block to those that leave it, both ``n e``."""
    config, block, right = model.config, blocks_of(model)[layer - 1], mended_departures(model.config)
    d, whole, t = config.head_dim, "projection" in right, token
    steps = []

    normed, step = layer_norm_step(block.norm1, tokens, t)
    steps.append(step)
    slices = [None if whole else slice(one * d, (one + 1) * d) for one in range(config.num_heads)]
    if not whole:
        steps.append(_slice(normed[:, slices[head]], head, d))
    every = [
        [project(normed, weight, bias, slices[one]) for weight, bias in head_weights(block, one)]
        for one in range(config.num_heads)
    ]
    q, k, v = every[head]
    biased = head_weights(block, head)[0][1] is not None
    steps += [_projected(letter, value, t, whole, biased) for letter, value in zip("QKV", (q, k, v), strict=True)]

    scores, attention, out = zip(*(_head(*one, right=right) for one in every), strict=True)
    product = einsum(q, k, "n d, m d -> n m")
    j = int(attention[head][t].argmax())
    steps.append(
        ArithmeticStep(
            "product",
            "The scores",
            r"S = Q\,K^\top",
            "The dot product of each query with each key: the larger it is, the better they match. Rows are the "
            f"tokens that attend, columns the tokens attended to. Worked out for token {t} and the token that it "
            f"attends to most, {j}.",
            ("n", "m"),
            to_array(product),
            rf"s_{{{t},{j}}} = q_{{{t}}} \cdot k_{{{j}}} = {latex_terms(q[t] * k[j])} = {latex_number(product[t, j])}",
        )
    )
    if "scaling" in right:
        steps.append(
            ArithmeticStep(
                "scores",
                "The scaling",
                r"S' = S / \sqrt{d_k}",
                f"A sum of d_k = {d} products has a deviation that grows with √d_k. Dividing by √d_k keeps the softmax "
                "from saturating in wide heads.",
                ("n", "m"),
                to_array(scores[head]),
                rf"s'_{{{t},{j}}} = {latex_number(product[t, j])} / \sqrt{{{d}}} = {latex_number(scores[head][t, j])}",
            )
        )
    steps.append(_softmax(scores[head], attention[head], t, j, over_keys="softmax" in right))
    weighted = einsum(attention[head], v, "n m, m d -> n d")
    steps.append(
        ArithmeticStep(
            "weighted",
            "The weighted sum of values",
            r"O = A\,V",
            "Each token gets the sum of all tokens' values, weighted by its attention.",
            ("n", "d"),
            to_array(weighted),
            rf"o_{{{t},1}} = \textstyle\sum_m a_{{{t},m}}\, v_{{m,1}} = {latex_terms(attention[head][t] * v[:, 0])} "
            rf"= {latex_number(weighted[t, 0])}",
        )
    )
    if "scaling" not in right:
        steps.append(
            ArithmeticStep(
                "head",
                "The scaling, after the softmax",
                r"O' = O / \sqrt{d_k}",
                "This network divides after the product with V. This makes the output smaller and has no effect on the "
                "softmax.",
                ("n", "d"),
                to_array(out[head]),
                rf"o'_{{{t},1}} = {latex_number(weighted[t, 0])} / \sqrt{{{d}}} = {latex_number(out[head][t, 0])}",
            )
        )
    together = torch.cat(out, dim=1)
    first = head * d
    mine = "O" if "scaling" in right else "O'"
    steps.append(
        ArithmeticStep(
            "heads",
            "All heads side by side",
            "C = ["
            + r";\ ".join(rf"{mine}_{{{one + 1}}}" for one in range(min(config.num_heads, 4)))
            + (r";\ \dots" if config.num_heads > 4 else "")
            + "]",
            f"The other heads do the same with their own Q, K and V. The output of head {head + 1} is in columns "
            f"{first + 1} to {first + d} of each row.",
            ("n", "(h d)"),
            to_array(together),
            rf"c_{{{t},{first + 1}}} = {mine.lower()}_{{{t},1}} = {latex_number(together[t, first])}",
        )
    )
    added = together
    linear = block.attn.proj
    if linear is not None:  # the departure "output" is not made
        added = F.linear(together, linear.weight, linear.bias)
        steps.append(
            ArithmeticStep(
                "out",
                "The output projection",
                r"U = C\,W_O^\top + b_O",
                "A linear map of each token combines the outputs of the heads, so that each head can write to the "
                "whole embedding.",
                ("n", "e"),
                to_array(added),
                rf"u_{{{t},1}} = c_{{{t}}} \cdot w_1 + b_1 "
                rf"= {latex_sum((together[t] * linear.weight[0]).sum(), linear.bias[0])} = {latex_number(added[t, 0])}",
            )
        )
    letter = "U" if "output" in right else "C"
    if isinstance(scale := getattr(block, "ls1", None), LayerScale):
        scaled = added * scale.gamma
        steps.append(
            ArithmeticStep(
                "scale",
                "The layer scale",
                r"S = U \operatorname{diag}(\gamma)",
                "Each channel is multiplied by a learned factor. It starts small, so a block changes the tokens little "
                "at first and more as training proceeds.",
                ("n", "e"),
                to_array(scaled),
                rf"s_{{{t},1}} = u_{{{t},1}}\,\gamma_1 = {latex_number(added[t, 0])} \cdot "
                rf"{latex_number(scale.gamma[0])} = {latex_number(scaled[t, 0])}",
            )
        )
        added, letter = scaled, "S"
    return steps + _residuals(block, tokens, added, layer, t, letter=letter)


def _head(q: Tensor, k: Tensor, v: Tensor, *, right: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores ``n m``, attention ``n m`` and output ``n d`` of one head."""
    root = q.shape[-1] ** -0.5
    scores = einsum(q, k, "n d, m d -> n m")
    if "scaling" in right:
        scores = scores * root
    attention = scores.softmax(dim=-1 if "softmax" in right else -2)
    out = einsum(attention, v, "n m, m d -> n d")
    return scores, attention, out if "scaling" in right else out * root


def _slice(value: Tensor, head: int, d: int) -> ArithmeticStep:
    return ArithmeticStep(
        "slice",
        "The head's slice",
        rf"\hat Z_{{h}} = \hat Z_{{:,\,{head * d + 1}\dots{(head + 1) * d}}}",
        f"Head {head + 1} of this network gets only its own {d} numbers of each token. They are flattened: "
        f"{len(value)} tokens of {d} numbers become one row of {value.numel()}.",
        ("n", "d"),
        to_array(value),
    )


def _projected(letter: str, value: Tensor, t: int, whole: bool, biased: bool) -> ArithmeticStep:
    kind = {"Q": "queries", "K": "keys", "V": "values"}[letter]
    words = {
        "Q": "What each token searches for in other tokens.",
        "K": "What each token offers to be matched with the queries.",
        "V": "What each token passes on to the tokens that attend to it.",
    }[letter]
    low = letter.lower()
    bias = f" + b_{letter}" if biased else ""
    formula = (
        rf"\hat Z\,W_{letter}^\top{bias}"
        if whole
        else rf"\operatorname{{reshape}}(W_{letter}\operatorname{{flatten}}(\hat Z_h) + b_{letter})"
    )
    return ArithmeticStep(
        low,
        f"The {kind}",
        f"{letter} = {formula}",
        words + ("" if whole else f" Here every number depends on all tokens, so row {t} is not only about token {t}."),
        ("n", "d"),
        to_array(value),
        rf"{low}_{{{t}}} = ({latex_first(value[t])})",
    )


def _softmax(scores: Tensor, attention: Tensor, t: int, j: int, *, over_keys: bool) -> ArithmeticStep:
    line = (scores[t] if over_keys else scores[:, j]).double()
    total, one = line.exp().sum(), scores[t, j].double().exp()
    if over_keys:
        formula = r"a_{nm} = \dfrac{e^{s_{nm}}}{\sum_{m'} e^{s_{nm'}}}"
        words = f"Over the keys: each row sums to 1. Row {t} shows how token {t} divides its attention."
        below = rf"\sum_m e^{{s_{{{t},m}}}}"
    else:
        formula = r"a_{nm} = \dfrac{e^{s_{nm}}}{\sum_{n'} e^{s_{n'm}}}"
        words = (
            "Over the queries: in this network each column sums to 1, and row "
            f"{t} sums to {float(attention[t].sum()):.2f}. So a row does not show how a token divides its attention."
        )
        below = rf"\sum_n e^{{s_{{n,{j}}}}}"
    worked = (
        rf"a_{{{t},{j}}} = e^{{{latex_number(scores[t, j])}}} \big/ {below} = {latex_number(one)} / "
        rf"{latex_number(total)} = {latex_number(attention[t, j])}"
        if torch.isfinite(total)
        else ""
    )
    return ArithmeticStep("attention", "The softmax", formula, words, ("n", "m"), to_array(attention), worked)


def _residuals(block: Block, tokens: Tensor, added: Tensor, layer: int, t: int, *, letter: str) -> list[ArithmeticStep]:
    after = tokens + added
    inner = block.mlp(block.norm2(after)[None])[0]
    left = after + getattr(block, "ls2", nn.Identity())(inner)
    return [
        ArithmeticStep(
            "residual",
            "The residual",
            rf"Z' = Z + {letter}",
            "The output of the attention is added to the tokens that entered the block: a block changes tokens, it "
            "does not replace them.",
            ("n", "e"),
            to_array(after),
            rf"z'_{{{t},1}} = z_{{{t},1}} + {letter.lower()}_{{{t},1}} = {latex_sum(tokens[t, 0], added[t, 0])} "
            rf"= {latex_number(after[t, 0])}",
        ),
        ArithmeticStep(
            "layer_tokens",
            "The MLP",
            rf"Z^{{({layer})}} = Z' + \operatorname{{MLP}}(\operatorname{{LN}}(Z'))",
            "The second half of the block, in one step. Its output is the input of the next layer.",
            ("n", "e"),
            to_array(left),
            rf"z^{{({layer})}}_{{{t},1}} = {latex_sum(after[t, 0], left[t, 0] - after[t, 0])} "
            rf"= {latex_number(left[t, 0])}",
        ),
    ]
