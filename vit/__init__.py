"""Train Vision Transformers, predict with them and look inside them.

```python
from vit import METHODS, Target, capture, configure, load_checkpoint
from vit import model_input, plots, train
from vit.explain import token_maps

train(configure(dataset="scenes", num_heads=4, depth=2, epochs=3), "mine")
model, info = load_checkpoint("mine")
images = model_input(info, "picture.jpg")  # (b c h w), normalised
record = capture(model, images)  # .attention (b depth head query key)
plots.head_grid(token_maps(record, token=0))  # a Plotly figure
why = METHODS["chefer"].function
why(model, images, Target(label=3, against=2))  # (b rows columns)
```

Names are imported on first use, so that ``import vit`` stays light: a waiting job and the command line's help do not
need torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vit import data, explain, plots
    from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig, TrainingConfig, ViTConfig
    from vit.data import load as load_data
    from vit.edits import BlockEdit
    from vit.evaluation import evaluate, model_input, model_view, predict
    from vit.explain import METHODS, Record, Target, capture, methods_for
    from vit.flags import configure
    from vit.model import ViT
    from vit.networks import build_model
    from vit.notebook import train
    from vit.runs import get_run, list_runs
    from vit.runs.weights import load_checkpoint, load_snapshot
    from vit.trainer import fit

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "BlockEdit",
    "CNNConfig",
    "DataConfig",
    "Record",
    "ReferenceConfig",
    "RunConfig",
    "Target",
    "TrainingConfig",
    "ViT",
    "ViTConfig",
    "__version__",
    "build_model",
    "capture",
    "configure",
    "data",
    "evaluate",
    "explain",
    "fit",
    "get_run",
    "list_runs",
    "load_checkpoint",
    "load_data",
    "load_snapshot",
    "methods_for",
    "model_input",
    "model_view",
    "plots",
    "predict",
    "train",
]

_MODULES = ("data", "explain", "plots")
_HOMES = {
    "vit.config": ("CNNConfig", "DataConfig", "ReferenceConfig", "RunConfig", "TrainingConfig", "ViTConfig"),
    "vit.edits": ("BlockEdit",),
    "vit.evaluation": ("evaluate", "model_input", "model_view", "predict"),
    "vit.explain": ("METHODS", "Record", "Target", "capture", "methods_for"),
    "vit.flags": ("configure",),
    "vit.model": ("ViT",),
    "vit.networks": ("build_model",),
    "vit.notebook": ("train",),
    "vit.runs": ("get_run", "list_runs"),
    "vit.trainer": ("fit",),
    "vit.runs.weights": ("load_checkpoint", "load_snapshot"),
}
_HOME_OF = {name: (home, name) for home, names in _HOMES.items() for name in names} | {
    "load_data": ("vit.data", "load")
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, own_name = _HOME_OF[name]
    return getattr(import_module(home), own_name)


def __dir__() -> list[str]:
    return __all__
