"""The Train page's controls: which values each offers, and the settings that they add up to.

Every bound and default comes from :mod:`vit.config`. A control offers the values that go with all the others and that
the device's memory holds; stored values (of a link, of another data set) are brought in line before a control is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from vit import config as limits
from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig
from vit.data import DataInfo
from vit.estimate import fits
from vit.hardware import Device

MODEL, TRAINING = ViTConfig(), TrainingConfig()

LABELS = {
    "stem": {"conv": "Small convolutions", "patch": "One linear map"},
    "pool": {"cls": "Class token", "mean": "Mean of the patches"},
    "augment": {"standard": "Standard", "none": "None"},
}
"""How the choices of the settings that are words are called on the page, and in a link."""

LARGE_FIRST = ("batch", "size", "heads", "depth", "head_dim", "mlp_ratio")
"""What is made smaller, and in which order, when stored settings do not fit the memory."""


@dataclass(frozen=True)
class Space:
    """All that the controls can be set to, for one data set and the devices that are here.

    Attributes:
        info: the data set; its image size and number of classes are the model's.
        devices: as :func:`vit.hardware.devices` lists them, the fastest first.
    """

    info: DataInfo
    devices: tuple[Device, ...]

    def defaults(self) -> dict[str, Any]:
        """The value of each control that nobody has touched."""
        return {
            "heads": MODEL.num_heads,
            "depth": MODEL.depth,
            "head_dim": MODEL.head_dim,
            "patch": MODEL.patch_size,
            "size": self.info.auto_image_size,
            "stem": MODEL.stem,
            "pool": MODEL.pool,
            "mlp_ratio": MODEL.mlp_ratio,
            "dropout": MODEL.dropout,
            "epochs": TRAINING.epochs,
            "batch": TRAINING.batch_size,
            "lr": TRAINING.lr,
            "augment": TRAINING.augment,
            "device": TRAINING.device,
            "seed": TRAINING.seed,
        }

    def values(self, key: str) -> list:
        """Every value of one control, whatever the others say; ascending where it is a number."""
        offered: dict[str, Sequence] = {
            "heads": limits.HEADS,
            "depth": limits.DEPTHS,
            "head_dim": limits.HEAD_DIMS,
            "patch": limits.PATCH_SIZES,
            "size": limits.IMAGE_SIZES,
            "mlp_ratio": limits.MLP_RATIOS,
            "dropout": limits.DROPOUTS,
            "epochs": limits.EPOCHS,
            "batch": limits.BATCH_SIZES,
            "lr": limits.LEARNING_RATES,
        }
        if key in offered:
            return sorted({*offered[key], self.defaults()[key]})
        if key == "device":
            return ["auto", *(device.name for device in self.devices)]
        return list(LABELS[key])

    def config(self, values: dict[str, Any]) -> RunConfig:
        """The run that these values of the controls stand for."""
        info = self.info
        return RunConfig(
            model=ViTConfig(
                image_size=values["size"],
                patch_size=values["patch"],
                num_classes=len(info.class_names),
                embed_dim=values["heads"] * values["head_dim"],
                depth=values["depth"],
                num_heads=values["heads"],
                mlp_ratio=values["mlp_ratio"],
                stem=values["stem"],
                pool=values["pool"],
                dropout=values["dropout"],
            ),
            data=DataConfig(source=info.source, image_size=values["size"], class_names=info.class_names),
            training=TrainingConfig(
                epochs=values["epochs"],
                batch_size=values["batch"],
                lr=values["lr"],
                augment=values["augment"],
                device=values["device"],
                seed=values["seed"],
            ),
        )

    def device(self, values: dict[str, Any]) -> Device:
        """The chosen device; "auto" is the fastest."""
        return next((device for device in self.devices if device.name == values["device"]), self.devices[0])

    def fits(self, values: dict[str, Any]) -> bool:
        """Whether the device's memory holds the training of these values."""
        return fits(self.config(values), self.device(values))

    def patches(self, values: dict[str, Any]) -> list[int]:
        """Patch sizes that divide the image, and that the stem can make by halving."""
        sizes = [patch for patch in self.values("patch") if values["size"] % patch == 0]
        return [patch for patch in sizes if values["stem"] == "patch" or patch & (patch - 1) == 0]

    def in_line(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values with a patch size that goes with image size and stem: the nearest below, or the smallest."""
        patches = self.patches(values)
        if values["patch"] in patches:
            return values
        return {**values, "patch": max((patch for patch in patches if patch < values["patch"]), default=patches[0])}

    def allowed(self, key: str, values: dict[str, Any]) -> list:
        """What one control offers beside the present values of the others; never nothing."""
        candidates = self.patches(values) if key == "patch" else self.values(key)
        return [
            value for value in candidates if value == values[key] or self.fits(self.in_line({**values, key: value}))
        ]

    def clamp(self, values: dict[str, Any]) -> dict[str, Any]:
        """The nearest possible values: each one offered, all going together, small enough for the memory."""
        defaults = self.defaults()
        values = {
            key: value if key == "seed" or value in self.values(key) else defaults[key] for key, value in values.items()
        }
        values = self.in_line(values)
        for key in LARGE_FIRST:
            smaller = [value for value in self.values(key) if value < values[key]]
            while smaller and not self.fits(values):
                values = self.in_line({**values, key: smaller.pop()})
        for patch in self.patches(values):  # fewer, larger patches are the last resort
            if not self.fits(values):
                values = {**values, "patch": patch}
        return values


def stored(space: Space) -> dict[str, Any]:
    """What the controls were set to before, by this session or by the link that opened it."""
    return {key: _stored(space, key, default) for key, default in space.defaults().items()}


def _stored(space: Space, key: str, default: Any) -> Any:
    if key in st.session_state:
        return st.session_state[key]
    text = st.query_params.get(key)
    if text is None:
        return default
    if key == "seed":
        return min(int(text), int(TRAINING.limits("seed").high)) if text.isdecimal() else default
    return next((value for value in space.values(key) if show(key, value) == text), default)


def show(key: str, value: Any) -> str:
    """A value as the control and the link show it."""
    return LABELS.get(key, {}).get(value) or str(value)


class Controls:
    """The widgets, each bound to the page's link under its key; :attr:`values` are what they say by now."""

    def __init__(self, space: Space) -> None:
        self.space = space
        before = stored(space)
        wanted = dict(before)
        if st.session_state.get("sized_for", space.info.source) != space.info.source:
            wanted["size"] = space.info.auto_image_size  # other images, another natural size
        self.values = space.clamp(wanted)
        for key, value in self.values.items():
            if value != before[key]:
                st.session_state[key] = value

    def slider(self, key: str, label: str, **options: Any) -> Any:
        """A slider over the values that are possible now; a plain sentence where only one is."""
        offered = self.space.allowed(key, self.values)
        return self._made(st.select_slider if len(offered) > 1 else st.selectbox, key, label, offered, **options)

    def choice(self, key: str, label: str, **options: Any) -> Any:
        """A drop-down list of the values that are possible now."""
        return self._made(st.selectbox, key, label, self.space.allowed(key, self.values), **options)

    def number(self, key: str, label: str, widget: Any, low: float, high: float, **options: Any) -> int:
        """A whole number between fixed bounds, with ``st.slider`` or ``st.number_input``."""
        self.values[key] = widget(
            label,
            int(low),
            int(high),
            self.space.defaults()[key],
            key=key,
            bind="query-params",
            persist_state="session",
            **options,
        )
        return self.values[key]

    def _made(
        self, widget: Any, key: str, label: str, offered: list, *, format_func: Any = None, **options: Any
    ) -> Any:
        default = self.space.defaults()[key]
        if default not in offered:
            default = self.values[key]
        first = {"value": default} if widget is st.select_slider else {"index": offered.index(default)}
        self.values[key] = widget(
            label,
            offered,
            key=key,
            format_func=format_func or (lambda value: show(key, value)),
            bind="query-params",
            persist_state="session",
            **first,
            **options,
        )
        if key == "size":  # noted only now: a click elsewhere may end the script before the slider has its new value
            st.session_state["sized_for"] = self.space.info.source
        return self.values[key]
