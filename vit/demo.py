"""What strangers may do on a server that is open to them: a public demo.

Nothing of this is in force on an own machine. ``VIT_DEMO=1`` or a table ``[demo]`` in ``.streamlit/secrets.toml``
switches it on; the table may set any bound.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from vit.config import ModelConfig, RunConfig, Settings
from vit.errors import SettingsError

SWITCH = "VIT_DEMO"


class Demo(Settings):
    """The bounds of a demo.

    Attributes:
        image_size: largest side of the images in pixels.
        depth, embed_dim: largest network.
        epochs: most passes over the images.
        seconds: most seconds of training of one run.
        runs: runs that a visitor may have at a time.
        queue: runs that may wait or train at a time, all visitors together.
        upload_mb: largest zip of images, and largest set of images once expanded, in megabytes.
        disk_gb: all runs, images and caches together, in gigabytes; beyond it nothing new is taken.
        keep_hours: what a visitor made is deleted after so many hours.
    """

    image_size: Annotated[int, Field(ge=32)] = 64
    depth: Annotated[int, Field(ge=1)] = 6
    embed_dim: Annotated[int, Field(ge=16)] = 256
    epochs: Annotated[int, Field(ge=1)] = 20
    seconds: Annotated[float, Field(ge=1)] = 300.0
    runs: Annotated[int, Field(ge=1)] = 4
    queue: Annotated[int, Field(ge=1)] = 8
    upload_mb: Annotated[int, Field(ge=1)] = 100
    disk_gb: Annotated[float, Field(gt=0)] = 10.0
    keep_hours: Annotated[float, Field(gt=0)] = 72.0

    def check_model(self, model: ModelConfig) -> None:
        """Whether a network is small enough.

        Raises:
            SettingsError: it is not; the sentence names the bound.
        """
        for field, words in (("image_size", "images of"), ("depth", "a depth of"), ("embed_dim", "a width of")):
            value, most = getattr(model, field, 0), getattr(self, field)
            if value > most:
                raise SettingsError(f"This demo takes {words} {most} at most, not {value}: choose a smaller one.")

    def bounded(self, config: RunConfig, owner: str) -> RunConfig:
        """The settings as this demo trains them: of this visitor, and for its seconds at most.

        Raises:
            SettingsError: they are beyond its bounds; the sentence names the bound.
        """
        self.check_model(config.model)
        training = config.training
        if training.epochs > self.epochs:
            raise SettingsError(f"This demo trains {self.epochs} epochs at most: choose fewer.")
        seconds = min(training.max_seconds or self.seconds, self.seconds)
        return config.model_copy(
            update={"owner": owner, "training": training.model_copy(update={"max_seconds": seconds})}
        )


def in_force(table: Mapping[str, Any] | None = None) -> Demo | None:
    """The bounds that this server is under; None where it is its user's own.

    Args:
        table: ``[demo]`` of the server's secrets, where there is one.

    Raises:
        SettingsError: the table names a bound that there is not, or a value that cannot be one.
    """
    asked = os.environ.get(SWITCH, "").strip().lower() not in ("", "0", "false", "no")
    return Demo(**table or {}) if asked or table is not None else None


def owner_mark(*identity: str) -> str:
    """The mark of a visitor in the files of a run: a hash, from which the cookie or the account cannot be told."""
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]
