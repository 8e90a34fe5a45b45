"""Build the API reference from the docstrings: ``python -m docs.api``, or ``make docs``. Warnings are errors."""

import argparse
import pkgutil
import warnings
from importlib import import_module
from pathlib import Path

import pdoc
from pydantic.fields import FieldInfo

import vit

FOLDER = Path(__file__).resolve().parent / "api"
_WORDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "max_length": "length ≤ {}", "pattern": "matches {}"}


def bounds(field: FieldInfo) -> str:
    """Return the bounds of a setting in readable form, in place of pydantic's representation."""
    limits = ((name, getattr(item, name, None)) for item in field.metadata for name in _WORDS)
    return ", ".join(_WORDS[name].format(value) for name, value in limits if value is not None) or "validated"


def show_all(name: str) -> None:
    """Load the lazy names of a package, and add its modules to ``__all__``, so that pdoc sees both."""
    package = import_module(name)
    if not hasattr(package, "__all__"):
        return
    for public in package.__all__:
        setattr(package, public, getattr(package, public))
    inside = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name != "__main__"]
    package.__all__ = [*dict.fromkeys([*package.__all__, *inside])]


def build(folder: Path, *, plain: bool = False) -> None:
    """Write a page for every module of the library, and ``index.html``.

    Args:
        folder: the folder to write to.
        plain: leave out the source code and the search.
    """
    FieldInfo.__repr__ = bounds
    footer = f"Attention explorer {vit.__version__}"
    pdoc.render.configure(docformat="google", footer_text=footer, show_source=not plain, search=not plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("default", DeprecationWarning)  # from imported libraries
        # pdoc cannot look up the names in the annotations of this named tuple.
        warnings.filterwarnings("ignore", r"Error parsing type annotation .* for vit\.data\.scenes\.geometry\.Part\.")
        show_all("vit")
        for module in pkgutil.walk_packages(vit.__path__, "vit."):
            if module.ispkg:
                show_all(module.name)
        pdoc.pdoc("vit", r"!.*\.__main__", output_directory=folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the API reference from the docstrings.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="output folder (default: docs/api)")
    parser.add_argument("--plain", action="store_true", help="leave out the source code and the search")
    arguments = parser.parse_args()
    build(arguments.folder, plain=arguments.plain)
