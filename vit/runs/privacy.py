"""Remove what is private from a run before it leaves the machine or is shown to a stranger.

Every export uses these functions: the zip of a run, the hub folder, the report and the commands that a demo shows.
"""

import os
import re
from pathlib import Path

from vit.config import RunConfig
from vit.data import is_name
from vit.errors import RunError
from vit.paths import checkpoints_dir, data_dir, project_root
from vit.runs import store
from vit.runs.folder import Status

PRIVATE_RUN = "private-run"
"""Replaces the name of a run that belongs to another visitor."""

_PATH_PREFIX = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|\.{1,2}[/\\]")
_NAME_LETTER = r"[^\s/\\'\":;,()<>]"
# A backslash is doubled where a path is quoted with repr().
_FOLDERS = re.compile(rf"(?<![\w.:/\\~])(?:~|[A-Za-z]:)?[/\\]+(?:{_NAME_LETTER}+[/\\]+)+(?={_NAME_LETTER})")


def without_private_settings(config: RunConfig) -> RunConfig:
    """Return the settings of a run without its owner, folders of this machine and names of other visitors' runs.

    The data set and the published model keep the last part of their path. Apply it once, to the settings as they are
    in the run's folder: the owner decides which runs may be named.
    """
    published = config.published
    changes = {
        "owner": "",
        "data": config.data.model_copy(update={"source": public_source(config.data.source)}),
        "published": last_name(published) if _PATH_PREFIX.match(published) else published,
    }
    if config.start and _belongs_to_another(config.start.run, config.owner):
        changes["start"] = config.start.model_copy(update={"run": PRIVATE_RUN})
    if config.training.teacher and _belongs_to_another(config.training.teacher, config.owner):
        changes["training"] = config.training.model_copy(update={"teacher": PRIVATE_RUN})
    return config.model_copy(update=changes)


def without_private_status(status: Status, config: RunConfig) -> Status:
    """Return a run's status without process marks, and without folders of this machine in its message."""
    message = without_paths(status.message, config.data.source)
    return status.model_copy(update={"message": message, "pid": None, "launch": "", "placed": ""})


def without_paths(text: str, *paths: str) -> str:
    """Return a text in which every absolute path is reduced to its last part.

    Args:
        text: for example the sentence of an error.
        paths: paths that may be in it and that may contain spaces; empty ones and names without folders are ignored.
    """
    for path in paths:
        if len(name := last_name(path)) < len(path):
            text = text.replace(path, name).replace(repr(path)[1:-1], name)
    for root in (checkpoints_dir(), data_dir(), project_root(), Path.home()):  # these may contain spaces, too
        if root != Path(root.anchor):
            text = text.replace(f"{root}{os.sep}", "")
    return _FOLDERS.sub("", text)


def public_source(source: str) -> str:
    """Return the last part of a data set's path; the name of a built-in data set is returned unchanged.

    A folder that is called like a built-in data set becomes ``./name``, so that it is not taken for that one.
    """
    if is_name(source):
        return source
    name = last_name(source)
    return f"./{name}" if is_name(name) else name


def last_name(path: str) -> str:
    """Return the last part of a path in the notation of any system."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _belongs_to_another(name: str, owner: str) -> bool:
    if not (checkpoints_dir() / name).exists():
        return False
    try:
        return store.find_run(name).config.owner not in ("", owner)
    except RunError:  # its owner is unknown
        return True
