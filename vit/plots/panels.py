"""The curves of a training as charts, whoever draws them."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from vit.pictures.colours import PALETTE
from vit.plots import thin
from vit.plots.svg import Line


class Panel(NamedTuple):
    """One chart: what its axes are called, its lines, and how a value of the y axis is written."""

    x: str
    y: str
    lines: list[Line]
    words: Callable[[float], str]


def panels(metrics: Iterable[Mapping]) -> list[Panel]:
    """Losses and, once there is an epoch, accuracies, of lines of ``metrics.jsonl``; none before the first step."""
    metrics = list(metrics)
    steps = thin([line for line in metrics if line["event"] == "step"])
    epochs = thin([line for line in metrics if line["event"] == "epoch"])
    if not steps:
        return []
    where, numbers = ([line[name] for line in epochs] for name in ("step", "epoch"))
    losses = [
        Line("each step", [it["step"] for it in steps], [it["loss"] for it in steps], PALETTE["grey"], True),
        Line("training", where, [it["train_loss"] for it in epochs], PALETTE["blue"]),
        Line("validation", where, [it["val_loss"] for it in epochs], PALETTE["orange"]),
    ]
    accuracies = [
        Line("training", numbers, [it["train_accuracy"] for it in epochs], PALETTE["blue"]),
        Line("validation", numbers, [it["val_accuracy"] for it in epochs], PALETTE["orange"]),
    ]
    drawn = [Panel("Step", "Loss", losses, "{:g}".format)]
    return [*drawn, Panel("Epoch", "Accuracy", accuracies, "{:.0%}".format)] if epochs else drawn
