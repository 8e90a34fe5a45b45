"""Pictures that people upload, under the hash of their content: a link to a view finds its picture again."""

import hashlib
import io
import os
import re
import secrets
from pathlib import Path

from PIL import Image

from vit.config import data_dir
from vit.errors import DataError

KEPT = 200
"""The newest so many are kept."""

SIDE_MAX = 1024
"""Longer pictures are reduced to this side; no model here looks closer."""

_ID = re.compile(r"[0-9a-f]{16}")


def save_picture(image: Image.Image) -> str:
    """Keep a picture, as RGB of at most 1024 pixels a side; the same picture has the same id each time."""
    image = image.convert("RGB")
    image.thumbnail((SIDE_MAX, SIDE_MAX))
    size = b"%d %d " % image.size
    picture_id = hashlib.sha256(size + image.tobytes()).hexdigest()[:16]
    path = _path(picture_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.touch()  # looked at again: newest
            return picture_id
        content = io.BytesIO()
        image.save(content, "PNG")
        beside = path.with_name(f".{secrets.token_hex(8)}")
        beside.write_bytes(content.getvalue())
        beside.replace(path)
    except OSError as error:
        raise DataError(f"The picture cannot be kept in {path.parent}: {error.strerror or error}.") from error
    for old in list_pictures()[KEPT:]:
        _path(old).unlink(missing_ok=True)
    return picture_id


def open_picture(picture_id: str) -> Image.Image:
    """A kept picture as RGB.

    Raises:
        DataError: there is none of this id, or no longer.
    """
    gone = DataError("This picture is no longer kept: upload it again.")
    if not _ID.fullmatch(picture_id):
        raise gone
    try:
        with Image.open(_path(picture_id), formats=["PNG"]) as image:
            return image.convert("RGB")
    except OSError as error:
        raise gone from error


def list_pictures() -> list[str]:
    """Ids of the kept pictures, newest first."""
    try:
        with os.scandir(_path("").parent) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name.removesuffix(".png")) for entry in entries]
    except OSError:
        return []
    return [name for _, name in sorted(found, reverse=True) if _ID.fullmatch(name)]


def _path(picture_id: str) -> Path:
    return data_dir() / "pictures" / f"{picture_id}.png"
