"""Well-known data sets by name: downloaded when a person asks for it, or found where they lie."""

import shutil

from filelock import FileLock

from vit.data.cache import Progress
from vit.data.catalog import coco, torchvision_sets
from vit.data.catalog.entry import Listed
from vit.errors import DataError
from vit.paths import data_dir

CATALOG: dict[str, Listed] = {listed.name: listed for listed in (*torchvision_sets.SETS, coco.COCO5)}
"""The sets by the name that ``--dataset`` takes."""


def is_ready(name: str) -> bool:
    """Whether the set lies here."""
    return CATALOG[name].root() is not None


def download(name: str, progress: Progress | None = None) -> None:
    """Fetch and unpack a data set; nothing is done where it is already.

    Args:
        progress: called with bytes fetched and bytes in all; what it raises ends the download.

    Raises:
        DataError: no such set, no connection, a broken or altered download, or too little disk space. What was fetched
            is removed then, or kept where a set goes on from it the next time.
    """
    if name not in CATALOG:
        raise DataError(f"There is no data set {name!r} in the catalog: choose one of {', '.join(CATALOG)}.")
    listed = CATALOG[name]
    target, beside = data_dir() / name, data_dir() / f".{name}.part"
    try:
        data_dir().mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir() / f".{name}.lock"):
            if listed.root() is not None:
                return
            if not listed.resumes:
                shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
            beside.mkdir(exist_ok=True)
            try:
                listed.build(beside, progress or _silent)
                beside.rename(target)
            finally:
                if not listed.resumes:
                    shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{listed.title} cannot be kept in {target}: {error.strerror or error}.") from error


def _silent(done: int, total: int) -> None:
    """The progress of a download that nobody watches."""
