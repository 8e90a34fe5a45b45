"""Say how an image file becomes the input of a network, for model cards and for files that leave this program.

The steps are those of :func:`vit.data.files.images.open_image`, :func:`vit.data.files.images.fit_square` and
:func:`vit.data.batches.to_tensor`.
"""

from typing import Protocol


class Prepared(Protocol):
    """What the steps depend on; :class:`vit.config.DataConfig` and the info of a checkpoint have it."""

    @property
    def image_size(self) -> int: ...
    @property
    def crop_pct(self) -> float: ...
    @property
    def interpolation(self) -> str: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...


def steps(data: Prepared) -> tuple[str, ...]:
    """Return the steps in their order, each as a clause.

    Args:
        data: the size, crop, resampling and normalisation.
    """
    size = data.image_size
    resized = "the centre square of the image is cut out"
    if data.crop_pct != 1:
        resized = f"{resized}, {data.crop_pct:.1%} of each side of it"
    return (
        "the image is turned upright by its EXIF orientation",
        "it is converted to RGB, with transparent parts on white",
        resized,
        f"it is resized to {size} × {size} pixels ({data.interpolation}, with antialiasing)",
        "its pixels are scaled to [0, 1]",
        f"each channel is normalised with the mean {_numbers(data.mean)} and the standard deviation "
        f"{_numbers(data.std)}",
    )


def sentence(data: Prepared) -> str:
    """Return the steps as one sentence."""
    *first, last = steps(data)
    text = f"{'; '.join(first)}; and {last}."
    return text[:1].upper() + text[1:]


def _numbers(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
