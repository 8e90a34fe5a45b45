"""The effect of each departure of the course network, in numbers.

Derivatives of a small course network with random weights show which inputs affect which outputs, with and without a
departure. And the attention of the course network is compared with the standard attention on the same Q, K and V.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit.config import Departure
from vit.explain.anatomy.step import ArithmeticStep
from vit.explain.passes.inputs import gradients_enabled
from vit.reference import EncoderBlock, ReferenceViT

SMALL: dict[str, Any] = {"image_size": 32, "patch_size": 8, "embed_dim": 16, "num_heads": 4, "depth": 1}
"""Settings of the small network: 16 patches and a class token, four heads of size four."""


@dataclass(frozen=True)
class AttentionResult:
    """The attention and the output of one head.

    Attributes:
        attention: ``(n m)``.
        out: ``(n d)``.
    """

    attention: np.ndarray
    out: np.ndarray

    @property
    def row_sums(self) -> np.ndarray:
        """The sum of each query's row: ``(n)``."""
        return self.attention.sum(axis=1)

    @property
    def column_sums(self) -> np.ndarray:
        """The sum of each key's column: ``(m)``."""
        return self.attention.sum(axis=0)

    @property
    def effective(self) -> float:
        """The effective number of tokens, exp(entropy), mean over the rows or columns that sum to 1."""
        lines = self.attention if np.allclose(self.row_sums, 1, atol=1e-3) else self.attention.T
        return float(np.exp(-(lines * np.log(np.maximum(lines, 1e-30))).sum(axis=1)).mean())


def attend(q: Tensor, k: Tensor, v: Tensor, mended: tuple[Departure, ...] = ()) -> AttentionResult:
    """Compute the attention of the course network for Q, K and V, each ``n d``.

    Args:
        q: queries.
        k: keys.
        v: values.
        mended: the departures to correct, of ``softmax`` and ``scaling``.
    """
    root = q.shape[-1] ** -0.5
    scores = q @ k.T * (root if "scaling" in mended else 1)
    attention = scores.softmax(dim=1 if "softmax" in mended else 0)
    out = attention @ v * (1 if "scaling" in mended else root)
    return AttentionResult(attention.numpy(), out.numpy())


def qkv_of_steps(steps: tuple[ArithmeticStep, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return Q, K and V, ``n d`` each, from the steps of :func:`vit.explain.anatomy.arithmetic.head_arithmetic`."""
    values = {step.name: step.value for step in steps}
    q, k, v = (torch.from_numpy(values[name]) for name in "qkv")
    return q, k, v


def random_qkv(tokens: int = 17, head_dim: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Draw Q, K and V with independent standard normal entries, ``n d`` each (Vaswani et al. 2017, footnote 4)."""
    q, k, v = torch.randn(3, tokens, head_dim, generator=torch.Generator().manual_seed(0))
    return q, k, v


@gradients_enabled()
def query_reach(mended: tuple[Departure, ...] = ()) -> np.ndarray:
    """Return how strongly token m affects row n of Q in the small network: ``(n m)``, norms of derivatives."""
    attention = _small(mended).attn
    return _reach(lambda tokens: attention.heads[0](tokens[None])[0][0], _tokens())


@gradients_enabled()
def slice_reach(mended: tuple[Departure, ...] = ()) -> np.ndarray:
    """Return how strongly each channel of the embedding affects the queries of each head: ``(h e)``."""
    attention, tokens = _small(mended).attn, _tokens()
    derivative = torch.autograd.functional.jacobian(
        lambda it: torch.stack([head(it[None])[0][0] for head in attention.heads]), tokens
    )
    return derivative.square().sum(dim=(1, 2, 3)).sqrt().numpy()  # h n d n e -> h e


@gradients_enabled()
def output_reach(mended: tuple[Departure, ...] = ()) -> np.ndarray:
    """Return how strongly each head affects each channel of the attention's output: ``(h e)``."""
    projection = _small(mended).attn.proj or nn.Identity()
    heads = torch.zeros(SMALL["num_heads"], SMALL["embed_dim"] // SMALL["num_heads"])
    derivative = torch.autograd.functional.jacobian(lambda it: projection(rearrange(it, "h d -> (h d)")), heads)
    return derivative.square().sum(dim=2).sqrt().T.numpy()  # e h d -> h e


@gradients_enabled()
def mlp_reach(mended: tuple[Departure, ...] = ()) -> np.ndarray:
    """Return how strongly token m affects the MLP's output for token n: ``(n m)``."""
    mlp = _small(mended).mlp
    return _reach(lambda tokens: mlp(tokens[None])[0], _tokens())


def activations(low: float = -4, high: float = 4, count: int = 161) -> dict[str, np.ndarray]:
    """Return ReLU and GELU between two bounds: ``x``, ``relu`` and ``gelu``, ``(count)`` each."""
    x = torch.linspace(low, high, count)
    return {"x": x.numpy(), "relu": F.relu(x).numpy(), "gelu": F.gelu(x).numpy()}


def _small(mended: tuple[Departure, ...]) -> EncoderBlock:
    """Build the small network and return its block."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ReferenceViT(mended=mended, **SMALL).requires_grad_(False)
    block = network.blocks[0]
    assert isinstance(block, EncoderBlock)
    return block


def _tokens() -> Tensor:
    count = (SMALL["image_size"] // SMALL["patch_size"]) ** 2 + 1
    return torch.randn(count, SMALL["embed_dim"], generator=torch.Generator().manual_seed(1))


def _reach(function, tokens: Tensor) -> np.ndarray:
    """Return the norm of the derivative of each output row with respect to each token: ``(n m)``."""
    derivative = torch.autograd.functional.jacobian(function, tokens)  # n d m e
    return derivative.square().sum(dim=(1, 3)).sqrt().numpy()
