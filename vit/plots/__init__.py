"""Draw figures from arrays: Plotly figures, and Vega-Lite specs for curves that grow during training.

This package imports neither torch nor Streamlit.
"""

from vit.plots.ablation import head_sheet, probability_change, pruning_curve
from vit.plots.anatomy import activation_curves, position_maps
from vit.plots.causes import waterfall
from vit.plots.curves import (
    POINTS,
    POINTS_MAX,
    accuracy_curve,
    learning_rate_curve,
    loss_curve,
    neighbour_curve,
    teacher_curve,
)
from vit.plots.evaluation import confusion_matrix, training_curves
from vit.plots.heads import HEAD_COLOURS, heads_by_depth, layer_similarity
from vit.plots.lessons import accuracy_strip, live_curves, measured_dots, measured_lines
from vit.plots.maps import head_grid, map_row
from vit.plots.predictions import attention_matrix, probability_bars, reliability, token_names
from vit.plots.runs import COMPARED_MAX, compared_curves, cost_scatter
from vit.plots.sweep import sweep_heatmap
from vit.plots.timelapse import accuracy_lines, class_lines, head_lines, lens_heatmap
from vit.plots.tokens import lens_curves, norm_spread

__all__ = [
    "COMPARED_MAX",
    "HEAD_COLOURS",
    "POINTS",
    "POINTS_MAX",
    "accuracy_curve",
    "accuracy_lines",
    "accuracy_strip",
    "activation_curves",
    "attention_matrix",
    "class_lines",
    "compared_curves",
    "confusion_matrix",
    "cost_scatter",
    "head_grid",
    "head_lines",
    "head_sheet",
    "heads_by_depth",
    "layer_similarity",
    "learning_rate_curve",
    "lens_curves",
    "lens_heatmap",
    "live_curves",
    "loss_curve",
    "map_row",
    "measured_dots",
    "measured_lines",
    "neighbour_curve",
    "norm_spread",
    "position_maps",
    "probability_bars",
    "probability_change",
    "pruning_curve",
    "reliability",
    "sweep_heatmap",
    "teacher_curve",
    "token_names",
    "training_curves",
    "waterfall",
]
