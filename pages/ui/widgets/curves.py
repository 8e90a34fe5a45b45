"""Curves over the steps of a training, drawn by the browser; hovering or the arrow keys read all of them at once."""

from collections.abc import Sequence

from pages.ui.widgets.component import register_widget
from vit.plots.curves import Plot, chart

_component = register_widget("curves")


def curves(plots: Sequence[Plot], *, steps: int, per_epoch: float, label: str, key: str) -> None:
    """Draw plots below each other, or side by side if there is room.

    Args:
        plots: the plots; all have the same horizontal axis.
        steps: the end of the horizontal axis: the steps that are planned.
        per_epoch: steps of an epoch; 0 if it is unknown.
        label: what the curves show, for screen readers.
        key: the key of the widget.
    """
    _component(key=key, data=chart(plots, steps=steps, per_epoch=per_epoch) | {"label": label})
