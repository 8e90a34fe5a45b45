"""Measure which share of the machine's rate for large float32 matrix products a training step reaches.

The products of a step are counted by ``torch.utils.flop_counter.FlopCounterMode``. It does not count those in PyTorch's
fused attention on a CPU. So a second share counts them too, from a step with the unfused attention (two products
forward, four backward; the fused kernel computes one of them twice, which does not count).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.rivals import SHAPES, OurSteps, random_batch
from benchmarks.speed.rounds import Steps, in_turns, quartiles, spread
from vit.config import ViTConfig

SIDE = 2048
"""Rows and columns of the large matrices."""
PRECISIONS = ("float32", "bfloat16")
PRODUCT = "product"


def networks() -> dict[str, ViTConfig]:
    """Return the networks by their name in the table."""
    narrow = {"stem": "conv", "stem_blocks": 0, "depth": 4, "pool": "cls", "num_heads": 4, "mlp_ratio": 2.0}
    return {
        "default": ViTConfig(),
        "8 x 8 grid, conv stem, width 128, depth 4, 4 heads": ViTConfig(patch_size=8, embed_dim=128, **narrow),
        "16 x 16 grid, conv stem, width 96, depth 4, 4 heads": ViTConfig(patch_size=4, embed_dim=96, **narrow),
        **{str(shape): shape.config() for shape in SHAPES.values()},
    }


def limit(device: torch.device, seconds: float, precisions: tuple[str, ...]) -> dict[str, Any]:
    """Return the rate of the large product, and for each network and precision its shares; all take turns."""
    images, labels = random_batch(device)
    sides: dict[str, Steps] = {PRODUCT: _product(device)}
    operations: dict[str, tuple[float, float]] = {}
    rows = []
    for name, config in networks().items():
        operations[name] = _operations(config, images, labels)
        for precision in precisions:
            sides[f"{name}, {precision}"] = OurSteps(config, images, labels, precision)
            rows.append((name, precision))
    times = in_turns(sides, seconds)
    product = 2 * SIDE**3
    rates = [product / it for it in times[PRODUCT]]
    found = []
    for name, precision in rows:
        measured = times[f"{name}, {precision}"]
        shares = (
            quartiles([count / it / rate for it, rate in zip(measured, rates, strict=True)])._asdict()
            for count in operations[name]
        )
        row = {"network": name, "precision": precision, "ms": 1e3 * quartiles(measured).median}
        found.append(row | dict(zip(("share", "share_with_attention"), shares, strict=True)))
    return {"product": quartiles(rates)._asdict(), "rounds": len(rates), "rows": found}


def limit_table(found: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    rate = spread({name: value / 1e9 for name, value in found["product"].items()}, ".1f")
    lines = [
        f"Products of float32 matrices of {SIDE} x {SIDE}: {rate} GFLOP/s. Steps with batches of 64, {found['rounds']} "
        "rounds in turns; the share is of this rate, in both precisions.\n",
        "| network | precision | ms per step | share | share with attention's products |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['network']} | {row['precision']} | {row['ms']:.0f} | {spread(row['share'], '.2f')} "
        f"| {spread(row['share_with_attention'], '.2f')} |"
        for row in found["rows"]
    ]
    return "\n".join(lines)


def _product(device: torch.device) -> Steps:
    left, right = (torch.randn(SIDE, SIDE, device=device) for _ in range(2))

    def steps(count: int) -> None:
        for _ in range(count):
            result = left @ right
        result[0, 0].item()  # waits for the device

    return steps


def _operations(config: ViTConfig, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the floating point operations of a step, as counted by PyTorch and with all products of attention."""
    steps = OurSteps(config, images, labels, "float32")
    counts = []
    for backends in (list(SDPBackend.__members__.values()), [SDPBackend.MATH]):
        with sdpa_kernel(backends), FlopCounterMode(display=False) as counter:
            steps(1)
        counts.append(counter.get_total_flops())
    return counts[0], counts[1]
