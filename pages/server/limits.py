"""Limits of a public demo, and the marks of its visitors.

``VIT_DEMO=1`` or a table ``[demo]`` in ``.streamlit/secrets.toml`` switches the limits on; the table can set each.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pages.server import secrets
from vit.config import PATCH_SIZES, ModelConfig, RunConfig, TransformerConfig
from vit.config.base import Settings
from vit.cost.estimate import disk_bytes, memory_bytes
from vit.errors import SettingsError
from vit.runs.teachers import teacher_model

SWITCH = "VIT_DEMO"
MB = 10**6


class DemoLimits(Settings):
    """Limits of a demo.

    Attributes:
        image_size: largest image side in pixels.
        depth: largest number of blocks.
        embed_dim: largest token width.
        run_mb: largest run on disk in megabytes, estimated from its settings.
        memory_mb: largest memory of a training in megabytes, estimated from its settings.
        epochs: largest number of epochs.
        seconds: longest training of one run in seconds.
        runs: number of runs per visitor.
        queue: number of queued and active runs of all visitors together.
        queue_per_address: number of queued and active runs of one internet address, with sign-in of one account; 0 for
            half of the queue, or ``runs`` if that is more.
        address_header: header in which the proxy in front of this server writes the visitor's address; empty if
            visitors connect directly.
        uploads: number of uploaded data sets per visitor.
        images: largest number of images in an uploaded data set.
        upload_mb: largest zip, and largest data set after unpacking, in megabytes.
        disk_gb: disk space for all runs, images and caches in gigabytes.
        keep_hours: hours after which unused files of a visitor are deleted.
        program_url: where visitors can download the program; empty for no link.
    """

    image_size: Annotated[int, Field(ge=32)] = 64
    depth: Annotated[int, Field(ge=1)] = 6
    embed_dim: Annotated[int, Field(ge=16)] = 256
    run_mb: Annotated[int, Field(ge=10)] = 400
    memory_mb: Annotated[int, Field(ge=1000)] = 3000
    epochs: Annotated[int, Field(ge=2)] = 30
    seconds: Annotated[float, Field(ge=1)] = 300.0
    runs: Annotated[int, Field(ge=1)] = 4
    queue: Annotated[int, Field(ge=1)] = 8
    queue_per_address: Annotated[int, Field(ge=0)] = 0
    address_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = ""
    uploads: Annotated[int, Field(ge=1)] = 4
    images: Annotated[int, Field(ge=2)] = 20_000
    upload_mb: Annotated[int, Field(ge=1)] = 100
    disk_gb: Annotated[float, Field(gt=0)] = 10.0
    keep_hours: Annotated[float, Field(gt=0)] = 72.0
    program_url: Annotated[str, Field(pattern=r"^(https?://[^\s()<>]+)?$")] = ""

    @property
    def places_per_address(self) -> int:
        """:attr:`queue_per_address`, or what 0 stands for."""
        return self.queue_per_address or max(self.runs, self.queue // 2)

    @property
    def kept(self) -> str:
        """:attr:`keep_hours` as text, such as "3 days"."""
        days = self.keep_hours / 24
        if days >= 2 and days.is_integer():
            return f"{days:.0f} days"
        return f"{self.keep_hours:g} hour{'' if self.keep_hours == 1 else 's'}"

    def check_model(self, model: ModelConfig) -> None:
        """Check that a network is small enough to be shown on this demo.

        Raises:
            SettingsError: the network exceeds a limit.
        """
        for field, words in (("image_size", "images of"), ("depth", "a depth of"), ("embed_dim", "a width of")):
            value, most = getattr(model, field, 0), getattr(self, field)
            if value > most:
                raise SettingsError(f"This demo takes {words} {most} at most, not {value}: choose a smaller one.")
        most = (self.image_size // PATCH_SIZES[0]) ** 2
        if isinstance(model, TransformerConfig) and model.grid**2 > most:
            raise SettingsError(f"This demo takes {most:,} patches at most, not {model.grid**2:,}: choose larger ones.")

    def check_files(self, config: RunConfig) -> None:
        """Check that a run is small enough to be kept on this demo.

        Raises:
            SettingsError: its network or its files exceed a limit.
        """
        self.check_model(config.model)
        megabytes = disk_bytes(config) / MB
        if megabytes > self.run_mb:
            raise SettingsError(
                f"This demo takes runs of {self.run_mb:,} MB at most, not {megabytes:,.0f} MB: "
                "choose a smaller network."
            )

    def check(self, config: RunConfig) -> None:
        """Check that a run may be trained on this demo.

        Raises:
            SettingsError: the run exceeds a limit.
        """
        self.check_files(config)
        if config.training.epochs > self.epochs:
            raise SettingsError(
                f"This demo trains {self.epochs} epochs at most, not {config.training.epochs:,}: choose fewer."
            )
        megabytes = memory_bytes(config, "cpu", teacher=teacher_model(config)) / MB
        if megabytes > self.memory_mb:
            raise SettingsError(
                f"This demo gives a training {self.memory_mb:,} MB of memory at most, not {megabytes:,.0f} MB: "
                "choose smaller batches or a smaller network."
            )

    def owned(self, config: RunConfig, owner: str) -> RunConfig:
        """Return the settings as this demo stores them.

        They belong to the visitor, train for at most :attr:`seconds`, and do not choose processes, threads or extra
        resume checkpoints.
        """
        seconds = min(config.training.max_seconds or self.seconds, self.seconds)
        recipe = config.training.model_copy(
            update={"max_seconds": seconds, "resume_steps": None, "threads": None, "processes": 1}
        )
        return config.model_copy(update={"owner": owner, "training": recipe})

    def bounded(self, config: RunConfig, owner: str) -> RunConfig:
        """Return :meth:`owned` settings after checking them.

        Raises:
            SettingsError: they exceed a limit.
        """
        self.check(config)
        return self.owned(config, owner)


def in_force(table: Mapping[str, Any] | None = None) -> DemoLimits | None:
    """Return the limits of this server; None if it is not a demo.

    Args:
        table: ``[demo]`` of the server's secrets; None if there is none.

    Raises:
        SettingsError: the table has an unknown name or an invalid value.
    """
    asked = os.environ.get(SWITCH, "").strip().lower() not in ("", "0", "false", "no")
    return DemoLimits(**table or {}) if asked or table is not None else None


def demo_limits() -> DemoLimits | None:
    """Return the limits of this demo, with defaults if they cannot be read; None on the user's own machine."""
    try:
        return in_force(secrets.table("demo"))
    except SettingsError:
        return DemoLimits()


def owner_mark(*identity: str) -> str:
    """Return the owner mark of a visitor: a hash that does not reveal the cookie or account it is made from."""
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]
