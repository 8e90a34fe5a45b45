"""Figures of what a change does: probabilities before and after, importance of all heads, accuracy as heads go."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import CLEAR, PALETTE, SIGNED, rgb, tinted
from vit.plots.base import figure, tick, told

RANKINGS = {"loss": "blue", "gradient": "vermilion", "gradient-by-layer": "orange"}
"""The colour of each ranking in a pruning curve."""

CELL, GAP, MARGIN = 72, 4, 84  # pixels of a head sheet
STRONG = 0.75  # of a colour, beyond which text on it is white


def probability_change(
    labels: Sequence[str], before: Sequence[float], after: Sequence[float], *, top: int = 6
) -> go.Figure:
    """Class probabilities ``(k,)`` before and after a change, as pairs of bars; the likeliest before come first."""
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    shown = np.argsort(-np.maximum(first, second), kind="stable")[:top]
    shown = shown[np.argsort(-first[shown], kind="stable")]
    names = [tick(labels[index]) for index in shown]
    whole = [told(labels[index]) for index in shown]
    places = np.arange(len(shown))

    def bars(name: str, values: np.ndarray, colour: str, text: list[str], offset: float) -> dict:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": values.tolist(),
            "y": (places + offset).tolist(),
            "width": 0.36,
            "text": text,
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": PALETTE[colour], "cornerradius": 3},
            "customdata": whole,
            "hovertemplate": f"%{{customdata}}, {name.lower()}: %{{x:.2%}}<extra></extra>",
        }

    points = [round(100 * float(second[index] - first[index]), 1) for index in shown]
    changed = [
        f"{second[index]:.1%}" + (f" ({change:+.1f})".replace("-", "−") if change else "")
        for index, change in zip(shown, points, strict=True)
    ]
    return figure(
        [
            bars("Before", first[shown], "grey", [f"{first[index]:.1%}" for index in shown], -0.2),
            bars("After", second[shown], "blue", changed, 0.2),
        ],
        height=46 * len(shown) + 72,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        # The axis is longer than 1, for the text beside a bar that fills it.
        xaxis={
            "range": [0, 1.5],
            "tickvals": [0, 0.5, 1],
            "tickformat": ".0%",
            "title": {"text": "Probability (change in points)"},
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={
            "tickvals": places.tolist(),
            "ticktext": names,
            "range": [len(shown) - 0.45, -0.55],
            "fixedrange": True,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": CLEAR,
        },
    )


def pruning_curve(
    gone: Sequence[int],
    ranked: Mapping[str, np.ndarray],
    random: np.ndarray,
    *,
    titles: Mapping[str, str],
    errors: Mapping[str, np.ndarray],
    quantity: str,
    share: bool,
) -> go.Figure:
    """What is left as heads go: a line for each ranking, and the random orders as their mean and range.

    Args:
        gone: how many heads are gone at each point, ``(s)``.
        ranked: of each of :data:`RANKINGS`, ``(s)``.
        random: of random orders, ``(seeds s)``.
        titles: what each ranking is called.
        errors: standard errors of ``ranked``, told on hover.
        quantity: of the vertical axis.
        share: it is a share of 1.
    """
    x, number = list(gone), ".1%" if share else ".3f"
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    traces = [
        edge | {"y": random.min(axis=0).tolist()},
        edge
        | {
            "y": random.max(axis=0).tolist(),
            "fill": "tonexty",
            "fillcolor": tinted(PALETTE["grey"], 0.28),
            "name": f"Range of {len(random)} random orders",
            "showlegend": True,
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Random order, mean",
            "x": x,
            "y": random.mean(axis=0).tolist(),
            "line": {"color": PALETTE["grey"], "width": 2, "dash": "dash"},
            "hovertemplate": f"random order: %{{y:{number}}}<br>%{{x}} heads gone<extra></extra>",
        },
    ]
    for name, values in ranked.items():
        error = errors[name]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"By {titles[name]}",
                "x": x,
                "y": values.tolist(),
                "customdata": error.tolist(),
                "line": {"color": PALETTE[RANKINGS[name]], "width": 2.5},
                "marker": {"size": 5},
                "hovertemplate": f"by {titles[name]}: %{{y:{number}}} ± %{{customdata:{number}}}<br>"
                "%{x} heads gone<extra></extra>",
            }
        )
    return figure(
        traces,
        height=380,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={
            "title": {"text": "Heads gone"},
            "range": [-0.02 * x[-1], 1.02 * x[-1]],
            "fixedrange": True,
            "zeroline": False,
        },
        yaxis={
            "title": {"text": quantity},
            "tickformat": ".0%" if share else "~g",
            "fixedrange": True,
            "zeroline": False,
        },
    )


def head_sheet(texts: Sequence[Sequence[str]], tones: np.ndarray) -> Image.Image:
    """Every head as a coloured square with its number, layers down: the board of the page as a picture.

    Args:
        texts: ``(depth h)``.
        tones: ``(depth h)`` from -1 to 1: how much of which of :data:`vit.pictures.colours.SIGNED`.
    """
    depth, heads = tones.shape
    step = CELL + GAP
    sheet = Image.new("RGB", (MARGIN + step * heads, MARGIN // 2 + step * depth), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for head in range(heads):
        pen.text((MARGIN + head * step + CELL // 2, MARGIN // 4), f"Head {head + 1}", "black", font, "mm")
    for layer in range(depth):
        top = MARGIN // 2 + layer * step
        pen.text((MARGIN // 2, top + CELL // 2), f"Layer {layer + 1}", "black", font, "mm")
        for head in range(heads):
            tone, left = float(np.clip(tones[layer, head], -1, 1)), MARGIN + head * step
            colour = SIGNED[0] if tone < 0 else SIGNED[1]
            mixed = tuple(round(255 + (part - 255) * abs(tone)) for part in rgb(colour))
            pen.rectangle((left, top, left + CELL, top + CELL), mixed, PALETTE["grey"])
            ink = "white" if abs(tone) > STRONG else "black"
            pen.multiline_text((left + CELL // 2, top + CELL // 2), texts[layer][head], ink, font, "mm", align="center")
    return sheet
