"""Read and write the results of a run, in the folder ``results`` of the run's folder. Imports no torch.

A file holds the arrays of one result and a text that says what it was measured on: the weights, the network, the
images and the settings. A file that was measured on anything else is never used. The file may come from a stranger:
everything is checked when it is read.
"""

import io
import json
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic

import numpy as np

from vit.data import Split
from vit.errors import RunError
from vit.results.kinds import BYTES_MAX, Kind, Result, read_arrays
from vit.runs.folder import RESULTS, weights_digest
from vit.runs.run import Run
from vit.runs.store import exclusive_access
from vit.support.files import write_atomic

RESULTS_MAX = 16
"""Maximum number of results of a run; a new one replaces the oldest."""

FOLDER_BYTES_MAX = 64 * 2**20
"""Maximum size of all results of a run; the oldest are removed first."""

ABOUT = "about"
"""The name of the text in a file."""

_DAMAGED = (OSError, ValueError, KeyError, IndexError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile)
_UNCHECKED = (NotImplementedError, RuntimeError)
"""What zipfile raises for a compression or an encryption that it does not know."""


@dataclass(frozen=True)
class StoredResult(Generic[Result]):
    """The place of one result of a run.

    Attributes:
        run: the run.
        kind: the kind of the result.
        about: what it is measured on besides the weights: network, images and settings, as JSON.
        settings: the settings alone, as JSON, or empty; results of a kind with other settings are in other files.
        sizes: the known sizes of axes.
        stamp: :attr:`vit.runs.Run.stamp` of the measured weights.
        writable: whether :meth:`keep` may write into the run's folder.
    """

    run: Run
    kind: Kind[Result]
    about: str
    settings: str
    sizes: tuple[tuple[str, int], ...]
    stamp: int
    writable: bool = True

    @property
    def path(self) -> Path:
        """The file."""
        which = f"-{sha256(self.settings.encode()).hexdigest()[:12]}" if self.settings else ""
        return self.run.path / RESULTS / f"{self.kind.name}{which}.npz"

    def read(self) -> Result | None:
        """Return the result; None if there is none, or if the file is damaged or was measured on something else.

        All callers share the result, which must not be changed.
        """
        path = self.path
        try:
            stat = path.stat()
            if stat.st_size > BYTES_MAX:
                return None
            return _read(self, weights_digest(self.run.path), stat.st_mtime_ns, stat.st_size)
        except (*_DAMAGED, *_UNCHECKED):
            return None

    def write(self, result: Result) -> bool:
        """Store a result of the kept weights; only the holder of the run's lock may write.

        Returns:
            False if it is too large to be stored.

        Raises:
            OSError: the folder cannot be written.
        """
        arrays = self.kind.pack(result)
        if sum(array.nbytes for array in arrays.values()) > BYTES_MAX:
            return False
        about = f"{weights_digest(self.run.path)} {self.about}"
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **{ABOUT: np.array(about)}, **arrays)
        self.path.parent.mkdir(exist_ok=True)
        _make_room(self.path, len(content.getvalue()))
        write_atomic(self.path, content.getvalue())
        return True

    def keep(self, result: Result) -> None:
        """Store a result that was measured after the training.

        Without effect if the run is active, its folder cannot or may not be written, or its weights were replaced
        since they were measured.
        """
        if not self.writable:
            return
        with suppress(RunError, OSError), exclusive_access(self.run):
            if self.run.stamp == self.stamp:
                self.write(result)


def stored_result(
    run: Run,
    kind: Kind[Result],
    split: Split,
    settings: dict[str, Any] | None = None,
    *,
    writable: bool = True,
) -> StoredResult[Result]:
    """Return the place of a result that is measured on images with a run's kept weights.

    Args:
        run: the run, whose weights are loaded or were just loaded.
        kind: the kind of the result.
        split: the images, with the labels that are used.
        settings: what else the result depends on, as JSON values.
        writable: whether the result may be stored.
    """
    network = run.config.model
    about = describe_network(run) | {"images": split.fingerprint}
    sizes = {"images": len(split), "side": split.images.shape[-1], "classes": network.num_classes}
    for axis, name in (("depth", "depth"), ("heads", "num_heads"), ("tokens", "num_tokens")):
        if isinstance(size := getattr(network, name, None), int):
            sizes[axis] = size
    return StoredResult(
        run=run,
        kind=kind,
        about=json.dumps(about | {"kind": kind.name, "settings": settings}, sort_keys=True),
        settings=json.dumps(settings, sort_keys=True) if settings else "",
        sizes=tuple(sizes.items()),
        stamp=run.stamp,
        writable=writable,
    )


def describe_network(run: Run) -> dict[str, Any]:
    """Return what a run's network computes apart from its weights, as JSON values: settings, input and classes."""
    config = run.config
    data = config.data
    return {
        "network": config.model.model_dump(mode="json"),
        "input": {"mean": data.mean, "std": data.std, "size": data.image_size, "crop": data.crop_pct},
        "classes": sha256(repr(data.class_names).encode()).hexdigest(),
    }


@lru_cache(maxsize=8)
def _read(place: StoredResult[Result], weights: str, _mtime_ns: int, _size: int) -> Result:
    """Return the checked content of a file.

    Raises:
        ValueError: it was measured on something else.
    """
    with zipfile.ZipFile(place.path) as archive:
        arrays = read_arrays(archive)
    if str(arrays[ABOUT]) != f"{weights} {place.about}":
        raise ValueError("The result was measured on something else.")
    return place.kind.checked(arrays, dict(place.sizes))


def _make_room(path: Path, size: int) -> None:
    """Delete the oldest results until there is room for one more file of this size."""
    files = []
    for file in path.parent.glob("*.npz"):
        with suppress(OSError):
            stat = file.lstat()
            files.append((stat.st_mtime_ns, stat.st_size, file))
    kept, used = 1, size
    for _, bytes_, file in sorted(files, reverse=True):
        if file == path:  # it is replaced
            continue
        kept, used = kept + 1, used + bytes_
        if kept > RESULTS_MAX or used > FOLDER_BYTES_MAX:
            file.unlink(missing_ok=True)
