"""What strangers may do on a server that is open to them: a public demo.

Nothing of this is in force on an own machine. ``VIT_DEMO=1`` or a table ``[demo]`` in ``.streamlit/secrets.toml``
switches it on; the table may set any bound.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from vit.config import PATCH_SIZES, ModelConfig, RunConfig, TransformerConfig
from vit.config.base import Settings
from vit.cost.estimate import disk_bytes, memory_bytes
from vit.errors import SettingsError

SWITCH = "VIT_DEMO"
MB = 10**6


class DemoLimits(Settings):
    """The bounds of a demo.

    Attributes:
        image_size: largest side of the images in pixels.
        depth, embed_dim: largest network.
        run_mb: largest run on the disk, by its settings, in megabytes.
        memory_mb: most memory that a training may take, by its settings, in megabytes.
        epochs: most passes over the images.
        seconds: most seconds of training of one run.
        runs: runs that a visitor may have at a time.
        queue: runs that may wait or train at a time, all visitors together.
        uploads: sets of images that a visitor may have at a time.
        images: most images of an uploaded set.
        upload_mb: largest zip, and largest set of images once expanded, in megabytes.
        disk_gb: all runs, images and caches together, in gigabytes; beyond it nothing new is taken.
        keep_hours: what a visitor made is deleted so many hours after its last change.
        program_url: where visitors can get the program for a machine of their own.
    """

    image_size: Annotated[int, Field(ge=32)] = 64
    depth: Annotated[int, Field(ge=1)] = 6
    embed_dim: Annotated[int, Field(ge=16)] = 256
    run_mb: Annotated[int, Field(ge=10)] = 400
    memory_mb: Annotated[int, Field(ge=1000)] = 3000
    epochs: Annotated[int, Field(ge=2)] = 20
    seconds: Annotated[float, Field(ge=1)] = 300.0
    runs: Annotated[int, Field(ge=1)] = 4
    queue: Annotated[int, Field(ge=1)] = 8
    uploads: Annotated[int, Field(ge=1)] = 4
    images: Annotated[int, Field(ge=2)] = 20_000
    upload_mb: Annotated[int, Field(ge=1)] = 100
    disk_gb: Annotated[float, Field(gt=0)] = 10.0
    keep_hours: Annotated[float, Field(gt=0)] = 72.0
    program_url: Annotated[str, Field(pattern=r"^(https?://[^\s()<>]+)?$")] = ""

    @property
    def kept(self) -> str:
        """How long things stay, in words."""
        days = self.keep_hours / 24
        if days >= 2 and days.is_integer():
            return f"{days:.0f} days"
        return f"{self.keep_hours:g} hour{'' if self.keep_hours == 1 else 's'}"

    def check_model(self, model: ModelConfig) -> None:
        """Whether a network is small enough to be looked at here.

        Raises:
            SettingsError: it is not; the sentence names the bound.
        """
        for field, words in (("image_size", "images of"), ("depth", "a depth of"), ("embed_dim", "a width of")):
            value, most = getattr(model, field, 0), getattr(self, field)
            if value > most:
                raise SettingsError(f"This demo takes {words} {most} at most, not {value}: choose a smaller one.")
        most = (self.image_size // PATCH_SIZES[0]) ** 2
        if isinstance(model, TransformerConfig) and model.grid**2 > most:
            raise SettingsError(f"This demo takes {most:,} patches at most, not {model.grid**2:,}: choose larger ones.")

    def check_files(self, config: RunConfig) -> None:
        """Whether a run is small enough to be kept here.

        Raises:
            SettingsError: its network or its files are too large; the sentence names the bound.
        """
        self.check_model(config.model)
        megabytes = disk_bytes(config) / MB
        if megabytes > self.run_mb:
            raise SettingsError(
                f"This demo takes runs of {self.run_mb:,} MB at most, not {megabytes:,.0f} MB: "
                "choose a smaller network."
            )

    def check(self, config: RunConfig) -> None:
        """Whether a run may be trained here.

        Raises:
            SettingsError: it is beyond a bound, which the sentence names.
        """
        self.check_files(config)
        if config.training.epochs > self.epochs:
            raise SettingsError(
                f"This demo trains {self.epochs} epochs at most, not {config.training.epochs:,}: choose fewer."
            )
        megabytes = memory_bytes(config, "cpu") / MB
        if megabytes > self.memory_mb:
            raise SettingsError(
                f"This demo gives a training {self.memory_mb:,} MB of memory at most, not {megabytes:,.0f} MB: "
                "choose smaller batches or a smaller network."
            )

    def owned(self, config: RunConfig, owner: str) -> RunConfig:
        """The settings as this demo keeps them: of this visitor, for its seconds at most, written no oftener than it is
        usual, by one process, and on as many threads as the machine likes."""
        seconds = min(config.training.max_seconds or self.seconds, self.seconds)
        recipe = config.training.model_copy(
            update={"max_seconds": seconds, "resume_steps": None, "threads": None, "processes": 1}
        )
        return config.model_copy(update={"owner": owner, "training": recipe})

    def bounded(self, config: RunConfig, owner: str) -> RunConfig:
        """The settings as this demo trains them.

        Raises:
            SettingsError: they are beyond its bounds; the sentence names the bound.
        """
        self.check(config)
        return self.owned(config, owner)


def in_force(table: Mapping[str, Any] | None = None) -> DemoLimits | None:
    """The bounds that this server is under; None where it is its user's own.

    Args:
        table: ``[demo]`` of the server's secrets, where there is one.

    Raises:
        SettingsError: the table names a bound that there is not, or a value that cannot be one.
    """
    asked = os.environ.get(SWITCH, "").strip().lower() not in ("", "0", "false", "no")
    return DemoLimits(**table or {}) if asked or table is not None else None


def owner_mark(*identity: str) -> str:
    """The mark of a visitor in the files of a run: a hash, from which the cookie or the account cannot be told."""
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]
