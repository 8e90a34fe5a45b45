"""Data sets of the Hugging Face hub, ``hf:OWNER/NAME`` or ``hf:OWNER/NAME/CONFIGURATION``.

The package ``datasets`` describes, previews and downloads them in a process of its own (:mod:`hub_process`), which can
be stopped at any moment and whose memory does not count here. A download is kept as parquet files in ``hub/`` of the
folder of data sets, and read like any other parquet files. No code from the hub is run.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from vit.config import AUTO_IMAGE_SIZE_MAX, Columns
from vit.data.cache import Progress
from vit.data.files.images import Square, read_square
from vit.data.records import DataInfo, Offered
from vit.data.tables.columns import Column, choose, split_of
from vit.errors import DataError
from vit.paths import data_dir
from vit.support import optional_packages

if TYPE_CHECKING:
    from vit.data.files.folders import Index

PREFIX = "hf:"
PURPOSE = "Reading data sets of the Hugging Face hub"
ABOUT = "about.json"
"""File in the folder of a downloaded data set: what the hub said about it."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"{PREFIX}({_PART}(?:/{_PART})?)(?:/([\w.+-]{{1,100}}))?")
_PROGRAM = Path(__file__).with_name("hub_process.py")
_PATIENCE = 90
"""Seconds for a description or a preview."""
_REMEMBERED = 600
"""Seconds for which a description is not asked for again."""
_POLL = 0.5
_ANSWER_MAX = 2**24


def is_hub(source: str) -> bool:
    """Return whether a source names a data set of the hub."""
    return source.startswith(PREFIX)


def parse(source: str) -> tuple[str, str]:
    """Return the repository and the configuration of a source; the latter is empty for the only one.

    Raises:
        DataError: the hub has no such names.
    """
    if found := _NAME.fullmatch(source):
        return found[1], found[2] or ""
    raise DataError(f"{source[:80]!r} is no data set of the Hugging Face hub: write hf:OWNER/NAME.")


def folder_of(source: str) -> Path:
    """Return the folder of a downloaded data set."""
    return data_dir() / "hub" / "--".join(part for part in parse(source) if part).replace("/", "--")


def open_downloaded(source: str, columns: Columns, *, to_train: bool = True) -> "Index":
    """Return the index of a downloaded data set.

    Raises:
        DataError: it is not downloaded, or has no images with classes.
    """
    from vit.data.tables.find import open_table

    folder = folder_of(source)
    if not folder.is_dir():
        raise DataError(
            f"{source} is not downloaded yet: download it on the Train page, or with `python -m vit data --dataset "
            f"{source}`."
        )
    if (index := open_table(folder, columns, to_train=to_train)) is None:
        raise DataError(f"{source} was downloaded, but {folder} has no images: remove it and download it again.")
    return index


def licence_of(source: str) -> str:
    """Return the licence that the hub states for a downloaded data set; empty for other sources."""
    if not is_hub(source):
        return ""
    try:
        return _licence(json.loads((folder_of(source) / ABOUT).read_text("utf-8")))
    except (DataError, OSError, ValueError):
        return ""


def describe_remote(source: str, wanted: Columns) -> DataInfo:
    """Describe a data set of the hub without downloading its images.

    Raises:
        DataError: there is no such data set, no connection, several configurations, or no images with classes.
        UserError: the package datasets is not installed.
    """
    about = _about(source)
    offered = _offered(source, about, wanted)
    counts = {"train": 0, "val": 0, "test": 0}
    for name, count in about["splits"].items():
        if found := split_of(name):
            counts[found] += count or 0
    val = counts["val"] or counts["test"] or round(counts["train"] / 5)
    only = sum(map(bool, counts.values())) == 1
    train = counts["train"] or counts["test"]
    return DataInfo(
        source=source,
        title=source.removeprefix(PREFIX),
        class_names=tuple(about["columns"][offered.chosen.label]["names"]),
        train_count=train - round(train / 5) if only else train,
        val_count=round(train / 5) if only else val,
        image_size=AUTO_IMAGE_SIZE_MAX,
        auto_image_size=AUTO_IMAGE_SIZE_MAX,
        ready=False,
        download_bytes=about["download_bytes"],
        licence=_licence(about),
        offered=offered,
    )


def sample_remote(source: str, count: int, square: Square, wanted: Columns) -> list[tuple[np.ndarray, str]]:
    """Return a few images of a data set of the hub with their classes: the first of a stream, nothing is kept.

    Raises:
        DataError: as for :func:`describe_remote`.
    """
    about = _about(source)
    columns = _offered(source, about, wanted).chosen
    split = next((name for name in about["splits"] if split_of(name) == "train"), next(iter(about["splits"]), ""))
    names = about["columns"][columns.label]["names"]
    found: list[tuple[np.ndarray, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        labels = _checked(_ask("sample", source, split, *columns, str(count), folder), source)["labels"]
        for number, label in enumerate(labels):
            with suppress(DataError):
                text = names[label] if isinstance(label, int) and 0 <= label < len(names) else str(label)
                found.append((read_square(Path(folder) / str(number), square), text))
    return found


def download(source: str, progress: Progress | None = None) -> None:
    """Download a data set of the hub, unless it is on this machine already.

    Args:
        source: its name.
        progress: called with bytes on the disk and bytes in total (0 if the hub does not say); an exception from it
            ends the download.

    Raises:
        DataError: there is no such data set, no connection, or too little disk space. Nothing is left on the disk.
        UserError: the package datasets is not installed.
    """
    repository, configuration = parse(source)
    target = folder_of(source)
    if target.is_dir():
        return
    total = int(describe_remote(source, Columns()).download_bytes or 0)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if total * 3 > (free := shutil.disk_usage(target.parent).free):
            raise DataError(
                f"{source} needs {total * 3 / 2**30:.1f} GB of disk space and {free / 2**30:.1f} GB are free: free "
                "some space, or set VIT_DATA to a folder on another disk."
            )
        with FileLock(target.parent / f".{target.name}.lock"):
            if target.is_dir():
                return
            part = target.parent / f".{target.name}.part"
            shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed
            part.mkdir()
            try:
                command = [sys.executable, "-P", str(_PROGRAM), "download", repository, configuration, str(part)]
                with (part / "log.txt").open("w+b") as log:
                    _follow(command, log, part, total, progress or (lambda done, all_: None))
                    log.seek(0)
                    _checked(_answer(log.read(_ANSWER_MAX), source), source)
                (part / "data").rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{source} cannot be written to {target}: {error.strerror or error}.") from error


def _follow(command: list[str], log: Any, folder: Path, total: int, progress: Progress) -> None:
    """Run a command to its end and report how many bytes its folder has; an exception of the report ends it."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                done = sum(file.stat().st_size for file in _files(folder / "cache"))
                progress(min(done, total) if total else done, total)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL)
        finally:
            if process.poll() is None:
                process.kill()


def _files(folder: Path) -> list[Path]:
    with suppress(OSError):  # the files of a download come and go
        return [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return []


def _about(source: str) -> dict[str, Any]:
    """Return what the hub says about a data set.

    Raises:
        DataError: it says what is wrong.
    """
    return _checked(_remembered(source, int(time.monotonic() // _REMEMBERED)), source)


@lru_cache(maxsize=32)
def _remembered(source: str, _: int) -> dict[str, Any]:
    """Return the answer about a data set, also an error; the second argument changes when it is to be asked again."""
    return _ask("describe", source)


def _ask(command: str, source: str, *arguments: str) -> dict[str, Any]:
    """Run the program of the other process and return its answer.

    Raises:
        DataError: it does not answer.
        UserError: the package datasets is not installed.
    """
    optional_packages.check(PURPOSE, "datasets")
    words = [sys.executable, "-P", str(_PROGRAM), command, *parse(source), *arguments]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise DataError(f"The Hugging Face hub did not answer about {source} in {_PATIENCE} s: try again.") from None
    return _answer(done.stdout[-_ANSWER_MAX:], source)


def _answer(output: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object in the last line of an output.

    Raises:
        DataError: there is none.
    """
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise DataError(f"{source} cannot be read: the package datasets ended without an answer.") from None


def _checked(answer: dict[str, Any], source: str) -> dict[str, Any]:
    """Return an answer, unless it says what is wrong.

    Raises:
        DataError: it does.
    """
    if error := answer.get("error"):
        raise DataError(f"{source} cannot be read from the Hugging Face hub: {' '.join(str(error).split())[:400]}")
    return answer


def _offered(source: str, about: dict[str, Any], wanted: Columns) -> Offered:
    columns = [Column(name, column["kind"]) for name, column in about["columns"].items()]
    offered = choose(source, columns, wanted)
    if about["columns"][offered.chosen.image]["kind"] != "image":
        raise DataError(f"{source} has no column of images: choose another data set.")
    images = tuple(name for name, kind in columns if kind == "image")
    return offered._replace(images=images)


def _licence(about: dict[str, Any]) -> str:
    return str(about.get("licence") or "")[:200] or "None stated on the hub"
