"""The kinds of stored results: which arrays a result consists of, and their types and shapes. Imports no torch."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

BYTES_MAX = 32 * 2**20
"""Largest result that is stored or read: the size of its arrays in memory."""

ARRAYS_MAX = 100
"""Maximum number of arrays of a result."""

HEADER_MAX = 10_000
"""Longest header (type and shape) of an array that is read."""

Arrays = Mapping[str, np.ndarray]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Array:
    """What an array of a result must be.

    Attributes:
        dtype: its type, such as ``float32``; ``str`` for texts.
        shape: names of its axes, such as ``"depth h n m"``, or numbers; empty for a single value.
        nan: whether values may be NaN. Infinite values are never valid.
    """

    dtype: str
    shape: str = ""
    nan: bool = False

    def check(self, name: str, array: np.ndarray, sizes: dict[str, int]) -> None:
        """Check an array, and note the sizes of axes that are seen for the first time in ``sizes``.

        Raises:
            ValueError: the array is not what it must be.
        """
        axes = self.shape.split()
        if array.dtype.kind != "U" if self.dtype == "str" else array.dtype != np.dtype(self.dtype):
            raise ValueError(f"{name} has the type {array.dtype} instead of {self.dtype}.")
        if array.ndim != len(axes):
            raise ValueError(f"{name} has {array.ndim} axes instead of {len(axes)}.")
        for axis, size in zip(axes, array.shape, strict=True):
            if size != (int(axis) if axis.isdigit() else sizes.setdefault(axis, size)):
                raise ValueError(f"{name} has the wrong size {size} of the axis {axis}.")
        if array.dtype.kind == "f" and not (np.isfinite(array) | (self.nan & np.isnan(array))).all():
            raise ValueError(f"{name} has values that are not finite.")


@dataclass(frozen=True, eq=False)  # compared by identity, so that it can be part of a cache's key
class Kind(Generic[Result]):
    """One kind of stored results.

    Attributes:
        name: the beginning of its file names: lowercase letters.
        arrays: the arrays of a result by name. In one result, an axis has the same size in all arrays.
        pack: returns the arrays of a result.
        unpack: returns the result, of arrays with the right types and shapes. It raises a ValueError, KeyError or
            IndexError if their values are impossible.
    """

    name: str
    arrays: Mapping[str, Array]
    pack: Callable[[Result], Arrays]
    unpack: Callable[[Arrays], Result]

    def checked(self, arrays: Arrays, sizes: Mapping[str, int]) -> Result:
        """Return the result of arrays from a file.

        Args:
            arrays: all arrays of the file.
            sizes: the known sizes of axes, such as the number of images.

        Raises:
            ValueError, KeyError, IndexError: an array is missing or invalid.
        """
        known = dict(sizes)
        for name, expected in self.arrays.items():
            expected.check(name, arrays[name], known)
        return self.unpack({name: arrays[name] for name in self.arrays})


def read_arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file, which may be hostile: nothing is unpickled, and sizes are checked first.

    Raises:
        ValueError: it holds something else, or more than is ever written.
    """
    members = archive.infolist()
    if len(members) > ARRAYS_MAX or sum(member.file_size for member in members) > BYTES_MAX + HEADER_MAX * ARRAYS_MAX:
        raise ValueError("The file is larger than those that are written.")
    return {member.filename.removesuffix(".npy"): _read_array(archive, member) for member in members}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError("The array has another format than those that are written.")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER_MAX)
        if dtype.kind not in "biufU" or fortran:
            raise ValueError("The array has another type than those that are written.")
        data = file.read(BYTES_MAX + 1)
    if len(data) != dtype.itemsize * int(np.prod(shape, dtype=object)):  # checked before memory is taken for it
        raise ValueError("The array has another size than its header says.")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
