"""Training with several ranks: real processes on gloo, started by torchrun and by a job, and how they end."""

import os
import signal
import subprocess
import sys
from itertools import chain, islice, pairwise

import psutil
import pytest
import streamlit as st
import torch

from tests.helpers.working import ENDLESS, config, jobs_end, wait_for  # noqa: F401 - a fixture
from tests.pages.opening import open_page
from vit import data, jobs, runs, trainer
from vit.config import Environment
from vit.distributed import World
from vit.errors import SettingsError
from vit.jobs import environment
from vit.paths import project_root
from vit.support import hardware
from vit.support.hardware import Device
from vit.trainer.resume_file import load_resume

FLAGS = (
    "--dataset scenes --image-size 32 --train-images 52 --val-images 21 --batch-size 15 --warmup 0 --snapshots 0 "
    "--depth 1 --num-heads 1 --embed-dim 16 --stem patch --pool cls --device cpu --threads 1"
)
"""Four steps an epoch: three odd batches, so that the parts differ, and one of seven. Augmented, and no dropout."""


def of_rank(pid: int, rank: int) -> int:
    """The process of this rank among the children of a process."""
    return next(it.pid for it in psutil.Process(pid).children() if it.environ().get("RANK") == str(rank))


def losses(run: runs.Run) -> list[float]:
    lines = [line for line in run.metrics()[0] if line["event"] == "step"]
    assert all(after["step"] == before["step"] + 1 for before, after in pairwise(lines))
    return [line["loss"] for line in lines]


EPOCHS = 30
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

RAISES = """
import os
if os.environ.get("RANK") == "1":
    import vit.data
    vit.data.load = lambda config: 1 / 0
"""
"""A ``sitecustomize.py``: rank 1 cannot load its data."""


def test_torchrun_trains_as_one_process_does_and_goes_on_by_itself_after_the_death_of_a_worker(jobs_end):  # noqa: F811
    command = [*TORCHRUN, "--max-restarts", "1", "-m", "vit", "train", *FLAGS.split(), "--epochs", str(ENDLESS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as torchrun:
        run = wait_for(runs.list_runs)[0]
        wait_for(lambda: run.status.step > 20 and run.can_resume)
        before = run.status.step
        os.kill(of_rank(torchrun.pid, 1), signal.SIGKILL)
        wait_for(lambda: "Rank 1 of 2 failed: it ended without an error message" in run.log())

        alone = trainer.fit(run.config, data.load(run.config.data))
        expected = list(islice((event.loss for event in alone if isinstance(event, trainer.Step)), 60))
        wait_for(lambda: run.status.step > max(60, before + 4))
        assert jobs.stop(run).state == "stopped"
        said = torchrun.communicate(timeout=60)[0]
    assert torchrun.returncode == 0, said
    assert len(runs.list_runs()) == 1
    assert losses(run)[:60] == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.1
    assert run.config.environment.processes == 2
    assert run.log().count("2 processes train together") == 2
    assert said.count("Training.") == 2  # once a start: the others are silent


def ranks(run: runs.Run, step: int = 4) -> list[psutil.Process]:
    """The rank processes of a job that trains, in order; waits until it is past a step."""
    wait_for(lambda: run.state == "running" and run.status.step > step)
    return [psutil.Process(of_rank(run.status.pid, rank)) for rank in (0, 1)]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


def test_a_killed_rank_ends_the_run_with_its_name_and_a_resume_with_one_process_goes_on(jobs_end, monkeypatch):  # noqa: F811
    run = jobs.start(config(ENDLESS, processes=2), "one")
    wait_for(lambda: run.status.epoch >= 2)
    job, processes = run.status.pid, ranks(run)
    processes[1].kill()
    wait_for(lambda: runs.read_status(run.path).state == "failed", 10)
    assert run.status.message.startswith("Rank 1 of 2 failed: its process was killed, perhaps because memory ran out")
    assert "resume it or start over" in run.status.message
    wait_for(lambda: gone(processes) and not psutil.pid_exists(job), 10)
    wait_for(lambda: not runs.is_locked(run.path), 5)  # the watcher of the job looks at the run, too

    done = int(load_resume(run.path).position["step"])
    monkeypatch.setattr(hardware, "processes", lambda wanted, device: 1)  # as on a machine with one GPU

    def interrupt(event: object) -> None:
        if isinstance(event, trainer.Step) and event.step == done + 3:
            os.kill(os.getpid(), signal.SIGTERM)

    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True, report=interrupt).state == "stopped"
    assert len(losses(run)) == done + 3
    assert "Started with processes 2, resumed with 1" in run.log()
    assert run.config.training.processes == 2


def test_ranks_stop_together_resume_and_end_with_their_job(jobs_end):  # noqa: F811
    heard = []
    recipe = {"processes": 2, "schedule": "constant", "warmup": 0.0}  # whatever the number of epochs
    fine = runs.create("fine", config(EPOCHS, **recipe))
    assert jobs.execute(fine, report=heard.append).state == "finished", fine.log()
    assert "Training." in heard
    assert [event.epoch for event in heard if hasattr(event, "val_loss")] == list(range(1, EPOCHS + 1))

    run = jobs.start(config(ENDLESS, **recipe), "one")
    processes = ranks(run, 0)
    assert jobs.stop(run).state == "stopped"
    assert run.status.message.startswith("Stopped after ")
    wait_for(lambda: gone(processes), 5)
    assert run.has_weights
    assert "2 processes train together" in run.log()

    done = len(losses(run))
    assert run.resume_step == done  # no step is lost
    jobs.resume(run)
    processes = ranks(run, done)
    waiting = jobs.start(config(ENDLESS, processes=2), "two")
    wait_for(lambda: "Waiting for the device" in waiting.status.message)
    assert not any("libtorch" in file.path for file in psutil.Process(waiting.status.pid).memory_maps())
    jobs.stop(waiting)
    for process in processes:
        process.suspend()  # like a rank that is blocked in a collective operation
    os.kill(run.status.pid, signal.SIGKILL)
    wait_for(lambda: gone(processes), 5)
    wait_for(lambda: runs.read_status(run.path).state == "failed", 5)
    assert "was killed" in run.status.message
    wait_for(lambda: not runs.is_locked(run.path), 5)
    found, uninterrupted = losses(run), losses(fine)
    assert done < min(len(found), len(uninterrupted))
    assert all(one == other for one, other in zip(found, uninterrupted, strict=False))


def test_a_rank_that_raises_is_named_with_its_error(home, tmp_path, monkeypatch):

    (tmp_path / "sitecustomize.py").write_text(RAISES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(project_root())]))
    bad = runs.create("bad", config(2, processes=2))
    assert jobs.execute(bad).state == "failed"
    expected = "Rank 1 of 2 failed: An unexpected error ended the run (ZeroDivisionError)"
    assert bad.status.message.startswith(expected)
    assert "division by zero" in bad.log()
    assert not list(bad.path.glob(".ranks"))

    words = ["--max-restarts", "0", "-m", "--", "vit", "train", *FLAGS.split(), "--run", "by-hand"]
    assert subprocess.run([*TORCHRUN, *words], capture_output=True, timeout=120).returncode == 1
    assert runs.get_run("by-hand").status.message.startswith(expected)


def test_ranks_end_with_a_torchrun_that_is_killed(jobs_end):  # noqa: F811
    words = ["-m", "vit", "train", *FLAGS.split(), "--epochs", str(ENDLESS)]
    with subprocess.Popen([*TORCHRUN, *words], stderr=subprocess.DEVNULL) as torchrun:
        run = wait_for(runs.list_runs)[0]
        wait_for(lambda: run.status.step > 4)
        processes = [psutil.Process(of_rank(torchrun.pid, rank)) for rank in (0, 1)]
        torchrun.kill()
    wait_for(lambda: gone(processes), 5)
    assert run.state == "failed"


def test_parts_are_the_whole_in_order_however_many_share_it():
    for size in (1, 2, 3, 7):
        for count in (0, 1, 2, 15, 64):
            parts = [list(range(count))[World(rank, size).part(count)] for rank in range(size)]
            assert [*chain(*parts)] == list(range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture
def two_gpus(home, monkeypatch):
    found = [Device("cuda", "H100", 80 * 10**9, 70 * 10**9, 2), Device("cpu", "CPU, 8 cores", 16 * 10**9, 10**9)]
    monkeypatch.setattr(hardware, "devices", lambda: found)
    st.cache_data.clear()
    yield
    st.cache_data.clear()


def test_the_train_page_offers_the_gpus_it_finds_where_there_is_more_than_one(two_gpus):
    app = open_page("train", form="All settings")
    assert app.selectbox(key="processes").options == ["1", "2"]
    app.selectbox(key="processes").set_value(2).run()
    assert app.code[0].value == "python -m vit train --processes 2"
    app.selectbox(key="device").set_value("cpu").run()
    assert not app.exception
    assert app.code[0].value == "python -m vit train --device cpu"
    assert "processes" not in {widget.key for widget in app.selectbox}


def test_more_processes_than_gpus_are_refused_before_anything_is_made_and_a_resume_takes_what_is_there(two_gpus):
    with pytest.raises(SettingsError, match=r"processes = 4 is too many for this machine \(2 GPUs\): choose at most 2"):
        runs.create("one", config(device="cuda", processes=4))
    assert runs.list_runs() == []
    assert hardware.processes(4, "cuda") == 2
    assert hardware.resolve("auto", 2) == "cuda"


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(hardware, "cpu_cores", lambda: 6)
    try:
        environment.set_threads(None, None, 2)
        assert torch.get_num_threads() == 3
        environment.set_threads(None, Environment(processor=hardware.processor(), threads=4, processes=2), 3)
        assert torch.get_num_threads() == 4  # a resume has the threads that it was begun with
        environment.set_threads(None, Environment(processor=hardware.processor(), threads=6), 3)
        assert torch.get_num_threads() == 2
        environment.set_threads(5, None, 2)
        assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(before)
