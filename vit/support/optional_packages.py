"""Packages that only some features need and that may not be installed."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from vit.errors import UserError


def missing(*packages: str) -> list[str]:
    return [name for name in packages if find_spec(name) is None]


def check(purpose: str, *packages: str) -> None:
    """Raise a UserError with the command that installs the missing packages, if there are any.

    Args:
        purpose: what they are for, as the start of the sentence: "Writing ONNX".
        packages: names that can be imported and installed.
    """
    if absent := missing(*packages):
        raise UserError(f"{purpose} needs packages that are not installed here: pip install {' '.join(absent)}.")


def require(purpose: str, *packages: str) -> ModuleType:
    """Import and return the first of these packages.

    Raises:
        UserError: one of them is not installed, see :func:`check`.
    """
    check(purpose, *packages)
    return import_module(packages[0])
