"""Store frames that were recorded with a camera, and split them by burst.

A recording is a zip of frames, ``<class>/<burst>/<frame>.jpg``; a burst is what was recorded without a pause. Frames of
one burst are nearly the same image. If some of them were used for training and others for validation, the accuracy
would say little about new images, so whole bursts go to validation::

    train/cup/burst-01/0001.jpg    val/cup/burst-02/0001.jpg
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import BinaryIO

from vit.data.files import zips
from vit.data.files.file_names import by_number
from vit.data.files.images import read_header
from vit.data.files.layout import TRAIN, VAL
from vit.data.files.uploads import store_upload
from vit.data.sampling import VAL_SHARE
from vit.errors import DataError

CLASSES = 2, 10
"""Fewest and most classes of a recording."""
BURSTS_MAX = 12
"""Most bursts of a class."""
FRAMES = 10, 300
"""Fewest and most frames of a class."""
FRAME_SIDE = 96
"""Side of a recorded frame in pixels: more than the included runs look at, and small enough to be sent at once."""
FRAME_FILE = re.compile(r"[0-9]{4}\.jpg")
NAME_LENGTH = 40
CLASS_NAME = re.compile(rf'(?![.~$@# ])[^\x00-\x1f\x7f<>:"|?*/\\]{{1,{NAME_LENGTH}}}')
"""Names of classes, which become names of folders; browsers check names with the same expression."""
NAME_RULE = (
    f'A name has 1 to {NAME_LENGTH} characters. It has none of < > : " | ? * / \\ and does not begin with . ~ $ @ #'
)

Frame = tuple[str, str]
"""The names of a burst and of a file in it."""


def validation_bursts(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return which bursts of a class are used for validation; the others are used for training.

    They hold as close to :data:`vit.data.sampling.VAL_SHARE` of the frames as whole bursts can. Both sides get at least
    one burst. Of equally good choices, the one with the fewest and earliest bursts is used.

    Args:
        sizes: the number of frames of each burst, at most :data:`BURSTS_MAX` of them.

    Returns:
        Indices of bursts; empty if there is only one burst.
    """
    wanted = VAL_SHARE * sum(sizes)
    choices = (chosen for count in range(1, len(sizes)) for chosen in combinations(range(len(sizes)), count))
    return min(choices, key=lambda chosen: abs(sum(sizes[burst] for burst in chosen) - wanted), default=())


def store_recording(
    name: str, file: BinaryIO, *, owner: str = "", bytes_max: int | None = None, entries_max: int | None = None
) -> str:
    """Store a recording like an upload, split into training and validation images, and return its source.

    The validation frames of a class with a single burst are the last fifth of that burst; a remark says so.

    Args:
        name: name of the data set, for its folder and for messages.
        file: zip of ``<class>/<burst>/<frame>.jpg``, as a seekable binary stream.
        owner: as for :func:`vit.data.store_upload`.
        bytes_max: as for :func:`vit.data.store_upload`.
        entries_max: as for :func:`vit.data.store_upload`.

    Raises:
        DataError: the file is not a recording, or has too few or too many classes, bursts or frames, or a frame is no
            image. Nothing is left on the disk.
    """
    with zips.open_zip(file, name, entries_max or zips.ENTRIES_MAX) as archive:
        if len(zips.members(archive, name)) < len(archive.infolist()):
            raise DataError(f"{name} has a class whose name stands for a hidden folder. {NAME_RULE}.")
    file.seek(0)
    return store_upload(name, file, owner=owner, bytes_max=bytes_max, entries_max=entries_max, arrange=_split)


def _split(folder: Path, name: str) -> list[str]:
    """Move the frames of a recording into train/ and val/, and return remarks about classes with a single burst."""
    classes = by_number([entry.name for entry in folder.iterdir()])
    fewest, most = CLASSES
    if not fewest <= len(classes) <= most:
        raise DataError(f"{name} has {len(classes)} classes: record {fewest} to {most}.")
    bursts = {class_name: _bursts(folder / class_name, name) for class_name in classes}
    recorded = folder / ".recorded"  # a class may have the name train
    recorded.mkdir()
    for class_name in classes:
        (folder / class_name).rename(recorded / class_name)
    for class_name, of_class in bursts.items():
        for split, frames in zip((TRAIN[0], VAL[0]), split_frames(of_class), strict=True):
            for burst, frame in frames:
                target = folder / split / class_name / burst
                target.mkdir(parents=True, exist_ok=True)
                (recorded / class_name / burst / frame).rename(target / frame)
    shutil.rmtree(recorded)
    return [same_burst_words(class_name) for class_name, of_class in bursts.items() if len(of_class) == 1]


def split_frames(bursts: Mapping[str, Sequence[str]]) -> tuple[list[Frame], list[Frame]]:
    """Return the frames of a class for training and those for validation, each with its burst.

    Args:
        bursts: the frames of each burst, in the order in which they were recorded.
    """
    names = list(bursts)
    held_out = {names[burst] for burst in validation_bursts([len(bursts[name]) for name in names])}
    frames = [(burst, frame) for burst, of_burst in bursts.items() for frame in of_burst]
    if not held_out:
        first = len(frames) - max(1, round(VAL_SHARE * len(frames)))
        return frames[:first], frames[first:]
    return [one for one in frames if one[0] not in held_out], [one for one in frames if one[0] in held_out]


def same_burst_words(class_name: str) -> str:
    """Say what a single burst means for the validation accuracy of a class."""
    return (
        f"The class {class_name!r} has a single burst, so its validation images are nearly those that it is trained "
        "on, and its accuracy says little about new images. Record a second burst."
    )


def _bursts(of_class: Path, name: str) -> dict[str, list[str]]:
    """Return the frames of each burst of a class, after checking them."""
    bursts: dict[str, list[str]] = {}
    for burst in sorted(of_class.iterdir()):
        frames = sorted(burst.iterdir()) if burst.is_dir() else []
        if not frames or not all(FRAME_FILE.fullmatch(frame.name) and frame.is_file() for frame in frames):
            raise DataError(f"{name} is not a recording: it needs files like cup/burst-01/0001.jpg.")
        for frame in frames:
            _check_frame(frame, f"{name}, {of_class.name}/{burst.name}/{frame.name}")
        bursts[burst.name] = [frame.name for frame in frames]
    count, (fewest, most) = sum(map(len, bursts.values())), FRAMES
    if not fewest <= count <= most:
        raise DataError(f"{name}: the class {of_class.name!r} has {count} frames: record {fewest} to {most}.")
    if len(bursts) > BURSTS_MAX:
        raise DataError(f"{name}: the class {of_class.name!r} has {len(bursts)} bursts: record at most {BURSTS_MAX}.")
    return bursts


def _check_frame(frame: Path, title: str) -> None:
    try:
        side = read_header(frame).side
    except DataError as error:
        raise DataError(f"{title} is not an image: record again.") from error
    if side > FRAME_SIDE:
        raise DataError(f"{title} has {side} pixels along its shorter side: a recorded frame has {FRAME_SIDE} at most.")
