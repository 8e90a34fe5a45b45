"""Settings of a fine-tuning."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from vit.config.base import Settings
from vit.errors import SettingsError
from vit.paths import RUN_NAME

LAYER_DECAYS = (0.5, 0.65, 0.75, 0.85, 1.0)


class StartConfig(Settings):
    """Where a fine-tuning starts: the weights of an earlier run in place of random ones.

    The run is read once, at the first step; a resume does not need it.
    """

    run: Annotated[
        str,
        Field(
            pattern=rf"^{RUN_NAME.pattern}$",
            title="Start from",
            description="Fine-tune this run: start from its network and its weights",
        ),
    ]
    frozen: Annotated[
        bool,
        Field(title="Train only the head", description="Train only the classification head and freeze the rest"),
    ] = False
    # The name is timm's; Clark et al. 2020.
    layer_decay: Annotated[
        float,
        Field(
            ge=0.1,
            le=1,
            title="Layer-wise decay",
            description="Learning rate of a block divided by that of the next block",
            json_schema_extra={"choices": {1.0: "One rate for all"}},
        ),
    ] = 1.0

    @model_validator(mode="after")
    def _decays_trained_layers(self) -> Self:
        if self.frozen and self.layer_decay != 1:
            raise SettingsError("layer_decay has no effect with frozen, which trains no blocks: leave one of them out.")
        return self
