"""Sweeps: one recipe, trained with every number of heads, depth and seed of a grid. Imports no torch.

A sweep consists of the runs that have its name in their settings (:attr:`vit.config.RunConfig.sweep`). They are
ordinary runs in the queue. Deleting a run leaves a gap in the grid, and starting the sweep again fills it.
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
from vit.sweeps.config import NAME_MAX, Point, SweepConfig, point_of, transformer_of

_AT_ONCE = 16
_NOT_COMPARED = {words.title(TrainingConfig, field) for field in ("device", "threads", "max_seconds")}
"""Settings that do not change the results, or that depend on the machine; runs of one sweep may differ in them."""


@dataclass(frozen=True)
class Member:
    """One run of a sweep, as it was when it was read.

    Attributes:
        accuracy: validation accuracy of the kept weights; None before the first validation.
        epoch, epochs: complete epochs, and epochs in total.
        share: share of the training that is done, 0 to 1.
        done: whether the run has reached its last epoch or its time limit.
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
    """The runs with one number of heads and one depth, one run for each seed.

    Attributes:
        seeds: number of seeds of the sweep.
    """

    heads: int
    depth: int
    members: tuple[Member, ...]
    seeds: int

    @property
    def state(self) -> State | Literal["open"]:
        """The most urgent state of its runs (active, then failed, then finished); "open" if a run is missing."""
        states = [member.state for member in self.members]
        order: tuple[State, ...] = ("running", "queued", "failed", "stopped")
        return next((state for state in order if state in states), "finished" if self.complete else "open")

    @property
    def complete(self) -> bool:
        """Whether every seed has a run."""
        return len(self.members) >= self.seeds

    @property
    def final(self) -> bool:
        """Whether :attr:`accuracies` belong to completed trainings."""
        return any(member.done and member.accuracy is not None for member in self.members)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Accuracies of the completed trainings; before the first one is completed, of the others so far."""
        scored = ((member.accuracy, member.done) for member in self.members)
        return tuple(accuracy for accuracy, done in scored if accuracy is not None and (done or not self.final))

    @property
    def accuracy(self) -> float | None:
        """The mean of :attr:`accuracies`; None if there are none."""
        accuracies = self.accuracies
        return sum(accuracies) / len(accuracies) if accuracies else None


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, as they were when they were read; the grid is the one that they span."""

    name: str
    members: tuple[Member, ...]

    @property
    def heads(self) -> tuple[int, ...]:
        return tuple(sorted({member.point.heads for member in self.members}))

    @property
    def depths(self) -> tuple[int, ...]:
        return tuple(sorted({member.point.depth for member in self.members}))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({member.point.seed for member in self.members}))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the grid, row by row; each row has one depth."""
        count = len(self.seeds)
        return tuple(
            Cell(heads, depth, tuple(it for it in self.members if it.point[:2] == (heads, depth)), count)
            for depth, heads in product(self.depths, self.heads)
        )

    @property
    def open(self) -> int:
        """Number of points of the grid without a run."""
        return len(self.heads) * len(self.depths) * len(self.seeds) - len(self.members)

    @property
    def active(self) -> bool:
        """Whether a run is queued or running."""
        return any(member.state in runs.ACTIVE for member in self.members)

    @property
    def best(self) -> Cell | None:
        """The cell with the highest mean accuracy of completed trainings."""
        return max((cell for cell in self.cells if cell.final), key=lambda cell: cell.accuracy or 0.0, default=None)

    def count(self, *states: State) -> int:
        """Return the number of runs in one of these states."""
        return sum(member.state in states for member in self.members)


def group_by_sweep(found: Iterable[Run]) -> dict[str, list[Run]]:
    """Group the runs of sweeps by the name of their sweep; of two runs at one point the first counts."""
    named: dict[str, dict[Point, Run]] = {}
    for run in found:
        with suppress(RunError):
            config = run.config
            if config.sweep and isinstance(config.model, TransformerConfig):
                named.setdefault(config.sweep, {}).setdefault(point_of(config), run)
    return {name: list(points.values()) for name, points in named.items()}


def read(name: str, found: Iterable[Run]) -> Sweep:
    """Read the runs that :func:`group_by_sweep` returned for a sweep; runs deleted meanwhile are left out."""
    members = []
    for run in found:
        with suppress(RunError):
            members.append(_member(run))
    return Sweep(name, tuple(sorted(members, key=lambda it: (it.point.seed, it.point.depth, it.point.heads))))


def find(name: str) -> Sweep:
    """Return the sweep with this name.

    Raises:
        RunError: no run belongs to it.
    """
    named = group_by_sweep(runs.list_runs())
    if name not in named:
        others = ", ".join(list(named)[:5])
        raise RunError(
            f"There is no sweep {name[:60]!r}: {f'choose one of {others}' if others else 'start one first'}."
        )
    return read(name, named[name])


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
    """Return the command that trains this sweep; flags at their default are left out."""
    model = transformer_of(config.base.model)
    default = transformer_of(MODELS[model.name])
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
    """Return a free name that starts with the data set, such as ``scenes-sweep`` or ``scenes-sweep-2``."""
    stem = re.sub(r"(-d\d+-h\d+)?(-\d+)?$", "", runs.suggest_name(config))
    return _free_name(f"{stem[: NAME_MAX - 10].rstrip('._-')}-sweep")


def _free_name(base: str) -> str:
    found = runs.list_runs()
    taken = [*group_by_sweep(found), *(run.name for run in found)]
    name, number = base, 2
    while any(it == name or it.startswith(f"{name}-h") for it in taken):
        name, number = f"{base}-{number}", number + 1
    return name


def start(
    config: SweepConfig,
    begin: Callable[[RunConfig, str], Run] = jobs.start,
    *,
    among: Iterable[Run] | None = None,
    is_taken: Callable[[str], bool] | None = None,
) -> list[Run]:
    """Queue the runs of a sweep that do not exist yet, and return them.

    Args:
        config: the sweep.
        begin: creates and starts a run.
        among: the runs that may already be part of the sweep; all runs if it is left out.
        is_taken: returns whether a run cannot have a name; by default, whether the folder of runs has it.

    Raises:
        RunError: the sweep exists with other settings, or a name is taken; then no run is started. Or a run cannot be
            started; then the runs before it are queued.
    """
    missing = missing_points(config, runs.list_runs() if among is None else among)
    names = [config.run_name(point) for point in missing]
    taken = [name for name in names if (is_taken or _exists)(name)]
    if taken:
        raise RunError(f"There is already a run {taken[0]!r} that is not part of this sweep: choose another name.")
    return [begin(config.config(point), name) for point, name in zip(missing, names, strict=True)]


def _exists(name: str) -> bool:
    return (checkpoints_dir() / name).exists()


def missing_points(config: SweepConfig, among: Iterable[Run]) -> list[Point]:
    """Return the points of the grid that have no run yet, in the order of training.

    Raises:
        RunError: the sweep exists with other settings; the message names them.
    """
    existing = {point_of(run.config): run for run in group_by_sweep(among).get(config.name, ())}
    if existing:
        _check_same(config, existing)
    return [point for point in config.points() if point not in existing]


def _check_same(config: SweepConfig, existing: dict[Point, Run]) -> None:
    from vit.runs.comparison import differences  # brings numpy and Pillow

    for point, run in existing.items():
        found = differences([run.config, config.config(point)])
        changed = [f"{name} {old}, not {new}" for name, (old, new) in found.items() if name not in _NOT_COMPARED]
        if changed:
            raise RunError(
                f"The sweep {config.name!r} was started with other settings ({'; '.join(changed[:3])}): "
                "choose another name, or use the same settings."
            )


def config_of(found: Sequence[Run]) -> SweepConfig:
    """Return the grid that the runs of a sweep span, with the settings of the first run, to start the sweep again.

    Raises:
        SettingsError: the grid is larger than a sweep may be.
        RunError: the runs do not have the same settings.
    """
    configs = [run.config for run in found]
    heads, depths, seeds = (tuple(values) for values in zip(*map(point_of, configs), strict=True))
    widths = {transformer_of(config.model).embed_dim for config in configs}
    same: Literal["head", "token"] = "token" if len(widths) == 1 < len(set(heads)) else "head"
    base = configs[0].model_copy(update={"environment": None, "created": ""})
    config = SweepConfig(name=base.sweep, base=base, heads=heads, depths=depths, seeds=seeds, same=same)
    missing_points(config, found)
    return config


def stop(found: Iterable[Run], end: Callable[[Run], object] = jobs.stop) -> None:
    """Stop all active runs; queued runs first, because each would start as soon as the run before it ends.

    Args:
        found: the runs of the sweep.
        end: stops one run; it is called in other threads.

    Raises:
        RunError: a run does not stop; the others are stopped nevertheless.
    """
    active = [run for run in found if run.active]
    waiting = [run for run in active if run.state == "queued"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        errors = [list(pool.map(lambda run: _attempt(end, run), group)) for group in (waiting, active)]
    _raise([*errors[0], *errors[1]])


def resume(found: Iterable[Run], go_on: Callable[[Run], object] = jobs.resume) -> list[Run]:
    """Resume the runs that failed or were stopped, and return them.

    Raises:
        RunError: a run cannot be resumed; the others are queued nevertheless.
    """
    ended = [run for run in found if run.state in ("failed", "stopped") and not run.at_limit]
    _raise([_attempt(go_on, run) for run in ended])
    return ended


def delete(found: Iterable[Run], remove: Callable[[Run], object] = runs.delete) -> None:
    """Delete all runs of a sweep.

    Raises:
        RunError: a run is active, then nothing is deleted; or a run cannot be deleted, then the others are.
    """
    found = list(found)
    if any(run.active for run in found):
        raise RunError("Runs of this sweep are queued or running: stop them first.")
    _raise([_attempt(remove, run) for run in found])


def _attempt(action: Callable[[Run], object], run: Run) -> UserError | None:
    try:
        action(run)
    except UserError as error:
        return error
    return None


def _raise(errors: list[UserError | None]) -> None:
    """Raise the first error."""
    for error in errors:
        if error is not None:
            raise error
