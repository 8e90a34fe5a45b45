"""Durations as text."""

import time

_SETTLED_SECONDS = 2.0
"""An estimate from the first moments would be far off."""


def duration(seconds: float) -> str:
    """Return a duration such as "12 s", "4 min 30 s" or "2 h 5 min"."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours < 24 and minutes else f"{hours:,} h"


class TimeLeft:
    """Estimates how long a piece of work still takes from its progress so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def words(self, done: int, total: int) -> str:
        """Return a phrase such as ", about 3 min left"; empty while nothing can be said."""
        seconds = time.monotonic() - self.began
        if not 0 < done < total or seconds < _SETTLED_SECONDS:
            return ""
        return f", about {duration(seconds * (total - done) / done)} left"
