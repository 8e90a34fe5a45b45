"""``python -m vit sweep``: a grid of runs over heads, depth and seeds, and their progress.

The runs are jobs in the queue and continue if this command is interrupted; on a Ray cluster they are stopped. In either
case the same command continues the sweep, because it starts only the runs that are missing.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from vit import jobs, runs
from vit.cli.common import counter, print_result, say, say_reading
from vit.errors import SettingsError
from vit.flags import add_flags, to_config
from vit.sweeps import sweep
from vit.sweeps.config import RUNS_MAX, SweepConfig

if TYPE_CHECKING:
    from vit.sweeps.ray_cluster import Cluster

EVERY = 0.5
"""Seconds between two reads of the runs' states."""
AXES = {"heads": "num_heads", "depths": "depth", "seeds": "seed"}
"""The axes of a sweep, and the flag of a single run that each one replaces."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the grid, and all flags of ``train``."""
    parser.usage = "%(prog)s [options]"
    parser.add_argument(
        "--name", dest="sweep", metavar="NAME", help="name of the sweep; its runs are called NAME-h4-d2-s0 and so on"
    )
    words = {"heads": "numbers of heads", "depths": "numbers of blocks", "seeds": "seeds"}
    for axis, what in words.items():
        default = ",".join(map(str, SweepConfig.limits(axis).default))
        parser.add_argument(
            f"--{axis}", type=_numbers, metavar="N,...", help=f"{what}, such as {default} (the default) or 1-4"
        )
    parser.add_argument(
        "--same",
        choices=get_args(SweepConfig.model_fields["same"].annotation),
        help="width that stays the same as heads are added: that of a head, so that tokens get wider (the default), "
        "or that of the token, which the heads share (the default with --embed-dim)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS|local",
        help="run on a Ray cluster: its address, auto, or local for a cluster on this machine",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--resume", action="store_true", help="also resume its runs that failed or were stopped")
    action.add_argument("--watch", action="store_true", help="only show the progress of the sweep --name")
    action.add_argument("--stop", action="store_true", help="stop all runs of the sweep --name")
    add_flags(parser)
    parser.epilog = f"A sweep has at most {RUNS_MAX} runs."


def run(arguments: argparse.Namespace) -> int:
    """Start, follow or stop a sweep; return 1 if a run failed."""
    found = _run(arguments)
    failed = found.count("failed")
    result = {
        "sweep": found.name,
        "heads": list(found.heads),
        "depths": list(found.depths),
        "seeds": list(found.seeds),
        "cells": [_cell(cell) for cell in found.cells],
        "failed": failed,
    }
    print_result(result, arguments.json, _table(found))
    return int(failed > 0)


def _run(arguments: argparse.Namespace) -> sweep.Sweep:
    if arguments.watch or arguments.stop:
        if arguments.sweep is None:
            raise SettingsError("--watch and --stop need the name of a sweep: add --name NAME.")
        if arguments.stop:
            sweep.stop([member.run for member in sweep.find(arguments.sweep).members])
        return sweep.find(arguments.sweep) if arguments.stop else _follow(arguments.sweep)
    config = _config(arguments)
    from vit.data import check_readable, load

    with _queue(arguments.ray) as cluster:
        data = load(config.base.data, progress=counter("images"))  # before a run exists: unusable images are bad input
        say_reading(data)
        check_readable(data, config.base.data)
        begun = sweep.start(config, jobs.start if cluster is None else cluster.begin)
        found = sweep.find(config.name)
        again = []
        if arguments.resume:
            again = sweep.resume([it.run for it in found.members], jobs.resume if cluster is None else cluster.resume)
        existing = len(found.members) - len(begun) - len(again)
        say(
            f"sweep {config.name}: {len(begun)} runs started"
            + (f", {len(again)} resumed" if again else "")
            + (f", {existing} exist already" if existing else "")
        )
        return _follow(config.name, cluster)


@contextmanager
def _queue(address: str | None) -> "Iterator[Cluster | None]":
    """Connect to the Ray cluster; None is the queue of this machine."""
    if address is None:
        yield None
        return
    from vit.sweeps.ray_cluster import cluster

    with cluster(address) as found:
        yield found


def _config(arguments: argparse.Namespace) -> SweepConfig:
    grid = {}
    for axis, single in AXES.items():
        many, one = getattr(arguments, axis), getattr(arguments, single)
        if many is not None and one is not None:
            raise SettingsError(f"--{single.replace('_', '-')} and --{axis} set the same: leave one of them out.")
        if one is not None:
            many = (one,)
        if many is not None:
            grid[axis] = many
        setattr(arguments, single, None)
    base = to_config(arguments)
    if arguments.same is not None or arguments.embed_dim is not None:
        grid["same"] = arguments.same or "token"
    name = arguments.sweep if arguments.sweep is not None else sweep.suggest_name(base)
    return SweepConfig(name=name, base=base, **grid)


def _follow(name: str, cluster: "Cluster | None" = None) -> sweep.Sweep:
    """Print the progress on standard error until no run trains or waits."""
    said: dict[str, str] = {}
    shown, tty = 0.0, sys.stderr.isatty()
    clear = "\r\033[K" if tty else ""
    try:
        while True:
            for sentence in cluster.poll() if cluster else ():
                say(sentence, clear)
            found = sweep.find(name)
            for member in found.members:
                words = _words(member)
                if said.get(member.run.name) != words and member.state != "queued":
                    say(f"{member.run.name}  {words}", clear)
                said[member.run.name] = words
            if not found.active and not (cluster and cluster.tasks):
                return found
            if tty and time.monotonic() - shown > 1:
                shown = time.monotonic()
                print(clear + _passing(found), end="", file=sys.stderr, flush=True)
            time.sleep(EVERY)
    except KeyboardInterrupt:
        if cluster is None:
            say(f"The runs continue; follow them with --watch --name {name}, or stop them with --stop.", clear)
        else:
            say("The runs are being stopped; the same command with --resume continues them.", clear)
        raise


def _words(member: sweep.Member) -> str:
    if member.state == "failed":
        return f"failed: {member.run.status.message}"
    score = "" if member.accuracy is None or member.state in runs.ACTIVE else f", accuracy {member.accuracy:.4f}"
    return f"{member.state}{score}"


def _passing(found: sweep.Sweep) -> str:
    """Return a line that the next one overwrites."""
    ended = found.count("finished", "stopped", "failed")
    at_work = [
        f"{it.run.name} epoch {min(it.epoch + 1, it.epochs)}/{it.epochs}"
        for it in found.members
        if it.state == "running"
    ]
    more = f" and {len(at_work) - 2} more" if len(at_work) > 2 else ""
    return f"{ended} of {len(found.members)} done  {', '.join(at_work[:2])}{more}"


def _cell(cell: sweep.Cell) -> dict[str, Any]:
    scores = cell.accuracies
    return {
        "heads": cell.heads,
        "depth": cell.depth,
        "state": cell.state,
        "val_accuracy": cell.accuracy,
        "lowest": min(scores, default=None),
        "highest": max(scores, default=None),
        "runs": [
            {"run": it.run.name, "seed": it.point.seed, "state": it.state, "val_accuracy": it.accuracy}
            for it in cell.members
        ],
    }


def _table(found: sweep.Sweep) -> str:
    """Return a table of accuracies: depth in rows, heads in columns, with the range if there are several seeds."""
    several = len(found.seeds) > 1
    seeds = f", mean and range over {len(found.seeds)} seeds" if several else ""
    cells = {(cell.depth, cell.heads): _written(cell, several) for cell in found.cells}
    width = max(8, *(len(text) + 2 for text in cells.values()))
    lines = [f"validation accuracy{seeds}", "depth \\ heads" + "".join(f"{heads:>{width}}" for heads in found.heads)]
    for depth in found.depths:
        lines.append(f"{depth:>13}" + "".join(f"{cells[depth, heads]:>{width}}" for heads in found.heads))
    if any(cell.accuracies and not cell.final for cell in found.cells):
        lines.append("* not fully trained yet")
    return "\n".join(lines)


def _written(cell: sweep.Cell, several: bool) -> str:
    if not cell.accuracies:
        return "-" if cell.state == "finished" else cell.state
    spread = f" ({min(cell.accuracies):.3f}-{max(cell.accuracies):.3f})" if several else ""
    return f"{cell.accuracy:.4f}{spread}" + ("" if cell.final else "*")


def _numbers(text: str) -> tuple[int, ...]:
    """Read numbers such as 1,2,4 or 1-4, as the ``type`` of an argument."""
    found: list[int] = []
    try:
        for part in text.split(","):
            low, _, high = part.strip().partition("-")
            span = range(int(low), int(high or low) + 1)
            if not 0 < len(span) <= RUNS_MAX:
                raise ValueError
            found += span
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1,2,4 or 1-4") from None
    return tuple(found)
