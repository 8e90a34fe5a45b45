"""Figures of the tokens by layer: class probabilities (logit lens) and norms of the tokens."""

import itertools
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from vit.pictures.colours import CATEGORICAL, PALETTE
from vit.plots.base import HOVER_COLUMNS, escaped, figure, short_name

OTHERS = PALETTE["grey"]
"""Colour of all classes without a colour from :data:`vit.pictures.colours.CATEGORICAL`."""

PREFIX_COLOURS = ("vermilion", "purple", "blue", "green")
"""Colours of the tokens before the patches, the class token first; further registers repeat them with dotted lines."""

DEPTH = {"text": "Tokens after"}


def lens_curves(
    probabilities: np.ndarray,
    states: Sequence[str],
    class_names: Sequence[str],
    shown: Sequence[int],
    *,
    true: int | None = None,
) -> go.Figure:
    """Draw class probabilities by layer: one line for each class of ``shown``, and one for all others together.

    Args:
        probabilities: ``(l k)``.
        states: names of the ``l`` stages.
        class_names: ``k`` names.
        shown: classes drawn in the colours of :data:`vit.pictures.colours.CATEGORICAL`, in this order. The hover text
            names the most probable other class.
        true: the image's class, drawn with a thick line; None if unknown.
    """
    traces = [
        {
            "name": short_name(class_names[label]) + (" (true)" if label == true else ""),
            "y": probabilities[:, label].tolist(),
            "line": {"color": colour, "width": 4 if label == true else 2},
            "marker": {"size": 9 if label == true else 6},
            "hovertemplate": f"{escaped(class_names[label], HOVER_COLUMNS)}: %{{y:.1%}}<extra></extra>",
        }
        for label, colour in zip(shown, CATEGORICAL, strict=False)
    ]
    rest = np.setdiff1d(np.arange(probabilities.shape[1]), shown)
    if rest.size:
        most = rest[probabilities[:, rest].argmax(axis=1)]
        named = [
            f"{short_name(class_names[label])} {probabilities[state, label]:.1%}" for state, label in enumerate(most)
        ]
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
    """Draw the norm of every token by layer: a dot per patch, and a line for each token before the patches.

    Args:
        norms: ``(l n)``.
        states: names of the ``l`` stages.
        names: names of the ``n`` tokens.
        prefix: number of tokens before the patches.
        token: the chosen patch, from 1, which also gets a line; 0 for none.
    """
    patches = norms[:, prefix:]
    count = patches.shape[1]
    # Golden-ratio steps spread the dots evenly, and a patch keeps its offset in every layer.
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
        yaxis={"title": {"text": "Norm (length) of the token"}, "rangemode": "tozero", "fixedrange": True},
    )
