"""Arrays in, figures out: Plotly for what is looked at, Vega-Lite for curves that grow while one watches.

Nothing here knows torch or Streamlit.
"""

from vit.plots.curves import POINTS_MAX, accuracy_curve, learning_rate_curve, loss_curve, thin
from vit.plots.figures import attention_matrix, probability_bars, reliability, token_names

__all__ = [
    "POINTS_MAX",
    "accuracy_curve",
    "attention_matrix",
    "learning_rate_curve",
    "loss_curve",
    "probability_bars",
    "reliability",
    "thin",
    "token_names",
]
