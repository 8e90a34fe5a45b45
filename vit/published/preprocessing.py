"""Read the image preprocessing of a published model: size, crop, resampling and normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vit.config import DataConfig
from vit.errors import UserError

_NEAREST = {"lanczos": "bicubic", "box": "bilinear", "hamming": "bilinear", "nearest": "bilinear", "random": "bilinear"}
_SAME = {"bicubic": "bicubic", "bilinear": "bilinear"}


@dataclass(frozen=True)
class Preprocessing:
    """Image preprocessing, with the field names of :class:`vit.config.DataConfig`.

    Attributes:
        remarks: sentences about differences from the original preprocessing.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_pct: float
    interpolation: str
    remarks: tuple[str, ...] = ()

    def data_config(self, class_names: tuple[str, ...]) -> DataConfig:
        """Return the data settings of a run without a data set."""
        return DataConfig(
            source="",
            class_names=class_names,
            image_size=self.image_size,
            mean=self.mean,
            std=self.std,
            crop_pct=self.crop_pct,
            interpolation=self.interpolation,
        )


def preprocessing_of(cfg: Mapping[str, Any], image_size: int | None = None) -> Preprocessing:
    """Return the preprocessing in timm's ``pretrained_cfg``.

    Args:
        cfg: the ``pretrained_cfg``.
        image_size: image size of the network, if it differs from the published one.

    Raises:
        UserError: the settings are invalid, such as a normalisation of four channels.
    """
    from timm.data import resolve_data_config

    try:
        found = resolve_data_config(pretrained_cfg=dict(cfg))
        channels, *sides = (int(side) for side in found["input_size"])
        mean, std = (tuple(float(number) for number in found[name]) for name in ("mean", "std"))
        crop_pct, method, mode = float(found["crop_pct"]), str(found["interpolation"]), str(found["crop_mode"])
    except (TypeError, ValueError, LookupError, ArithmeticError, AssertionError) as error:
        raise UserError("The model's settings do not describe its image preprocessing.") from error
    if channels != 3 or len(mean) != 3 or len(std) != 3 or not all(number > 0 for number in std):
        raise UserError("The model does not take RGB images with a mean and a standard deviation for each channel.")
    remarks = []
    if method not in _SAME:
        remarks.append(f"Images are resampled with {_NEAREST.get(method, 'bicubic')}, not with {method[:20]}.")
    if mode == "squash":
        remarks.append("The original squashed images into a square; here the model sees the centre square.")
    elif mode == "border":
        remarks.append("The original added a border around images; here the model sees the centre square.")
    if crop_pct > 1:
        remarks.append("The original added a margin around images; here the model sees the centre square.")
    return Preprocessing(
        image_size=image_size or sides[0],
        mean=mean,
        std=std,
        crop_pct=min(crop_pct, 1.0),
        interpolation=_SAME.get(method) or _NEAREST.get(method, "bicubic"),
        remarks=tuple(remarks),
    )
