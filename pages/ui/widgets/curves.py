"""Curves of trainings, drawn by the browser; hovering or the arrow keys read all of them at once."""

from collections.abc import Sequence

from pages.ui.widgets.component import register_widget
from vit.plots.curves import STEP, Plot, chart

_component = register_widget("curves")


def curves(
    plots: Sequence[Plot], *, end: float, label: str, key: str, axis: str = STEP, per_epoch: float = 0.0
) -> None:
    """Draw plots below each other, or side by side if there is room.

    Args:
        plots: the plots; all have the same horizontal axis.
        end: the end of the horizontal axis, such as the steps that are planned; it begins at 0.
        label: what the curves show, for screen readers.
        key: the key of the widget.
        axis: the title of the horizontal axis.
        per_epoch: steps of an epoch; 0 if it is unknown, and if the axis does not count steps.
    """
    _component(key=key, data=chart(plots, end=end, axis=axis, per_epoch=per_epoch) | {"label": label})
