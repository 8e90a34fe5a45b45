"""The flags of ``python -m vit train``: one table for the parser, and for the command that repeats a run."""

import argparse
import shlex
from typing import Any, NamedTuple, get_args

from pydantic_core import PydanticUndefined

from vit.config import (
    DEPARTURES,
    MODELS,
    RECIPES,
    DataConfig,
    ModelConfig,
    ReferenceConfig,
    RunConfig,
    StartConfig,
    TrainingConfig,
    ViTConfig,
    default_recipe,
    recipe_of,
)
from vit.config.base import Settings
from vit.config.presets import PRESETS
from vit.errors import DataError, RunError, SettingsError
from vit.runs import finetune

_FINE_TUNING = tuple(default_recipe(StartConfig(run="any", frozen=frozen)) for frozen in (False, True))


class Flag(NamedTuple):
    """One flag: its name, and the setting behind it."""

    name: str
    section: str
    field: str
    help: str

    @property
    def key(self) -> str:
        """The attribute of the parsed arguments."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def settings(self) -> type[Settings]:
        """The settings that hold it; of the networks the first that has it."""
        if self.section == "model":
            return ViTConfig if self.field in dir(ViTConfig()) else ReferenceConfig
        return {"data": DataConfig, "training": TrainingConfig, "start": StartConfig}[self.section]


FLAGS = (
    Flag("--dataset", "data", "source", "scenes, a name of the catalog, or a folder or zip with one folder a class"),
    Flag("--start", "start", "run", "fine-tune: begin from the weights of this run, which brings its network"),
    Flag("--frozen", "start", "frozen", "with --start, train the head alone"),
    Flag("--layer-decay", "start", "layer_decay", "with --start, the rate of a block over that of the one after it"),
    Flag("--model", "model", "name", "network; the defaults below are the ViT's"),
    Flag("--num-heads", "model", "num_heads", "attention heads of each block"),
    Flag("--depth", "model", "depth", "encoder blocks"),
    Flag("--embed-dim", "model", "embed_dim", "width of a token; without it, as wide a head as the default model's"),
    Flag("--patch-size", "model", "patch_size", "pixels a side of a patch"),
    Flag(
        "--image-size",
        "data",
        "image_size",
        "pixels a side, or auto: the data's own, 64 at most, or, with --start, that run's (default auto)",
    ),
    Flag("--stem", "model", "stem", "how patches become tokens"),
    Flag("--stem-blocks", "model", "stem_blocks", "residual convolutions of the stem conv, between the patches"),
    Flag("--pool", "model", "pool", "what is classified: the class token, or the mean of the patch tokens"),
    Flag("--init-values", "model", "init_values", "first value of the layer scale, 0 for none"),
    Flag("--mlp-ratio", "model", "mlp_ratio", "hidden width of the MLP over the width of a token"),
    Flag("--dropout", "model", "dropout", "dropout"),
    Flag("--drop-path", "model", "drop_path", "stochastic depth of the last block"),
    Flag("--mended", "model", "mended", "departures of the course network that are put right"),
    Flag("--epochs", "training", "epochs", "passes over the training images"),
    Flag("--batch-size", "training", "batch_size", "images a step"),
    Flag("--lr", "training", "lr", "peak learning rate"),
    Flag("--weight-decay", "training", "weight_decay", "weight decay of AdamW"),
    Flag("--warmup", "training", "warmup", "share of all steps in which the learning rate rises"),
    Flag("--schedule", "training", "schedule", "the learning rate after the warm-up: a cosine to zero, or as it is"),
    Flag("--clip-norm", "training", "clip_norm", "largest norm of the gradient; 0 leaves it as it is"),
    Flag("--label-smoothing", "training", "label_smoothing", "label smoothing"),
    Flag("--augment", "training", "augment", "flips, shifts, colours and erasing, or none"),
    Flag("--drop-last", "training", "drop_last", "leave the last, incomplete batch out"),
    Flag("--keep", "training", "keep", "which weights the run keeps: the best by this, or the last"),
    Flag("--snapshots", "training", "snapshots", "epochs that leave fp16 weights along the way"),
    Flag("--seed", "training", "seed", "of the first weights, the order, the augmentation and dropout"),
    Flag("--threads", "training", "threads", "CPU threads"),
    Flag("--device", "training", "device", "where to train"),
    Flag("--processes", "training", "processes", "train with so many processes together, each with a GPU of its own"),
    Flag("--resume-steps", "training", "resume_steps", "leave what a resume needs every so many steps, too"),
    Flag("--max-seconds", "training", "max_seconds", "end the training after so many seconds"),
    Flag("--tensorboard", "training", "tensorboard", "write the curves for TensorBoard, too, into the run's folder"),
    Flag("--train-images", "data", "train_images", "use only so many training images"),
    Flag("--val-images", "data", "val_images", "use only so many validation images"),
    Flag("--data-seed", "data", "seed", "of the split of a data set without validation images, and of drawn scenes"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser every flag of the table; bounds, choices and defaults are those of :mod:`vit.config`."""
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="settings of a whole run, which other flags change: minute is a small network on scenes, trained in "
        "about a minute on two cores",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="settings of the training that the flags below start from (default standard, whose values are shown; with "
        "--start fine-tune, or frozen)",
    )
    for flag in FLAGS:
        if flag.field == "name":
            default = RunConfig().model.name
            parser.add_argument(flag.name, choices=MODELS, help=f"{flag.help} (default {default})")
            continue
        if flag.field == "image_size":
            parser.add_argument(flag.name, type=_image_size, metavar="auto|N", help=flag.help)
            continue
        if flag.field == "mended":
            listed = ",".join(DEPARTURES)
            parser.add_argument(flag.name, type=_names, metavar="NAME,...", help=f"{flag.help}, of {listed}")
            continue
        if flag.settings.limits(flag.field).default is False:
            parser.add_argument(flag.name, action=argparse.BooleanOptionalAction, help=f"{flag.help} (default no)")
            continue
        kinds = [kind for kind in _kinds(flag) if kind is not type(None)]
        if not isinstance(kinds[0], type):  # the values of a Literal
            parser.add_argument(flag.name, choices=kinds, help=f"{flag.help} (default {_default(flag)})")
            continue
        parser.add_argument(flag.name, type=kinds[0], metavar=_metavar(flag, kinds[0]), help=_help(flag))


def to_config(arguments: argparse.Namespace) -> RunConfig:
    """The settings that parsed flags mean; the data set is looked at for its classes and its size.

    Raises:
        DataError: the data set cannot be read.
        SettingsError: a value is out of bounds, or values do not go together.
    """
    from vit.data import describe

    _fill_in(arguments)
    start, origin = _start(arguments)
    base = origin.model if origin else MODELS[arguments.model or RunConfig().model.name]
    chosen: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "training": {}, "start": {}}
    for flag in FLAGS:
        value = getattr(arguments, flag.key)
        if value is None or flag.field == "name" or (flag.field, value) == ("image_size", "auto"):
            continue
        if flag.section == "model" and not hasattr(base, flag.field):
            other = next(name for name, model in MODELS.items() if hasattr(model, flag.field))
            raise SettingsError(
                f"{flag.name} does not go with --model {base.name}: leave it out, or take --model {other}."
            )
        chosen[flag.section][flag.field] = value
    data = DataConfig(**chosen["data"])
    info = describe(data.source, seed=data.seed)
    if not info.ready:
        raise DataError(f"{info.title} is not here yet: download it with python -m vit data --dataset {info.source}.")
    natural = origin.model.image_size if origin else info.auto_image_size
    size = chosen["data"].get("image_size", natural)
    data = DataConfig(**chosen["data"] | {"source": info.source, "image_size": size, "class_names": info.class_names})
    training = TrainingConfig(**RECIPES[arguments.recipe or default_recipe(start)].model_dump() | chosen["training"])
    if origin:
        return finetune.run_config(origin, start, data, training, **chosen["model"])
    model = {"image_size": size, "num_classes": len(info.class_names)} | chosen["model"]
    if base.architecture == "vit" and "embed_dim" not in model and "num_heads" in model:
        model["embed_dim"] = model["num_heads"] * base.head_dim
    return RunConfig(model=type(base)(**base.model_dump() | model), data=data, training=training)


def _fill_in(arguments: argparse.Namespace) -> None:
    """Give the flags that nobody chose the values of the preset, where there is one.

    Raises:
        SettingsError: the preset is of a network, and another one is started from.
    """
    if arguments.preset and arguments.start:
        raise SettingsError("--preset does not go with --start, which brings its own network: leave one of them out.")
    for key, value in PRESETS.get(arguments.preset, {}).items():
        if getattr(arguments, key) is None:
            setattr(arguments, key, value)


def _start(arguments: argparse.Namespace) -> tuple[StartConfig | None, RunConfig | None]:
    """What a fine-tuning begins from, and the settings of that run; nothing where weights are to be drawn.

    Raises:
        RunError: there is no such run.
        SettingsError: a flag does not go with it.
    """
    given = {flag: value for flag in FLAGS if (value := getattr(arguments, flag.key)) is not None}
    chosen = {flag.field: value for flag, value in given.items() if flag.section == "start"}
    if "run" not in chosen:
        if chosen or arguments.recipe in _FINE_TUNING:
            word = next((flag.name for flag in given if flag.section == "start"), f"--recipe {arguments.recipe}")
            raise SettingsError(f"{word} goes with --start RUN, whose weights a training begins from: add it.")
        return None, None
    start = StartConfig(**chosen)
    origin = finetune.find_start(start).config
    for flag, value in given.items():
        if flag.section != "model":
            continue
        if start.frozen and flag.field in finetune.CHANGEABLE and value:
            raise SettingsError(f"{flag.name} does not go with --frozen, which needs none: leave it out.")
        if flag.field not in finetune.CHANGEABLE and value != getattr(origin.model, flag.field, None):
            raise SettingsError(f"{flag.name} does not go with --start, which brings its own network: leave it out.")
    return start, origin


def configure(**settings: Any) -> RunConfig:
    """The settings of a run, by the names of the flags: ``configure(dataset="photos.zip", num_heads=4, depth=6)``.

    Raises:
        DataError: the data set cannot be read.
        SettingsError: there is no such flag, a value is out of bounds, or values do not go together.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser)
    arguments = parser.parse_args([])
    for name, value in settings.items():
        if name not in vars(arguments):
            raise SettingsError(f"{name!r} is no setting of a training: choose of {', '.join(vars(arguments))}.")
        setattr(arguments, name, value)
    for name, known in (("preset", PRESETS), ("model", MODELS), ("recipe", RECIPES)):
        if getattr(arguments, name) not in (None, *known):
            raise SettingsError(f"{name} = {getattr(arguments, name)!r} is unknown: choose of {', '.join(known)}.")
    return to_config(arguments)


def command_line(config: RunConfig, name: str | None = None) -> str:
    """The command that trains a run with these settings; flags at their default are left out."""
    words = ["python", "-m", "vit", "train"]
    model, start, recipe = config.model, config.start, recipe_of(config.training, config.start)
    defaults = RunConfig(model=MODELS[model.name], training=RECIPES[recipe])
    brought = _brought(config)
    if recipe != default_recipe(start):
        words += ["--recipe", recipe]
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
        if flag.field == "embed_dim" and model.architecture == "vit":
            default = model.num_heads * defaults.model.head_dim
        if flag.field == "image_size" and config.data.source != DataConfig().source:
            default = None  # automatic there, so it is said in any case
        if start and (flag.section == "model" or flag.field == "image_size"):
            default = getattr(brought, flag.field, None)
        if value != default:
            words += _words(flag, value)
    return shlex.join(words + (["--run", name] if name else []))


def _brought(config: RunConfig) -> ModelConfig | None:
    """The network that a fine-tuning starts from; None where there is none, or where it is gone by now."""
    try:
        return config.start and finetune.find_start(config.start, config.owner).config.model
    except RunError:
        return None


def _words(flag: Flag, value: Any) -> list[str]:
    """A flag with its value, as it is typed."""
    if isinstance(value, bool):
        return [flag.name if value else flag.name.replace("--", "--no-", 1)]
    if isinstance(value, tuple):
        return [flag.name, ",".join(value)]
    if isinstance(value, float) and float(f"{value:g}") == value:
        return [flag.name, f"{value:g}"]  # 2, not 2.0
    return [flag.name, str(value)]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _kinds(flag: Flag) -> tuple[Any, ...]:
    """What a setting may be: a type, a type and None, or the values of a Literal."""
    annotation = flag.settings.model_fields[flag.field].annotation
    parts = get_args(annotation) or (annotation,)
    return tuple(get_args(part)[0] if hasattr(part, "__metadata__") else part for part in parts)


def _default(flag: Flag) -> Any:
    return flag.settings.limits(flag.field).default


def _metavar(flag: Flag, kind: type) -> str:
    return {int: "N", float: "X"}.get(kind, flag.key.upper())


def _help(flag: Flag) -> str:
    low, high, default = flag.settings.limits(flag.field)
    bounds = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    said = "" if default in (None, PydanticUndefined) or flag.field == "embed_dim" else f"default {default}"
    extra = ", ".join(part for part in (bounds, said) if part)
    return f"{flag.help} ({extra})" if extra else flag.help


def _image_size(text: str) -> int | str:
    try:
        return "auto" if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number of pixels") from None
