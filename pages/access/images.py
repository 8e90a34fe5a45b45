"""Data sets, uploads and pictures that the visitor may use."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import streamlit as st
from PIL import Image

from pages.access import cleanup
from pages.access.identity import admission_lock, bounds, owner, require_visitor
from pages.access.uploaded_files import opened, release
from pages.server.limits import MB, DemoLimits
from vit import data, runs
from vit.data import DataInfo
from vit.data.catalog import catalog
from vit.data.files import pictures, uploads, zips
from vit.data.files.uploads import Upload, list_uploads
from vit.errors import DataError, RunError
from vit.paths import data_dir, owned_dir
from vit.runs import Run
from vit.runs.privacy import last_name


@contextmanager
def weights_files(files: Sequence[BinaryIO]) -> Iterator[Path]:
    """Store an uploaded weights file, or the parts of one, on disk while it is read.

    Args:
        files: one file, or all parts of a sharded model in any order.

    Raises:
        UserError: the files exceed a limit of the demo, or the disk is full.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(opened(file)) for file in files]
        limits = bounds()
        if limits is not None:
            cleanup.check_disk(limits, sum(check_upload(stream, limits) for stream in streams))
        with _copied(streams) as path:
            yield path


@contextmanager
def _copied(files: Sequence[BinaryIO]) -> Iterator[Path]:
    """Copy files into a temporary folder, under names by which a sharded model is found, and yield the first path."""
    try:
        with zips.temporary_folder(data_dir()) as folder:
            for number, file in enumerate(files, start=1):  # names of our own: an uploaded one could name any file
                part = f"-{number:05}-of-{len(files):05}" if len(files) > 1 else ""
                with (folder / f"weights{part}.safetensors").open("wb") as target:
                    shutil.copyfileobj(file, target)
            yield next(folder.glob("*.safetensors"))
    except OSError as error:
        raise DataError(f"The file cannot be written to {data_dir()}: {error.strerror or error}.") from error


def sources(owner: str) -> list[DataInfo]:
    """Return :func:`vit.data.sources` of an owner; on a demo without data sets that are not downloaded."""
    found = data.sources(owner)
    return found if bounds() is None else [info for info in found if info.ready]


def is_ready(source: str) -> bool:
    """Return whether a data set can be used without a download."""
    return data.is_ready(source)


def check_source(source: str) -> None:
    """Check that the visitor may use a data set: on a demo no folder of the server and no other visitor's upload.

    Raises:
        DataError: the visitor may not use it.
    """
    if bounds() is None or source == data.SCENES or (source in catalog.CATALOG and catalog.is_ready(source)):
        return
    if source not in list_uploads(owner()):
        raise DataError(
            "This demo trains on the data sets of its list and on images that you upload: choose one of those."
        )


def store_upload(file: BinaryIO, *, recorded: bool = False) -> str:
    """Store a zip of images for the visitor, within the limits of the demo.

    Args:
        file: the zip.
        recorded: whether it was recorded with the camera; then it is split by burst
            (:func:`vit.data.store_recording`).

    Raises:
        UserError: the file is not a zip of images, or exceeds a limit.
    """
    with opened(file) as stream:
        source = _store(file.name, stream, data.store_recording if recorded else data.store_upload)
    release(file)
    return source


def _store(name: str, file: BinaryIO, store: Callable[..., str]) -> str:
    limits = bounds()
    if limits is None:
        return store(name, file)
    mine = require_visitor()
    size = check_upload(file, limits)
    with admission_lock:
        cleanup.check_disk(limits, size)
        cleanup.make_room(mine, limits.uploads)
    source = store(name, file, owner=mine, bytes_max=limits.upload_mb * MB, entries_max=limits.images)
    cleanup.touch(Path(source))
    cleanup.measure_anew()
    return source


def stored_uploads() -> list[Upload]:
    """Return the visitor's uploads with their sizes, newest first."""
    return uploads.stored_uploads(owner())


def runs_with(source: str) -> list[Run]:
    """Return the visitor's runs that use a data set."""
    return [run for run in runs.list_runs() if run.config.data.source == source and run.config.owner == owner()]


def delete_upload(source: str) -> None:
    """Delete an upload of the visitor.

    Raises:
        UserError: it does not exist, or a run is training on it or waits to do so.
    """
    active = [run.name for run in runs_with(source) if run.active]
    if active:
        raise RunError(f"The run {active[0]!r} needs these images: stop it, or wait until it ends.")
    uploads.delete_upload(source, owner())
    offered.clear()
    cleanup.measure_anew()


def upload_mb(most: int | None = None) -> int | None:
    """Return the largest upload in MB; None for the limit of the server.

    Args:
        most: limit of this kind of file; None for no further limit.
    """
    limits = bounds()
    return most if limits is None else min(most or limits.upload_mb, limits.upload_mb)


def list_pictures() -> list[str]:
    """Return the ids of the visitor's uploaded images, newest first."""
    return pictures.list_pictures(owner())


def open_picture(picture_id: str) -> Image.Image:
    return pictures.open_picture(picture_id, owner())


def picture_name(picture_id: str) -> str:
    """Return the file name of one of the visitor's uploaded images: untrusted text, empty if it had none."""
    return pictures.picture_name(picture_id, owner())


def save_picture(image: Image.Image, name: str = "") -> str:
    """Save an uploaded image for the visitor and return its id.

    Args:
        image: the image.
        name: the name of its file.

    Raises:
        UserError: it cannot be saved, or a limit of the demo is reached.
    """
    limits = bounds()
    if limits is not None:
        require_visitor()
        cleanup.check_disk(limits)
    return pictures.save_picture(image, owner(), name)


def check_upload(file: BinaryIO, limits: DemoLimits) -> int:
    """Return the size of an uploaded file in bytes.

    Raises:
        DataError: the file is larger than the demo allows.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > limits.upload_mb * MB:
        raise DataError(f"This demo takes files of {limits.upload_mb} MB at most, not {size / MB:,.0f} MB.")
    return size


def own_source(source: str, mine: str) -> str:
    """Return the data set of a run from a zip: a built-in one, or the path of the visitor's upload with its name.

    A run that was downloaded here finds its images again, and no run can name a folder of the server.
    """
    if not source or data.is_name(source):
        return source
    name = re.sub(r"[^a-z0-9]+", "-", last_name(source).lower())[:80].strip("-")
    return str(owned_dir(mine) / "uploads" / (name or "images"))


@st.cache_data(ttl=20, max_entries=64, show_spinner=False)
def offered(owner: str) -> dict[str, str]:
    """Return the titles of the data sets that an owner can choose by name, by source; all titles differ."""
    found = sources(owner)
    titles = [entry.title for entry in found]
    return {
        entry.source: entry.title if titles.count(entry.title) == 1 else f"{entry.title} ({Path(entry.source).name})"
        for entry in found
    }
