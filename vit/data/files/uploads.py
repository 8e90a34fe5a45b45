"""Unpack uploaded zips once, within limits, each into its own folder.

Such files are untrusted. Names are checked before anything is written (:mod:`vit.data.files.zips`), and bytes are
counted while they are expanded, because declared sizes may be wrong.
"""

import hashlib
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vit.data.files import folders, zips
from vit.data.files.zip_names import read_names
from vit.errors import DataError
from vit.paths import OWNER, owned_dir

_TINY_BYTES, _TINY_MAX = 32, 1000
"""Shorter than any image, and how many such files are allowed: each costs an entry on the disk."""
_SIGNATURES = re.compile(
    rb"PK\x03\x04|PK\x05\x06|\x1f\x8b\x08|BZh|\xfd7zXZ\x00|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd|.{257}ustar",
    re.DOTALL,
)
"""The first bytes of zip, gzip, bzip2, xz, 7z, RAR, zstd and tar files."""


class Upload(NamedTuple):
    """A stored upload: its source, its title, and its size on the disk in bytes."""

    source: str
    title: str
    size: int


def store_upload(
    name: str,
    file: BinaryIO,
    *,
    owner: str = "",
    bytes_max: int | None = None,
    entries_max: int | None = None,
    arrange: Callable[[Path, str], list[str]] | None = None,
) -> str:
    """Unpack an uploaded zip and return its source, the path of the folder.

    The folder's name contains the file's name and a hash of its content, so the same upload is unpacked only once.

    Args:
        name: name of the file, for the folder's name and for messages.
        file: seekable binary stream.
        owner: id of the visitor who owns it (:attr:`vit.config.RunConfig.owner`); it is not offered to others.
        bytes_max: limit of the expanded size, if lower than :data:`vit.data.files.zips.BYTES_MAX`.
        entries_max: limit of the number of entries, if lower than usual.
        arrange: checks and moves the unpacked files, before their folder gets its name. It gets the temporary folder
            and the title of the upload, and returns remarks to keep with the data set.

    Raises:
        DataError: not a zip, unsafe or too large, or not a set of images in classes. Nothing is left on the disk.
    """
    title = Path(name.replace("\\", "/")).name[:80] or "The upload"
    target = _folder(owner) / f"{zips.slug(name)}-{_digest(file)}"
    if target.is_dir():
        folders.scan(target, title).check()
        return str(target)
    try:
        with zips.temporary_folder(_folder(owner)) as temporary:
            with zips.open_zip(file, title, entries_max or zips.ENTRIES_MAX) as archive:
                remarks = _unpack(archive, title, temporary, file.seek(0, os.SEEK_END), bytes_max or zips.BYTES_MAX)
            if arrange is not None:
                remarks += arrange(temporary, title)
            folders.store_remarks(temporary, remarks)
            folders.scan(temporary, title).check()
            if not target.is_dir():  # the same upload may have been unpacked in another tab meanwhile
                temporary.rename(target)
    except OSError as error:
        raise DataError(f"{title} cannot be unpacked: {error.strerror or error}.") from error
    return str(target)


def list_uploads(owner: str = "") -> list[str]:
    """Return the sources of the stored uploads of this owner, newest first."""
    if not _folder(owner).is_dir():
        return []
    found = [entry for entry in _folder(owner).iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return [str(entry) for entry in sorted(found, key=lambda entry: entry.stat().st_mtime, reverse=True)]


def stored_uploads(owner: str = "") -> list[Upload]:
    """Return the stored uploads of this owner with their sizes, newest first, also those that cannot be read."""
    return [
        Upload(source, upload_title(source) or Path(source).name, _bytes(Path(source)))
        for source in list_uploads(owner)
    ]


def delete_upload(source: str, owner: str = "") -> None:
    """Delete an upload of this owner.

    Raises:
        DataError: the owner has no such upload, or it cannot be deleted.
    """
    if source not in list_uploads(owner):
        raise DataError("This upload does not exist any more: choose another.")
    folder = Path(source)
    deleted = folder.with_name(f".deleted-{folder.name}-{secrets.token_hex(4)}")
    try:
        folder.rename(deleted)  # so that no reader finds half of it
    except OSError as error:
        raise DataError(f"{folder.name} cannot be deleted: {error.strerror or error}.") from error
    shutil.rmtree(deleted, ignore_errors=True)


def _bytes(folder: Path) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


def upload_title(source: str) -> str | None:
    """Return the name of an upload without the hash of its content; None if the source is not an upload."""
    path = Path(source)
    owner = path.parent.parent.name if OWNER.fullmatch(path.parent.parent.name) else ""
    return re.sub(r"-[0-9a-f]{12}$", "", path.name) if path.parent == _folder(owner) else None


def _folder(owner: str) -> Path:
    return owned_dir(owner) / "uploads"


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(2**20):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()[:12]


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path, packed: int, bytes_max: int) -> list[str]:
    """Write the members of a zip, and return remarks on how their names were read."""
    members = zips.members(archive, name)
    free = shutil.disk_usage(folder).free
    limit = min(bytes_max, free // 2)
    zips.check_expansion(members, name, packed, limit)
    remark = read_names(archive.infolist()).remark
    done = tiny = 0
    for member in members:
        path = folder.joinpath(*member.parts)
        if member.is_dir:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        before, done = done, _unpack_file(archive, member, path, name, done, limit, packed)
        tiny += done - before < _TINY_BYTES
        if tiny > _TINY_MAX:
            raise DataError(f"{name} contains over {_TINY_MAX:,} empty files: leave out files that are not images.")
    return [remark] if remark else []


def _unpack_file(
    archive: zipfile.ZipFile, member: zips.Member, path: Path, name: str, done: int, limit: int, packed: int
) -> int:
    """Write one member and return the number of bytes expanded so far, of all members."""
    start = done
    try:
        with path.open("xb") as target:
            for chunk in zips.chunks(archive, member.info, name=f"{name}: {member.parts[-1]!r}"):
                if done == start and _SIGNATURES.match(chunk):
                    raise zips.nested(name, member.parts[-1])
                done += len(chunk)
                if done > limit:
                    raise zips.too_large(name, limit)
                if done > zips.RATIO_FREE_BYTES and done > zips.RATIO_MAX * packed:
                    raise zips.bomb(name)
                target.write(chunk)
    except FileExistsError as error:
        raise DataError(f"{name} contains two files of the same name, {path.name!r}: pack it again.") from error
    return done
