"""Sweeps: one recipe, trained at every number of heads, depth and seed of a grid.

A sweep is nothing but the runs that carry its name in their settings (:attr:`vit.config.RunConfig.sweep`), ordinary
runs in the queue, so what can be done with a run can be done with each of them. A run that is deleted leaves its place
in the grid open, and starting the sweep again fills it. Imports no torch.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Literal

from vit import flags, jobs, runs
from vit.config import MODELS, RunConfig, TrainingConfig, TransformerConfig, words
from vit.errors import RunError, UserError
from vit.paths import checkpoints_dir
from vit.runs import Run, State
from vit.sweeps.config import NAME_MAX, Point, SweepConfig, point_of

_AT_ONCE = 16
_NOT_COMPARED = {words.title(TrainingConfig, field) for field in ("device", "threads", "max_seconds")}
"""Settings that do not make other results, or that the machine sets; runs of one sweep may differ in them."""


@dataclass(frozen=True)
class Member:
    """One run of a sweep, as it was when it was looked at.

    Attributes:
        accuracy: validation accuracy of the kept weights; None before the first validation.
        epoch, epochs: complete epochs, and how many there will be.
        share: how much of the training is done, 0 to 1.
        done: whether it has had all its epochs, or all its seconds.
    """

    run: Run
    point: Point
    state: State
    accuracy: float | None
    epoch: int
    epochs: int
    share: float
    done: bool


@dataclass(frozen=True)
class Cell:
    """The runs of one number of heads and depth, one a seed.

    Attributes:
        seeds: how many seeds the sweep has.
    """

    heads: int
    depth: int
    members: tuple[Member, ...]
    seeds: int

    @property
    def state(self) -> State | Literal["open"]:
        """What it is at: something that trains or waits comes before what has ended, a failure before a success."""
        states = [member.state for member in self.members]
        order: tuple[State, ...] = ("running", "queued", "failed", "stopped")
        return next((state for state in order if state in states), "finished" if self.complete else "open")

    @property
    def complete(self) -> bool:
        """Whether there is a run of each seed."""
        return len(self.members) >= self.seeds

    @property
    def final(self) -> bool:
        """Whether :attr:`accuracies` are of trainings that have run their course."""
        return any(member.done and member.accuracy is not None for member in self.members)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Of the trainings that have run their course; where there are none yet, of the others so far."""
        scored = [member for member in self.members if member.accuracy is not None]
        return tuple(member.accuracy for member in scored if member.done or not self.final)

    @property
    def accuracy(self) -> float | None:
        """The mean of :attr:`accuracies`, None where there are none."""
        found = self.accuracies
        return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, as they were when they were looked at; its grid is the one that they span."""

    name: str
    members: tuple[Member, ...]

    @property
    def heads(self) -> tuple[int, ...]:
        """The numbers of heads, ascending."""
        return tuple(sorted({member.point.heads for member in self.members}))

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths, ascending."""
        return tuple(sorted({member.point.depth for member in self.members}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(sorted({member.point.seed for member in self.members}))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of the grid, depth by depth."""
        count = len(self.seeds)
        return tuple(
            Cell(heads, depth, tuple(it for it in self.members if it.point[:2] == (heads, depth)), count)
            for depth, heads in product(self.depths, self.heads)
        )

    @property
    def open(self) -> int:
        """Points of the grid that have no run."""
        return len(self.heads) * len(self.depths) * len(self.seeds) - len(self.members)

    @property
    def active(self) -> bool:
        """Whether a run trains or waits."""
        return any(member.state in runs.ACTIVE for member in self.members)

    @property
    def best(self) -> Cell | None:
        """The cell of the highest mean accuracy among those that have run their course."""
        return max((cell for cell in self.cells if cell.final), key=lambda cell: cell.accuracy, default=None)

    def count(self, *states: State) -> int:
        """How many of its runs are in one of these states."""
        return sum(member.state in states for member in self.members)


def sweeps(found: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each sweep among ``found``, by its name; of two runs at one point the first counts."""
    named: dict[str, dict[Point, Run]] = {}
    for run in found:
        with suppress(RunError):
            config = run.config
            if config.sweep and isinstance(config.model, TransformerConfig):
                named.setdefault(config.sweep, {}).setdefault(point_of(config), run)
    return {name: list(points.values()) for name, points in named.items()}


def look(name: str, found: Iterable[Run]) -> Sweep:
    """A sweep by the runs that :func:`sweeps` gives; a run that is deleted meanwhile is left out."""
    members = []
    for run in found:
        with suppress(RunError):
            members.append(_member(run))
    return Sweep(name, tuple(sorted(members, key=lambda it: (it.point.seed, it.point.depth, it.point.heads))))


def find(name: str) -> Sweep:
    """The sweep of a name among all runs.

    Raises:
        RunError: no run carries it.
    """
    named = sweeps(runs.list_runs())
    if name not in named:
        others = ", ".join(list(named)[:5])
        raise RunError(
            f"There is no sweep {name[:60]!r}: {f'choose one of {others}' if others else 'start one first'}."
        )
    return look(name, named[name])


def _member(run: Run) -> Member:
    config, status = run.config, run.status
    best = status.best if status.validated else None
    return Member(
        run=run,
        point=point_of(config),
        state=status.state,
        accuracy=best.get("val_accuracy") if best else None,
        epoch=status.epoch,
        epochs=config.training.epochs,
        share=min(1.0, status.step / status.steps_total) if status.steps_total else 0.0,
        done=status.state == "finished" or run.at_limit,
    )


def command_line(config: SweepConfig) -> str:
    """The command that trains this sweep; flags at their default are left out."""
    model = config.base.model
    default = MODELS[model.name]
    width = default.num_heads * model.head_dim if config.same == "head" else model.embed_dim
    plain = {"num_heads": default.num_heads, "depth": default.depth, "embed_dim": width}
    base = config.base.model_copy(
        update={
            "model": model.model_copy(update=plain),
            "training": config.base.training.model_copy(update={"seed": TrainingConfig().seed}),
        }
    )
    words = [flags.command_line(base).replace("vit train", "vit sweep", 1), "--name", config.name]
    for axis in ("heads", "depths", "seeds"):
        words += [f"--{axis}", ",".join(map(str, getattr(config, axis)))]
    return " ".join([*words, "--same", config.same])


def suggest_name(config: RunConfig) -> str:
    """A free name that tells the data, such as ``scenes-sweep`` or ``scenes-sweep-2``."""
    stem = re.sub(r"(-d\d+-h\d+)?(-\d+)?$", "", runs.suggest_name(config))
    return _free_name(f"{stem[: NAME_MAX - 10].rstrip('._-')}-sweep")


def _free_name(base: str) -> str:
    found = runs.list_runs()
    taken = [*sweeps(found), *(run.name for run in found)]
    name, number = base, 2
    while any(it == name or it.startswith(f"{name}-h") for it in taken):
        name, number = f"{base}-{number}", number + 1
    return name


def start(
    config: SweepConfig, begin: Callable[[RunConfig, str], Run] = jobs.start, *, among: Iterable[Run] | None = None
) -> list[Run]:
    """Queue the runs of a sweep that are not there yet, and return them.

    Args:
        begin: makes and starts a run.
        among: the runs that may be part of it already; all that there are where it is left out.

    Raises:
        RunError: runs of that name were made with other settings, or a name is taken; then none is started. Or one
            cannot be started, with those before it in the queue.
    """
    missing = open_points(config, runs.list_runs() if among is None else among)
    names = [config.run_name(point) for point in missing]
    taken = [name for name in names if (checkpoints_dir() / name).exists()]
    if taken:
        raise RunError(f"There is a run {taken[0]!r} already, which is no part of this sweep: choose another name.")
    return [begin(config.config(point), name) for point, name in zip(missing, names, strict=True)]


def open_points(config: SweepConfig, among: Iterable[Run]) -> list[Point]:
    """The points of the grid that have no run yet, in the order of training.

    Raises:
        RunError: runs of that name were made with other settings; the sentence names them.
    """
    there = {point_of(run.config): run for run in sweeps(among).get(config.name, ())}
    if there:
        _check_same(config, there)
    return [point for point in config.points() if point not in there]


def _check_same(config: SweepConfig, there: dict[Point, Run]) -> None:
    from vit.runs.comparison import differences  # brings numpy and Pillow

    for point, run in there.items():
        found = differences([run.config, config.config(point)])
        changed = [f"{name} {old}, not {new}" for name, (old, new) in found.items() if name not in _NOT_COMPARED]
        if changed:
            raise RunError(
                f"The sweep {config.name!r} was begun with other settings ({'; '.join(changed[:3])}): "
                "choose another name, or those settings."
            )


def whole(found: Sequence[Run]) -> SweepConfig:
    """The grid that the runs of a sweep span, with the settings of the first: what starting it again starts from.

    Raises:
        SettingsError: such a sweep is beyond the bounds.
        RunError: its runs have other settings than the first.
    """
    configs = [run.config for run in found]
    heads, depths, seeds = (tuple(values) for values in zip(*map(point_of, configs), strict=True))
    widths = {config.model.embed_dim for config in configs}
    same = "token" if len(widths) == 1 < len(set(heads)) else "head"
    base = configs[0].model_copy(update={"environment": None, "created": ""})
    config = SweepConfig(name=base.sweep, base=base, heads=heads, depths=depths, seeds=seeds, same=same)
    open_points(config, found)
    return config


def stop(found: Iterable[Run], end: Callable[[Run], object] = jobs.stop) -> None:
    """End all runs that train or wait; first those that wait, or else each would begin as the one before it ends.

    Args:
        end: ends one run; it is called in other threads.

    Raises:
        RunError: one does not end; the others are ended all the same.
    """
    active = [run for run in found if run.active]
    waiting = [run for run in active if run.state == "queued"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        errors = [list(pool.map(lambda run: _attempt(end, run), group)) for group in (waiting, active)]
    _raise([*errors[0], *errors[1]])


def resume(found: Iterable[Run], go_on: Callable[[Run], object] = jobs.resume) -> list[Run]:
    """Queue those that failed or were stopped, to go on where they were, and return them.

    Raises:
        RunError: one cannot go on; the others are queued all the same.
    """
    ended = [run for run in found if run.state in ("failed", "stopped") and not run.at_limit]
    _raise([_attempt(go_on, run) for run in ended])
    return ended


def delete(found: Iterable[Run], remove: Callable[[Run], object] = runs.delete) -> None:
    """Delete all runs of a sweep, and so the sweep.

    Raises:
        RunError: one is at work, then nothing is deleted; or one cannot be deleted, then the others are.
    """
    found = list(found)
    if any(run.active for run in found):
        raise RunError("Runs of this sweep train or wait: stop them first.")
    _raise([_attempt(remove, run) for run in found])


def _attempt(action: Callable[[Run], object], run: Run) -> UserError | None:
    try:
        action(run)
    except UserError as error:
        return error
    return None


def _raise(errors: list[UserError | None]) -> None:
    """The first error, once all has been attempted."""
    for error in errors:
        if error is not None:
            raise error
