"""The networks with the Hugging Face hub's mixin: ``from_pretrained``, ``save_pretrained``, ``push_to_hub``.

>>> model = HubViT.from_pretrained("user/name")  # or a folder written by ``python -m vit export``

Importing this module imports huggingface_hub, so the rest of the program imports it only when it is needed.
"""

from typing import Any, Self, TypeVar

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import nn

from vit.cnn import CNN
from vit.config import CNNConfig, ReferenceConfig, RunConfig, ViTConfig
from vit.errors import RunError
from vit.hub.card import Card
from vit.hub.settings import config_json
from vit.model import ViT
from vit.reference import ReferenceViT
from vit.runs import Run
from vit.runs.privacy import without_private_settings
from vit.runs.weights import load_checkpoint

Config = TypeVar("Config", ViTConfig, ReferenceConfig, CNNConfig)


class _Hub(PyTorchModelHubMixin, nn.Module):
    """Base of the networks with the hub's methods.

    Attributes:
        run: the settings of the run without private ones; ``run.data`` holds the classes, the normalisation and the
            image size.
    """

    run: RunConfig

    @classmethod
    def of_run(cls, run: Run) -> Self:
        """Return the network of a run, with its kept weights.

        Raises:
            RunError: the run has no weights, or its network is of another class.
        """
        model, info = load_checkpoint(run.path)
        made = cls(info.config.model_dump(mode="json"))
        made.load_state_dict(model.state_dict())
        return made.eval()

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """Return the card without results, pictures and the run's name."""
        return Card("model", self.run).model_card()

    def _adopt(self, run: RunConfig) -> None:
        self.run = run = without_private_settings(run)
        self._hub_mixin_config = config_json(run)  # so that timm also opens what the mixin saves

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **rest: Any) -> Self:
        return super()._from_pretrained(strict=strict, **rest)

    @classmethod
    def _load_as_pickle(cls, *_: Any, **__: Any) -> Any:
        raise RunError("There is no model.safetensors, and a pickle is not opened: it could run any program.")


class HubViT(_Hub, ViT):
    """:class:`vit.model.ViT` with the hub's methods.

    Args:
        run: the settings of the run, as in ``config.json``.
    """

    def __init__(self, run: dict[str, Any]) -> None:
        settings, model = _settings(run, ViTConfig)
        ViT.__init__(self, model)
        self._adopt(settings)


class HubReferenceViT(_Hub, ReferenceViT):
    """:class:`vit.reference.ReferenceViT`, the course network, with the hub's methods; ``run`` as above."""

    def __init__(self, run: dict[str, Any]) -> None:
        settings, model = _settings(run, ReferenceConfig)
        ReferenceViT.__init__(self, **model.model_dump())
        self._adopt(settings)


class HubCNN(_Hub, CNN):
    """:class:`vit.cnn.CNN` with the hub's methods; ``run`` as above."""

    def __init__(self, run: dict[str, Any]) -> None:
        settings, model = _settings(run, CNNConfig)
        CNN.__init__(self, model)
        self._adopt(settings)


KINDS = {"vit": HubViT, "reference": HubReferenceViT, "cnn": HubCNN}
"""The classes by :attr:`vit.config.ModelConfig.architecture`."""


def _settings(run: dict[str, Any], kind: type[Config]) -> tuple[RunConfig, Config]:
    settings = RunConfig(**run)
    if not isinstance(settings.model, kind):
        raise RunError(
            f"The network is {settings.model.title}: open it with {KINDS[settings.model.architecture].__name__}."
        )
    return settings, settings.model
