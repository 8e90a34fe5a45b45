"""Differences of accuracies as text."""

from vit.lessons import Difference, Figures

NOT_DISTINGUISHABLE = "not distinguishable"


def points(value: float) -> str:
    """Return a difference of accuracies such as "+4.2" or "−0.3", in percentage points."""
    written = f"{100 * value:+.1f}"
    return "0.0" if float(written) == 0 else written.replace("-", "−")


def comparison_words(found: Difference) -> str:
    """Return a difference with its interval and, if it contains 0, that it is not distinguishable."""
    words = f"{points(found.value)} points ({points(found.low)} to {points(found.high)})"
    return f"{words}, {NOT_DISTINGUISHABLE}" if found.order == "similar" else words


def interval_words(figures: Figures) -> str:
    """Return the 95 % interval of an accuracy, such as "26.6 to 49.8%"."""
    low, high = figures.interval
    return f"{100 * low:.1f} to {high:.1%}"
