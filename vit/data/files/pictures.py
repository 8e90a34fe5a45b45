"""Uploaded pictures, stored under the hash of their content, so that links to a view can find them again."""

import hashlib
import io
import os
import re
import secrets
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vit.data.files.images import DETAIL
from vit.errors import DataError
from vit.paths import owned_dir
from vit.support.untrusted_text import shown

KEPT, KEPT_OF_VISITOR = 200, 50
"""Number of newest pictures that are kept, without owners and for each visitor."""

SIDE_MAX = DETAIL
"""Larger pictures are reduced to this side."""

NAME_COLUMNS = 80
"""Longest name of a picture; the middle of a longer one is left out."""

_ID = re.compile(r"[0-9a-f]{16}")
_NAME = "Title"  # the keyword of the PNG standard for a caption


def save_picture(image: Image.Image, owner: str = "", name: str = "") -> str:
    """Store a picture as RGB of at most 1024 pixels per side, and return its id; equal pictures have equal ids.

    Args:
        image: the picture.
        owner: id of the visitor who owns it (:attr:`vit.config.RunConfig.owner`); others cannot open it.
        name: name of the file that it came in, which is stored inside the picture and never used as a path. If an equal
            picture is stored already, it gets this name.

    Raises:
        DataError: the picture cannot be written.
    """
    image = image if image.mode == "RGB" else image.convert("RGB")  # does not copy a large image
    scale = SIDE_MAX / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    prefix = b"%d %d " % image.size
    picture_id = hashlib.sha256(prefix + image.tobytes()).hexdigest()[:16]
    path = _path(picture_id, owner)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        called = shown(re.split(r"[/\\]", name)[-1], NAME_COLUMNS).strip()
        if path.exists() and called in ("", picture_name(picture_id, owner)):
            path.touch()  # makes it the newest
            return picture_id
        content, notes = io.BytesIO(), PngInfo()
        if called:
            notes.add_itxt(_NAME, called)
        image.save(content, "PNG", pnginfo=notes)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        temporary.write_bytes(content.getvalue())
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"The picture cannot be written to {path.parent}: {error.strerror or error}.") from error
    for old in list_pictures(owner)[KEPT_OF_VISITOR if owner else KEPT :]:
        _path(old, owner).unlink(missing_ok=True)
    return picture_id


def open_picture(picture_id: str, owner: str = "") -> Image.Image:
    """Open a stored picture of this owner as RGB.

    Raises:
        DataError: there is no picture with this id, or no longer.
    """
    gone = DataError("This picture is no longer kept: upload it again.")
    if not _ID.fullmatch(picture_id):
        raise gone
    try:
        with Image.open(_path(picture_id, owner), formats=["PNG"]) as image:
            return image.convert("RGB")
    except OSError as error:
        raise gone from error


def picture_name(picture_id: str, owner: str = "") -> str:
    """Return the file name that a picture was uploaded with, or an empty string; it is untrusted text."""
    if not _ID.fullmatch(picture_id):
        return ""
    try:
        with Image.open(_path(picture_id, owner), formats=["PNG"]) as image:  # reads only the head of the file
            return str(image.info.get(_NAME, ""))
    except OSError:
        return ""


def list_pictures(owner: str = "") -> list[str]:
    """Return the ids of the stored pictures of this owner, newest first."""
    try:
        with os.scandir(_path("", owner).parent) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name.removesuffix(".png")) for entry in entries]
    except OSError:
        return []
    return [name for _, name in sorted(found, reverse=True) if _ID.fullmatch(name)]


def _path(picture_id: str, owner: str) -> Path:
    return owned_dir(owner) / "pictures" / f"{picture_id}.png"
