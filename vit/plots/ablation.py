"""Figures of ablations: probabilities before and after a change, importance of heads, accuracy as heads are removed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from PIL import Image, ImageDraw, ImageFont

from vit.pictures.colours import CLEAR, PALETTE, SIGNED, rgb, with_opacity
from vit.plots.base import figure, hover_name, short_name

RANKINGS = {"loss": "blue", "gradient": "vermilion", "gradient-by-layer": "orange"}
"""The colour of each ranking in a pruning curve."""

CELL, GAP, MARGIN = 72, 4, 84  # pixels of a head sheet
WHITE_TEXT_FROM = 0.75  # share of a colour from which text on it is white


def probability_change(
    labels: Sequence[str], before: npt.ArrayLike, after: npt.ArrayLike, *, top: int = 6
) -> go.Figure:
    """Draw class probabilities before and after a change as pairs of bars, sorted by the probability before.

    Args:
        labels: class names, ``k``.
        before: probabilities ``(k,)``.
        after: probabilities ``(k,)``.
        top: number of classes to show, those with the largest probability before or after.
    """
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    shown = np.argsort(-np.maximum(first, second), kind="stable")[:top]
    shown = shown[np.argsort(-first[shown], kind="stable")]
    names = [short_name(labels[index]) for index in shown]
    whole = [hover_name(labels[index]) for index in shown]
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
        # The axis is longer than 1 to leave room for the text beside a full bar.
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
    """Draw accuracy or loss as heads are removed: a line for each ranking, and mean and range of random orders.

    Args:
        gone: number of removed heads at each point, ``(s)``.
        ranked: values of each ranking of :data:`RANKINGS`, ``(s)``.
        random: values of random orders, ``(seeds s)``.
        titles: the name of each ranking.
        errors: standard errors of ``ranked``, shown on hover.
        quantity: title of the vertical axis.
        share: whether values are shares of 1, shown as percentages.
    """
    x, number = list(gone), ".1%" if share else ".3f"
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    traces = [
        edge | {"y": random.min(axis=0).tolist()},
        edge
        | {
            "y": random.max(axis=0).tolist(),
            "fill": "tonexty",
            "fillcolor": with_opacity(PALETTE["grey"], 0.28),
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
            "hovertemplate": f"random order: %{{y:{number}}}<br>%{{x}} heads removed<extra></extra>",
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
                "%{x} heads removed<extra></extra>",
            }
        )
    return figure(
        traces,
        height=380,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={
            "title": {"text": "Heads removed"},
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
    """Draw every head as a coloured square with its text, one row per layer, as a picture of the page's board.

    Args:
        texts: the text of each head, ``(depth h)``.
        tones: the colour of each head, ``(depth h)`` from -1 to 1: negative values are drawn in the first and positive
            ones in the second colour of :data:`vit.pictures.colours.SIGNED`, the larger the stronger.
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
            ink = "white" if abs(tone) > WHITE_TEXT_FROM else "black"
            pen.multiline_text((left + CELL // 2, top + CELL // 2), texts[layer][head], ink, font, "mm", align="center")
    return sheet
