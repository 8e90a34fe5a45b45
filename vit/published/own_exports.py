"""Open a run that this program exported for the hub (:mod:`vit.hub`), from its weights and its ``config.json``.

That file holds the settings of the run in addition to timm's. So this also opens networks that timm does not have, and
does not need timm.
"""

import json

from vit.config import RunConfig
from vit.data import SCENES
from vit.data.catalog import catalog
from vit.errors import UserError
from vit.published import class_names as names_of_classes
from vit.published import weights_file
from vit.published.loading import Loaded
from vit.published.model_description import CONFIG, CONFIG_BYTES_MAX
from vit.published.weights_file import WeightsFile


def settings_in(text: bytes) -> RunConfig | None:
    """Return the settings of the run without its owner, or None if this program did not write the file.

    Raises:
        UserError: the settings are invalid.
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
        raise UserError(f"The settings in its {CONFIG} are invalid: {error}") from error
    known = config.data.source == SCENES or config.data.source in catalog.CATALOG
    images = config.data if known else config.data.model_copy(update={"source": ""})
    removed = {"owner": "", "sweep": "", "start": None, "environment": None}
    return config.model_copy(update=removed | {"data": images})


def load(file: WeightsFile, config: RunConfig, name: str, class_names: tuple[str, ...] | None = None) -> Loaded:
    """Load the weights of such a run; any network is possible.

    Args:
        file: the weights.
        config: the settings of the run.
        name: name of the model, unless the run itself was a published model.
        class_names: the names of the classes; None keeps those of the run.

    Raises:
        UserError: the weights do not fit the network that the settings describe, or the file cannot be read.
    """
    import torch

    from vit.networks import build_model

    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in build_model(config.model).state_dict().items()}
    weights = weights_file.read_exactly(file, expected)
    config = config.model_copy(update={"published": config.published or name})
    if class_names is not None:
        names_of_classes.check_count(class_names, config.model.num_classes)
        config = config.model_copy(update={"data": config.data.model_copy(update={"class_names": class_names})})
    return Loaded(config, weights, ("It was exported from a run of this program.",))
