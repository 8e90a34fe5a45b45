"""Packages that only some of what this program does needs, and that need not be installed."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from vit.errors import UserError


def missing(*packages: str) -> list[str]:
    """Those of the packages that are not installed."""
    return [name for name in packages if find_spec(name) is None]


def require(purpose: str, *packages: str) -> ModuleType:
    """Import the first of these packages, once all of them are there.

    Args:
        purpose: what they are for, the beginning of the sentence: "Writing ONNX".

    Raises:
        UserError: one is not installed; the sentence has the line that installs it.
    """
    if absent := missing(*packages):
        raise UserError(f"{purpose} needs what is not installed here: pip install {' '.join(absent)}.")
    return import_module(packages[0])
