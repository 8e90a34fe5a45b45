"""A sweep on a real Ray of this machine, with two workers: placed, lost, tried again, stopped, refused."""

import os
import signal
import sys
from importlib.util import find_spec

import psutil
import pytest

from tests.helpers.working import ENDLESS, config, wait_for
from vit import jobs, runs
from vit.cli import main
from vit.errors import SettingsError
from vit.jobs import queue
from vit.paths import checkpoints_dir
from vit.runs import folder
from vit.sweeps import ray_cluster, sweep
from vit.sweeps.config import SweepConfig

if find_spec("ray") is None:  # ray must not be imported before its settings are made
    pytest.skip("Ray is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def ray_home(tmp_path_factory):
    """Folders of runs and data for the whole module, in force for it and for Ray's workers."""
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        patch.setenv("HOME", str(folder))  # Ray is to leave nothing there
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_TOKEN"):
            patch.setenv(name, "")  # so that what is set is taken back
            patch.delenv(name)
        yield folder


@pytest.fixture(scope="module")
def cluster(ray_home):
    """A Ray of two CPU cores."""
    with ray_cluster.cluster("local", cores=2) as found:
        yield found


def grid(name: str, epochs: int = 1, **axes) -> SweepConfig:
    return SweepConfig(**{"name": name, "base": config(epochs), "heads": (1, 2), "depths": (1,)} | axes)


def through(cluster: ray_cluster.Cluster) -> list[str]:
    """Wait for the end of all runs; what kept some from being done."""
    said = []
    wait_for(lambda: said.extend(cluster.poll()) or not cluster.tasks, 60)
    return said


def test_a_run_whose_worker_is_killed_is_finished_by_another_and_given_up_where_none_is_left(cluster, monkeypatch):
    [lost] = sweep.start(grid("lost", 40, heads=(2,)), cluster.begin)
    monkeypatch.setattr(ray_cluster, "RETRIES", 0)
    [other] = sweep.start(grid("other", ENDLESS, heads=(1,)), cluster.begin)
    wait_for(lambda: lost.status.epoch >= 3)
    pid, done = lost.status.pid, lost.status.epoch
    os.kill(pid, signal.SIGKILL)
    states = set()
    wait_for(lambda: states.add(lost.state) or lost.status.pid not in (None, pid), 30)
    [third] = sweep.start(grid("third", ENDLESS, heads=(1,)), cluster.begin)
    assert "failed" not in states  # it was never given up
    assert third.state == "queued"  # there are two cores
    assert queue.positions() == {}  # the queue of this machine is not used
    (third.path / folder.STOP).touch()  # as a process on another machine would stop it
    assert cluster.poll() == []
    os.kill(wait_for(lambda: other.status.epoch and other.status.pid), signal.SIGKILL)
    assert [sentence[:24] for sentence in through(cluster)] == ["other-h1-d1-s0: Its work"]
    assert (lost.state, other.state, third.state) == ("finished", "failed", "stopped")
    assert "Its worker was lost" in other.status.message
    log = lost.log(2000)
    assert log.count("Training.") == 2
    assert "the run is tried again" in log
    assert f"epoch {done + 1} of 40" in log.split("the run is tried again")[1]
    assert "epoch 1 of 40" not in log.split("the run is tried again")[1]
    steps = [line["step"] for line in lost.metrics()[0] if line["event"] == "step"]
    assert steps == list(range(1, 81))  # no step is missing or repeated


def test_it_listens_on_the_loopback_interface_sends_no_statistics_and_leaves_nothing_at_home(cluster, ray_home):
    processes = psutil.Process().children(recursive=True)
    assert any("raylet" in process.name() for process in processes)
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    gcs = next(process for process in processes if "gcs_server" in process.name())
    assert gcs.environ()["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not (ray_home / ".ray").exists()


def test_a_gpu_is_given_to_one_run_and_what_no_machine_has_is_refused(cluster, monkeypatch):
    assert cluster.resources(config(threads=None)) == {"num_cpus": 1}
    assert cluster.resources(config(threads=2)) == {"num_cpus": 2}
    with pytest.raises(SettingsError, match="No machine of the Ray cluster has 3 CPU cores"):
        cluster.resources(config(threads=3))
    with pytest.raises(SettingsError, match="no GPU"):
        cluster.begin(config(device="cuda"), "one")
    assert not (checkpoints_dir() / "one").exists()
    monkeypatch.setattr(cluster, "has_gpus", True)
    assert cluster.resources(config(device="auto")) == {"num_cpus": 1, "num_gpus": 1}
    assert cluster.resources(config(device="cpu", threads=2)) == {"num_cpus": 2}


def test_waiting_runs_are_alive_as_long_as_the_program_that_placed_them(home):
    run = runs.create("one", config())
    mark = "0" * 32
    place = folder.placer(run.path, mark)
    place.mkdir(parents=True)
    with runs.run_lock(place):
        runs.update_status(run.path, placed=mark, ticket=1)
        assert run.state == "queued"
        assert jobs.stop(run).state == "stopped"
        runs.update_status(run.path, state="queued")
    assert run.state == "failed"
    runs.requeue(run)  # in the queue of this machine, for good
    assert runs.read_status(run.path).placed == ""
    assert queue.positions() == {"one": 1}


def test_a_machine_that_does_not_see_the_folder_says_so(home):
    said = ray_cluster.work("/no/such/folder/one", 1, {})
    assert said.startswith("The machine ")
    assert "does not see the folder /no/such/folder/one: set VIT_CHECKPOINTS to a path" in said


def test_a_task_does_nothing_for_a_run_that_was_stopped_or_queued_again(home):
    run = runs.create("one", config())
    ticket = runs.read_status(run.path).ticket
    assert ray_cluster.work(str(run.path), ticket - 1, {}) == ""
    jobs.stop(run)
    assert ray_cluster.work(str(run.path), ticket, {}) == ""
    assert (run.state, run.status.pid) == ("stopped", None)


def test_an_address_without_a_cluster_gets_one_line_at_once(ray_home, capsys):
    for address in ("127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:none"):
        assert main.main(["sweep", "--ray", address]) == 2
        told = capsys.readouterr().err
        assert f"There is no Ray cluster at '{address}'" in told
        assert len(told.splitlines()) == 1


def test_without_ray_the_command_says_what_to_install(ray_home, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main.main(["sweep", "--ray", "local"]) == 2
    told = capsys.readouterr().err
    assert "pip install ray" in told
    assert len(told.splitlines()) == 1
