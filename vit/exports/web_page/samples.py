"""The sample images of an exported page, as the network sees them, and the images on which its weights are compared."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vit.data import SCENES, describe, is_prepared, load
from vit.data.catalog.catalog import CATALOG
from vit.errors import UserError
from vit.pictures.data_url import data_url
from vit.runs import Run

if TYPE_CHECKING:
    from torch import Tensor

    from vit.config import DataConfig
    from vit.data import Split
    from vit.runs.weights import CheckpointInfo

SAMPLES = 8
"""Sample images of drawn scenes and of data sets of the catalog, unless another number is asked for."""

SAMPLES_MAX = 64

COMPARED = 100
"""Images on which the stored network is compared with PyTorch."""

_DRAWN_BY_US = "Drawn by the Vision Transformer explorer (MIT)"


def default_samples(run: Run) -> int:
    """Return how many validation images of a run leave this machine unless its owner asks for another number.

    Images of a folder, a zip or an upload are private: none of them.
    """
    source = run.config.data.source
    return SAMPLES if source == SCENES or source in CATALOG else 0


def licence(source: str) -> str:
    """Return the licence of the images of a data set; empty if it is not known."""
    if source == SCENES:
        return _DRAWN_BY_US
    return describe(source).licence if source in CATALOG else ""


def validation_images(config: "DataConfig") -> "Split | None":
    """Return the validation images of a run if they are on this machine; scenes are drawn if necessary."""
    if not config.source:
        return None
    try:
        if config.source != SCENES and not is_prepared(config):
            return None
        return load(config, splits=("val",)).val
    except (UserError, OSError):
        return None


def samples(split: "Split", config: "DataConfig", count: int) -> list[dict[str, Any]]:
    """Return the first images of each class in turn, as entries of the manifest.

    They are stored without their file names and metadata.
    """
    found = []
    for row in _alternating(np.asarray(split.labels), count):
        picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(split.images[row], 0, -1)))
        label = int(split.labels[row])
        found.append(
            {
                "name": f"Validation image {row}",
                "label": config.class_names[label] if label < len(config.class_names) else "",
                "src": data_url(picture, optimize=True),
                "licence": licence(config.source),
            }
        )
    return found


def compared(split: "Split | None", info: "CheckpointInfo", images: int = COMPARED) -> tuple["Tensor", str]:
    """Return images to compare outputs on, normalised ``(b c h w)``, and what they are, in words."""
    import torch

    from vit.data.batches import normalise

    if split is not None and len(split):
        rows = np.linspace(0, len(split) - 1, min(images, len(split))).astype(int)
        pixels = torch.from_numpy(np.ascontiguousarray(split.images[rows]))
        return normalise(pixels, info.mean, info.std), "validation images"
    size = info.image_size
    coarse = torch.rand(images, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return normalise((smooth * 255).byte(), info.mean, info.std), "smooth random images"


def _alternating(labels: np.ndarray, count: int) -> list[int]:
    """Return the first row of each class, then the second of each, and so on."""
    place = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = np.arange(len(rows))
    return [int(row) for row in np.lexsort((labels, place))[:count]]
