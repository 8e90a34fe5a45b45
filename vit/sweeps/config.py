"""The settings of a sweep and their bounds: a grid of heads, depths and seeds over the settings of one run."""

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from vit import runs
from vit.config import DEPTHS, HEADS, ModelConfig, RunConfig, TrainingConfig, TransformerConfig
from vit.config.base import Settings
from vit.errors import SettingsError

RUNS_MAX = 96
"""Runs of a sweep; each waiting run is a process of about 20 MB."""
SEEDS_MAX = 10
"""The largest number of seeds that the app offers."""
NAME_MAX = 44
"""Length of a sweep's name, which leaves room for heads, depth and seed in the names of its runs."""

_Seed = Annotated[int, Field(ge=TrainingConfig.limits("seed").low, le=TrainingConfig.limits("seed").high)]
_HeadCount = Annotated[int, Field(ge=HEADS[0], le=HEADS[-1])]
_BlockCount = Annotated[int, Field(ge=DEPTHS[0], le=DEPTHS[-1])]


class Point(NamedTuple):
    """One point of the grid."""

    heads: int
    depth: int
    seed: int


class SweepConfig(Settings):
    """The settings of a sweep.

    Attributes:
        name: name of the sweep; the run at 4 heads, depth 2 and seed 0 is called ``<name>-h4-d2-s0``.
        base: all other settings, the same for every run.
        heads, depths, seeds: the values of the grid's axes, ascending and without duplicates.
        same: what stays constant as heads are added: the width of a ``head``, so that the token gets wider
            (``embed_dim = heads * head_dim``, as on the Train page), or the width of the ``token``.
    """

    name: str
    base: RunConfig
    heads: Annotated[tuple[_HeadCount, ...], Field(min_length=1)] = (1, 2, 4)
    depths: Annotated[tuple[_BlockCount, ...], Field(min_length=1)] = (1, 2, 4)
    seeds: Annotated[tuple[_Seed, ...], Field(min_length=1)] = (0,)
    same: Literal["head", "token"] = "head"

    @field_validator("name")
    @classmethod
    def _can_be_a_name(cls, name: str) -> str:
        if len(name) > NAME_MAX or not runs.is_valid_name(name):
            raise SettingsError(
                f"A sweep cannot be called {name[:60]!r}: use up to {NAME_MAX} lowercase letters, digits, dots, "
                "hyphens and underscores, with a letter or digit at both ends, and no name that Windows reserves."
            )
        return name

    @field_validator("heads", "depths", "seeds")
    @classmethod
    def _in_order(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(values)))

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.base.start:
            raise SettingsError("A sweep trains its networks from scratch: leave --start out.")
        transformer_of(self.base.model)
        if self.size > RUNS_MAX:
            raise SettingsError(f"These are {self.size:,} runs, but a sweep has at most {RUNS_MAX}: choose fewer.")
        for point in self.points():
            self.config(point)
        return self

    @property
    def size(self) -> int:
        return len(self.heads) * len(self.depths) * len(self.seeds)

    def points(self) -> Iterator[Point]:
        """Return the points in the order of training: the whole grid with the first seed, then with the second."""
        return (Point(heads, depth, seed) for seed, depth, heads in product(self.seeds, self.depths, self.heads))

    def config(self, point: Point) -> RunConfig:
        """Return the settings of the run at a point.

        Raises:
            SettingsError: the network cannot have this number of heads or blocks.
        """
        model = transformer_of(self.base.model)
        width = point.heads * model.head_dim if self.same == "head" else model.embed_dim
        changes = {"num_heads": point.heads, "depth": point.depth, "embed_dim": width}
        return self.base.model_copy(
            update={
                "model": type(model)(**model.model_dump() | changes),
                "training": self.base.training.model_copy(update={"seed": point.seed}),
                "sweep": self.name,
            }
        )

    def run_name(self, point: Point) -> str:
        """Return the name of the run at a point."""
        return runs.check_name(f"{self.name}-h{point.heads}-d{point.depth}-s{point.seed}")


def transformer_of(model: ModelConfig) -> TransformerConfig:
    """Return the settings of a network, checked to have heads.

    Raises:
        SettingsError: the network has no heads.
    """
    if not isinstance(model, TransformerConfig):
        raise SettingsError(
            f"The network {model.name} has no heads: sweep over a Vision Transformer or the course network."
        )
    return model


def point_of(config: RunConfig) -> Point:
    """Return the point of a run in the grid of its sweep.

    Raises:
        SettingsError: the network has no heads.
    """
    model = transformer_of(config.model)
    return Point(model.num_heads, model.depth, config.training.seed)
