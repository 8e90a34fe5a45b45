"""Many runs and one device: who is next, what waiting costs, and beginning anew from every state."""

import os
import random
import signal
import time
from contextlib import contextmanager
from itertools import pairwise

import psutil
import pytest
from filelock import FileLock

from tests.conftest import tiny_config
from tests.helpers.working import ENDLESS, config, job_processes, jobs_end, wait_for  # noqa: F401 - a fixture
from vit import jobs, runs
from vit.errors import RunError, SettingsError
from vit.jobs import queue as turns
from vit.paths import checkpoints_dir
from vit.runs import Run, failures
from vit.runs.run import START_GRACE


@contextmanager
def device_taken():
    """Hold the lock of the CPU, as another run would."""
    folder = checkpoints_dir() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "cpu.lock"):
        yield


def kill(run: Run) -> None:
    os.killpg(run.status.pid, signal.SIGKILL)


def test_ten_queued_runs_of_which_five_are_killed_all_end_in_a_true_state(jobs_end):  # noqa: F811
    dice = random.Random(5)
    numbers = dice.sample(range(10), 5)
    in_line, at_work = numbers[:3], numbers[3:]
    with device_taken():
        queue = [jobs.start(config(ENDLESS if n in at_work else 1), f"run-{n:02}") for n in range(10)]
        wait_for(lambda: all(run.status.pid for run in queue))
        assert turns.positions() == {run.name: n + 1 for n, run in enumerate(queue)}
        wait_for(lambda: all("Waiting for the device" in run.status.message for run in queue))
        assert turns.position_text(turns.positions()["run-00"]) == "next in the queue"
        waiting = [psutil.Process(run.status.pid) for run in queue]
        before = sum(sum(process.cpu_times()[:2]) for process in waiting)
        time.sleep(1)
        assert sum(sum(process.cpu_times()[:2]) for process in waiting) - before < 0.2  # 2 % for each of the ten
        for process in waiting:
            assert process.memory_info().rss < 60e6
            assert not any(name in file.path for file in process.memory_maps() for name in ("libtorch", "numpy"))
        for n in in_line:
            kill(queue[n])
            time.sleep(dice.uniform(0, 0.05))
        wait_for(lambda: all(queue[n].state == "failed" for n in in_line), 5)
        left = [run for n, run in enumerate(queue) if n not in in_line]
        assert turns.positions() == {run.name: place for place, run in enumerate(left, 1)}

    for n in sorted(at_work):
        wait_for(lambda n=n: queue[n].state == "running")
        time.sleep(dice.uniform(0, 1))
        kill(queue[n])
    wait_for(lambda: not any(run.active for run in queue))

    for n, run in enumerate(queue):
        assert run.state == ("failed" if n in numbers else "finished"), run.log()
        if n in numbers:
            assert "was killed" in run.status.message
    begun = [run.status for run in left]
    assert [status.started for status in begun] == sorted(status.started for status in begun)
    gaps = [after.started - before.ended for before, after in pairwise(begun)]
    # The end of a killed run is noted by another process, perhaps after the next run has started.
    assert min(gap for gap, status in zip(gaps, begun, strict=False) if status.state == "finished") >= 0
    assert sorted(gaps)[len(gaps) // 2] < 1
    wait_for(lambda: not job_processes())  # there are no zombies
    wait_for(lambda: jobs.poll() == 0)  # the watcher threads have ended
    assert turns.positions() == {}
    assert not any(runs.is_locked(run.path) for run in queue)
    with device_taken():
        pass

    jobs.resume(queue[at_work[0]])
    jobs.restart(queue[in_line[0]])
    wait_for(lambda: queue[at_work[0]].status.epoch and queue[at_work[0]].state == "running")
    jobs.stop(queue[at_work[0]])
    wait_for(lambda: queue[in_line[0]].state == "finished")


def test_a_run_is_started_over_whatever_it_is_doing(jobs_end):  # noqa: F811
    run = jobs.start(config(ENDLESS), "one")

    def begins_anew(ticket: int) -> None:
        status = runs.read_status(run.path)
        assert (status.state, status.epoch, status.step, status.best) == ("queued", 0, 0, None)
        assert status.ticket > ticket
        assert not any((run.has_weights, run.can_resume, run.metrics()[0]))
        assert run.config.training.epochs == ENDLESS

    with device_taken():
        wait_for(lambda: run.status.pid)
        first, ticket = run.status.pid, run.status.ticket
        jobs.restart(run)  # from waiting
        begins_anew(ticket)
        wait_for(lambda: not psutil.pid_exists(first))
    wait_for(lambda: run.status.epoch >= 2)

    ticket = run.status.ticket
    os.kill(run.status.pid, signal.SIGSTOP)  # it hangs
    jobs.restart(run)
    begins_anew(ticket)  # long before its new process has imported torch
    assert "Started over" in run.log()
    wait_for(lambda: run.status.epoch >= 1)

    (run.path / runs.STATUS).write_bytes(b"\x00" * 300)  # as after a loss of power, and while it works
    assert run.active
    ticket = time.time_ns()
    jobs.restart(run)
    wait_for(lambda: run.status.epoch >= 1)
    assert run.status.ticket > ticket
    assert jobs.stop(run).state == "stopped"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_starting_over_deletes_what_was_made_and_nothing_else(trained, state):
    run = runs.get_run("tiny")
    outside = trained / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    runs.update_status(run.path, state=state)
    (run.path / "notes.txt").write_text("my own")
    (run.path / runs.SNAPSHOTS / "link").symlink_to(outside)
    settings = run.config
    jobs.prepare_restart(run)
    assert run.state == "queued"
    assert run.config == settings
    names = {path.name for path in run.path.iterdir()}
    assert names == {runs.CONFIG, runs.STATUS, runs.LOG, runs.LOCK, "notes.txt"}
    assert (outside / "precious").exists()
    jobs.stop(run)


def test_if_snapshots_is_a_symbolic_link_only_the_link_is_deleted(trained):
    run = runs.get_run("tiny")
    (run.path / runs.SNAPSHOTS).rename(trained / "other")
    (run.path / runs.SNAPSHOTS).symlink_to(trained / "other")
    runs.start_over(run)
    assert not (run.path / runs.SNAPSHOTS).is_symlink()
    assert list((trained / "other").iterdir())


@pytest.mark.parametrize("files", range(6))
def test_a_start_over_that_is_killed_half_way_leaves_a_run_that_can_begin(trained, monkeypatch, files):
    run = runs.get_run("tiny")
    left = files
    real = type(run.path).unlink

    def unlink(path, missing_ok=False):
        nonlocal left
        if not left:
            raise KeyboardInterrupt  # the process is gone
        left -= path.exists()
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(type(run.path), "unlink", unlink)
        try:
            runs.start_over(run)
        except KeyboardInterrupt:
            assert run.state == "stopped"
        else:
            assert run.state == "queued"
            jobs.stop(run)
    assert runs.list_runs() == [run]
    runs.start_over(run)
    assert run.state == "queued"
    assert not run.has_weights
    jobs.stop(run)


def test_a_run_whose_device_is_gone_or_whose_settings_are_lost_keeps_what_it_has(trained):
    from vit.support import hardware

    run = runs.get_run("tiny")
    config_ = run.config
    absent = ({"cuda", "mps"} - {device.name for device in hardware.devices()}).pop()
    training = config_.training.model_copy(update={"device": absent})
    runs.write_config(run.path, config_.model_copy(update={"training": training}))
    with pytest.raises(SettingsError, match="has no device"):
        jobs.restart(run)
    (run.path / runs.CONFIG).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        jobs.restart(run)
    assert run.has_weights
    assert run.can_resume
    assert run.state == "finished"


def test_a_process_of_a_former_place_in_the_queue_leaves_the_run_alone(home):
    run = runs.create("one", config())
    former = run.status.ticket
    jobs.stop(run)
    runs.requeue(run)
    assert jobs.execute(run, ticket=former).state == "queued"
    assert run.state == "queued"
    assert not run.has_weights


def test_who_waits_longest_is_next_on_each_device_and_the_dead_do_not_count(home):
    queue = [runs.create(f"run-{n}", tiny_config()) for n in range(4)]
    runs.update_status(queue[1].path, device="cuda")
    old = time.time_ns() - int((START_GRACE + 1) * 1e9)
    runs.update_status(queue[0].path, ticket=old)  # its process never came
    assert turns.positions() == {"run-1": 1, "run-2": 1, "run-3": 2}
    runs.update_status(queue[2].path, state="running")
    with runs.run_lock(queue[2].path):
        assert turns.positions() == {"run-1": 1, "run-3": 1}
    assert turns.position_text(3) == "number 3 in the queue"


@pytest.mark.parametrize(
    ("code", "log", "said"),
    [
        (-9, "", "perhaps because memory ran out"),
        (-15, "", "stopped before it could write its status"),
        (-7, "", "do not change the decoded images"),
        (-11, "", "crashed (SIGSEGV)"),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "Memory ran out"),
        (
            -6,
            "memory allocation of 226851676 bytes failed\n stack backtrace:\n 1: std::alloc::rust_oom",
            "Memory ran out",
        ),
        (1, "ModuleNotFoundError: No module named 'torch'", "(ModuleNotFoundError: No module named 'torch')"),
        (None, "12:00:01  Training.\n", "without an error message (Training, at 12:00:01)"),
        (None, "Fatal Python error: Bus error\n\nThread 0x0 (most recent call first):\n  File x", "decoded images"),
        (None, f"Fatal Python error: Bus error\n{failures.PROCESS_STARTS}\n", "without an error message: resume it"),
        (None, "", "without an error message: resume it or start over"),
        (None, "x" * 5000, "): resume it or start over"),
    ],
)
def test_how_a_process_died_is_told_in_a_sentence(code, log, said):
    sentence = failures.describe_death(code, log)
    assert said in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300
