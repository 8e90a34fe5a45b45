"""Splits from arrays and from PyTorch data sets; :meth:`vit.data.ImageData.from_arrays` describes the arguments.

Tensors are recognised by their methods, so this module does not import torch.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from vit.data.files.colours import to_rgb
from vit.data.files.file_names import by_number
from vit.data.files.images import fit_square
from vit.data.records import Split
from vit.data.sampling import split_off
from vit.errors import DataError
from vit.support.untrusted_text import check_classes

Layout = Literal["hwc", "chw"]
"""Whether the channels are the last or the first axis of an image."""

_CHUNK = 1024
"""Images that are converted at a time, so that floats are never copied as a whole."""
_SIDE_MIN = 8


class Given(NamedTuple):
    """The splits of a data set that was given as arrays."""

    class_names: tuple[str, ...]
    train: Split
    val: Split


def from_arrays(
    images: Any,
    labels: Any,
    val: tuple[Any, Any] | None,
    class_names: Sequence[str],
    layout: Layout,
    image_size: int | None,
    seed: int,
) -> Given:
    """Return the splits of images and labels.

    Raises:
        DataError: the arrays are not images with a label each, or a class has too few.
    """
    given = [(_as_array(images), _labels_of(labels))]
    if val is not None:
        if not isinstance(val, tuple | list) or len(val) != 2:
            raise DataError("val is not a pair of images and labels: give (images, labels), or None.")
        given.append((_as_array(val[0]), _labels_of(val[1])))
    names, codes = _classes([found for _, found in given], class_names)
    for pixels, found in given:
        _check(pixels, found, layout)
    size = _size(image_size, _sides(given[0][0], layout))
    return _given([_converted(pixels, layout, size) for pixels, _ in given], codes, names, seed)


def from_dataset(
    dataset: Any, val: Any, class_names: Sequence[str], layout: Layout | None, image_size: int | None, seed: int
) -> Given:
    """Return the splits of PyTorch data sets.

    Raises:
        DataError: an item is no image with a label, or a class has too few images.
    """
    given = [_collected(dataset, layout, image_size)]
    if val is not None:
        given.append(_collected(val, layout, given[0][0].shape[-1]))
    found = tuple(str(name) for name in getattr(dataset, "classes", ()))
    names, codes = _classes([labels for _, labels in given], class_names or found)
    return _given([images for images, _ in given], codes, names, seed)


def _given(images: list[np.ndarray], codes: list[np.ndarray], names: tuple[str, ...], seed: int) -> Given:
    """Return the splits of uint8 images (n 3 s s); without validation images, one in five is used for validation."""
    if len(images) == 1:
        parts = [(images[0][rows], codes[0][rows]) for rows in split_off(codes[0], names, seed)]
    else:
        parts = list(zip(images, codes, strict=True))
        if len(missing := np.setdiff1d(np.arange(len(names)), codes[0])):
            raise DataError(f"The class {names[missing[0]]!r} has no training image: add one, or leave the class out.")
    return Given(names, *(_split(*part) for part in parts))


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    digests = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images]
    found = np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)
    return Split(images, labels, None, ("",) * len(labels), found)


def _as_array(values: Any) -> np.ndarray:
    """Return an array, or a tensor of any device, as a NumPy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def _labels_of(labels: Any) -> np.ndarray:
    found = _as_array(labels)
    if found.ndim != 1:
        raise DataError(f"The labels have the shape {found.shape}: give one label for each image, in one dimension.")
    if found.dtype.kind not in "iuUO" or not all(isinstance(label, str | int | np.integer) for label in found.tolist()):
        raise DataError(f"The labels are {found.dtype} numbers: give whole numbers from 0, or names of classes.")
    return found


def _classes(labels: list[np.ndarray], class_names: Sequence[str]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Return the names of the classes, and the labels as their indices, int64 (n,) each."""
    names = check_classes(tuple(str(name) for name in class_names))
    place: dict[Any, int]
    values = list(dict.fromkeys(value for part in labels for value in part.tolist()))
    if all(isinstance(value, str) for value in values):
        names = names or check_classes(tuple(by_number(values)))
        place = {name: label for label, name in enumerate(names)}
    elif all(isinstance(value, int) for value in values):
        names = names or tuple(str(value) for value in range(max(values, default=0) + 1))
        place = {label: label for label in range(len(names))}
    else:
        raise DataError("The labels are numbers and names: give one of the two.")
    if len(names) < 2:
        raise DataError("There is only one class: give images of two classes or more.")
    for value in values:
        if value not in place:
            known = ", ".join(map(repr, list(place)[:5])) + (" …" if len(place) > 5 else "")
            raise DataError(f"The label {value!r} is not one of the {len(names)} classes ({known}): change it.")
    return names, [np.array([place[value] for value in part.tolist()], dtype=np.int64) for part in labels]


def _check(images: np.ndarray, labels: np.ndarray, layout: Layout) -> None:
    """Raise a DataError if an array does not hold images as ``layout`` says, or not as many as there are labels."""
    if layout not in ("hwc", "chw"):
        raise DataError(f"The layout {layout!r} is unknown: choose 'hwc' (channels last) or 'chw' (channels first).")
    axes = "(n, height, width, channels)" if layout == "hwc" else "(n, channels, height, width)"
    if images.ndim not in (3, 4):
        raise DataError(f"The images have the shape {images.shape}: give {axes}, or (n, height, width) for grey ones.")
    channels = 1 if images.ndim == 3 else images.shape[-1 if layout == "hwc" else 1]
    if channels not in (1, 3):
        other = "chw" if layout == "hwc" else "hwc"
        raise DataError(
            f"The images have {channels} channels in the layout {layout!r}: give 1 or 3, or the layout {other!r}."
        )
    if len(images) != len(labels):
        raise DataError(f"There are {len(images):,} images and {len(labels):,} labels: give one label for each image.")
    if min(_sides(images, layout)) < _SIDE_MIN:
        raise DataError(f"The images have {min(_sides(images, layout))} pixels a side: give {_SIDE_MIN} or more.")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise DataError(f"The images are of the type {images.dtype}: give uint8, or floats from 0 to 1.")


def _sides(images: np.ndarray, layout: Layout) -> tuple[int, int]:
    """Return height and width of images (n h w), (n h w c) or (n c h w)."""
    first = 2 if images.ndim == 4 and layout == "chw" else 1
    return images.shape[first], images.shape[first + 1]


def _size(image_size: int | None, sides: tuple[int, int]) -> int:
    size = min(sides) if image_size is None else image_size
    if not _SIDE_MIN <= size <= 1024:
        raise DataError(f"image_size = {size} is not possible: choose {_SIDE_MIN} to 1024 pixels.")
    return size


def _converted(images: np.ndarray, layout: Layout, size: int) -> np.ndarray:
    """Return images as uint8 (n 3 size size)."""
    channels_first = images.ndim == 4 and layout == "chw"
    if channels_first and images.dtype == np.uint8 and images.shape[1:] == (3, size, size):
        return images
    done = np.empty((len(images), 3, size, size), np.uint8)
    for start in range(0, len(images), _CHUNK):
        part = _bytes_of(images[start : start + _CHUNK])
        part = part[:, None] if part.ndim == 3 else part if channels_first else part.transpose(0, 3, 1, 2)
        if part.shape[2:] == (size, size):
            done[start : start + len(part)] = part  # one channel is repeated
            continue
        for row, image in enumerate(part, start):
            rgb = np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))
            done[row] = fit_square(Image.fromarray(rgb), size).transpose(2, 0, 1)
    return done


def _bytes_of(images: np.ndarray) -> np.ndarray:
    """Return uint8 images for uint8 images or floats in [0, 1]."""
    if images.dtype == np.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise DataError(f"The images have values from {low:g} to {high:g}: give floats from 0 to 1, or uint8.")
    return np.rint(images * 255).astype(np.uint8)


def _collected(dataset: Any, layout: Layout | None, image_size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a PyTorch data set, uint8 (n 3 s s), and its labels."""
    images: list[np.ndarray] = []
    labels: list[Any] = []
    size = image_size
    for row, item in enumerate(_items(dataset)):
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise DataError(f"Item {row} of the data set is not a pair of image and label: return (image, label).")
        try:
            image, size = _one(item[0], layout, size)
        except DataError as error:
            raise DataError(f"Item {row} of the data set cannot be used. {error}") from error
        images.append(image)
        label = item[1]
        labels.append(label.item() if hasattr(label, "item") else label)
    if not images:
        raise DataError("The data set is empty: give one with images.")
    return np.stack(images), _labels_of(np.array(labels, dtype=object))


def _items(dataset: Any) -> Iterator[Any]:
    """Yield the items of a map-style data set, which need not end with an IndexError, or of an iterable one."""
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        return (dataset[row] for row in range(len(dataset)))
    if isinstance(dataset, Iterable):
        return iter(dataset)
    raise DataError(f"{type(dataset).__name__} is not a data set: give a torch.utils.data.Dataset.")


def _one(image: Any, layout: Layout | None, size: int | None) -> tuple[np.ndarray, int]:
    """Return one image, uint8 (3 s s), and the size of all images."""
    if isinstance(image, Image.Image):
        size = _size(size, image.size)
        return fit_square(to_rgb(image), size).transpose(2, 0, 1), size
    # As torchvision's transforms: a tensor has its channels first, an array has them last.
    layout = layout or ("chw" if hasattr(image, "detach") else "hwc")
    pixels = _as_array(image)[None]
    _check(pixels, np.zeros(1), layout)
    size = _size(size, _sides(pixels, layout))
    return _converted(pixels, layout, size)[0], size
