"""The networks as the Hugging Face hub's mixin has them: ``from_pretrained``, ``save_pretrained``, ``push_to_hub``.

>>> model = HubViT.from_pretrained("user/name")  # or the folder that ``python -m vit export`` wrote

This module needs huggingface_hub, and nothing of the program imports it before it is asked for.
"""

from typing import Any, Self

from huggingface_hub import ModelCard, PyTorchModelHubMixin

from vit.cnn import CNN
from vit.config import RunConfig
from vit.errors import RunError
from vit.hub.card import Card
from vit.hub.settings import config_json
from vit.model import ViT
from vit.reference import ReferenceViT
from vit.runs import Run
from vit.runs.weights import load_checkpoint


class _Hub(PyTorchModelHubMixin):
    """What the networks of the hub have in common.

    Attributes:
        run: the settings of the run; ``run.data`` has the classes, the normalisation and what an image is brought to.
    """

    run: RunConfig

    @classmethod
    def of_run(cls, run: Run) -> Self:
        """The kept network of a run.

        Raises:
            RunError: it has no weights, or is of another kind.
        """
        model, info = load_checkpoint(run.path)
        made = cls(info.config.model_dump(mode="json"))
        made.load_state_dict(model.state_dict())
        return made.eval()

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """What the folder's README says where nothing was measured."""
        return ModelCard(Card("model", self.run).text())

    def _adopt(self, run: RunConfig) -> None:
        self.run = run
        self._hub_mixin_config = config_json(run)  # so that what is saved again opens in timm as well

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **rest: Any) -> Self:
        return super()._from_pretrained(strict=strict, **rest)

    @classmethod
    def _load_as_pickle(cls, *_: Any) -> Self:
        raise RunError("It has no model.safetensors, and a pickle is not opened: it could run any program.")


class HubViT(_Hub, ViT):
    """:class:`vit.model.ViT` with the hub's methods.

    Args:
        run: the settings of the run, as ``config.json`` has them.
    """

    def __init__(self, run: dict[str, Any]) -> None:
        settings = _settings(run, "vit")
        ViT.__init__(self, settings.model)
        self._adopt(settings)


class HubReferenceViT(_Hub, ReferenceViT):
    """:class:`vit.reference.ReferenceViT`, the course network, with the hub's methods; ``run`` as above."""

    def __init__(self, run: dict[str, Any]) -> None:
        settings = _settings(run, "reference")
        ReferenceViT.__init__(self, **settings.model.model_dump())
        self._adopt(settings)


class HubCNN(_Hub, CNN):
    """:class:`vit.cnn.CNN` with the hub's methods; ``run`` as above."""

    def __init__(self, run: dict[str, Any]) -> None:
        settings = _settings(run, "cnn")
        CNN.__init__(self, settings.model)
        self._adopt(settings)


KINDS = {"vit": HubViT, "reference": HubReferenceViT, "cnn": HubCNN}
"""By :attr:`vit.config.ModelConfig.architecture`."""


def _settings(run: dict[str, Any], kind: str) -> RunConfig:
    settings = RunConfig(**run)
    if settings.model.architecture != kind:
        raise RunError(
            f"Its network is {settings.model.title}: open it with {KINDS[settings.model.architecture].__name__}."
        )
    return settings
