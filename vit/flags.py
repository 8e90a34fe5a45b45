"""Flags of ``python -m vit train``: one table for the parser and for the command that repeats a run.

Bounds, choices, defaults and help texts come from :mod:`vit.config`.
"""

import argparse
import shlex
from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from vit.config import (
    DEPARTURES,
    MODELS,
    RECIPES,
    DataConfig,
    ModelConfig,
    Percentiles,
    ReferenceConfig,
    RunConfig,
    StartConfig,
    TrainingConfig,
    TransformerConfig,
    ViTConfig,
    Window,
    default_patch_size,
    default_recipe,
    read_window,
    recipe_of,
    words,
)
from vit.config.base import Settings
from vit.config.presets import PRESETS
from vit.config.window import NOTATIONS
from vit.errors import DataError, RunError, SettingsError
from vit.runs import finetune, teachers

_FINE_TUNING = tuple(default_recipe(StartConfig(run="any", frozen=frozen)) for frozen in (False, True))


class Flag(NamedTuple):
    """One flag, and the setting that it changes; ``note`` is help that concerns the command line only."""

    name: str
    section: str
    field: str
    note: str = ""

    @property
    def key(self) -> str:
        """The attribute of the parsed arguments."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def settings(self) -> type[Settings]:
        """The config class of the setting; for networks, the first class that has it."""
        if self.section == "model":
            return ViTConfig if self.field in dir(ViTConfig()) else ReferenceConfig
        sections: dict[str, type[Settings]] = {"data": DataConfig, "training": TrainingConfig, "start": StartConfig}
        return sections[self.section]

    @property
    def description(self) -> str:
        """What the setting does, as help of the command line."""
        if self.field == "name":
            text = words.description(ModelConfig, "architecture")
        else:
            text = words.description(self.settings, self.field)
        text = text if text[:2].isupper() else text[:1].lower() + text[1:]
        return f"{text}; {self.note}" if self.note else text


FLAGS = (
    Flag("--dataset", "data", "source"),
    Flag("--start", "start", "run"),
    Flag("--frozen", "start", "frozen", "needs --start"),
    Flag("--layer-decay", "start", "layer_decay", "needs --start"),
    Flag("--model", "model", "name", "the defaults below are those of vit"),
    Flag("--num-heads", "model", "num_heads"),
    Flag("--depth", "model", "depth"),
    Flag("--embed-dim", "model", "embed_dim", "by default the heads keep the width of the default model's"),
    Flag("--patch-size", "model", "patch_size", "by default the largest with at least 8 x 8 patches"),
    Flag(
        "--image-size",
        "data",
        "image_size",
        "auto is the data's own size, 64 at most, or with --start the size of that run (default auto)",
    ),
    Flag("--stem", "model", "stem"),
    Flag("--stem-blocks", "model", "stem_blocks"),
    Flag("--pool", "model", "pool"),
    Flag("--init-values", "model", "init_values"),
    Flag("--mlp-ratio", "model", "mlp_ratio"),
    Flag("--dropout", "model", "dropout"),
    Flag("--drop-path", "model", "drop_path"),
    Flag("--mended", "model", "mended", f"any of {', '.join(DEPARTURES)}"),
    Flag("--learn-from", "training", "learn_from"),
    Flag("--local-crops", "training", "local_crops"),
    Flag("--swap-backgrounds", "training", "swap_backgrounds"),
    Flag("--mask-ratio", "training", "mask_ratio"),
    Flag("--epochs", "training", "epochs"),
    Flag("--batch-size", "training", "batch_size"),
    Flag("--lr", "training", "lr"),
    Flag("--weight-decay", "training", "weight_decay"),
    Flag("--warmup", "training", "warmup"),
    Flag("--schedule", "training", "schedule"),
    Flag("--clip-norm", "training", "clip_norm"),
    Flag("--label-smoothing", "training", "label_smoothing"),
    Flag("--flip", "training", "flip"),
    Flag("--shift", "training", "shift"),
    Flag("--colour", "training", "colour"),
    Flag("--erasing", "training", "erasing"),
    Flag("--drop-last", "training", "drop_last"),
    Flag("--mixup", "training", "mixup"),
    Flag("--cutmix", "training", "cutmix"),
    Flag("--mix-probability", "training", "mix_probability"),
    Flag("--randaugment", "training", "randaugment"),
    Flag("--magnitude", "training", "magnitude"),
    Flag("--repeats", "training", "repeats"),
    Flag("--average", "training", "average"),
    Flag("--teacher", "training", "teacher"),
    Flag("--distillation", "training", "distillation"),
    Flag("--teacher-weight", "training", "teacher_weight"),
    Flag("--temperature", "training", "temperature"),
    Flag("--optimizer", "training", "optimizer"),
    Flag("--blank-images", "training", "blank_images"),
    Flag("--diversity", "training", "diversity"),
    Flag("--keep", "training", "keep"),
    Flag("--snapshots", "training", "snapshots"),
    Flag("--seed", "training", "seed"),
    Flag("--threads", "training", "threads"),
    Flag("--device", "training", "device"),
    Flag("--precision", "training", "precision"),
    Flag("--processes", "training", "processes"),
    Flag("--resume-steps", "training", "resume_steps"),
    Flag("--max-seconds", "training", "max_seconds"),
    Flag("--tensorboard", "training", "tensorboard"),
    Flag("--track", "training", "track", "each is an extra of the same name"),
    Flag("--train-images", "data", "train_images"),
    Flag("--val-images", "data", "val_images"),
    Flag("--data-seed", "data", "seed"),
    Flag("--ground", "data", "ground"),
    Flag("--window", "data", "window", "as a range, as centre and width, or as percentiles of their values"),
    Flag("--image-column", "data", "image_column"),
    Flag("--label-column", "data", "label_column"),
    Flag("--allow-unreadable", "data", "allow_unreadable"),
)


READING = ("ground", "window", "image_column", "label_column", "allow_unreadable")
"""The settings of a data set that decide how its files are read."""

_GROUPS = {"data": "data", "start": "fine-tuning", "model": "network", "training": "training"}
_EXTENDED = "extended"
"""Name in the commands of a run that was resumed with more epochs, if it has none."""
_UNBOUNDED = 10**8
"""An upper bound beyond this only keeps numbers representable, so the help does not state it."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add every flag of the table to a parser."""
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="start from the settings of a whole run, which other flags change; minute trains the default network "
        "on scenes for a few epochs",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="start from these training settings, which other flags change (default standard, whose values are shown "
        "below; with --start fine-tune, with --frozen frozen, with --learn-from dino or mae the recipe of that name)",
    )
    groups = {section: parser.add_argument_group(title) for section, title in _GROUPS.items()}
    for flag in FLAGS:
        _add(groups[flag.section], flag)


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that decide how image files are read."""
    for flag in FLAGS:
        if flag.section == "data" and flag.field in READING:
            _add(parser, flag)


def _add(group: "argparse._ActionsContainer", flag: Flag) -> None:
    kind: Any
    if flag.field == "name":
        default = RunConfig().model.name
        group.add_argument(flag.name, choices=MODELS, help=f"{flag.description} (default {default})")
    elif flag.field in _READERS:
        kind, metavar = _READERS[flag.field]
        group.add_argument(flag.name, type=kind, metavar=metavar, help=flag.description)
    elif isinstance(usual := flag.settings.limits(flag.field).default, bool):
        said = f"{flag.description} (default {'yes' if usual else 'no'})"
        group.add_argument(flag.name, action=argparse.BooleanOptionalAction, help=said)
    else:
        kind, choices = _kind(flag)
        if choices:
            group.add_argument(flag.name, choices=choices, help=_help(flag))
        else:
            group.add_argument(flag.name, type=kind, metavar=_metavar(flag, kind), help=_help(flag))


def to_config(arguments: argparse.Namespace) -> RunConfig:
    """Return the settings that parsed flags describe; the data set is opened to read its classes and its size.

    Raises:
        DataError: the data set cannot be read.
        SettingsError: a value is out of bounds, or values do not go together.
    """
    from vit.data import describe, percentile_window

    _fill_in(arguments)
    fine_tuning = _start(arguments)
    start, origin = fine_tuning or (None, None)
    base: ModelConfig = origin.model if origin else MODELS[arguments.model or RunConfig().model.name]
    chosen: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "training": {}, "start": {}}
    for flag in FLAGS:
        value = getattr(arguments, flag.key)
        if value is None or flag.field == "name" or (flag.field, value) == ("image_size", "auto"):
            continue
        if flag.section == "model" and not hasattr(base, flag.field):
            other = next(name for name, model in MODELS.items() if hasattr(model, flag.field))
            raise SettingsError(
                f"{flag.name} does not go with --model {base.name}: leave it out, or use --model {other}."
            )
        chosen[flag.section][flag.field] = value
    percentiles = chosen["data"].pop("window") if isinstance(arguments.window, Percentiles) else None
    data = DataConfig(**chosen["data"])
    info = describe(data.source, seed=data.seed, columns=data.columns)
    if not info.ready:
        raise DataError(
            f"{info.title} is not on this machine yet: download it with python -m vit data --dataset {info.source}."
        )
    natural = origin.model.image_size if origin else info.auto_image_size
    size = chosen["data"].get("image_size", natural)
    found = {"source": info.source, "image_size": size, "class_names": info.class_names}
    if percentiles:
        found["window"] = percentile_window(info.source, percentiles.low, percentiles.high, info.columns)
    found |= {"image_column": info.columns.image, "label_column": info.columns.label}
    data = DataConfig(**{"window": info.window} | chosen["data"] | found)
    recipe = arguments.recipe or default_recipe(start, chosen["training"].get("learn_from", "labels"))
    training = TrainingConfig(**RECIPES[recipe].model_dump() | chosen["training"])
    if fine_tuning:
        start, origin = fine_tuning
        return _with_its_teacher(finetune.run_config(origin, start, data, training, **chosen["model"]))
    # Only a ViT can be without a head; RunConfig refuses the other networks without labels.
    outputs = training.outputs(info.class_names) if isinstance(base, ViTConfig) else len(info.class_names)
    model = {"image_size": size, "num_classes": outputs} | chosen["model"]
    if isinstance(base, ViTConfig):
        model = {"patch_size": default_patch_size(size)} | model
        if "embed_dim" not in model and "num_heads" in model:
            model["embed_dim"] = model["num_heads"] * base.head_dim
    return _with_its_teacher(RunConfig(model=type(base)(**base.model_dump() | model), data=data, training=training))


def _with_its_teacher(config: RunConfig) -> RunConfig:
    """Return the settings, after checking that the teacher, if there is one, fits them."""
    teachers.find_teacher(config)
    return config


def _fill_in(arguments: argparse.Namespace) -> None:
    """Set the flags that were not given to the values of the preset, if there is one.

    Raises:
        SettingsError: a preset and a run to start from are given, and each brings a network.
    """
    if arguments.preset and arguments.start:
        raise SettingsError("--preset does not go with --start, which brings its own network: leave one of them out.")
    for key, value in PRESETS.get(arguments.preset, {}).items():
        if getattr(arguments, key) is None:
            setattr(arguments, key, value)


def _start(arguments: argparse.Namespace) -> tuple[StartConfig, RunConfig] | None:
    """Return where a fine-tuning starts and the settings of that run; None for random weights.

    Raises:
        RunError: there is no such run.
        SettingsError: a flag does not go with it.
    """
    given = {flag: value for flag in FLAGS if (value := getattr(arguments, flag.key)) is not None}
    chosen = {flag.field: value for flag, value in given.items() if flag.section == "start"}
    if "run" not in chosen:
        if chosen or arguments.recipe in _FINE_TUNING:
            word = next((flag.name for flag in given if flag.section == "start"), f"--recipe {arguments.recipe}")
            raise SettingsError(f"{word} needs a run to fine-tune: add --start RUN.")
        return None
    start = StartConfig(**chosen)
    origin = finetune.find_start(start).config
    for flag, value in given.items():
        if flag.section != "model":
            continue
        if start.frozen and flag.field in finetune.CHANGEABLE and value:
            raise SettingsError(f"{flag.name} has no effect with --frozen: leave it out.")
        if flag.field not in finetune.CHANGEABLE and value != getattr(origin.model, flag.field, None):
            raise SettingsError(f"{flag.name} does not go with --start, which brings its own network: leave it out.")
    return start, origin


def configure(**settings: Any) -> RunConfig:
    """Return the settings of a run, named as the flags are: ``configure(dataset="photos.zip", num_heads=4, depth=6)``.

    Raises:
        DataError: the data set cannot be read.
        SettingsError: there is no such flag, a value is out of bounds, or values do not go together.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser)
    arguments = parser.parse_args([])
    for name, value in settings.items():
        if name not in vars(arguments):
            raise SettingsError(f"{name!r} is not a setting of a training: choose from {', '.join(vars(arguments))}.")
        setattr(arguments, name, value)
    for name, known in (("preset", PRESETS), ("model", MODELS), ("recipe", RECIPES)):
        if getattr(arguments, name) not in (None, *known):
            raise SettingsError(f"{name} = {getattr(arguments, name)!r} is unknown: choose from {', '.join(known)}.")
    return to_config(arguments)


def command_line(config: RunConfig, name: str | None = None) -> str:
    """Return the command that trains a run with these settings, without the flags that have their default value.

    A run that was resumed with more epochs needs a command for each of its parts.
    """
    if config.extended:
        first, name = config.extended[0], name or _EXTENDED
        training = config.training.model_copy(update={"epochs": first})
        parts = [command_line(config.model_copy(update={"extended": (), "training": training}), name)]
        for epochs in (*config.extended[1:], config.training.epochs):
            parts.append(shlex.join(["python", "-m", "vit", "resume", "--run", name, "--epochs", str(epochs)]))
        return " && ".join(parts)
    command = ["python", "-m", "vit", "train"]
    model, start, recipe = config.model, config.start, recipe_of(config.training, config.start)
    standard = MODELS[model.name].model_copy(update={"num_classes": model.num_classes})
    defaults = RunConfig(model=standard, training=RECIPES[recipe])
    backbone = _backbone(config)
    if recipe != default_recipe(start):  # the recipe's name also says whether the training learns from labels
        command += ["--recipe", recipe]
    for flag in FLAGS:
        if getattr(config, flag.section) is None or (flag.section == "model" and not hasattr(model, flag.field)):
            continue
        if start and flag.section == "model" and (flag.field not in finetune.CHANGEABLE or start.frozen):
            continue
        value = getattr(getattr(config, flag.section), flag.field)
        own = flag.settings.limits(flag.field).default if flag.section == "start" else None
        default = getattr(getattr(defaults, flag.section), flag.field, own)
        if flag.field == "name":
            default = RunConfig().model.name
        if flag.field == "embed_dim" and isinstance(model, ViTConfig) and isinstance(defaults.model, TransformerConfig):
            default = model.num_heads * defaults.model.head_dim
        if flag.field == "patch_size" and isinstance(model, ViTConfig):
            default = default_patch_size(model.image_size)
        if flag.field == "image_size" and config.data.source != DataConfig().source:
            default = None  # the automatic size depends on the data, so the command always states it
        if start and (flag.section == "model" or flag.field == "image_size"):
            default = getattr(backbone, flag.field, None)
        if value != default:
            command += _as_typed(flag, value)
    return shlex.join(command + (["--run", name] if name else []))


def _backbone(config: RunConfig) -> ModelConfig | None:
    """Return the network that a fine-tuning starts from; None if there is none, or if it was deleted."""
    if config.start is None:
        return None
    try:
        return finetune.find_start(config.start, config.owner).config.model
    except RunError:
        return None


def _as_typed(flag: Flag, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag.name if value else flag.name.replace("--", "--no-", 1)]
    if isinstance(value, tuple):
        return [flag.name, ",".join(item if isinstance(item, str) else f"{item:.17g}" for item in value)]
    if isinstance(value, float) and float(f"{value:g}") == value:
        return [flag.name, f"{value:g}"]  # 2, not 2.0
    return [flag.name, str(value)]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _window(text: str) -> Window | Percentiles:
    """Read a window, as the ``type`` of an argument."""
    try:
        return read_window(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _kind(flag: Flag) -> tuple[type, tuple[str, ...]]:
    """Return the type of a setting, and its values if it is a Literal."""
    annotation = flag.settings.model_fields[flag.field].annotation
    if get_origin(annotation) in (Union, UnionType):  # a value or None
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return str, get_args(annotation)
    assert isinstance(annotation, type)
    return annotation, ()


_METAVARS = {"source": "NAME|PATH", "run": "RUN", "teacher": "RUN"} | dict.fromkeys(
    ("image_column", "label_column"), "COLUMN"
)


def _metavar(flag: Flag, kind: type) -> str:
    return _METAVARS.get(flag.field) or {int: "N", float: "X"}[kind]


def _help(flag: Flag) -> str:
    low, high, default = flag.settings.limits(flag.field)
    bounds = ""
    if low is not None and high is not None and high < _UNBOUNDED:
        bounds = f"{low:g} to {high:g} {words.unit(flag.settings, flag.field)}".rstrip()
    elif low:
        bounds = f"at least {low:g}"
    stated = default not in (None, "", PydanticUndefined) and flag.field not in ("embed_dim", "patch_size")
    said = f"default {_number(default)}" if stated else ""
    extra = ", ".join(part for part in (bounds, said) if part)
    return f"{flag.description} ({extra})" if extra else flag.description


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _image_size(text: str) -> int | str:
    try:
        return "auto" if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number of pixels") from None


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "image_size": (_image_size, "auto|N"),
    "mended": (_names, "NAME,..."),
    "window": (_window, NOTATIONS),
}
"""How the text of a flag is read, and what stands for it in the help."""
