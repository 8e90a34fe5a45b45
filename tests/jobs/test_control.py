"""Real processes on tiny data; each takes seconds to import torch, so a test asks several things of the same ones."""

import argparse
import errno
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile

import psutil
import pytest

from tests.helpers.working import ENDLESS, config, job_processes, jobs_end, wait_for  # noqa: F401 - a fixture
from vit import flags, jobs, runs
from vit.config import (
    DEPARTURES,
    MODELS,
    RECIPES,
    CNNConfig,
    DataConfig,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
    ViTConfig,
)
from vit.errors import RunError, SettingsError
from vit.flags import add_flags, to_config
from vit.jobs import control, worker
from vit.runs import failures
from vit.trainer import loop


def imports_torch(pid: int) -> bool:
    return any("libtorch" in region.path for region in psutil.Process(pid).memory_maps())


def test_jobs_take_turns_and_one_killed_outright_is_seen_as_dead_and_frees_the_device(jobs_end):  # noqa: F811
    first = jobs.start(config(ENDLESS), "first")
    wait_for(lambda: first.status.epoch)
    second, third = jobs.start(config(), "second"), jobs.start(config(), "third")
    wait_for(lambda: second.status.pid and third.status.pid)
    assert (second.state, third.state) == ("queued", "queued")
    wait_for(lambda: "Waiting for the device" in third.status.message)
    assert imports_torch(first.status.pid)
    assert not imports_torch(third.status.pid)
    for change in (lambda: runs.delete(first), lambda: runs.rename(third, "x"), lambda: jobs.resume(second)):
        with pytest.raises(RunError, match="stop it first"):
            change()

    pid = first.status.pid
    os.killpg(pid, signal.SIGKILL)
    wait_for(lambda: first.state == "failed", 5)
    assert "resume it or start over" in first.status.message
    assert first.has_weights
    wait_for(lambda: not psutil.pid_exists(pid))  # reaped: no zombie is left

    wait_for(lambda: third.state == "finished")
    assert second.state == "finished"
    assert second.status.ended <= third.status.started
    wait_for(lambda: not job_processes())
    wait_for(lambda: jobs.poll() == 0)  # the watcher threads have ended


def test_a_stopped_job_keeps_its_weights_and_a_resume_goes_on_where_it_was(jobs_end, monkeypatch):  # noqa: F811
    run = jobs.start(config(ENDLESS), "one")
    wait_for(lambda: run.status.epoch >= 2)
    clock = time.monotonic()
    status = jobs.stop(run)
    assert time.monotonic() - clock < 3
    assert status.state == run.state == "stopped"
    assert status.validated
    from vit.runs.weights import load_checkpoint
    from vit.trainer.resume_file import load_resume

    assert load_checkpoint("one")[1].metrics["epoch"] == status.best["epoch"]
    assert run.config.environment.threads == 1

    done = int(load_resume(run.path).position["step"])
    assert done == run.latest["step"] == run.resume_step  # the exact step was saved
    with (run.path / runs.METRICS).open("ab") as file:
        file.write(b'{"event":"step","step":')  # as after a loss of power
    jobs.resume(run)
    assert run.state == "queued"
    wait_for(lambda: run.status.step > done and run.state == "running")
    assert jobs.stop(run).state == "stopped"
    steps = [line["step"] for line in run.metrics()[0] if line["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))  # no step is missing or repeated
    assert len(steps) > done
    jobs.stop(run)  # no effect on one that has ended
    assert run.state == "stopped"

    monkeypatch.setattr(control, "SAVE_PATIENCE", 4.0)
    done = run.resume_step
    jobs.resume(run)
    wait_for(lambda: run.has_unsaved_steps and run.state == "running" and run.status.step > done)
    psutil.Process(run.status.pid).suspend()  # like a step that takes very long
    clock, done = time.monotonic(), run.resume_step
    assert jobs.stop(run).message.startswith("Its process did not end and was killed: a resume continues after ")
    assert time.monotonic() - clock > 4.0  # it had the time to save its step
    assert run.resume_step == done
    runs.delete(run)
    assert runs.list_runs() == []


def test_training_outlives_the_server_that_started_it(jobs_end):  # noqa: F811
    server = (
        "import sys, time; from vit import jobs; from vit.config import RunConfig;"
        "jobs.start(RunConfig.from_json(sys.argv[1]), 'one'); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", server, config(20).model_dump_json()], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGKILL)
    run = runs.get_run("one")
    assert run.active
    wait_for(lambda: run.state == "finished")
    assert run.status.epoch == 20
    assert len(run.snapshots) == 2


def test_a_job_can_be_stopped_before_its_process_has_begun(jobs_end):  # noqa: F811
    run = jobs.start(config(ENDLESS), "one")
    clock = time.monotonic()
    assert jobs.stop(run).state == "stopped"
    assert time.monotonic() - clock < 3
    wait_for(lambda: not job_processes())  # the process finds that it is not wanted, and goes
    assert run.state == "stopped"
    assert not run.has_weights


def test_a_process_that_cannot_begin_is_told_at_once(home, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    run = jobs.start(config(), "one")
    wait_for(lambda: run.state == "failed", 3)
    assert "exit status 1" in run.status.message
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(RunError, match="could not be started"):
        jobs.start(config(), "two")
    assert runs.get_run("two").state == "failed"


def test_an_interrupted_course_recipe_ends_with_the_very_weights_of_the_uninterrupted_one(home, monkeypatch):
    from safetensors.torch import load_file

    from vit import trainer

    monkeypatch.setattr(loop, "WINDOW", 2)  # so that the kept weights are those of a step within the epoch
    recipe = RECIPES["course"].model_dump() | {"epochs": 4, "lr": 0.05, "device": "cpu", "threads": 1, "snapshots": 0}
    settings = config().model_copy(
        update={
            "model": ReferenceConfig(image_size=32, embed_dim=16, depth=1),
            "data": config().data.model_copy(update={"train_images": 55, "val_images": 20}),
            "training": TrainingConfig(**recipe),
        }
    )
    whole, broken = runs.create("whole", settings), runs.create("broken", settings)
    assert jobs.execute(whole).state == "finished", whole.log()

    def interrupt(event: object) -> None:
        if isinstance(event, trainer.Step) and event.step == 8:  # of nine steps in three epochs
            os.kill(os.getpid(), signal.SIGTERM)

    assert jobs.execute(broken, report=interrupt).state == "stopped"
    assert (broken.status.epoch, broken.status.steps_total) == (2, 12)  # three whole batches of 16 an epoch
    assert load_file(broken.path / runs.MODEL).keys() == load_file(whole.path / runs.MODEL).keys()
    jobs.prepare_resume(broken)
    assert jobs.execute(broken, resume=True).state == "finished", broken.log()

    def numbers(run: runs.Run) -> list[dict]:
        timed = ("seconds", "images_per_second")
        return [{key: value for key, value in line.items() if key not in timed} for line in run.metrics()[0]]

    assert numbers(broken) == numbers(whole)
    assert sum(line["event"] == "step" for line in numbers(broken)) == 12
    assert broken.best | {"seconds": 0} == whole.best | {"seconds": 0}
    assert broken.best["step"] % 3 == 2
    for file in (runs.MODEL, runs.LAST):
        again, expected = load_file(broken.path / file), load_file(whole.path / file)
        assert again.keys() == expected.keys()
        assert all((again[name] == expected[name]).all() for name in expected)


def test_data_that_is_gone_ends_the_run_with_a_sentence(home):
    gone = config().data.model_copy(update={"source": str(home / "gone"), "train_images": None})
    run = runs.create("one", config().model_copy(update={"data": gone}))
    status = jobs.execute(run)
    assert status.state == run.state == "failed"
    assert "gone" in status.message
    assert "Traceback" in run.log()


def test_files_that_were_left_out_stand_in_the_log(home, photo_zip):
    folder = home / "photos"
    zipfile.ZipFile(photo_zip).extractall(folder)
    (folder / "two-colours" / "train" / "red" / "letter.png").write_text("Dear sir or madam")
    base = config()
    data = base.data.model_copy(
        update={"source": str(folder), "class_names": ("green", "red"), "train_images": None, "val_images": None}
    )
    model = base.model.model_copy(update={"num_classes": 2})
    run = runs.create("one", base.model_copy(update={"data": data, "model": model}))
    assert jobs.execute(run).state == "finished", run.log()
    assert "left out two-colours/train/red/letter.png" in run.log()


def test_two_processes_never_work_on_one_run(home, monkeypatch):
    monkeypatch.setattr(worker, "LOCK_PATIENCE", 0.2)
    run = runs.create("one", config())
    with pytest.raises(RunError, match="Another process"), runs.run_lock(run.path):
        jobs.execute(run)
    assert run.state == "queued"


def test_a_disk_that_takes_no_more_ends_the_run_as_failed_and_leaves_no_half_file(home):
    from vit.data import load

    run = runs.create("one", config())
    load(run.config.data)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))  # less than the weights need
    try:
        status = jobs.execute(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert status.state == run.state == "failed"
    assert "could not be read or written" in status.message
    assert not list(run.path.glob("*safetensors*"))


def test_a_run_that_was_stopped_while_waiting_is_not_trained(home):
    run = runs.create("one", config())
    runs.update_status(run.path, state="stopped")
    assert jobs.execute(run).state == "stopped"
    assert not run.has_weights


def test_only_a_run_that_can_go_on_is_resumed(trained):
    run = runs.get_run("tiny")
    with pytest.raises(RunError, match="is finished"):
        jobs.resume(run)
    runs.update_status(run.path, state="stopped", epoch=1)
    (run.path / runs.LAST).unlink()
    with pytest.raises(RunError, match=r"no last\.safetensors"):
        jobs.resume(run)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/model.safetensors"), "model.safetensors"),
        (MemoryError(), "smaller batch"),
        (RuntimeError("CUDA out of memory"), "smaller batch"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_a_failure_says_in_one_sentence_what_to_change(home, error, expected):
    sentence = failures.describe_exception(home / "one", error)
    assert expected in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": {"num_heads": 3, "embed_dim": 96, "depth": 7, "mlp_ratio": 1.5}},
        {
            "model": {
                "num_heads": 2,
                "embed_dim": 48,
                "stem": "patch",
                "pool": "mean",
                "patch_size": 12,
                "dropout": 0.05,
            }
        },
        {
            "model": {"embed_dim": 64},
            "training": {"lr": 3e-4, "epochs": 7, "flip": False, "erasing": False, "threads": 2, "warmup": 0},
        },
        {"model": {"drop_path": 0.1}, "training": {"keep": "last", "snapshots": 3, "seed": 4, "device": "cpu"}},
        {"data": {"train_images": 40, "val_images": 20, "seed": 9}, "training": {"label_smoothing": 0.0}},
    ],
)
@pytest.mark.parametrize("size", [64, 96])
def test_the_command_line_of_a_run_makes_the_same_run(settings, size):
    if size % settings.get("model", {}).get("patch_size", 8):
        size = 96
    names = ("airplane", "bus", "cat", "dog", "pizza")
    made = RunConfig(
        model=ViTConfig(image_size=size, **settings.get("model", {})),
        data=DataConfig(image_size=size, class_names=names, **settings.get("data", {})),
        training=TrainingConfig(**settings.get("training", {})),
    )
    assert round_trip(made) == made


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (ReferenceConfig(), "--model reference"),
        (ReferenceConfig(num_heads=4, depth=3), "--model reference --num-heads 4 --depth 3"),
        (ReferenceConfig(attention="einsum", embed_dim=64), "--model reference-einsum --embed-dim 64"),
        (ReferenceConfig(mended=("mlp", "projection")), "--model reference --mended projection,mlp"),
        (CNNConfig(), "--model cnn"),
        (CNNConfig(residual=True), "--model cnn-residual"),
    ],
)
def test_the_command_line_of_another_network_names_it_and_makes_the_same_run(model, said):
    made = RunConfig(model=model, data=DataConfig(class_names=("airplane", "bus", "cat", "dog", "pizza")))
    assert round_trip(made) == made
    assert flags.command_line(made) == f"python -m vit train {said}"


@pytest.mark.parametrize(
    ("model", "recipe"),
    [(model, recipe) for model in MODELS for recipe, it in RECIPES.items() if it.labelled or model == "vit"],
)
@pytest.mark.parametrize(
    "changed",
    [{}, {"epochs": 3, "batch_size": 128, "lr": 3e-3, "shift": True, "device": "cpu", "seed": 5}],
    ids=["as it is", "changed"],
)
def test_the_command_line_of_every_network_and_recipe_makes_the_same_run(model, recipe, changed):
    classes = ("airplane", "bus", "cat", "dog", "pizza")
    made = RunConfig(
        model=MODELS[model].model_copy(update={"num_classes": RECIPES[recipe].outputs(classes)}),
        data=DataConfig(class_names=classes),
        training=TrainingConfig(**RECIPES[recipe].model_dump() | changed),
    )
    assert round_trip(made) == made
    assert ("--recipe course" in flags.command_line(made)) == (recipe == "course")


@pytest.mark.parametrize("rung", range(len(DEPARTURES) + 1))
def test_the_command_line_of_every_rung_makes_the_same_run(rung):
    made = RunConfig(
        model=ReferenceConfig(image_size=32, patch_size=8, mended=DEPARTURES[:rung]),
        data=DataConfig(image_size=32, class_names=("airplane", "bus", "cat", "dog", "pizza")),
        training=RECIPES["course"],
    )
    assert round_trip(made) == made


def test_the_command_line_has_every_digit_of_a_number_and_every_switch(home):
    recipe = {"lr": 1 / 700, "drop_last": False, "clip_norm": 0.123456789, "warmup": 1e-7}
    made = RunConfig(
        model=MODELS["cnn"],
        data=DataConfig(class_names=("airplane", "bus", "cat", "dog", "pizza")),
        training=TrainingConfig(**RECIPES["course"].model_dump() | recipe),
    )
    assert "--no-drop-last" in flags.command_line(made)
    assert round_trip(made) == made


def test_the_command_line_of_a_folder_with_a_space_makes_the_same_run(photo_zip, tmp_path):
    source = tmp_path / "my photos.zip"
    source.symlink_to(photo_zip)
    data = DataConfig(source=str(source), image_size=64, class_names=("green", "red"))
    made = RunConfig(model=ViTConfig(num_classes=2), data=data)
    assert round_trip(made) == made


def round_trip(made: RunConfig) -> RunConfig:
    import shlex

    words = shlex.split(flags.command_line(made, "name"))
    assert words[:4] == ["python", "-m", "vit", "train"]
    assert words[-2:] == ["--run", "name"]
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return to_config(parser.parse_args(words[4:-2]))


def test_the_untouched_command_line_has_no_flags():
    assert flags.command_line(RunConfig()) == "python -m vit train"


def test_a_device_that_is_not_here_is_refused_before_anything_is_made(home):
    from vit.support import hardware

    absent = ({"cuda", "mps"} - {device.name for device in hardware.devices()}).pop()
    with pytest.raises(SettingsError, match="has no device"):
        jobs.start(config(device=absent), "one")
    assert runs.list_runs() == []
