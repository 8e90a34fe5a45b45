"""What can go wrong around a training really goes wrong here: each time the run ends as failed, with a sentence."""

import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.serving import ROOT
from tests.helpers.working import ENDLESS, config, jobs_end, wait_for  # noqa: F401 - a fixture
from tests.pages.opening import open_page
from vit import jobs, runs
from vit.config import RunConfig
from vit.errors import RunError
from vit.paths import checkpoints_dir
from vit.runs import Run

FULL_DISK = """
import json
from tests.helpers.working import config
from vit import jobs, runs
from vit.paths import checkpoints_dir
from vit.data import load
from vit.errors import RunError
from vit.trainer import Step

FILLER = checkpoints_dir() / ".filler"

def fill(room):
    with FILLER.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - room))

def fill_at_step_3(event):
    if isinstance(event, Step) and event.step == 3:
        fill(0)

def tell(name, run):
    written = json.loads((run.path / "status.json").read_bytes())
    said[name] = [written["state"], written["message"], run.state, [f.name for f in run.path.glob(".*-*")]]

said = {}
load(config().data)
queue = {name: runs.create(name, config(2)) for name in ("at-once", "weights", "later", "bystander")}
for name, room in (("at-once", 0), ("weights", 20_000)):
    fill(room)
    jobs.execute(queue[name])
    tell(name, queue[name])
    FILLER.unlink()
jobs.execute(queue["later"], report=fill_at_step_3)
tell("later", queue["later"])
fill(0)
try:
    jobs.start(config(), "refused")
except RunError as error:
    said["refused"] = str(error)
try:
    jobs.resume(queue["weights"])
except RunError as error:
    said["resume"] = str(error)
jobs.stop(queue["bystander"])
tell("stopped", queue["bystander"])
said["names"] = sorted(run.name for run in runs.list_runs())
jobs.prepare_restart(queue["later"])  # it makes room by what it deletes
tell("restarted", queue["later"])
FILLER.unlink()
said["state"] = jobs.execute(queue["later"]).state
jobs.prepare_resume(queue["at-once"])
said["resumed"] = jobs.execute(queue["at-once"], resume=True).state
print(json.dumps(said))
"""

NO_MEMORY = """
import resource, subprocess, sys
from tests.helpers.working import config, wait_for
from vit import jobs, runs
from vit.config import ViTConfig

ask = "import psutil, vit.trainer, vit.runs.weights; print(psutil.Process().memory_info().vms)"
room = int(subprocess.check_output([sys.executable, "-c", ask])) + 250 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))  # for the job, too
model = ViTConfig(image_size=32, embed_dim=512, depth=24, num_heads=8)  # 300 MB of weights, and as many again
run = jobs.start(config().model_copy(update={"model": model}), "one")
wait_for(lambda: run.state not in runs.ACTIVE)
print(run.status.message)
"""


def mounted(script: str, folder: Path, options: str) -> subprocess.CompletedProcess:
    """Run a script with its own file system mounted at ``folder``; skip if that is not permitted."""
    enter = ["unshare", "-Urm"]
    if shutil.which("unshare") is None or subprocess.run([*enter, "true"], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    folder.mkdir()
    command = f'mount {options} "{folder}" && exec "{sys.executable}" -'
    return subprocess.run([*enter, "sh", "-c", command], input=script, capture_output=True, text=True, cwd=ROOT)


def test_a_full_disk_ends_a_run_with_a_sentence_and_no_other_and_all_goes_on_once_there_is_room(home):
    done = mounted(FULL_DISK, checkpoints_dir(), "-t tmpfs -o size=2m none")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for name in ("at-once", "weights", "later"):
        written, message, state, remains = said[name]
        assert written == state == "failed", message
        assert "is full: free some space, then resume it or start over" in message
        assert remains == []
    for name in ("refused", "resume"):
        assert "free some space" in said[name]
    assert said["names"] == ["at-once", "bystander", "later", "weights"]
    assert said["stopped"][0] == "stopped"
    assert said["restarted"][0] == "queued"
    assert said["state"] == said["resumed"] == "finished"


READ_ONLY = """
import os, subprocess
from tests.helpers.working import config
from vit import jobs, runs
from vit.paths import checkpoints_dir
from vit.errors import RunError

run, ended = runs.create("one", config()), runs.create("two", config())
jobs.stop(ended)
subprocess.run(["mount", "-o", "remount,ro", str(checkpoints_dir())], check=True)
for change in (
    lambda: jobs.execute(run),
    lambda: jobs.start(config(), "three"),
    lambda: jobs.resume(ended),
    lambda: jobs.restart(ended),
    lambda: runs.delete(ended),
    lambda: runs.rename(ended, "four"),
):
    try:
        change()
        print("went through")
    except RunError as error:
        print(error)
assert [it.state for it in runs.list_runs()] == ["stopped", "queued"]
"""


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_lost(home):
    done = mounted(READ_ONLY, checkpoints_dir(), "-t tmpfs none")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all("read-only file system" in line.lower() for line in lines), lines


MOUNTED = """
import subprocess
from tests.helpers.working import config
from vit import jobs, runs
from vit.errors import RunError

run = runs.create("one", config())
jobs.stop(run)
for name in ("snapshots", "."):
    (run.path / "snapshots").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", run.path / name], check=True)
    (run.path / name / "precious").touch()
    try:
        runs.delete(run)
        print("went through")
    except RunError as error:
        print(error)
    assert (run.path / name / "precious").exists()
"""


def test_a_disk_that_is_mounted_in_a_run_is_never_deleted_from(home):
    done = mounted(MOUNTED, checkpoints_dir(), "-t tmpfs none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unmount it first") == 2


def test_memory_that_runs_out_is_told_also_where_a_long_backtrace_follows(home):
    told = os.environ | {"RUST_BACKTRACE": "full"}  # of the library that writes the weights
    done = subprocess.run([sys.executable, "-c", NO_MEMORY], capture_output=True, text=True, cwd=ROOT, env=told)
    assert done.returncode == 0, done.stderr
    assert "Memory ran out: choose a smaller batch, model or image size" in done.stdout
    assert Run(checkpoints_dir() / "one").state == "failed"


@pytest.mark.parametrize(
    ("in_the_way", "name"), [("one/snapshots", "snapshots"), (".locks", ".locks"), ("one/log.txt/x", "log.txt")]
)
def test_something_in_the_way_of_a_file_is_named(home, in_the_way, name):
    run = runs.create("one", config())
    obstacle = checkpoints_dir() / in_the_way
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.touch()
    assert jobs.execute(run).state == run.state == "failed"
    assert name in run.status.message
    assert "fix that, then resume it" in run.status.message


def test_a_folder_of_runs_that_is_a_file_and_a_log_that_is_a_folder_are_told_before_a_run_begins(home):
    checkpoints_dir().touch()
    for name in (None, "one"):
        with pytest.raises(RunError, match="cannot be written"):
            jobs.start(config(), name)
    checkpoints_dir().unlink()
    run = runs.create("one", config())
    jobs.stop(run)
    (run.path / runs.LOG).mkdir()
    with pytest.raises(RunError, match="could not be started"):
        jobs.resume(run)
    assert run.state == "failed"


# Images


def photographs(home: Path, photo_zip: Path, epochs: int = 1) -> RunConfig:
    """Settings of a run on a folder of images that a test may spoil."""
    with zipfile.ZipFile(photo_zip) as archive:
        archive.extractall(home / "photos")
    base = config(epochs)
    images = {"source": str(home / "photos"), "class_names": ("green", "red")}
    data = base.data.model_copy(update=images | {"train_images": None, "val_images": None})
    model = base.model.model_copy(update={"num_classes": 2})
    return base.model_copy(update={"data": data, "model": model})


def test_images_that_are_deleted_while_they_are_decoded_end_the_run(home, photo_zip, monkeypatch):
    from vit.data.files import folders

    settings, real, seen = photographs(home, photo_zip), folders.read_square, []

    def read_square(*args, **named):
        seen.append(args)
        if len(seen) == 10:
            shutil.rmtree(home / "photos")
        return real(*args, **named)

    monkeypatch.setattr(folders, "read_square", read_square)
    run = runs.create("one", settings)
    assert jobs.execute(run).state == run.state == "failed"
    assert "was deleted while the images were read" in run.status.message
    assert not list((home / "data" / "cache").glob("*/images.npy"))  # nor is half a set kept for the next run


def test_decoded_images_may_be_deleted_under_a_training_but_not_cut(jobs_end, photo_zip):  # noqa: F811
    home = jobs_end
    run = jobs.start(photographs(home, photo_zip, ENDLESS), "one")
    wait_for(lambda: run.status.epoch)
    shutil.rmtree(home / "data" / "cache")
    done = run.status.epoch
    wait_for(lambda: run.status.epoch > done)
    jobs.stop(run)

    done = run.status.epoch
    jobs.resume(run)
    wait_for(lambda: run.state == "running" and run.status.epoch > done)
    for file in (home / "data" / "cache").glob("*/images.npy"):
        os.truncate(file, 0)
    wait_for(lambda: run.state == "failed", 30)
    assert "do not change the decoded images" in run.status.message
    assert "Bus error" in run.log()

    done = run.status.epoch
    jobs.resume(run)  # they are decoded anew
    wait_for(lambda: run.state == "running" and run.status.epoch > done)


# Damaged files


@pytest.mark.parametrize("content", [b"", b"\x00" * 400, b'{"state": "runn', b"\xff" * 5000], ids=str)
@pytest.mark.parametrize("file", [runs.MODEL, runs.LAST, runs.STATUS, runs.CONFIG, runs.METRICS])
def test_a_damaged_file_harms_no_other_run_and_is_told(several, file, content):
    run = Run(checkpoints_dir() / "tiny")
    before = run.status
    (run.path / file).write_bytes(content)
    listed = [it.name for it in runs.list_runs()]
    assert listed == [name for name in ("tiny-deep", "tiny-mean", "tiny") if file != runs.CONFIG or name != "tiny"]
    if file == runs.CONFIG:
        ((name, sentence),) = runs.broken_runs()
        assert name in sentence
        runs.delete(run)
    elif file == runs.STATUS:
        assert run.state == "failed"
        assert "resume it or start over" in run.status.message
        assert (run.best, run.status.epoch) == (before.best, before.epoch)  # by its other files
        jobs.prepare_resume(run)
        assert jobs.execute(run, resume=True).state == "finished", run.log()
        assert run.best == before.best
    elif file == runs.LAST:
        runs.update_status(run.path, state="stopped", epoch=1)
        jobs.prepare_resume(run)
        assert jobs.execute(run, resume=True).state == "failed"
        assert runs.LAST in run.status.message
        assert run.best == before.best
        jobs.prepare_restart(run)
        assert jobs.execute(run).state == "finished"


@pytest.mark.parametrize("file", [runs.MODEL, runs.LAST, runs.STATUS, runs.CONFIG, runs.METRICS])
def test_pages_stay_alive_beside_a_damaged_file(trained, file):
    run = Run(checkpoints_dir() / "tiny")
    (run.path / file).write_bytes(b"\x00" * 400)
    for page, link in (("overview", {}), ("runs", {}), ("train", {"run": "tiny"}), ("predict", {"run": "tiny"})):
        app = open_page(page, **link)
        assert not app.exception
        if file == runs.CONFIG and page == "runs":
            app.button(key="delete_tiny").click().run()
            app.button(key="delete_surely").click().run()
            assert not app.exception
            assert not run.path.exists()
            break


def test_a_limit_on_the_size_of_files_leaves_a_status_and_no_half_file(home):
    from vit.data import load

    run = runs.create("one", config())
    load(run.config.data)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limit[1]))  # less than a status needs, but for the last word
    try:
        status = jobs.execute(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert status.state == run.state == "failed"
    assert not list(run.path.glob(".*-*"))


def test_room_for_drawn_images_is_taken_before_they_are_drawn(home):
    from vit.data import cache

    path = home / "images.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (64, 3, 64, 64)).flush()
    cache._reserve(path)
    assert path.stat().st_blocks * 512 >= path.stat().st_size
