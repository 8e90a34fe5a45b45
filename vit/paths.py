"""Folders of the project: runs, data sets, uploads."""

import os
import re
from pathlib import Path

from vit.errors import SettingsError

RUN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""Valid name of a run: a folder name that is safe on every file system and in every link."""

OWNER = re.compile(r"[0-9a-f]{32}")
"""Id of a visitor."""


_PACKAGE = Path(__file__).resolve().parent
_APPLICATION = "vit-attention-explorer"


def library_root() -> Path:
    """Return the folder that contains ``vit/``: a checkout, or the folder of installed packages."""
    return _PACKAGE.parent


def is_installed() -> bool:
    """Return whether this is an installed package, which contains the app, and not a checkout."""
    return (_PACKAGE / "app").is_dir()


def project_root() -> Path:
    """Return the folder that contains ``streamlit_app.py``, ``pages/`` and the included runs in ``checkpoints/``."""
    return _PACKAGE / "app" if is_installed() else library_root()


def _home() -> Path:
    """Return the folder of runs and data: a checkout itself, or the user's own folder, by the system's conventions."""
    if not is_installed():
        return library_root()
    import platformdirs

    return platformdirs.user_data_path(_APPLICATION, appauthor=False)


def checkpoints_dir() -> Path:
    """Return the folder of runs: ``$VIT_CHECKPOINTS``, or ``checkpoints/`` of the project or the user's folder."""
    return Path(os.environ.get("VIT_CHECKPOINTS") or _home() / "checkpoints").expanduser().absolute()


def data_dir() -> Path:
    """Return the folder of data sets, decoded images and uploads: ``$VIT_DATA``, or ``data/`` beside the runs."""
    return Path(os.environ.get("VIT_DATA") or _home() / "data").expanduser().absolute()


def owned_dir(owner: str) -> Path:
    """Return the folder of an owner's uploads and pictures (:attr:`RunConfig.owner`); the data folder if there is none.

    Raises:
        SettingsError: ``owner`` is not the id of a visitor.
    """
    if owner and not OWNER.fullmatch(owner):
        raise SettingsError(f"{owner[:40]!r} is not the id of a visitor: it must have 32 hexadecimal digits.")
    return data_dir() / "visitors" / owner if owner else data_dir()
