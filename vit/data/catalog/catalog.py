"""Well-known data sets by name; they are downloaded on request."""

import shutil

from filelock import FileLock

from vit.data.cache import Progress
from vit.data.catalog import coco, more_sets, torchvision_sets
from vit.data.catalog.entry import CatalogEntry
from vit.errors import DataError
from vit.paths import data_dir

CATALOG: dict[str, CatalogEntry] = {
    listed.name: listed for listed in (*torchvision_sets.SETS, *more_sets.MORE, coco.COCO5)
}
"""The data sets by their name for ``--dataset``."""


def is_ready(name: str) -> bool:
    return CATALOG[name].root() is not None


def download(name: str, progress: Progress | None = None) -> None:
    """Download and unpack a data set, unless it is already on this machine.

    Args:
        name: name of the data set in the catalog.
        progress: called with bytes downloaded and bytes in total; an exception from it ends the download.

    Raises:
        DataError: there is no such data set, no connection, a damaged or altered download, or too little disk space.
            The downloaded part is removed, unless the data set can resume its download.
    """
    if name not in CATALOG:
        raise DataError(f"There is no data set {name!r} in the catalog: choose one of {', '.join(CATALOG)}.")
    listed = CATALOG[name]
    target, temporary = data_dir() / name, data_dir() / f".{name}.part"
    try:
        data_dir().mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir() / f".{name}.lock"):
            if listed.root() is not None:
                return
            if not listed.resumes:
                shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
            temporary.mkdir(exist_ok=True)
            try:
                listed.build(temporary, progress or (lambda done, total: None))
                temporary.rename(target)
            finally:
                if not listed.resumes:
                    shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{listed.title} cannot be written to {target}: {error.strerror or error}.") from error
