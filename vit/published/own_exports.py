"""A run that this program exported for the hub (:mod:`vit.hub`), opened from its weights and its ``config.json``.

The settings of the run lie in that file beside timm's, so networks that timm does not have open, too, and without timm.
"""

import json
from pathlib import Path

from vit.config import RunConfig
from vit.data import SCENES
from vit.data.catalog import catalog
from vit.errors import UserError
from vit.published import weights_file
from vit.published.loading import CONFIG, CONFIG_BYTES_MAX, Loaded


def settings_in(text: bytes) -> RunConfig | None:
    """The settings of the run, as of nobody; None where the file is not of this program.

    Raises:
        UserError: they are settings that cannot be.
    """
    try:
        run = json.loads(text)["run"] if len(text) <= CONFIG_BYTES_MAX else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(run, dict):
        return None
    try:
        config = RunConfig.from_json(json.dumps(run))
    except UserError as error:
        raise UserError(f"The settings in its {CONFIG} cannot be used: {error}") from error
    known = config.data.source == SCENES or config.data.source in catalog.CATALOG
    images = config.data if known else config.data.model_copy(update={"source": ""})
    nothing = {"owner": "", "sweep": "", "start": None, "environment": None}
    return config.model_copy(update=nothing | {"data": images})


def load(path: Path, config: RunConfig, name: str) -> Loaded:
    """The weights of such a run, of whichever network.

    Args:
        name: what it is called.

    Raises:
        UserError: they are not of the network that the settings describe, or the file cannot be read.
    """
    import torch

    from vit.networks import build_model

    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in build_model(config.model).state_dict().items()}
    weights = weights_file.read_exactly(path, expected)
    called = config.published or name
    return Loaded(
        config.model_copy(update={"published": called}), weights, ("It was exported from a run of this program.",)
    )
