"""One step of a head's arithmetic, and the formatting of its numbers in LaTeX."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

TERMS = 3
"""Number of terms shown in a worked-out sum."""


@dataclass(frozen=True)
class ArithmeticStep:
    """One step of the computation.

    Attributes:
        name: its name in the model's record, if it is recorded.
        title: the heading shown to the user.
        formula: the formula, LaTeX.
        words: an explanation in one to three sentences.
        axes: the rows and the columns of ``value`` in einops letters; ``(r w)`` are the patches row by row, ``n`` and
            ``m`` all tokens.
        value: float32 matrix.
        worked: one number of the chosen token, worked out, LaTeX; empty if there is none.
    """

    name: str
    title: str
    formula: str
    words: str
    axes: tuple[str, str]
    value: np.ndarray
    worked: str = ""

    @property
    def of_patches(self) -> bool:
        """Whether the rows are only the patches, without prefix tokens."""
        return self.axes[0] == "(r w)"

    @property
    def is_share(self) -> bool:
        """Whether the numbers are shares of 1; otherwise they are signed."""
        return self.name == "attention"


def layer_norm_step(norm: nn.LayerNorm, tokens: Tensor, t: int) -> tuple[Tensor, ArithmeticStep]:
    """Return the normalised tokens ``(n e)`` and the step, worked out for token ``t``."""
    mean, variance = tokens.mean(dim=1, keepdim=True), tokens.var(dim=1, keepdim=True, correction=0)
    normed = (tokens - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias
    return normed, ArithmeticStep(
        "norm1",
        "Layer norm",
        r"\hat z = \gamma\,\dfrac{z - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta",
        "Each token is normalised to mean 0 and deviation 1, then scaled and shifted by learned numbers, so that "
        "tokens with large values do not dominate.",
        ("n", "e"),
        to_array(normed),
        rf"\hat z_{{{t},1}} = {latex_number(norm.weight[0])} \cdot \dfrac{{{latex_number(tokens[t, 0])} - "
        rf"{latex_signed(mean[t])}}}{{{latex_number(torch.sqrt(variance[t] + norm.eps))}}} "
        rf"+ {latex_signed(norm.bias[0])} = {latex_number(normed[t, 0])}",
    )


def to_array(value: Tensor) -> np.ndarray:
    return value.detach().float().cpu().numpy()


def latex_number(value: Tensor | float) -> str:
    """Format a number with three significant digits."""
    mantissa, _, exponent = f"{float(value):.3g}".partition("e")
    return rf"{mantissa}\cdot10^{{{int(exponent)}}}" if exponent else mantissa


def latex_signed(value: Tensor | float) -> str:
    """Format a number that follows a sign: negative numbers get parentheses."""
    return latex_number(value) if float(value) >= 0 else f"({latex_number(value)})"


def latex_first(values: Tensor) -> str:
    """Format the first numbers, with dots for the others."""
    return r",\ ".join([latex_number(one) for one in values[: TERMS + 1]] + [r"\dots"] * (len(values) > TERMS + 1))


def latex_sum(first: Tensor, second: Tensor) -> str:
    return f"{latex_number(first)} + {latex_signed(second)}"


def latex_terms(terms: Tensor) -> str:
    """Format the largest terms of a sum in descending order, with dots for the others."""
    largest = terms[terms.abs().argsort(descending=True)[:TERMS]]
    return " + ".join(latex_signed(one) for one in largest) + (r" + \dots" if len(terms) > TERMS else "")
