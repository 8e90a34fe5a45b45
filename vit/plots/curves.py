"""Curves that grow during a training: their lines, smoothed and thinned, on axes that do not jump."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

import numpy as np

from vit.config import TrainingConfig
from vit.pictures.colours import PALETTE
from vit.support.untrusted_text import shown

Point = TypeVar("Point")
Kind = Literal["line", "dots", "raw", "other"]

POINTS_MAX = 500
"""Maximum number of points of a curve: more are not visible, and all are sent again every second."""

POINTS = "points"
"""Name of the data of a Vega-Lite chart in its spec."""

OTHERS_MAX = 4
"""Maximum number of other runs beside a run: one per colour that is left."""

START = 10
"""The median of this many first values is always below the end of the vertical axis."""

SMOOTHING = 0.6
"""The usual weight of :func:`smooth`, as in TensorBoard."""

_OTHER_COLOURS = tuple(PALETTE[name] for name in ("green", "purple", "sky", "vermilion"))
_DIGITS = 5


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: its name.
        xs: the steps of its points, ascending.
        ys: the values at these steps.
        colour: its colour.
        kind: ``line``; ``dots``, a line with a dot at each point; ``raw``, the values behind a smoothed line; or
            ``other``, the line of another run.
    """

    name: str
    xs: list[int]
    ys: list[float]
    colour: str
    kind: Kind = "line"


@dataclass(frozen=True)
class Plot:
    """Lines over the steps of a training.

    Attributes:
        title: what is plotted.
        lines: the lines; an empty line is left out.
        form: how values are written: ``number``, ``percent`` or ``power``.
        top: the upper end of the vertical axis, which begins at 0.
    """

    title: str
    lines: tuple[Series, ...]
    form: Literal["number", "percent", "power"]
    top: float

    @property
    def above(self) -> int:
        """Number of points that are above the plot."""
        return sum(value > self.top for line in self.lines if line.kind != "other" for value in line.ys)


def chart(plots: Iterable[Plot], *, steps: int, per_epoch: float) -> dict:
    """Return what the component ``curves`` of :mod:`vit.web` draws.

    Args:
        plots: the plots; all have the same horizontal axis.
        steps: the end of the horizontal axis: the steps that are planned.
        per_epoch: steps of an epoch; 0 if it is unknown.
    """
    return {
        "plots": [
            {
                "title": plot.title,
                "form": plot.form,
                "top": plot.top,
                "above": plot.above,
                "lines": [asdict(line) | {"name": shown(line.name)} for line in plot.lines if line.xs],
            }
            for plot in plots
        ],
        "steps": max(1, steps),
        "perEpoch": per_epoch,
    }


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average of the values, without its bias to 0, as TensorBoard computes it.

    Value t, counted from 1, is the mean of the values up to t with the weights ``weight ** (t - s)`` for value s.

    Args:
        values: finite numbers.
        weight: how much of the average is kept at each value, at least 0 and below 1; with 0 nothing is smoothed.
    """
    smoothed, average, power = [], 0.0, 1.0
    for value in values:
        average = weight * average + (1 - weight) * value
        power *= weight
        smoothed.append(average / (1 - power))
    return smoothed


def robust_top(values: Sequence[float], *, start: Sequence[float] = ()) -> float:
    """Return the end of an axis on which some very large values are left out.

    It is the largest value, but no more than one and a half times the 95th percentile or, if that is larger, 1.1 times
    the median of the first values: the beginning of a training belongs to the picture.

    Args:
        values: all values, at least 0; others are ignored if they are not finite.
        start: the values of the first steps.

    Returns:
        A positive number, also without values.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite) or finite.max() <= 0:
        return 1.0
    first = 1.1 * float(np.median(start[:START])) if len(start) else 0.0
    return float(min(finite.max(), max(1.5 * float(np.percentile(finite, 95)), first))) or 1.0


def subsample(points: Sequence[Point], limit: int = POINTS_MAX) -> list[Point]:
    """Return at most ``limit`` evenly spaced points, including the first and the last."""
    if len(points) <= limit:
        return list(points)
    return [points[index] for index in np.linspace(0, len(points) - 1, limit).round().astype(int)]


def plots_of_training(
    training: TrainingConfig,
    metrics: Sequence[dict],
    smoothing: float,
    *,
    others: Mapping[str, Iterable[dict]] | None = None,
) -> list[Plot]:
    """Return the plots of a training: with labels loss and accuracy, without them what its method measures.

    The arguments are those of :func:`loss_curve`.
    """
    found = [loss_curve(metrics, smoothing=smoothing, others=others)]
    if training.labelled:
        found.append(accuracy_curve(metrics, smoothing=smoothing, others=others))
    else:
        found.append(neighbour_curve(metrics, others=others))
    if training.learn_from == "dino":
        found.append(teacher_curve(metrics))
    return [*found, learning_rate_curve(metrics, peak=training.lr)]


def loss_curve(
    metrics: Iterable[dict], *, smoothing: float = 0.0, others: Mapping[str, Iterable[dict]] | None = None
) -> Plot:
    """Return the loss of each step, smoothed, the validation loss, and the validation loss of other runs.

    Args:
        metrics: the lines of ``metrics.jsonl``.
        smoothing: weight of :func:`smooth`; above 0 the values themselves are a second, faint line.
        others: the lines of other runs by name.
    """
    return _plot("Loss", "loss", "val_loss", metrics, smoothing, others)


def accuracy_curve(
    metrics: Iterable[dict], *, smoothing: float = 0.0, others: Mapping[str, Iterable[dict]] | None = None
) -> Plot:
    """Return the training accuracy of each step, smoothed, and the validation accuracy; see :func:`loss_curve`.

    In a run whose steps have no accuracy, the training accuracy is that of each epoch.
    """
    return _plot("Accuracy", "accuracy", "val_accuracy", metrics, smoothing, others)


def neighbour_curve(metrics: Iterable[dict], *, others: Mapping[str, Iterable[dict]] | None = None) -> Plot:
    """Return the k-nearest-neighbour accuracy after each epoch of a training without labels."""
    own = _series("Nearest neighbours", metrics, "epoch", "val_accuracy", PALETTE["orange"], "dots")
    lines = (own, *_others(others, "val_accuracy"))
    return Plot("k-NN accuracy", lines, "percent", _top(lines, "percent"))


def teacher_curve(metrics: Iterable[dict]) -> Plot:
    """Return figures of DINO's teacher after each epoch: entropy, and divergence of the student from it."""
    metrics = list(metrics)
    lines = (
        _series("Entropy", metrics, "epoch", "teacher_entropy", PALETTE["blue"], "dots"),
        _series("Divergence", metrics, "epoch", "divergence", PALETTE["vermilion"], "dots"),
    )
    return Plot("Teacher's output (nats)", lines, "number", _top(lines, "number"))


def learning_rate_curve(metrics: Iterable[dict], *, peak: float = 0.0) -> Plot:
    """Return the learning rate of each step; ``peak`` is the largest one that is planned."""
    line = _series("Learning rate", metrics, "step", "lr", PALETTE["green"], "line")
    return Plot("Learning rate", (line,), "power", 1.05 * max([*line.ys, peak], default=0.0) or 1.0)


def _plot(
    title: str,
    field: str,
    val_field: str,
    metrics: Iterable[dict],
    smoothing: float,
    others: Mapping[str, Iterable[dict]] | None,
) -> Plot:
    """Return the plot of a quantity that is measured at each step and, as ``val_field``, after each epoch."""
    form: Literal["number", "percent"] = "percent" if field == "accuracy" else "number"
    metrics = list(metrics)
    steps = [line for line in metrics if line.get("event") == "step" and line.get(field) is not None]
    xs, ys = [line["step"] for line in steps], [line[field] for line in steps]
    lines: list[Series] = []
    if not steps:
        lines.append(
            _series("Training, mean of the epoch", metrics, "epoch", f"train_{field}", PALETTE["blue"], "dots")
        )
    elif smoothing:
        lines.append(_thinned("Training, each step", xs, ys, PALETTE["blue"], "raw"))
        lines.append(_thinned("Training, smoothed", xs, smooth(ys, smoothing), PALETTE["blue"], "line"))
    else:
        lines.append(_thinned("Training, each step", xs, ys, PALETTE["blue"], "line"))
    lines.append(_series("Validation", metrics, "epoch", val_field, PALETTE["orange"], "dots"))
    lines += _others(others, val_field)
    return Plot(title, tuple(lines), form, _top(lines, form, ys))


def _series(name: str, metrics: Iterable[dict], event: str, field: str, colour: str, kind: Kind) -> Series:
    # A field may be missing, or null where the run had no validation images.
    found = [
        (line["step"], line[field]) for line in metrics if line.get("event") == event and line.get(field) is not None
    ]
    return _thinned(name, [x for x, _ in found], [y for _, y in found], colour, kind)


def _thinned(name: str, xs: Sequence[int], ys: Sequence[float], colour: str, kind: Kind) -> Series:
    points = subsample(list(zip(xs, ys, strict=True)))
    return Series(name, [x for x, _ in points], [float(f"{y:.{_DIGITS}g}") for _, y in points], colour, kind)


def _others(others: Mapping[str, Iterable[dict]] | None, field: str) -> list[Series]:
    named = list((others or {}).items())[:OTHERS_MAX]
    colours = zip(named, _OTHER_COLOURS, strict=False)
    return [_series(name, lines, "epoch", field, colour, "other") for (name, lines), colour in colours]


def _top(lines: Iterable[Series], form: str, start: Sequence[float] = ()) -> float:
    """Return the end of the vertical axis; an accuracy has some room above it, up to 100%."""
    lines = list(lines)
    if form == "percent":
        shown = [value for line in lines if line.kind != "raw" for value in line.ys]
        return min(1.0, 1.1 * max(shown, default=1.0) or 1.0)
    return 1.02 * robust_top([value for line in lines for value in line.ys], start=start)


# Vega-Lite charts of other pages


def dataset(points: list[dict]) -> dict:
    """Return the part of a Vega-Lite spec with its data, as a named dataset, to which :func:`domain` refers."""
    return {"data": {"name": POINTS}, "datasets": {POINTS: points}}


def domain(field: str, *, zero: bool = False) -> list[dict]:
    """Return the domain of a Vega-Lite scale, as expressions that a browser evaluates: the smallest and largest value.

    Vega derives the same from the data, but warns on the console while there is none: Streamlit creates every chart
    empty and inserts the points afterwards. Numbers would create the chart anew at every point of a live curve.

    Args:
        field: the field of the points.
        zero: extend the domain to 0.
    """
    ends = [f"extent(pluck(data('{POINTS}'), '{field}'))[{end}]" for end in range(2)]
    if zero:
        ends = [f"min(0, {ends[0]})", f"max(0, {ends[1]})"]
    return [{"expr": f"length(data('{POINTS}')) ? {end} : {empty}"} for empty, end in enumerate(ends)]
