"""Settings of a data set."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, field_validator

from vit.config.base import Settings
from vit.config.window import Window
from vit.support.untrusted_text import check_classes, check_unicode

AUTO_IMAGE_SIZE_MAX = 64
"""Largest image size that ``--image-size auto`` chooses."""
EVALUATED_SPLITS = ("train", "val", "test", "all")
"""The images that a run can be evaluated on."""
Interpolation = Literal["bicubic", "bilinear"]
Ground = Literal["white", "grey", "black", "checker"]


ImageSize = Annotated[
    int,
    Field(
        ge=8,
        le=1024,
        title="Image size",
        description="Width and height to which every image is resized",
        json_schema_extra={"unit": "pixels"},
    ),
]


class Columns(NamedTuple):
    """The columns of a table that hold the images and their classes; an empty name stands for a column to be found."""

    image: str = ""
    label: str = ""


FOUND_COLUMNS = Columns()
"""Columns that are to be found from types and names."""


class DataConfig(Settings):
    """Which images a model sees, and how they are prepared."""

    # Empty if the images are not on this machine, as for a published model.
    source: Annotated[
        str,
        Field(
            title="Data set",
            description="Images to train on: scenes, a name from the catalog, a folder or zip file with one folder per "
            "class, a CSV or parquet file, WebDataset shards (.tar), a folder saved by Hugging Face datasets, or "
            "hf:OWNER/NAME of its hub",
        ),
    ] = "scenes"
    image_size: ImageSize = 64
    class_names: Annotated[tuple[str, ...], Field(title="Classes", description="Class names in label order")] = ()
    train_images: Annotated[
        int | None,
        Field(
            ge=2,
            title="Training images",
            description="Use this many training images; of scenes, which are drawn, more than 5,000 too",
        ),
    ] = None
    val_images: Annotated[
        int | None, Field(ge=2, title="Validation images", description="Use only this many validation images")
    ] = None
    mean: Annotated[
        tuple[float, float, float],
        Field(title="Channel means", description="Mean of each colour channel, for pixel values scaled to [0, 1]"),
    ] = (0.5, 0.5, 0.5)
    std: Annotated[
        tuple[float, float, float],
        Field(title="Channel deviations", description="Standard deviation of each colour channel"),
    ] = (0.5, 0.5, 0.5)
    seed: Annotated[
        int,
        Field(
            ge=0,
            le=2**31 - 1,
            title="Data seed",
            description="Random seed for drawing scenes and for splitting off validation images",
        ),
    ] = 0
    # The name is timm's.
    crop_pct: Annotated[
        float,
        Field(
            ge=0.1,
            le=1,
            title="Centre crop",
            description="Share of the central square of an image that is used, along each side",
        ),
    ] = 1.0
    interpolation: Annotated[Interpolation, Field(title="Interpolation", description="How images are resized")] = (
        "bicubic"
    )

    ground: Annotated[
        Ground,
        Field(
            title="Ground",
            description="Behind transparent images: white, grey, black, or a checkerboard that is dark behind light "
            "images and light behind dark ones",
        ),
    ] = "white"
    window: Annotated[
        Window | None,
        Field(
            title="Window",
            description="Values of greyscale images with more than 8 bits that become black and white; by default they "
            "are found from the images",
        ),
    ] = None
    image_column: Annotated[
        str,
        Field(
            max_length=200,
            title="Image column",
            description="Column of a table, or type of WebDataset members, that holds the images or their paths; by "
            "default it is found from types and names",
        ),
    ] = ""
    label_column: Annotated[
        str,
        Field(
            max_length=200,
            title="Class column",
            description="Column of a table, or type of WebDataset members, that holds the classes; by default it is "
            "found from types and names",
        ),
    ] = ""
    allow_unreadable: Annotated[
        bool,
        Field(
            title="Use the readable rest",
            description="Train although more than half of the files cannot be read as images",
        ),
    ] = False

    _source = field_validator("source", "image_column", "label_column")(check_unicode)
    _classes = field_validator("class_names")(check_classes)

    @property
    def columns(self) -> Columns:
        """The chosen columns of a table."""
        return Columns(self.image_column, self.label_column)
