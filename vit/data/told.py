"""Sentences about images that were read, for the command line, the Train page and the log of a run."""

from collections.abc import Iterator, Mapping

import numpy as np

from vit.config import Ground, Window
from vit.data.files.colours import window_words
from vit.data.records import Split

_FULL = ((0.0, 65535.0), (0.0, 255.0), (0.0, 1.0))
_LISTED = 3


def of_window(chosen: Window | None, found: Window | None) -> Iterator[str]:
    """Yield how greyscale with more than 8 bits is scaled, unless all of its range is used.

    Args:
        chosen: the window of the settings.
        found: the window that the images themselves suggest; None if there are no such images.
    """
    window = chosen or found
    if found is not None and window is not None and (chosen or found not in _FULL):
        yield (
            f"The images are greyscale with more than 8 bits: values from {window_words(window)} become black to white."
        )


def of_splits(splits: Mapping[str, Split], ground: Ground) -> Iterator[str]:
    """Yield what is unusual about loaded images: images of one colour, and images that are in both splits."""
    plain = [name for split in splits.values() for name in split.one_colour]
    if plain:
        one = len(plain) == 1
        yield (
            f"{len(plain):,} image{' has' if one else 's have'} only one colour: {_listed(plain)}. If "
            f"{'it is a drawing' if one else 'they are drawings'} on a transparent ground, choose another ground than "
            f"{ground}."
        )
    if "train" in splits and "val" in splits:
        count = overlap(splits["val"], splits["train"])
        if count:
            total = len(splits["val"])
            yield (
                f"{count:,} of the {total:,} validation images {'is' if count == 1 else 'are'} also among the training "
                "images, so the accuracy is too high."
            )


def overlap(judged: Split, train: Split) -> int:
    """Return how many of the judged images have exactly the pixels of a training image."""
    if judged.digests is None or train.digests is None:
        return 0
    return int(np.isin(judged.digests, train.digests).sum())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
