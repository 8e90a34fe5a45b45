"""TensorBoard event files, read by TensorBoard after a training, a resume, and a crash."""

import io
import time
import zipfile
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import tiny_config
from vit import jobs, runs
from vit.cli.main import main
from vit.errors import UserError
from vit.exports import run_zip, tensorboard
from vit.runs import Run
from vit.support import optional_packages


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the numbers that TensorBoard reads, by tag."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expected(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Return the same numbers from the metrics."""
    found: dict[str, list] = {}
    for line in run.metrics()[0]:
        for name, tag in tensorboard.TAGS[line["event"]].items():
            if name in line:  # the figures of a teacher exist only without labels
                found.setdefault(tag, []).append((line["step"], pytest.approx(line[name], rel=1e-6)))
    return found


def config(**training):
    base = tiny_config(depth=1, stem="patch")
    recipe = base.training.model_copy(update={"tensorboard": True, "epochs": 2, "threads": 1} | training)
    return base.model_copy(update={"training": recipe})


def test_a_training_writes_the_numbers_of_its_metrics(home):
    run = runs.create("tiny", config())
    assert jobs.execute(run).state == "finished"
    assert read(run.path / runs.TENSORBOARD) == expected(run)
    assert len(expected(run)["loss/step"]) == 6
    before = run.size_bytes
    runs.start_over(run)
    assert run.size_bytes < before
    assert not (run.path / runs.TENSORBOARD).exists()


def test_a_resume_restores_lost_steps_without_duplicates(home):
    run = runs.create("tiny", config(epochs=3))
    stopped = iter(range(100))

    def ask(event) -> None:
        if hasattr(event, "loss") and next(stopped) == 4:
            raise KeyboardInterrupt  # during the second epoch, after the events of the step

    with pytest.raises(KeyboardInterrupt):
        jobs.execute(run, report=ask)
    file = max((run.path / runs.TENSORBOARD).iterdir())
    assert len(read(file.parent)["loss/step"]) == 5
    file.write_bytes(file.read_bytes()[:-30])  # a crash writes half an event
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished"
    assert read(run.path / runs.TENSORBOARD) == expected(run)
    assert [step for step, _ in expected(run)["loss/step"]] == list(range(1, 10))
    for _ in range(3):
        tensorboard.follow(run).close()
    assert len(list((run.path / runs.TENSORBOARD).iterdir())) == 2
    assert read(run.path / runs.TENSORBOARD) == expected(run)


def test_a_running_tensorboard_sees_no_step_twice(home):
    run = runs.create("tiny", tiny_config())
    lines = [{"event": "step", "step": step, "loss": 1.0, "lr": 1.0, "images_per_second": 1.0} for step in (1, 2, 3)]
    folder = run.path / "events"
    tensorboard.Events(folder, lines, 0.0).close()
    open_ = EventAccumulator(str(folder))
    open_.Reload()
    events = tensorboard.Events(folder, lines[:1], 0.0)
    events.add(lines[1] | {"loss": 9.0})
    events.close()
    open_.Reload()
    assert [(event.step, event.value) for event in open_.Scalars("loss/step")] == [(1, 1.0), (2, 9.0)]


def test_events_of_any_run_are_made_from_its_metrics(trained, capsys):
    run = runs.find_run("tiny")
    assert main(["export", "--run", "tiny", "--format", "tensorboard", "--out", str(trained / "events")]) == 0
    assert capsys.readouterr().out == f"{trained / 'events'}\n"
    assert read(trained / "events") == expected(run)
    file = io.BytesIO()
    tensorboard.write_zip(run, file)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(trained / "zip")
    assert read(trained / "zip" / "tiny") == expected(run)
    seconds = [line["seconds"] for line in run.metrics()[0] if line["event"] == "step"]
    found = EventAccumulator(str(trained / "events"))
    found.Reload()
    times = [event.wall_time - tensorboard.began(run) for event in found.Scalars("loss/step")]
    assert times == pytest.approx(seconds, abs=1e-3)


def test_a_zip_of_the_folder_is_unpacked_without_the_events(home, tmp_path):
    run = runs.create("tiny", config())
    jobs.execute(run)
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for file in run.path.rglob("*"):
            if file.is_file():
                archive.write(file, f"tiny/{file.relative_to(run.path)}")
    again = run_zip.unpack(tmp_path / "tiny.zip")
    assert not (again.path / runs.TENSORBOARD).exists()
    assert again.metrics()[0] == run.metrics()[0]


def test_without_the_package_a_new_run_is_refused_and_an_existing_one_trains(home, monkeypatch, capsys):
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    assert main(["train", "--tensorboard", "--epochs", "1"]) == 2
    assert "pip install tensorboard" in capsys.readouterr().err
    assert not runs.list_runs()
    run = runs.create("tiny", config(epochs=1))
    assert jobs.execute(run).state == "finished"
    assert "pip install tensorboard" in run.log()
    with pytest.raises(UserError, match="pip install tensorboard"):
        tensorboard.convert(run, home / "events")


def test_a_step_takes_negligible_time(home):
    events = tensorboard.Events(home / "events", [], 0.0)
    line = {"event": "step", "step": 1, "loss": 1.0, "lr": 1e-3, "images_per_second": 1e3, "seconds": 1.0}
    begun = time.process_time()
    for step in range(2000):
        events.add(line | {"step": step})
    assert (time.process_time() - begun) / 2000 < 1e-3
    events.close()
