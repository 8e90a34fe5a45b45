"""Packages that only some of what this program does needs, and that need not be installed."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from vit.errors import UserError


def missing(*packages: str) -> list[str]:
    """Those of the packages that are not installed."""
    return [name for name in packages if find_spec(name) is None]


def check(purpose: str, *packages: str) -> None:
    """Raise a UserError with the line that installs what is missing of these packages, unless all are there.

    Args:
        purpose: what they are for, the beginning of the sentence: "Writing ONNX".
    """
    if absent := missing(*packages):
        raise UserError(f"{purpose} needs what is not installed here: pip install {' '.join(absent)}.")


def require(purpose: str, *packages: str) -> ModuleType:
    """Import the first of these packages, once all of them are there.

    Raises:
        UserError: as :func:`check`.
    """
    check(purpose, *packages)
    return import_module(packages[0])
