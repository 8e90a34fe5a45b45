"""Remove server paths and owners from what a visitor sees or downloads."""

import os
import re

from pages.access.identity import bounds
from vit import flags
from vit.config import RunConfig
from vit.paths import checkpoints_dir, data_dir, project_root
from vit.sweeps import sweep
from vit.sweeps.config import SweepConfig

_PATH = re.compile(r"(?<![\w.:/\\])(?:/|[A-Za-z]:\\)(?:[^\s/\\'\":;,()<>]+[/\\])+(?=[^\s/\\'\":;,()<>])")


def without_paths(text: str) -> str:
    """A sentence as a visitor of a demo may read it: of folders of the server only the last name."""
    if bounds() is None:
        return text
    for root in (checkpoints_dir(), data_dir(), project_root()):  # they may have spaces in them
        text = text.replace(f"{root}{os.sep}", "")
    return _PATH.sub("", text)


def command(config: RunConfig, name: str | None) -> str:
    """The command that trains a run with these settings; on a demo, without where the images lie on the server."""
    return flags.command_line(config if bounds() is None else without_private_settings(config), name)


def sweep_command(config: SweepConfig) -> str:
    """The command that trains a sweep; on a demo, without where the images lie on the server."""
    base = config.base if bounds() is None else without_private_settings(config.base)
    return sweep.command_line(config.model_copy(update={"base": base}))


def without_private_settings(config: RunConfig) -> RunConfig:
    images = config.data.model_copy(update={"source": last_name(config.data.source)})
    return config.model_copy(update={"owner": "", "data": images})


def last_name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
