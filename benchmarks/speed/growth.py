"""Measure the cost of a training step by tokens, depth, width and heads, varied one at a time."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch

from benchmarks.speed.rivals import BATCH, CLASSES, IMAGE_SIZE, OurSteps, random_batch
from benchmarks.speed.rounds import in_turns, quartiles, spread
from vit.config import ViTConfig
from vit.cost.estimate import count_flops, count_parameters
from vit.pictures.colours import PALETTE
from vit.plots.base import figure

BASE = ViTConfig(
    image_size=IMAGE_SIZE,
    patch_size=8,
    embed_dim=128,
    depth=2,
    num_heads=4,
    mlp_ratio=4,
    stem="patch",
    num_classes=CLASSES,
)
"""The base network: the default ViT's blocks with linear patches, so that only the encoder changes."""
VARIED = {
    "tokens": ("patch_size", (16, 8, 4)),
    "depth": ("depth", (1, 2, 4, 8)),
    "width": ("embed_dim", (64, 128, 256)),
    "heads": ("num_heads", (1, 2, 4, 8)),
}
TITLES = {
    "tokens": "tokens (patches of 16, 8, 4 px, and the class token)",
    "depth": "depth, blocks",
    "width": "width of a token",
    "heads": "heads, at one width",
}
MS_TICKS = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
OPERATIONS_A_STEP = 3 * BATCH
"""Cost of a step in forward passes of one image: backward costs twice as much as forward."""


def growth(device: torch.device, seconds: float) -> list[dict[str, Any]]:
    """Return a row per network: the varied setting, its value, parameters, operations and milliseconds of a step."""
    images, labels = random_batch(device)
    configs = {
        config: config
        for field, values in VARIED.values()
        for config in (ViTConfig(**BASE.model_dump() | {field: value}) for value in values)
    }
    names = {config: f"network {index}" for index, config in enumerate(configs)}
    times = in_turns({names[it]: OurSteps(it, images, labels) for it in configs}, seconds)
    rows = []
    for what, (field, values) in VARIED.items():
        for value in values:
            config = ViTConfig(**BASE.model_dump() | {field: value})
            took = quartiles(times[names[config]])
            rows.append(
                {
                    "varied": what,
                    "value": config.num_tokens if what == "tokens" else value,
                    "base": config == BASE,
                    "parameters": count_parameters(config),
                    "gflop": OPERATIONS_A_STEP * count_flops(config) / 1e9,
                    "ms": {name: 1e3 * it for name, it in took._asdict().items()},
                }
            )
    return rows


def growth_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of times and operations, absolute and relative to the base network."""
    base = next(row for row in rows if row["base"])
    lines = [
        f"A training step of {BATCH} images; patch {BASE.patch_size}, width {BASE.embed_dim}, depth {BASE.depth}, "
        f"{BASE.num_heads} heads (bold), with one setting varied:\n",
        "| varied | value | parameters | ms per step | relative | GFLOP per step | relative | GFLOP/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ms, mark = row["ms"], "**" if row["base"] else ""
        lines.append(
            f"| {row['varied']} | {mark}{row['value']}{mark} | {row['parameters']:,} "
            f"| {spread(ms, '.1f')} | {ms['median'] / base['ms']['median']:.2f} "
            f"| {row['gflop']:.1f} | {row['gflop'] / base['gflop']:.2f} | {1e3 * row['gflop'] / ms['median']:,.0f} |"
        )
    return "\n".join(lines)


def growth_figure(rows: list[dict[str, Any]], device: str) -> go.Figure:
    """Plot the milliseconds of a step over each of the four settings (logarithmic), with the number of operations.

    Args:
        device: name of the device for the title.
    """
    base = next(row for row in rows if row["base"])
    traces, axes = [], {}
    for place, what in enumerate(VARIED):
        points = [row for row in rows if row["varied"] == what]
        number = str(place + 1) if place else ""
        axis = {"xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": not place, "mode": "lines+markers"}
        x = [row["value"] for row in points]
        medians = [row["ms"]["median"] for row in points]
        traces.append(
            axis
            | {
                "name": "measured: median, quartiles",
                "x": x,
                "y": medians,
                "error_y": {
                    "array": [row["ms"]["high"] - row["ms"]["median"] for row in points],
                    "arrayminus": [row["ms"]["median"] - row["ms"]["low"] for row in points],
                },
                "line": {"color": PALETTE["blue"], "width": 2},
                "hovertemplate": "%{x}: %{y:.3g} ms<extra></extra>",
            }
        )
        traces.append(
            axis
            | {
                "name": "proportional to the operations",
                "x": x,
                "y": [base["ms"]["median"] * row["gflop"] / base["gflop"] for row in points],
                "mode": "lines",
                "line": {"color": PALETTE["grey"], "width": 2, "dash": "dot"},
                "hovertemplate": "%{x}: %{y:.3g} ms<extra></extra>",
            }
        )
        left, low = 0.56 * (place % 2), 0.6 * (place < 2)
        axes[f"xaxis{number}"] = {
            "type": "log",
            "title": {"text": TITLES[what]},
            "tickvals": x,
            "ticktext": [f"{value:,}" for value in x],
            "anchor": f"y{number}",
            "domain": [left, left + 0.44],
        }
        axes[f"yaxis{number}"] = {
            "type": "log",
            "title": {"text": "ms per step"},
            "tickvals": MS_TICKS,
            "ticktext": [f"{value:,g}" for value in MS_TICKS],
            "anchor": f"x{number}",
            "domain": [low, low + 0.4],
            "matches": "y" if place else None,
        }
    title = (
        f"Cost of a training step, {BATCH} images of {IMAGE_SIZE} px, on {device}<br><sup>patch {BASE.patch_size}, "
        f"width {BASE.embed_dim}, depth {BASE.depth}, {BASE.num_heads} heads, one varied at a time</sup>"
    )
    return figure(
        traces,
        title={"text": title},
        template="plotly_white",
        margin={"l": 70, "r": 20, "t": 90, "b": 60},
        showlegend=True,
        legend={"orientation": "h", "y": 1.1, "x": 1, "xanchor": "right"},
        width=1000,
        height=760,
        **axes,
    )


def save(plot: go.Figure, path: Path) -> None:
    """Write the figure as an HTML page or, depending on the suffix, as an image.

    Raises:
        SystemExit: an image is requested, and kaleido is not installed.
    """
    if path.suffix.lower() in (".html", ".htm"):
        plot.write_html(path)
        return
    try:
        plot.write_image(path, scale=2)
    except (ValueError, RuntimeError) as error:
        raise SystemExit(
            f"{path} cannot be written ({str(error).strip().splitlines()[0]}): use a name that ends in .html."
        ) from None
