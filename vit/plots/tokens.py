"""Figures of the tokens layer by layer: class probabilities through depth, and the lengths of the tokens."""

import itertools
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import CATEGORICAL, PALETTE
from vit.plots.base import TOLD_COLUMNS, figure, literal, tick

OTHERS = PALETTE["grey"]
"""The colour of the classes that have none of their own of :data:`vit.pictures.colours.CATEGORICAL`."""

PREFIX_COLOURS = ("vermilion", "purple", "blue", "green")
"""Of the tokens before the patches, the class token first; further registers have them again, dotted."""

DEPTH = {"text": "The tokens after"}


def lens_curves(
    probabilities: np.ndarray,
    states: Sequence[str],
    class_names: Sequence[str],
    shown: Sequence[int],
    *,
    true: int | None = None,
) -> go.Figure:
    """Class probabilities ``(l k)`` through depth, a line for each class of ``shown`` and one for all others together.

    Args:
        states: what the tokens are after, ``l`` names.
        class_names: ``k`` names.
        shown: classes drawn in colour, :data:`vit.pictures.colours.CATEGORICAL` in this order; hovering names the
            largest of the others.
        true: the image's class, whose line is broad; None where it is not known.
    """
    traces = [
        {
            "name": tick(class_names[label]) + (" (true)" if label == true else ""),
            "y": probabilities[:, label].tolist(),
            "line": {"color": colour, "width": 4 if label == true else 2},
            "marker": {"size": 9 if label == true else 6},
            "hovertemplate": f"{literal(class_names[label], TOLD_COLUMNS)}: %{{y:.1%}}<extra></extra>",
        }
        for label, colour in zip(shown, CATEGORICAL, strict=False)
    ]
    rest = np.setdiff1d(np.arange(probabilities.shape[1]), shown)
    if rest.size:
        most = rest[probabilities[:, rest].argmax(axis=1)]
        named = [f"{tick(class_names[label])} {probabilities[state, label]:.1%}" for state, label in enumerate(most)]
        traces.append(
            {
                "name": f"{rest.size} others",
                "y": probabilities[:, rest].sum(axis=1).tolist(),
                "customdata": named,
                "line": {"color": OTHERS, "width": 2, "dash": "dot"},
                "marker": {"size": 6},
                "hovertemplate": "others: %{y:.1%}, of which %{customdata}<extra></extra>",
            }
        )
    return figure(
        [
            {"type": "scatter", "mode": "lines+markers", "x": list(states), "cliponaxis": False} | trace
            for trace in traces
        ],
        height=290,
        hovermode="x unified",
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 0, "r": 12, "t": 8, "b": 0},
        xaxis={"title": DEPTH, "type": "category", "fixedrange": True},
        yaxis={
            "title": {"text": "Probability"},
            "tickformat": ".0%",
            "range": [0, 1.02],
            "fixedrange": True,
            "zeroline": False,
        },
    )


def norm_spread(norms: np.ndarray, states: Sequence[str], names: Sequence[str], prefix: int, token: int) -> go.Figure:
    """The length of every token ``(l n)``: a dot a patch, spread a little to the sides, and a line for each token that
    stands before the patches.

    Args:
        states: what the tokens are after, ``l`` names.
        names: ``n`` names of the tokens.
        prefix: how many tokens stand before the patches.
        token: the chosen patch, from 1, which gets a line too; 0 for none.
    """
    patches = norms[:, prefix:]
    count = patches.shape[1]
    # Golden-ratio steps fill the width evenly, and a patch keeps its place from layer to layer.
    aside = ((np.arange(count) * 0.618034) % 1 - 0.5) * 0.5
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "patches",
        "x": (np.arange(len(states))[:, None] + aside).ravel().tolist(),
        "y": patches.ravel().tolist(),
        "customdata": list(names[prefix:]) * len(states),
        "marker": {"color": PALETTE["sky"], "size": 5, "opacity": 0.7},
        "hovertemplate": "%{customdata}: %{y:.2f}<extra></extra>",
    }
    lines = [("median patch", np.median(patches, axis=1), "grey", "dash")]
    for place, colour in zip(range(prefix), itertools.cycle(PREFIX_COLOURS)):
        dash = "solid" if place < len(PREFIX_COLOURS) else "dot"
        lines.append((names[place], norms[:, place], colour, dash))
    if token:
        lines.append((names[prefix + token - 1], patches[:, token - 1], "orange", "solid"))
    return figure(
        [dots]
        + [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": list(range(len(states))),
                "y": values.tolist(),
                "line": {"color": PALETTE[colour], "width": 2, "dash": dash},
                "marker": {"size": 7},
                "hovertemplate": f"{name}: %{{y:.2f}}<extra></extra>",
            }
            for name, values, colour, dash in lines
        ],
        height=330,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={
            "title": DEPTH,
            "tickvals": list(range(len(states))),
            "ticktext": list(states),
            "range": [-0.4, len(states) - 0.6],
            "fixedrange": True,
            "zeroline": False,
            "showgrid": False,
        },
        yaxis={"title": {"text": "Length of the token"}, "rangemode": "tozero", "fixedrange": True},
    )
