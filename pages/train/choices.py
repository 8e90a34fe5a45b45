"""The values that the Train page's controls offer, and the run that they describe; no widgets.

Every bound and default comes from :mod:`vit.config`. A control offers the values that are compatible with the other
controls, fit the memory of the device, and are within the limits of a demo (:mod:`pages.server.limits`). Values from a
link or from another data set are adjusted by :meth:`Space.clamp`.
Each network has its own control keys, so that it keeps its settings when another network is chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, get_args

from pages.server.limits import DemoLimits
from vit import config as limits
from vit.config import (
    AUGMENTATIONS,
    GIVEN,
    RECIPES,
    STRONGER,
    DataConfig,
    ModelConfig,
    ReferenceConfig,
    RunConfig,
    StartConfig,
    TrainingConfig,
    TransformerConfig,
    ViTConfig,
    default_recipe,
)
from vit.cost.estimate import fits
from vit.data import SCENES, DataInfo
from vit.errors import SettingsError
from vit.runs import finetune, teachers
from vit.support.hardware import Device

COURSE_GRIDS = (2, 3, 4, 6, 8, 12, 16)
"""Offered numbers of patches along one side for the course network, whose size depends on this number."""

RECIPE_FIELDS = {"epochs": "epochs", "batch": "batch_size", "lr": "lr"}
RECIPE_FIELDS |= {name: name for name in (*AUGMENTATIONS, *STRONGER, "teacher")}
"""The controls of a recipe, and the settings behind them."""

METHOD_FIELDS = {
    "dino": {"local_crops": "local_crops", "swap_backgrounds": "swap_backgrounds"},
    "mae": {"mask_ratio": "mask_ratio"},
}
"""Further controls of a recipe without labels, by ``learn_from``."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Space:
    """The values that the controls offer for one network, data set and recipe on this machine.

    Attributes:
        base: the network, with the settings that have no control.
        info: the data set, which determines image size and number of classes.
        devices: as :func:`vit.support.hardware.devices` lists them, the fastest first.
        recipe: a name of :data:`vit.config.RECIPES`.
        demo: the limits of a public demo; None on a private machine.
        teachers: image size of each run that can be the teacher.
    """

    base: ModelConfig
    info: DataInfo
    devices: tuple[Device, ...]
    recipe: str = "standard"
    demo: DemoLimits | None = None
    teachers: Mapping[str, int] = field(default_factory=dict)

    wide_first: ClassVar[tuple[str, ...]] = ()
    """Controls that are lowered, in this order, when a network is too large for a demo."""
    large_first: ClassVar[tuple[str, ...]] = ("batch", "size")
    """Controls that are lowered, in this order, when stored settings do not fit the memory."""

    # Overridden for each network

    def own_defaults(self) -> dict[str, Any]:
        """Return the network's own controls and their defaults."""
        return {}

    def own_values(self) -> dict[str, Sequence]:
        """Return all values of the network's own controls, whatever the other controls are set to."""
        return {}

    def own_settings(self, values: Values) -> dict[str, Any]:
        """Return the fields of the model's settings that its controls set."""
        return {}

    def consistent(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values, with those adjusted that depend on others: the patch size must divide the image size."""
        return values

    def sizes(self) -> Sequence[int]:
        return limits.IMAGE_SIZES

    @property
    def natural_size(self) -> int:
        return self.info.auto_image_size

    @property
    def sized_for(self) -> str:
        """What the default image size depends on; when it changes, a chosen size is reset."""
        return self.info.source

    # The same for all networks

    @property
    def recipe_fields(self) -> dict[str, str]:
        """The controls of the recipe, and the settings behind them."""
        return RECIPE_FIELDS | METHOD_FIELDS.get(RECIPES[self.recipe].learn_from, {})

    def defaults(self) -> dict[str, Any]:
        """Return the default of each control."""
        recipe = RECIPES[self.recipe]
        shared: dict[str, Any] = {"size": self.natural_size, "device": recipe.device, "seed": recipe.seed}
        shared |= {"precision": recipe.precision, "processes": recipe.processes}
        shared |= {key: getattr(recipe, field) for key, field in self.recipe_fields.items()}
        found = self.own_defaults() | shared
        most = self.bounds()
        if found["size"] > most.get("size", found["size"]):
            found["size"] = max((size for size in self.sizes() if size <= most["size"]), default=min(self.sizes()))
        return found | {key: min(found[key], value) for key, value in most.items() if key != "size"}

    def values(self, key: str) -> list:
        """Return all values of one control, whatever the other controls are set to; numbers in ascending order."""
        words = {
            "device": ["auto", *(device.name for device in self.devices)],
            "teacher": ["", *self.teachers],
            "precision": get_args(limits.Precision),
        }
        given = GIVEN[RECIPES[self.recipe].learn_from]
        if key in given:
            return [given[key]]
        switches = dict.fromkeys(AUGMENTATIONS, (False, True))
        numbers = {
            "size": self.sizes(),
            "epochs": limits.EPOCHS,
            "batch": limits.BATCH_SIZES,
            "lr": limits.LEARNING_RATES,
            "local_crops": limits.LOCAL_CROPS,
            "swap_backgrounds": limits.SWAPPED_SHARES if self.info.source == SCENES else (0.0,),  # others have no masks
            "mask_ratio": limits.MASK_RATIOS,
            "processes": range(1, max(device.count for device in self.devices) + 1),
        }
        stronger = dict(STRONGER)
        if not isinstance(self.base, TransformerConfig):
            stronger["optimizer"] = stronger["optimizer"][:1]
        if not isinstance(self.base, ViTConfig):
            stronger["diversity"] = stronger["diversity"][:1]
        offered = (words | switches | numbers | stronger | self.own_values())[key]
        default = self.defaults()[key]
        if isinstance(default, str):
            return list(offered)
        most = self.bounds().get(key, float("inf"))
        return sorted({*(value for value in offered if value <= most), default})

    def config(self, values: Values) -> RunConfig:
        """Return the run that these values describe.

        Raises:
            SettingsError: the values do not go together; does not happen with values from :meth:`clamp`, unless even
                the smallest network does not fit.
        """
        base = self.base
        outputs = RECIPES[self.recipe].outputs(self.info.class_names)
        shared = {"image_size": values["size"], "num_classes": outputs}
        return RunConfig(
            model=type(base)(**base.model_dump() | shared | self.own_settings(values)),
            data=self.images(values),
            training=self.training(values),
        )

    def images(self, values: Values) -> DataConfig:
        return self.info.config(values["size"])

    def training(self, values: Values) -> TrainingConfig:
        """Return the recipe with the chosen values."""
        recipe = {field: values[key] for key, field in self.recipe_fields.items()}
        own = {key: values[key] for key in ("device", "precision", "seed")}
        own |= {"processes": min(values["processes"], self.gpus(values))}
        return TrainingConfig(**RECIPES[self.recipe].model_dump() | recipe | own)

    def device(self, values: Values) -> Device:
        """Return the chosen device; "auto" is the fastest."""
        return next((device for device in self.devices if device.name == values["device"]), self.devices[0])

    def gpus(self, values: Values) -> int:
        """Return how many GPUs can train together; on a demo and without labels, one."""
        alone = self.demo is not None or not RECIPES[self.recipe].labelled
        return 1 if alone else self.device(values).count

    def bounds(self) -> dict[str, int]:
        """Return the largest values of the controls that a demo limits separately."""
        demo = self.demo
        return {} if demo is None else {"size": demo.image_size, "epochs": demo.epochs}

    def fits(self, values: Values) -> bool:
        """Whether the values go together, and their training fits the device's memory and the demo's limits."""
        try:
            config = self.config(values)
            if self.demo is not None:
                self.demo.check(config)
            return fits(config, self.device(values), teachers.teacher_model(config))
        except SettingsError:
            return False

    def _small_enough(self, values: Values) -> bool:
        """Whether the network is within the demo's limits, whatever the batch size."""
        if self.demo is None:
            return True
        try:
            self.demo.check_files(self.config(values))
        except SettingsError:
            return False
        return True

    def allowed(self, key: str, values: Values) -> list:
        """Return the values of one control that are compatible with the others; at least the present one."""
        return [value for value in self.values(key) if value == values[key] or self._possible(key, value, values)]

    def _possible(self, key: str, value: Any, values: Values) -> bool:
        if key == "teacher" and value and self.teachers[value] != values["size"]:
            return False
        changed = self.consistent({**values, key: value})
        return changed[key] == value and self.fits(changed)

    def clamp(self, values: Values) -> dict[str, Any]:
        """Return the nearest possible values: offered, compatible, and small enough for the memory."""
        known = {
            key: values[key] if key == "seed" or values[key] in self.values(key) else default
            for key, default in self.defaults().items()
        }
        if self.teachers.get(known["teacher"]) != known["size"]:
            known["teacher"] = ""
        values = self.consistent(known)
        if self.demo is not None:
            values = self._made_smaller(values, self.wide_first, self._small_enough)
        return self._made_smaller(values, self.large_first, self.fits)

    def _made_smaller(
        self, values: dict[str, Any], keys: Sequence[str], enough: Callable[[Values], bool]
    ) -> dict[str, Any]:
        """Lower one control after the other until ``enough`` accepts the values."""
        for key in keys:
            smaller = [value for value in self.values(key) if value < values[key]]
            while smaller and not enough(values):
                values = self.consistent({**values, key: smaller.pop()})
        return values


class ViTSpace(Space):
    """The values for the Vision Transformer."""

    wide_first = ("head_dim", "heads", "depth", "mlp_ratio")
    large_first = ("batch", "size", "heads", "depth", "head_dim", "mlp_ratio")

    def bounds(self) -> dict[str, int]:
        return super().bounds() | ({"depth": self.demo.depth} if self.demo else {})

    def own_defaults(self) -> dict[str, Any]:
        model = self.base
        assert isinstance(model, ViTConfig)
        return {
            "heads": model.num_heads,
            "depth": model.depth,
            "head_dim": model.head_dim,
            "patch": limits.default_patch_size(self.natural_size),
            "stem": model.stem,
            "pool": model.pool,
            "mlp_ratio": model.mlp_ratio,
            "dropout": model.dropout,
        }

    def own_values(self) -> dict[str, Sequence]:
        return {
            "heads": limits.HEADS,
            "depth": limits.DEPTHS,
            "head_dim": limits.HEAD_DIMS,
            "patch": limits.PATCH_SIZES,
            "stem": get_args(limits.Stem),
            "pool": get_args(limits.Pool),
            "mlp_ratio": limits.MLP_RATIOS,
            "dropout": limits.DROPOUTS,
        }

    def own_settings(self, values: Values) -> dict[str, Any]:
        same = ("depth", "stem", "pool", "mlp_ratio", "dropout")
        return {key: values[key] for key in same} | {
            "num_heads": values["heads"],
            "embed_dim": values["heads"] * values["head_dim"],
            "patch_size": values["patch"],
        }

    def patches(self, values: Values) -> list[int]:
        """Return the patch sizes that divide the image and are compatible with the stem."""
        sizes = [patch for patch in self.values("patch") if values["size"] % patch == 0]
        return [patch for patch in sizes if values["stem"] == "patch" or patch & (patch - 1) == 0]

    def consistent(self, values: dict[str, Any]) -> dict[str, Any]:
        """Adjust the patch size to image size and stem: the nearest smaller one, or the smallest."""
        patches = self.patches(values)
        if values["patch"] in patches:
            return values
        return {**values, "patch": max((patch for patch in patches if patch < values["patch"]), default=patches[0])}

    def clamp(self, values: Values) -> dict[str, Any]:
        values = super().clamp(values)
        for patch in self.patches(values):  # larger patches are the last resort
            if not self.fits(values):
                values = {**values, "patch": patch}
        return values


class CourseSpace(Space):
    """The values for the course network; the mended departures are part of ``base``."""

    wide_first = ("course_grid", "course_head_dim", "course_heads", "course_depth")
    large_first = (*wide_first, "batch", "size")

    def bounds(self) -> dict[str, int]:
        return super().bounds() | ({"course_depth": self.demo.depth} if self.demo else {})

    def own_defaults(self) -> dict[str, Any]:
        model = self.base
        assert isinstance(model, ReferenceConfig)
        return {
            "course_heads": model.num_heads,
            "course_depth": model.depth,
            "course_head_dim": model.head_dim,
            "course_grid": model.grid,
        }

    def own_values(self) -> dict[str, Sequence]:
        return {
            "course_heads": limits.HEADS,
            "course_depth": limits.DEPTHS,
            "course_head_dim": limits.HEAD_DIMS,
            "course_grid": COURSE_GRIDS,
        }

    def own_settings(self, values: Values) -> dict[str, Any]:
        return {
            "num_heads": values["course_heads"],
            "depth": values["course_depth"],
            "embed_dim": values["course_heads"] * values["course_head_dim"],
            "patch_size": values["size"] // values["course_grid"],
        }

    def consistent(self, values: dict[str, Any]) -> dict[str, Any]:
        """Adjust the number of patches along a side to the image size: the nearest smaller one, or the smallest."""
        largest = type(self.base).limits("patch_size").high or 0
        grids = [grid for grid in self.values("course_grid") if values["size"] % grid == 0]
        grids = [grid for grid in grids if values["size"] // grid <= largest] or grids
        if values["course_grid"] in grids:
            return values
        nearest = max((grid for grid in grids if grid < values["course_grid"]), default=grids[0])
        return {**values, "course_grid": nearest}


@dataclass(frozen=True)
class TunedSpace(Space):
    """The values for fine-tuning a run, whose network is kept.

    Attributes:
        origin: the settings of that run.
        start: its name, and whether only the head is trained; the layer-wise decay is a control.
    """

    _: KW_ONLY
    origin: RunConfig
    start: StartConfig

    def sizes(self) -> Sequence[int]:
        return finetune.image_sizes(self.base)

    @property
    def natural_size(self) -> int:
        return self.base.image_size

    @property
    def sized_for(self) -> str:
        return f"{self.start.run} {self.info.source}"

    def own_defaults(self) -> dict[str, Any]:
        found = {name: getattr(self.base, name) for name in finetune.changeable(self.base, self.start)}
        if isinstance(self.base, TransformerConfig) and not self.start.frozen:
            found["layer_decay"] = StartConfig.limits("layer_decay").default
        return found

    def own_values(self) -> dict[str, Sequence]:
        return {"layer_decay": limits.LAYER_DECAYS} | dict.fromkeys(finetune.CHANGEABLE, limits.DROPOUTS)

    def config(self, values: Values) -> RunConfig:
        start = self.start
        if "layer_decay" in self.own_defaults():
            start = start.model_copy(update={"layer_decay": values["layer_decay"]})
        changes = {name: values[name] for name in finetune.changeable(self.base, start)}
        return finetune.run_config(self.origin, start, self.images(values), self.training(values), **changes)


SPACES: dict[str, type[Space]] = {"vit": ViTSpace, "reference": CourseSpace, "cnn": Space}
"""The class for each architecture; the convolutional networks have no additional controls."""


def make_space(
    base: ModelConfig,
    info: DataInfo,
    devices: tuple[Device, ...],
    recipe: str = "standard",
    demo: DemoLimits | None = None,
    teachers: Mapping[str, int] | None = None,
) -> Space:
    """Return the space of a network with random initial weights."""
    return SPACES[base.architecture](base, info, devices, recipe, demo, teachers or {})


def make_tuned_space(
    origin: RunConfig,
    start: StartConfig,
    info: DataInfo,
    devices: tuple[Device, ...],
    demo: DemoLimits | None = None,
    teachers: Mapping[str, int] | None = None,
) -> TunedSpace:
    """Return the space of fine-tuning a run with the settings ``origin``."""
    recipe = default_recipe(start)
    return TunedSpace(origin.model, info, devices, recipe, demo, teachers or {}, origin=origin, start=start)
