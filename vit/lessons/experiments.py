"""The runs that each lesson compares, in full and in a short version, and how a visitor's own runs are recognised."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vit.config import CNNConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig, ViTConfig
from vit.cost.estimate import count_parameters
from vit.data.scenes import CLASSES, SPLIT_COUNTS
from vit.runs.run import Run

FREE = ("seed", "device", "snapshots", "threads", "processes", "resume_steps", "max_seconds")
"""Training settings that a visitor's run of a lesson may change: they affect randomness, speed and files."""


@dataclass(frozen=True)
class Variant:
    """One network of an experiment and its training.

    Attributes:
        name: name in the stored measurements; unique within its experiment.
        title: name on the page.
        config: settings of its run with the first seed.
    """

    name: str
    title: str
    config: RunConfig

    @property
    def vit_config(self) -> ViTConfig:
        """The settings of the network.

        Raises:
            TypeError: the network is not a Vision Transformer.
        """
        if not isinstance(self.config.model, ViTConfig):
            raise TypeError(f"{self.title} is not a Vision Transformer.")
        return self.config.model

    @property
    def parameters(self) -> int:
        return count_parameters(self.config.model)

    def seeded(self, seed: int) -> RunConfig:
        training = self.config.training.model_copy(update={"seed": seed})
        return self.config.model_copy(update={"training": training})


def _run(model: ModelConfig, *, train_images: int | None = None, **recipe: float) -> RunConfig:
    images = DataConfig(class_names=CLASSES, image_size=model.image_size, train_images=train_images)
    return RunConfig(model=model, data=images, training=TrainingConfig(blank_images=0.0, **recipe))


def _plain(**model: int) -> ViTConfig:
    """Return the settings of the standard design: linear patches and a class token."""
    return ViTConfig(stem="patch", pool="cls", **model)


SHORT = "-short"
"""End of the name of an experiment's short version."""

EPOCHS = {"heads": 60, "depth": 20, "patches": 60}
"""Epochs of each run of an experiment."""

SHORT_EPOCHS = {"heads": 30, "depth": 12, "patches": 20}
"""The same in the short version: all runs together take two minutes or less on two cores."""


def _heads(heads: int, epochs: int) -> Variant:
    model = _plain(image_size=32, patch_size=4, embed_dim=64, depth=1, num_heads=heads)
    title = f"{heads} head{'' if heads == 1 else 's'} of {model.head_dim}"
    return Variant(f"h{heads}", title, _run(model, epochs=epochs))


def _depth(depth: int, heads: int, head_dim: int, epochs: int) -> Variant:
    model = _plain(image_size=32, embed_dim=heads * head_dim, depth=depth, num_heads=heads)
    title = f"Depth {depth}, {heads} heads of {head_dim}"
    return Variant(f"d{depth}-h{heads}", title, _run(model, epochs=epochs))


def _patches(patch: int, epochs: int) -> Variant:
    model = _plain(image_size=32, patch_size=patch, embed_dim=64, depth=2, num_heads=4)
    tokens = model.grid**2
    title = f"{patch} px: {tokens} patch{'' if tokens == 1 else 'es'}"
    return Variant(f"p{patch}", title, _run(model, epochs=epochs))


LITTLE = {100: 20, 500: 20, 2000: 5}
"""Numbers of training images in the lesson on little data, with their epochs."""

LITTLE_SHORT = 500
"""Number of training images in its short version."""

_SMALL: dict[str, Any] = {"image_size": 32, "embed_dim": 128, "depth": 2, "num_heads": 4, "pool": "mean"}
NETWORKS: dict[str, tuple[str, ModelConfig]] = {
    "cnn": ("CNN", CNNConfig(image_size=32)),
    "conv": ("ViT, convolutions first", ViTConfig(**_SMALL, stem_blocks=2)),
    "patch": ("ViT, linear patches", ViTConfig(**_SMALL, stem="patch", stem_blocks=2)),
}
"""Titles and settings of the networks in the lesson on little data."""


def _little(network: str, images: int) -> Variant:
    title, model = NETWORKS[network]
    config = _run(model, train_images=images, epochs=LITTLE[images], batch_size=16)
    return Variant(f"{network}-{images}", f"{title}, {images:,} images", config)


def _trained(epochs: Mapping[str, int]) -> dict[str, tuple[Variant, ...]]:
    return {
        "heads": tuple(_heads(heads, epochs["heads"]) for heads in (1, 2, 4, 8)),
        "depth": tuple(_depth(*shape, epochs["depth"]) for shape in ((1, 2, 64), (1, 8, 16), (4, 2, 32))),
        "patches": tuple(_patches(patch, epochs["patches"]) for patch in (32, 16, 8, 4)),
    }


def _little_runs(sizes: Iterable[int]) -> tuple[Variant, ...]:
    return tuple(_little(network, images) for images in sizes for network in NETWORKS)


EXPERIMENTS: dict[str, tuple[Variant, ...]] = (
    _trained(EPOCHS)
    | {"little": _little_runs(LITTLE)}
    | {f"{name}{SHORT}": variants for name, variants in _trained(SHORT_EPOCHS).items()}
    | {f"little{SHORT}": _little_runs([LITTLE_SHORT])}
)
"""The runs of each experiment and of its short version, by name."""


COMPARISONS: dict[str, tuple[tuple[str, str], ...]] = {
    "heads": (("h4", "h1"), ("h8", "h1"), ("h8", "h4")),
    "depth": (("d4-h2", "d1-h8"), ("d4-h2", "d1-h2"), ("d1-h8", "d1-h2")),
    "patches": (("p4", "p8"), ("p8", "p16"), ("p16", "p32")),
    "little": tuple((f"{network}-{images}", f"cnn-{images}") for images in LITTLE for network in ("conv", "patch")),
}
"""Pairs of variants that a lesson compares, by the name of the experiment."""


def comparisons(experiment: str) -> list[tuple[Variant, Variant]]:
    """Return the pairs of variants that are compared, those that the version of the experiment has."""
    mine = {variant.name: variant for variant in EXPERIMENTS[experiment]}
    pairs = COMPARISONS[full_version(experiment)]
    return [(mine[one], mine[other]) for one, other in pairs if one in mine and other in mine]


def settings_words(experiment: str) -> str:
    """Describe the images and the training of an experiment in a sentence."""
    variants = EXPERIMENTS[experiment]
    size = variants[0].config.model.image_size
    trained = {variant.config.data.train_images or SPLIT_COUNTS["train"]: variant.config for variant in variants}
    amounts = [f"{config.training.epochs} epochs of {images:,}" for images, config in trained.items()]
    return f"Scenes at {size} px, {', '.join(amounts)} training images, the same recipe for all, one seed."


def short_version(experiment: str) -> str:
    """Return the name of the short version of an experiment."""
    return f"{experiment}{SHORT}"


def full_version(experiment: str) -> str:
    """Return the name of the experiment that this one is the short version of; its own name if it is none."""
    return experiment.removesuffix(SHORT)


def find_variant(experiment: str, name: str) -> Variant:
    """Return a variant of an experiment by its name.

    Raises:
        KeyError: the experiment has no such variant.
    """
    for variant in EXPERIMENTS[experiment]:
        if variant.name == name:
            return variant
    raise KeyError(name)


def is_of(config: RunConfig, variant: Variant) -> bool:
    """Return whether a run has the settings of a variant, apart from :data:`FREE`."""
    theirs, from_scratch = variant.config, config.start is None and not config.published
    training = config.training.model_copy(update={field: getattr(theirs.training, field) for field in FREE})
    return from_scratch and (config.model, config.data, training) == (theirs.model, theirs.data, theirs.training)


def own_runs(experiment: str, found: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of an experiment by variant; variants without a run are left out."""
    listed = list(found)
    every = {one.name: [run for run in listed if is_of(run.config, one)] for one in EXPERIMENTS[experiment]}
    return {name: mine for name, mine in every.items() if mine}
