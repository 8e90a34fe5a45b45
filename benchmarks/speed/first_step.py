"""Measure the time to the first training step of our commands and of a usual training script, in new processes.

The times are read from the run's log and metrics every few milliseconds, so nothing is added to the measured program.
On a GPU, the first step is reported together with the others of its first second.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.speed.rounds import quartiles, rounds, spread
from vit import data, jobs, runs
from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig
from vit.paths import data_dir, project_root

STAGES = {"Loading PyTorch.": "python, vit", "Loading the data.": "torch", "Training.": "data"}
"""Messages of the log, and the stage that is then complete."""
LAST = "first step"
LOOK = 0.003
PATIENCE = 120.0


def start_up(folder: Path, device: str, seconds: float) -> dict[str, Any]:
    """Return the seconds from the start of a process to the end of each stage up to the first step.

    Args:
        folder: images in ImageFolder layout for the usual script; ours uses cached scenes.
    """
    data.load(DataConfig())
    with tempfile.TemporaryDirectory() as beside, _environment(VIT_CHECKPOINTS=beside, VIT_DATA=str(data_dir())):
        turns: dict[str, Callable[[], dict[str, float]]] = {
            "python -m vit train": lambda: _command(Path(beside), device),
            "a job of the app": lambda: _job(device),
            "a usual script": lambda: _usual_script(folder),
        }
        found = rounds(turns, seconds)
    return {
        name: {stage: quartiles([it[stage] for it in stages])._asdict() for stage in stages[0]}
        for name, stages in found.items()
    }


def start_up_table(found: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = ["| until the first step | seconds | stages |\n| --- | --- | --- |"]
    for name, stages in found.items():
        ends = {stage: it["median"] for stage, it in stages.items()}
        before, parts = 0.0, []
        for stage, end in ends.items():
            parts.append(f"{stage} {end - before:.1f}")
            before = end
        lines.append(f"| {name} | {spread(stages[LAST], '.1f')} | {', '.join(parts)} |")
    return "\n".join(lines)


def _command(checkpoints: Path, device: str) -> dict[str, float]:
    name = f"run-{time.monotonic_ns()}"
    words = ["train", "--dataset", "scenes", "--epochs", "2", "--device", device, "--run", name]
    begun = time.time()
    with tempfile.TemporaryFile("w+") as said:
        with _process([sys.executable, "-m", "vit", *words], stdout=said, stderr=said) as child:
            stages = _stages(checkpoints / name, begun, lambda: child.poll() is None)
        if not stages:
            said.seek(0)
            raise SystemExit(f"python -m vit {' '.join(words)} took no step:\n{said.read()}")
    return stages


def _job(device: str) -> dict[str, float]:
    config = RunConfig(model=ViTConfig(), data=DataConfig(class_names=data.describe("scenes").class_names))
    config = config.model_copy(update={"training": TrainingConfig(epochs=2, device=device)})
    begun = time.time()
    run = jobs.start(config, f"job-{time.monotonic_ns()}")
    stages = _stages(run.path, begun, lambda: run.status.state in runs.ACTIVE)
    jobs.stop(run)
    if not stages:
        raise SystemExit(f"The job of {run.path} took no step:\n{run.log(60)}")
    return stages


def _usual_script(folder: Path) -> dict[str, float]:
    begun = time.time()
    words = [sys.executable, "-m", "benchmarks.speed.plain_loop", str(folder)]
    with _process(words, stdout=subprocess.PIPE, text=True) as child:
        said = child.stdout.readline()
    if not said:
        raise SystemExit(f"{' '.join(words)} printed nothing.")
    moments = json.loads(said)
    names = {"python": "python", "imports": "torch, torchvision, timm", "built": "data, model", "first step": LAST}
    return {names[name]: moment - begun for name, moment in moments.items()}


def _stages(folder: Path, begun: float, alive: Callable[[], bool]) -> dict[str, float]:
    """Return the seconds since ``begun`` at which each stage of a run ended; empty if it took no step."""
    found: dict[str, float] = {}
    while LAST not in found:
        told = _read(folder / runs.LOG)
        for sentence, stage in STAGES.items():
            if stage not in found and sentence in told:
                found[stage] = time.time() - begun
        if len(found) == len(STAGES) and _read(folder / runs.METRICS):
            found[LAST] = time.time() - begun
        if time.time() - begun > PATIENCE or not alive():
            return {}
        time.sleep(LOOK)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


@contextmanager
def _process(words: list[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process, and terminate it at the end of the block."""
    with subprocess.Popen(words, cwd=project_root(), **options) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
