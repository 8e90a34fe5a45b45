"""What a published model was shown of an image: size, crop, resampling and normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vit.config import DataConfig
from vit.errors import UserError

_NEAREST = {"lanczos": "bicubic", "box": "bilinear", "hamming": "bilinear", "nearest": "bilinear", "random": "bilinear"}
_SAME = {"bicubic": "bicubic", "bilinear": "bilinear"}


@dataclass(frozen=True)
class Preprocessing:
    """The settings of an image, under the names of :class:`vit.config.DataConfig`.

    Attributes:
        remarks: sentences on what is done otherwise here than where the model comes from.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_pct: float
    interpolation: str
    remarks: tuple[str, ...] = ()

    def of(self, class_names: tuple[str, ...]) -> DataConfig:
        """As the settings of a run whose images are not here."""
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
    """What a ``pretrained_cfg`` of timm says.

    Args:
        image_size: the network's, where it is another than the one that is published.

    Raises:
        UserError: it says what cannot be, such as a normalisation of four channels.
    """
    from timm.data import resolve_data_config

    try:
        found = resolve_data_config(pretrained_cfg=dict(cfg))
        channels, *sides = (int(side) for side in found["input_size"])
        mean, std = (tuple(float(number) for number in found[name]) for name in ("mean", "std"))
        crop_pct, method, mode = float(found["crop_pct"]), str(found["interpolation"]), str(found["crop_mode"])
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError("The model's settings do not say what an image is like for it.") from error
    if channels != 3 or len(mean) != 3 or len(std) != 3 or not all(number > 0 for number in std):
        raise UserError("The model's images are not red, green and blue, with a mean and a deviation each.")
    remarks = []
    if method not in _SAME:
        remarks.append(f"Images are resampled with {_NEAREST.get(method, 'bicubic')}, not with {method[:20]}.")
    if mode == "squash":
        remarks.append("It was shown whole images squashed into a square; here it sees their middle square.")
    elif mode == "border":
        remarks.append("It was shown whole images with a border around them; here it sees their middle square.")
    if crop_pct > 1:
        remarks.append("It was shown images with a margin around them; here it sees their middle square.")
    return Preprocessing(
        image_size=image_size or sides[0],
        mean=mean,
        std=std,
        crop_pct=min(crop_pct, 1.0),
        interpolation=_SAME.get(method) or _NEAREST.get(method, "bicubic"),
        remarks=tuple(remarks),
    )
