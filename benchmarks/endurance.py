"""Kill trainings repeatedly and resume them: count lost runs, and runs that differ from uninterrupted ones.

    python -m benchmarks.endurance [--kills 200] [--lanes 2] [--seed 0]

Short runs with several settings are started as jobs and killed with SIGKILL, each at a uniformly random moment of its
remaining life: during the start of the process, imports, loading of data, training or writing. After each kill, the run
is checked and resumed. It is killed up to four times, and then finishes. The result (curves, kept weights, snapshots,
everything that a resume needs) is compared bitwise with an uninterrupted run of the same settings.

Each lane has its own temporary folder of runs, so that lanes do not wait for each other. The exit status is 1 if a run
is lost or differs. On two cores the program takes about twelve minutes.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import psutil
from safetensors import SafetensorError, safe_open

from tests.helpers.outcomes import outcome
from vit import jobs, runs
from vit.config import (
    NO_AUGMENTATION,
    CNNConfig,
    DataConfig,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
    ViTConfig,
)
from vit.errors import UserError
from vit.runs import Run
from vit.support.files import safetensors_metadata

PATIENCE = 120.0
"""Seconds after which an unfinished job counts as lost."""
KILLS_A_RUN = 4

_IMAGES = 120
_VIT = {"image_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2}
_RECIPE = {"epochs": 16, "batch_size": 12, "device": "cpu", "threads": 1, "snapshots": 4}


def _config(model: Any, **recipe: Any) -> RunConfig:
    names = ("airplane", "bus", "cat", "dog", "pizza")
    data = DataConfig(image_size=32, class_names=names, train_images=_IMAGES, val_images=60)
    return RunConfig(model=model, data=data, training=TrainingConfig(**_RECIPE | recipe))


KINDS = {
    "conv stem, keeps the best validation": _config(ViTConfig(**_VIT)),
    "patch stem, dropout, a resume every 4 steps": _config(
        ViTConfig(**_VIT, stem="patch", pool="cls", dropout=0.1, drop_path=0.2), resume_steps=4
    ),
    "conv stem, keeps the lowest training loss, a resume every step": _config(
        ViTConfig(**_VIT, dropout=0.1), keep="training_loss", resume_steps=1
    ),
    "course network, keeps the lowest training loss": _config(
        ReferenceConfig(image_size=32, embed_dim=16, depth=1),
        **{"keep": "training_loss", "schedule": "constant", "drop_last": True, "batch_size": 16} | NO_AUGMENTATION,
    ),
    "convolutional network, keeps the last, a resume every 7 steps": _config(
        CNNConfig(image_size=32), keep="last", epochs=8, resume_steps=7
    ),
}


@dataclass
class Kill:
    """One kill: the state of the job, what it left behind, and the seconds of training to repeat."""

    state: str
    half_files: int
    half_lines: int
    seconds_lost: float


@dataclass
class Report:
    """The result of one run. ``lost`` says why it is lost; ``bitwise`` is None for an unfinished run."""

    kind: str
    kills: list[Kill] = field(default_factory=list)
    lost: str = ""
    bitwise: bool | None = None


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run: its outcome, and the seconds from the start of its process to the end."""

    outcome: dict[str, Any]
    life: float


def enter(home: Path) -> None:
    """Give this process its own folder of runs. All processes share the drawn images."""
    home.mkdir(exist_ok=True)
    os.environ["VIT_CHECKPOINTS"] = tempfile.mkdtemp(dir=home)
    os.environ["VIT_DATA"] = str(home / "data")


def whole(kind: str) -> Whole:
    begun = time.monotonic()
    with _no_job_stays():
        run = jobs.start(KINDS[kind])
        _wait(run, PATIENCE)
    if run.state != "finished":
        raise SystemExit(f"the uninterrupted run of {kind!r} is {run.state}: {run.status.message}")
    return Whole(outcome(run), time.monotonic() - begun)


def endure(kind: str, expected: Whole, kills: int, seed: str) -> list[Report]:
    """Kill runs ``kills`` times in total. If a run ends before its kill, another one is started."""
    random, left, reports = Random(seed), kills, []
    while left:
        report, begun = Report(kind), time.monotonic()
        reports.append(report)
        with _no_job_stays():
            _one_run(report, expected, left, random)
        left -= len(report.kills)
        if not report.kills:  # the machine is faster now than during the uninterrupted run
            expected = replace(expected, life=min(expected.life, time.monotonic() - begun))
        if report.lost:
            break
    return reports


def _one_run(report: Report, expected: Whole, kills: int, random: Random) -> None:
    try:
        run = jobs.start(KINDS[report.kind])
        for _ in range(kills):
            life = max(1.0, expected.life - _position(run))
            if _wait(run, random.uniform(0, life)):
                break
            if (kill := _kill(run)) is None:
                break
            report.kills.append(kill)
            _look_at(run)
            jobs.resume(run)
        if not _wait(run, PATIENCE):
            report.lost = f"it has not finished after {PATIENCE:g} s"
        elif run.state != "finished":
            report.lost = f"{run.state}: {run.status.message}"
        else:
            report.bitwise = outcome(run) == expected.outcome
    except (UserError, SafetensorError, OSError, ValueError) as error:
        report.lost = f"{type(error).__name__}: {error}"


def _wait(run: Run, seconds: float) -> bool:
    """Wait for the run's job, and return whether it ends within ``seconds``."""
    end = time.monotonic() + seconds
    while jobs.poll():
        if time.monotonic() >= end:
            return False
        time.sleep(min(0.02, max(0.0, end - time.monotonic())))
    while run.active and time.monotonic() < end:  # the status is updated shortly after the process died
        time.sleep(0.01)
    return True


def _kill(run: Run) -> Kill | None:
    """Kill the job; return None if it had already ended."""
    status = runs.read_status(run.path)
    for child in psutil.Process().children():
        child.kill()
    _wait(run, 5)
    if status.state not in runs.ACTIVE or run.state == "finished":
        return None
    latest = run.latest
    text = run.path / runs.METRICS
    return Kill(
        state=_state(run, status),
        half_files=len(_half_files(run)),
        half_lines=int(text.exists() and not text.read_bytes().endswith(b"\n") and text.stat().st_size > 0),
        seconds_lost=max(0.0, latest["seconds"] - _position(run)) if latest else 0.0,
    )


def _state(run: Run, status: runs.Status) -> str:
    """Return what the job was doing."""
    if half := _half_files(run):
        return f"writing {half[0].name[1:].rpartition('-')[0]}"
    if status.pid is None:
        return "starting"
    if status.state == "queued":
        return "queued"
    if status.message.startswith(("Loading", "Preparing")):
        return status.message.rstrip(".").lower()
    lines = run.metrics()[0]
    if lines and lines[-1]["event"] == "epoch" and lines[-1]["epoch"] > status.epoch:
        return "between the files of an epoch"
    return "training" if lines else "before its first step"


def _half_files(run: Run) -> list[Path]:
    return [*run.path.glob(".*.*-*"), *(run.path / runs.SNAPSHOTS).glob(".*.*-*")]


def _position(run: Run) -> float:
    """Return the seconds of training that a resume does not repeat."""
    return float(safetensors_metadata(run.path / runs.LAST).get("seconds", 0.0))


def _look_at(run: Run) -> None:
    """Check that a killed run can be read and is reported as failed."""
    if runs.get_run(run.name).state != "failed":
        raise ValueError(f"a killed run is reported as {run.state}")
    for name in (runs.MODEL, runs.LAST):
        if (run.path / name).exists():
            with safe_open(run.path / name, framework="np") as file:
                file.keys()
    best = safetensors_metadata(run.path / runs.MODEL).get("val_accuracy")
    if (best is None) != (run.best is None) or (best is not None and float(best) != run.best["val_accuracy"]):
        raise ValueError("its best accuracy differs from that of its weights")


@contextmanager
def _no_job_stays() -> Iterator[None]:
    try:
        yield
    finally:
        for child in psutil.Process().children():
            child.kill()


def _shares(kills: int, random: Random) -> Iterator[tuple[str, int]]:
    """Yield settings and numbers of kills that add up to ``kills``."""
    kinds = list(KINDS)
    while kills:
        random.shuffle(kinds)
        for kind in kinds:
            share = min(kills, random.randint(1, KILLS_A_RUN))
            if share:
                kills -= share
                yield kind, share


def main() -> int:
    """Print the tables, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=2, help="number of simultaneous runs")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    begun, reports = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        home = Path(folder)
        lanes = {"max_workers": asked.lanes, "mp_context": get_context("spawn"), "initargs": (home / "lanes",)}
        with ProcessPoolExecutor(initializer=enter, **lanes) as pool:
            expected = dict(zip(KINDS, pool.map(whole, KINDS), strict=True))
            for kind, one in expected.items():
                print(f"uninterrupted: {one.life:4.1f} s, {kind}", file=sys.stderr)
            shares = enumerate(_shares(asked.kills, Random(asked.seed)))
            work = [pool.submit(endure, kind, expected[kind], n, f"{asked.seed}-{i}") for i, (kind, n) in shares]
            for done in as_completed(work):
                reports += done.result()
                _print_progress(reports, asked.kills, time.monotonic() - begun)
    lost, otherwise = [one for one in reports if one.lost], [one for one in reports if one.bitwise is False]
    _print_tables(reports, time.monotonic() - begun)
    for report in lost:
        print(f"\nlost ({report.kind}, killed while {report.kills[-1:]}): {report.lost}")
    return int(bool(lost or otherwise))


def _print_progress(reports: list[Report], kills: int, seconds: float) -> None:
    done = sum(len(report.kills) for report in reports)
    bad = sum(bool(report.lost) or report.bitwise is False for report in reports)
    print(
        f"{done:4} of {kills} kills, {len(reports)} runs, {bad} of them lost or different, {seconds:.0f} s",
        file=sys.stderr,
    )


def _print_tables(reports: list[Report], seconds: float) -> None:
    kills = [kill for report in reports for kill in report.kills]
    lost = [kill.seconds_lost for kill in kills] or [0.0]
    rows = {
        "Kills, each followed by a resume": len(kills),
        "Runs": len(reports),
        "Runs lost (goal 0)": sum(bool(report.lost) for report in reports),
        "Resumes in runs that are not bitwise equal (goal 0)": sum(
            len(report.kills) for report in reports if report.bitwise is False
        ),
        "Half-written files after the kills": sum(kill.half_files for kill in kills),
        "Half-written lines after the kills": sum(kill.half_lines for kill in kills),
        "Seconds of training lost per kill: mean, max": f"{mean(lost):.2f}, {max(lost):.2f}",
        "Seconds in total": f"{seconds:.0f}",
    }
    print("| | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    print("\n| Settings | runs | kills | seconds lost: mean, max |\n| --- | --- | --- | --- |")
    for kind in KINDS:
        own = [report for report in reports if report.kind == kind]
        lost = [kill.seconds_lost for report in own for kill in report.kills]
        print(f"| {kind} | {len(own)} | {len(lost)} | {mean(lost or [0.0]):.2f}, {max(lost, default=0.0):.2f} |")
    print("\n| Killed while | kills |\n| --- | --- |")
    for state, count in Counter(kill.state for kill in kills).most_common():
        print(f"| {state} | {count} |")


if __name__ == "__main__":
    sys.exit(main())
