"""A measurement of attention dependence with chosen figures."""

from vit.runs.dependence import Dependence, HeadDependence


def measured(
    accuracy: float = 0.9, without_heads: float = 0.2, even: float = 0.3, *, depth: int = 2, heads: int = 2, **others
) -> Dependence:
    """Figures of a network with ``heads`` equal heads in each layer; its chance is 0.2."""
    layers = ((HeadDependence(lost=0.1, error=0.01, low=0.08, high=0.12),) * heads,) * depth
    fields = {"images": 500, "chance": 0.2, "mean_patterns": 0.5, "variety": (0.5,) * depth, "grey": 0.4} | others
    return Dependence(accuracy=accuracy, without_heads=without_heads, even_patterns=even, layers=layers, **fields)


LOW = measured(0.986, 0.89, 0.762)
"""The figures of a network whose answer hardly depends on its attention."""
