"""Settings of a run: its model, its data and its training.

This module imports neither torch nor streamlit, so that waiting jobs and the first page of the app need little memory.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from vit.config.base import Settings
from vit.config.data import DataConfig
from vit.config.format import FORMAT, upgrade
from vit.config.model import AnyModelConfig, TransformerConfig, ViTConfig
from vit.config.start import StartConfig
from vit.config.training import TrainingConfig
from vit.errors import SettingsError
from vit.paths import OWNER, RUN_NAME
from vit.support.untrusted_text import check_unicode

SCHEDULER_ID = re.compile(r"[0-9a-f]{32}")
"""Form of the identifier of a program that assigns runs to machines, such as a sweep on a Ray cluster."""


class Environment(Settings):
    """What a run was trained with; a resume in the same environment equals the uninterrupted run bit by bit.

    Attributes:
        precision: precision of the steps; empty in runs from before it was a setting.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    vit: str = ""
    torch: str = ""
    python: str = ""
    platform: str = ""
    processor: str = ""
    device: str = ""
    precision: Literal["", "float32", "bfloat16"] = ""
    threads: int = 0
    processes: int = 1


class RunConfig(Settings):
    """All settings of a run, as stored in ``config.json`` of its folder.

    Attributes:
        format: format of the run folder; :mod:`vit.config.format` upgrades older settings.
        owner: hash of the visitor who owns the run, on a public server; empty if the run belongs to no one.
        sweep: name of the sweep that the run is part of (:mod:`vit.sweeps.sweep`); empty if there is none.
        start: run that this one was fine-tuned from; None if its initial weights were random.
        published: name of the published model whose weights these are; empty if they were trained here.
        extended: the numbers of epochs that the run had before it was resumed with more of them, in order.
    """

    format: Literal[4] = FORMAT
    model: AnyModelConfig = ViTConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    created: str = ""
    owner: Annotated[str, Field(pattern=rf"^({OWNER.pattern})?$")] = ""
    sweep: Annotated[str, Field(pattern=rf"^({RUN_NAME.pattern})?$")] = ""
    start: StartConfig | None = None
    published: Annotated[str, Field(max_length=200)] = ""
    environment: Environment | None = None
    extended: tuple[Annotated[int, Field(ge=1)], ...] = ()

    _published = field_validator("published")(check_unicode)

    @model_validator(mode="before")
    @classmethod
    def _of_this_format(cls, settings: Any) -> Any:
        return upgrade(settings) if isinstance(settings, dict) else settings

    @model_validator(mode="after")
    def _model_fits_data(self) -> Self:
        if self.model.image_size != self.data.image_size:
            raise SettingsError(
                f"the model's image_size = {self.model.image_size} is not the data's, which is {self.data.image_size}: "
                "choose the same for both."
            )
        if not self.training.labelled:
            return self._without_labels()
        if self.data.class_names and len(self.data.class_names) != self.model.num_classes:
            raise SettingsError(
                f"num_classes = {self.model.num_classes}, but the data has {len(self.data.class_names)} classes: "
                f"choose {len(self.data.class_names)}."
            )
        return self

    @model_validator(mode="after")
    def _recipe_suits_model(self) -> Self:
        network, recipe = self.model, self.training
        if recipe.optimizer == "muon" and not isinstance(network, TransformerConfig):
            raise SettingsError(
                "optimizer = 'muon' updates the matrices of an encoder, and this network has none: choose 'adamw'."
            )
        if recipe.diversity and not isinstance(network, ViTConfig):
            raise SettingsError("diversity compares the heads of a Vision Transformer: leave it out, or use vit.")
        return self

    def _without_labels(self) -> Self:
        """Check the settings of a training without labels."""
        method = f"learn_from = {self.training.learn_from!r}"
        if not isinstance(self.model, ViTConfig):
            raise SettingsError(
                f"{method} needs a Vision Transformer, and the network is a {self.model.title}: choose the network "
                "'vit', or learn_from = 'labels'."
            )
        if self.model.num_classes:
            raise SettingsError(
                f"{method} trains a network without a classification head, and num_classes is "
                f"{self.model.num_classes}: choose num_classes = 0."
            )
        if self.start is not None:
            raise SettingsError(
                f"{method} starts from random weights, and start names the run {self.start.run!r}: leave start out, "
                "or choose learn_from = 'labels'."
            )
        if self.model.grid < 2:
            raise SettingsError(
                f"{method} needs several patches along each side, and patch_size = {self.model.patch_size} makes one: "
                "choose smaller patches."
            )
        return self
