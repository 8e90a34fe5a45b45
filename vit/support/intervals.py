"""Confidence intervals of shares, such as an accuracy."""

import math

LEVEL, Z_95 = 95, 1.959963984540054
"""Level of the intervals in percent, and the quantile of the normal distribution for it."""


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share (Wilson 1927); (0, 1) without images."""
    if not count:
        return 0.0, 1.0
    share, z = right / count, Z_95
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)
