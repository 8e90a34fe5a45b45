"""Arrays in, figures out: Plotly for what is looked at, Vega-Lite for curves that grow while one watches.

Nothing here knows torch or Streamlit.
"""

from vit.plots.anatomy import activation_curves, position_maps
from vit.plots.curves import POINTS_MAX, accuracy_curve, learning_rate_curve, loss_curve, thin
from vit.plots.figures import attention_matrix, probability_bars, reliability, token_names
from vit.plots.runs import COMPARED_MAX, compared_curves, cost_scatter, gap_curves

__all__ = [
    "COMPARED_MAX",
    "POINTS_MAX",
    "accuracy_curve",
    "activation_curves",
    "attention_matrix",
    "compared_curves",
    "cost_scatter",
    "gap_curves",
    "learning_rate_curve",
    "loss_curve",
    "position_maps",
    "probability_bars",
    "reliability",
    "thin",
    "token_names",
]
