"""Find the files of one model: a safetensors file, the parts of a sharded one, or what a folder holds."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from vit.errors import UserError

SUFFIX = ".safetensors"
INDEX = ".index.json"
"""Ending of the file that lists the parts of a sharded model, ``model.safetensors.index.json``."""
_INDEX_BYTES_MAX = 16 * 2**20
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})\.safetensors", re.IGNORECASE)


def find(path: Path, title: str | None = None) -> tuple[Path, ...]:
    """Return the files that hold the weights of one model.

    Args:
        path: a safetensors file, one part of a sharded model, the index of its parts, or a folder with one model.
        title: name of the file for messages, if its path is temporary.

    Raises:
        UserError: a part is missing, the index is invalid, or the folder holds no model or several.
    """
    if path.is_dir():
        path = _in_folder(path)
    if path.name.endswith(INDEX):
        return _of_index(path)
    if _PART.fullmatch(path.name):
        return _with_siblings(path, title or path.name)
    return (path,)


def stem(name: str) -> str:
    """Return the name of a file of weights without its ending, its number and what an index adds to it."""
    if part := _PART.fullmatch(name):
        return part["stem"]
    return name.removesuffix(INDEX).removesuffix(SUFFIX)


def are_one_model(names: Iterable[str]) -> bool:
    """Return whether files with these names are all parts of one sharded model.

    Raises:
        UserError: they are parts of one model, but some are missing.
    """
    found = [_PART.fullmatch(name) for name in names]
    if not found or not all(found):
        return False
    kinds = {(part["stem"], part["total"]) for part in found if part}
    numbers = {int(part["number"]) for part in found if part}
    if len(kinds) != 1 or len(numbers) != len(found):
        return False
    total = int(kinds.pop()[1])
    if numbers != set(range(1, total + 1)):
        missing = next(number for number in range(1, total + 1) if number not in numbers)
        raise UserError(
            f"Part {missing} of the {total} parts of the model is missing: open all parts together, from one folder."
        )
    return True


def _in_folder(folder: Path) -> Path:
    """Return the one model in a folder: its usual names first, then any safetensors file."""
    for name in (f"model{SUFFIX}", f"model{SUFFIX}{INDEX}"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    models = {stem(path.name) for path in found}
    if not found:
        raise UserError(f"The folder {folder} holds no safetensors file: name the folder or the file of a model.")
    if len(models) > 1:
        raise UserError(f"The folder {folder} holds several models: name one file, such as {found[0].name}.")
    return found[0]


def _of_index(path: Path) -> tuple[Path, ...]:
    invalid = UserError(f"{path.name} is not an index of safetensors files, which has a weight_map.")
    try:
        with path.open("rb") as file:
            text = file.read(_INDEX_BYTES_MAX + 1)
        if len(text) > _INDEX_BYTES_MAX:
            raise invalid
        names = sorted(set(json.loads(text)["weight_map"].values()))
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise invalid from error
    if not names or not all(
        isinstance(name, str) and re.fullmatch(r"[\w.-]{1,200}\.safetensors", name) for name in names
    ):
        raise invalid  # a name with a slash could be any file of this machine
    for name in names:
        if not path.with_name(name).is_file():
            raise UserError(f"{path.name} lists {name[:80]}, which is missing: put all parts into one folder.")
    return tuple(path.with_name(name) for name in names)


def _with_siblings(path: Path, title: str) -> tuple[Path, ...]:
    part = _PART.fullmatch(path.name)
    assert part is not None
    if not path.is_file():
        return (path,)  # reading it gives the reason
    number, total = int(part["number"]), int(part["total"])
    found = sorted(path.parent.glob(f"{_literal(part['stem'])}-[0-9][0-9][0-9][0-9][0-9]-of-{part['total']}{SUFFIX}"))
    if len(found) != total:
        raise UserError(
            f"{title} is part {number} of {total} of a model: put all its parts into one folder, and open one of them "
            "or their index."
        )
    return tuple(found)


def _literal(text: str) -> str:
    """Return a shell pattern for exactly this text."""
    return re.sub(r"([*?\[])", r"[\1]", text)
