"""Folders of the project: runs, data sets, uploads."""

import os
import re
from pathlib import Path

from vit.errors import SettingsError

RUN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""What a run may be called: a folder name that is safe on every file system and in every link."""

OWNER = re.compile(r"[0-9a-f]{32}")
"""The mark of a visitor."""


def project_root() -> Path:
    """The folder that holds ``vit/``, ``pages/`` and ``checkpoints/``."""
    return Path(__file__).resolve().parent.parent


def checkpoints_dir() -> Path:
    """Where the runs are: ``$VIT_CHECKPOINTS``, or ``checkpoints/`` of the project."""
    return Path(os.environ.get("VIT_CHECKPOINTS") or project_root() / "checkpoints").expanduser().absolute()


def data_dir() -> Path:
    """Where data sets, their decoded caches and uploads are kept: ``$VIT_DATA``, or ``data/`` of the project."""
    return Path(os.environ.get("VIT_DATA") or project_root() / "data").expanduser().absolute()


def owned_dir(owner: str) -> Path:
    """Where the uploads and pictures of one visitor lie (:attr:`RunConfig.owner`); of nobody in particular, the data.

    Raises:
        SettingsError: this is no owner's mark.
    """
    if owner and not OWNER.fullmatch(owner):
        raise SettingsError(f"{owner[:40]!r} marks no visitor.")
    return data_dir() / "visitors" / owner if owner else data_dir()
