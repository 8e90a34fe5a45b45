"""Jobs that are killed with SIGKILL at the worst moments, and resumed: they end as if nothing had been.

Most of them are forked from a process that has torch already, and kill themselves at a moment that can be named: before
the n-th file is renamed to its own name. Some are whole jobs, killed from outside.
"""

import io
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import tiny_config
from tests.helpers.outcomes import outcome
from vit import jobs, runs, trainer
from vit.config import RunConfig, TrainingConfig
from vit.errors import RunError
from vit.exports import run_zip
from vit.runs import Run, weights
from vit.trainer import loop, resume_file


def config(epochs: int = 2, images: int = 60, **training) -> RunConfig:
    """A tiny run in which everything is drawn: order, augmentation, dropout, stochastic depth."""
    base = tiny_config(depth=2, num_heads=1, embed_dim=16, dropout=0.2, drop_path=0.2)
    recipe = {"epochs": epochs, "batch_size": 20, "device": "cpu", "threads": 1, "snapshots": 2} | training
    data = base.data.model_copy(update={"train_images": images, "val_images": 20})
    return base.model_copy(update={"training": TrainingConfig(**recipe), "data": data})


def work(home: str, name: str, resume: bool, fatal: int | None, record: Path | None) -> None:
    """A job's work, in a process that kills itself before a file is renamed for the ``fatal``-th time."""
    os.environ.update(VIT_CHECKPOINTS=f"{home}/checkpoints", VIT_DATA=f"{home}/data")
    rename, count = os.replace, 0

    def replace(source: str, target: Path) -> None:
        nonlocal count
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        rename(source, target)
        if record:
            with record.open("a") as file:
                file.write(f"{target.name}\n")

    os.replace = replace
    jobs.execute(runs.get_run(name), resume=resume)


@pytest.fixture(scope="module")
def forks() -> multiprocessing.context.BaseContext:
    """Processes that begin with all imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.jobs.test_resume", "vit.model", "vit.trainer", "PIL.ImageFile"])
    return context


@pytest.fixture
def fork(forks, home, monkeypatch) -> Callable:
    """Train a run in a separate process and return its exit status."""
    # A test of a page leaves it as the main module, which such a process would run again.
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))

    def fork(run: Run, *, resume: bool = False, fatal: int | None = None, record: Path | None = None) -> int:
        process = forks.Process(target=work, args=(str(home), run.name, resume, fatal, record))
        process.start()
        process.join(60)
        return process.exitcode

    return fork


def told_truly(run: Run) -> None:
    """What a killed run says of itself is so."""
    assert run.state == "failed"
    if run.has_weights:
        metrics = weights.load_checkpoint(run.path)[1].metrics
        assert run.status.validated == metrics["validated"]
        assert (run.best or {}).get("val_accuracy") == metrics.get("val_accuracy")
    if checkpoint := resume_file.load_resume(run.path):
        lines = run.metrics()[0]
        steps = [line["step"] for line in lines if line["event"] == "step"]
        assert steps[: checkpoint.position["step"]] == list(range(1, checkpoint.position["step"] + 1))
        assert sum(line["event"] == "epoch" for line in lines) >= checkpoint.position["epoch"]


@pytest.mark.parametrize(
    "recipe", [{"keep": "validation", "resume_steps": 2}, {"keep": "training_loss", "flip": False}]
)
def test_a_run_killed_before_any_of_its_files_is_in_place_goes_on_to_the_same_end(fork, home, recipe):
    whole = runs.create("whole", config(**recipe))
    record = home / "renamed"
    assert fork(whole, record=record) == 0
    expected, renamed = outcome(whole), record.read_text().split()
    assert {runs.MODEL, runs.LAST, runs.STATUS, runs.CONFIG} < set(renamed)
    assert expected["status"][:3] == ("finished", 2, 6)
    killed = 0
    for fatal, name in enumerate(renamed):
        if not fatal or (name == runs.STATUS and fatal % 3):  # before the first nothing has begun; of those, a third
            continue
        run = runs.create(f"killed-{fatal}", config(**recipe))
        ended = fork(run, fatal=fatal)
        if ended == 0:  # it wrote its status, which it does by the clock, fewer times than the first one
            continue
        assert ended == -signal.SIGKILL
        killed += 1
        told_truly(run)
        with (run.path / runs.METRICS).open("ab") as file:
            file.write(b'{"event":"step","step":')  # as after a loss of power
        jobs.prepare_resume(run)
        assert fork(run, resume=True) == 0, run.log()
        assert outcome(run) == expected, f"killed before {name} was in place"
    assert killed >= 5


def test_a_run_may_be_killed_again_and_again(fork):
    settings = config(keep="training_loss", resume_steps=1)
    whole, run = runs.create("whole", settings), runs.create("run", settings)
    assert fork(whole) == 0
    deaths = 0
    while fork(run, resume=deaths > 0, fatal=9) == -signal.SIGKILL:  # it gets a step or two further each time
        deaths += 1
        told_truly(run)
        jobs.prepare_resume(run)
    assert deaths >= 3
    assert outcome(run) == outcome(whole)


def kill_when(run: Run, condition: Callable[[], object], seconds: float = 60) -> None:
    """SIGKILL for the run's job as soon as the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, run.log()
        time.sleep(0.005)
    os.kill(run.status.pid, signal.SIGKILL)
    while run.active:
        time.sleep(0.01)


def test_a_job_killed_from_outside_while_it_loads_and_while_it_trains_ends_bit_by_bit(home, monkeypatch):
    settings = config(epochs=12, threads=None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = jobs.start(settings, "run")
    kill_when(run, lambda: "Loading" in run.status.message)
    jobs.resume(run)
    kill_when(run, lambda: run.latest and run.latest["step"] >= 8)
    assert run.config.environment.threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # what torch would choose now
    jobs.resume(run)
    while run.active:
        time.sleep(0.05)
    assert run.config.environment.threads == 1
    assert "Started with" not in run.log()
    whole = runs.create("whole", config(epochs=12, threads=1))
    jobs.execute(whole)
    assert outcome(run) == outcome(whole)


def test_what_has_changed_since_a_run_was_begun_stands_in_its_log(home):
    run = runs.create("run", config(epochs=3))
    stop_after(run, 1)
    begun = run.config.environment.model_copy(update={"torch": "1.0", "processor": "Abacus", "threads": 3})
    runs.write_config(run.path, run.config.model_copy(update={"environment": begun}))
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished"
    assert "Started with torch 1.0, the processor Abacus, threads 3, resumed with " in run.log()
    assert run.config.environment == begun


def stop_after(run: Run, epoch: int) -> None:
    """Train in this process, and stop in order after an epoch."""

    def report(event: object) -> None:
        if getattr(event, "val_loss", None) and event.epoch == epoch:
            signal.raise_signal(signal.SIGTERM)

    assert jobs.execute(run, report=report).state == "stopped"


@pytest.fixture
def stopped(home) -> Run:
    """A run that was stopped after the first of three epochs."""
    run = runs.create("run", config(epochs=3))
    stop_after(run, 1)
    return run


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_another(path: Path) -> None:
    path.write_bytes(path.with_name(runs.MODEL).read_bytes())


def of_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def other_images(path: Path) -> None:
    settings = runs.Run(path.parent).config
    data = settings.data.model_copy(update={"train_images": 50, "val_images": 10})
    training = settings.training.model_copy(update={"batch_size": 5})
    runs.write_config(path.parent, settings.model_copy(update={"data": data, "training": training}))


@pytest.mark.parametrize("damage", [cut_short, emptied, of_another, of_zeros, other_images])
def test_what_cannot_be_gone_on_from_ends_the_run_with_what_to_do_and_touches_nothing(stopped, damage):
    lines, best = stopped.metrics()[0], stopped.best
    damage(stopped.path / runs.LAST)
    jobs.prepare_resume(stopped)
    status = jobs.execute(stopped, resume=True)
    assert status.state == stopped.state == "failed"
    assert "start the run over" in status.message
    assert "\n" not in status.message
    assert stopped.metrics()[0] == lines
    assert stopped.best == best
    assert stopped.status.epoch == 1


def test_a_run_that_is_gone_on_with_on_its_last_epoch_is_finished(stopped):
    jobs.prepare_resume(stopped)
    assert jobs.execute(stopped, resume=True).state == "finished"
    expected = outcome(stopped)
    for file in (stopped.path / runs.SNAPSHOTS).iterdir():
        if file.name.startswith("00003"):
            file.unlink()  # killed after last.safetensors and before its snapshot
    runs.update_status(stopped.path, state="failed", epoch=2)
    jobs.prepare_resume(stopped)
    assert jobs.execute(stopped, resume=True).state == "finished"
    assert outcome(stopped) == expected


def test_half_written_files_of_a_killed_job_are_swept_away(stopped):
    remains = [stopped.path / f".{runs.LAST}-abc", stopped.path / runs.SNAPSHOTS / ".00001.safetensors-x_1"]
    for file in remains:
        file.write_bytes(b"half")
    jobs.prepare_resume(stopped)
    assert jobs.execute(stopped, resume=True).state == "finished"
    assert not any(file.exists() for file in remains)


def test_the_status_of_a_killed_job_tells_of_the_weights_that_are_there(stopped):
    older = json.loads((stopped.path / runs.STATUS).read_text())
    runs.write_status(stopped.path, runs.Status(**older | {"state": "running"}))
    newer = stopped.best | {"epoch": 2, "val_accuracy": 0.875, "validated": True}
    weights.save_model(stopped.path, load_tensors(stopped), newer)
    assert stopped.state == "failed"
    assert stopped.best["val_accuracy"] == stopped.status.best["val_accuracy"] == 0.875
    assert jobs.stop(stopped).best["val_accuracy"] == 0.875


def load_tensors(run: Run) -> dict:
    return weights.load_checkpoint(run.path)[0].state_dict()


def test_a_run_packed_within_an_epoch_goes_on_where_it_arrives(home, monkeypatch):
    import torch

    monkeypatch.setattr(loop, "WINDOW", 2)
    settings = config(batch_size=12, keep="training_loss", resume_steps=3)
    whole, run = runs.create("whole", settings), runs.create("run", settings)
    assert jobs.execute(whole).state == "finished"

    def report(event: object) -> None:
        if isinstance(event, trainer.Step) and event.step == 3:  # of five: one running loss, and half of the next
            signal.raise_signal(signal.SIGTERM)

    assert jobs.execute(run, report=report).state == "stopped"
    checkpoint = resume_file.load_resume(run.path)
    assert (checkpoint.position["step"], checkpoint.position["kept_step"]) == (3, 2)
    assert {"window", "kept.head.bias"} <= checkpoint.tensors.keys()
    again = unpacked(run, "again")
    jobs.prepare_resume(again)
    assert jobs.execute(again, resume=True).state == "finished", again.log()
    assert outcome(again) == outcome(whole)
    for name, tensor in {
        "kept.evil": torch.zeros(1),
        "kept.head.bias": torch.zeros(7),
        "window": torch.zeros(2, 2),
        "evil": torch.zeros(()),
    }.items():
        resume_file.save_resume(run.path, trainer.Checkpoint(checkpoint.tensors | {name: tensor}, checkpoint.position))
        with pytest.raises(RunError, match="not hold what a resume needs"):
            unpacked(run, "evil")


def unpacked(run: Run, name: str) -> Run:
    """The run once more, by way of a zip."""
    file = io.BytesIO()
    run_zip.pack(run, file, resume=True)
    file.seek(0)
    return run_zip.unpack(file, name)
