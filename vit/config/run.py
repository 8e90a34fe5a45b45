"""Settings of a model, of a data set and of a run: validated here, and the one source of every bound and default.

This module imports neither torch nor streamlit, so a waiting job and the first page of the app stay light.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from vit.config.base import Settings
from vit.config.data import DataConfig
from vit.config.format import FORMAT, upgrade
from vit.config.model import AnyModelConfig, ViTConfig
from vit.config.training import StartConfig, TrainingConfig
from vit.errors import SettingsError
from vit.paths import OWNER, RUN_NAME
from vit.support.untrusted_text import check_unicode

PLACER = re.compile(r"[0-9a-f]{32}")
"""The mark of a program that places runs on machines by itself."""


class Environment(Settings):
    """What a run was trained with; a resume on the same is bitwise the uninterrupted run."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    vit: str = ""
    torch: str = ""
    python: str = ""
    platform: str = ""
    processor: str = ""
    device: str = ""
    threads: int = 0
    processes: int = 1


class RunConfig(Settings):
    """All that a run is made from; ``config.json`` of its folder.

    Attributes:
        format: see :mod:`vit.config.format`, which brings the settings of an older one up to this.
        owner: the mark of the visitor whose run it is, on a server that strangers use; empty where it is everybody's.
        sweep: the name of the sweep that it is a part of (:mod:`vit.sweeps.sweep`); empty where it stands alone.
        start: what it was fine-tuned from; None where its weights were drawn.
        published: the name of the published model that its weights are; empty where they were trained here.
    """

    format: Literal[2] = FORMAT
    model: AnyModelConfig = ViTConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    created: str = ""
    owner: Annotated[str, Field(pattern=rf"^({OWNER.pattern})?$")] = ""
    sweep: Annotated[str, Field(pattern=rf"^({RUN_NAME.pattern})?$")] = ""
    start: StartConfig | None = None
    published: Annotated[str, Field(max_length=200)] = ""
    environment: Environment | None = None

    _published = field_validator("published")(check_unicode)

    @model_validator(mode="before")
    @classmethod
    def _of_this_format(cls, settings: Any) -> Any:
        return upgrade(settings) if isinstance(settings, dict) else settings

    @model_validator(mode="after")
    def _model_fits_data(self) -> Self:
        if self.model.image_size != self.data.image_size:
            raise SettingsError(
                f"the model's image_size = {self.model.image_size} is not the data's, {self.data.image_size}: "
                "choose one for both."
            )
        if self.data.class_names and len(self.data.class_names) != self.model.num_classes:
            raise SettingsError(
                f"num_classes = {self.model.num_classes}, but the data has {len(self.data.class_names)} classes: "
                f"choose {len(self.data.class_names)}."
            )
        return self
