"""Settings of a data set."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from vit.config.base import Settings
from vit.support.untrusted_text import check_classes, check_unicode

AUTO_IMAGE_SIZE_MAX = 64
"""``--image-size auto`` is the data's own size, but no larger than this."""
Interpolation = Literal["bicubic", "bilinear"]


class DataConfig(Settings):
    """Which images, at which size.

    Attributes:
        source: ``scenes``, a name of the catalog, or a path to a folder or zip in ImageFolder layout; empty where the
            images are not here, as those of a published model.
        image_size: side in pixels that every image is brought to.
        class_names: the classes in label order.
        train_images, val_images: use only so many images of the split (the same ones each time); None is all.
        mean, std: per-channel normalisation of pixel values scaled to [0, 1].
        seed: of the 80/20 split where the source has no validation images, and of the drawing of scenes.
        crop_pct: what share of an image's centre square is looked at, for each side (timm's name).
        interpolation: how that is brought to its size.
    """

    source: str = "scenes"
    image_size: Annotated[int, Field(ge=8, le=1024)] = 64
    class_names: tuple[str, ...] = ()
    train_images: Annotated[int, Field(ge=2)] | None = None
    val_images: Annotated[int, Field(ge=2)] | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    crop_pct: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    interpolation: Interpolation = "bicubic"

    _source = field_validator("source")(check_unicode)
    _classes = field_validator("class_names")(check_classes)
