"""Folders of the project: runs, data sets, uploads."""

import os
import re
from pathlib import Path

from vit.errors import SettingsError

RUN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""Valid name of a run: a folder name that is safe on every file system and in every link."""

OWNER = re.compile(r"[0-9a-f]{32}")
"""Id of a visitor."""


def project_root() -> Path:
    """Return the folder that contains ``vit/``, ``pages/`` and ``checkpoints/``."""
    return Path(__file__).resolve().parent.parent


def checkpoints_dir() -> Path:
    """Return the folder of runs: ``$VIT_CHECKPOINTS``, or ``checkpoints/`` of the project."""
    return Path(os.environ.get("VIT_CHECKPOINTS") or project_root() / "checkpoints").expanduser().absolute()


def data_dir() -> Path:
    """Return the folder of data sets, decoded images and uploads: ``$VIT_DATA``, or ``data/`` of the project."""
    return Path(os.environ.get("VIT_DATA") or project_root() / "data").expanduser().absolute()


def owned_dir(owner: str) -> Path:
    """Return the folder of an owner's uploads and pictures (:attr:`RunConfig.owner`); the data folder if there is none.

    Raises:
        SettingsError: ``owner`` is not the id of a visitor.
    """
    if owner and not OWNER.fullmatch(owner):
        raise SettingsError(f"{owner[:40]!r} is not the id of a visitor: it must have 32 hexadecimal digits.")
    return data_dir() / "visitors" / owner if owner else data_dir()
