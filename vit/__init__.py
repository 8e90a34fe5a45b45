"""Vision Transformers to train, predict with and look into.

``ViT``, ``ViTConfig`` and ``load_checkpoint`` are loaded when they are first asked for, so that ``import vit`` stays
light: a waiting job and the command line's help need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vit.config import ViTConfig
    from vit.model import ViT
    from vit.weights import load_checkpoint

__version__ = "0.1.0"
__all__ = ["ViT", "ViTConfig", "__version__", "load_checkpoint"]

_HOMES = {"ViT": "vit.model", "ViTConfig": "vit.config", "load_checkpoint": "vit.weights"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
