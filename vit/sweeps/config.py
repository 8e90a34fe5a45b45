"""What a sweep is made from: a grid of heads, depths and seeds over one run's settings; the source of its bounds."""

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from vit import runs
from vit.config import DEPTHS, HEADS, RunConfig, TrainingConfig, TransformerConfig
from vit.config.base import Settings
from vit.errors import SettingsError

RUNS_MAX = 96
"""Runs of a sweep: each that waits is a process of some 20 MB."""
SEEDS_MAX = 10
"""So many seeds, from one on, are offered by the controls of the app."""
NAME_MAX = 44
"""Letters of a sweep's name, which leaves room for heads, depth and seed in the names of its runs."""

_Seed = Annotated[int, Field(ge=TrainingConfig.limits("seed").low, le=TrainingConfig.limits("seed").high)]
_HeadCount = Annotated[int, Field(ge=HEADS[0], le=HEADS[-1])]
_BlockCount = Annotated[int, Field(ge=DEPTHS[0], le=DEPTHS[-1])]


class Point(NamedTuple):
    """One place of the grid."""

    heads: int
    depth: int
    seed: int


class SweepConfig(Settings):
    """What a sweep is made from.

    Attributes:
        name: of the sweep; the run at 4 heads, depth 2 and seed 0 is called ``<name>-h4-d2-s0``.
        base: all other settings, the same for every run.
        heads, depths, seeds: the values of the grid's axes, in ascending order and each once.
        same: what stays the same as heads are added: the width of a ``head``, so that the token gets wider
            (``embed_dim = heads * head_dim``, as on the Train page), or the width of the ``token``, which they share.
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
        if len(name) > NAME_MAX or not runs.possible_name(name):
            raise SettingsError(
                f"A sweep cannot be called {name[:60]!r}: take up to {NAME_MAX} small letters, digits, dots, hyphens "
                "and underscores, a letter or digit at either end, and no name that a system reserves."
            )
        return name

    @field_validator("heads", "depths", "seeds")
    @classmethod
    def _in_order(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(values)))

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.base.start:
            raise SettingsError("A sweep draws its networks anew, and does not start from one: leave --start out.")
        if not isinstance(self.base.model, TransformerConfig):
            raise SettingsError(
                f"The network {self.base.model.name} has no heads: sweep over a Vision Transformer or course network."
            )
        if self.size > RUNS_MAX:
            raise SettingsError(f"These are {self.size:,} runs, and a sweep has {RUNS_MAX} at most: choose fewer.")
        for point in self.points():
            self.config(point)
        return self

    @property
    def size(self) -> int:
        """How many runs there are."""
        return len(self.heads) * len(self.depths) * len(self.seeds)

    def points(self) -> Iterator[Point]:
        """The grid in the order of training: the whole of it with the first seed, then with the second."""
        return (Point(heads, depth, seed) for seed, depth, heads in product(self.seeds, self.depths, self.heads))

    def config(self, point: Point) -> RunConfig:
        """The settings of one run.

        Raises:
            SettingsError: with so many heads or blocks the network cannot be.
        """
        model = self.base.model
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
        """What the run at a point is called."""
        return runs.check_name(f"{self.name}-h{point.heads}-d{point.depth}-s{point.seed}")


def point_of(config: RunConfig) -> Point:
    """The place of a run in the grid of its sweep."""
    return Point(config.model.num_heads, config.model.depth, config.training.seed)
