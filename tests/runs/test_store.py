import json
import os
import signal
import time

import pytest

from tests.conftest import tiny_config
from tests.helpers.working import config
from vit import jobs, runs
from vit.config import SNAPSHOTS_MAX
from vit.config.format import FORMAT
from vit.errors import RunError, SettingsError
from vit.paths import checkpoints_dir
from vit.runs import Run, Status, store
from vit.runs.run import START_GRACE
from vit.support.files import free_bytes


@pytest.fixture
def run(home) -> Run:
    """A run that has ended."""
    made = runs.create("one", tiny_config())
    runs.update_status(made.path, state="stopped")
    return made


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "A", "x" * 65, "x" * 300, "con", "nul.txt", "com1", "-a", "a.", "a b", "ä"],
)
def test_a_name_that_is_no_safe_folder_is_refused(home, name):
    with pytest.raises(RunError, match="cannot be called"):
        runs.create(name, tiny_config())
    with pytest.raises(RunError):
        runs.find_run(name)
    assert not checkpoints_dir().exists() or not list(checkpoints_dir().iterdir())


def test_a_name_from_a_link_never_leaves_the_folder_of_runs(run):
    outside = run.path.parent.parent / "outside"
    run.path.rename(outside)
    assert runs.get_run(outside).path == outside
    for text in ("../outside", str(outside)):
        assert runs.get_run(text if text.startswith("/") else f"{checkpoints_dir()}/{text}").config
        with pytest.raises(RunError):
            runs.find_run(text)


def test_a_new_run_is_queued_and_its_settings_come_back(home):
    config = tiny_config()
    run = runs.create(None, config)
    assert run.name == "scenes-d2-h2"
    assert runs.create(None, config).name == "scenes-d2-h2-2"
    assert run.state == "queued"
    assert run.config.model_copy(update={"created": ""}) == config
    with pytest.raises(RunError, match="choose another name"):
        runs.create(run.name, config)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/me/Holiday photos!.zip", "holiday-photos-d2-h2"),
        ("cifar10", "cifar-10-d2-h2"),
        ("{data}/uploads/pets-0123456789ab", "pets-d2-h2"),
        ("/tmp/ 字 ", "images-d2-h2"),
    ],
)
def test_a_name_is_suggested_from_what_a_person_calls_the_data(home, source, name):
    config = tiny_config()
    data = config.data.model_copy(update={"source": source.format(data=home / "data")})
    assert runs.suggest_name(config.model_copy(update={"data": data})) == name


def test_runs_are_listed_newest_first_and_an_unreadable_one_is_reported(home):
    for name in ("a", "c", "b"):
        runs.create(name, tiny_config())
    (runs.get_run("c").path / "config.json").write_text('{"model": {"depth": 0}}')
    (checkpoints_dir() / "no-run").mkdir()
    assert [run.name for run in runs.list_runs()] == ["b", "a"]
    ((name, sentence),) = runs.broken_runs()
    assert name == "c"
    assert "depth" in sentence
    with pytest.raises(RunError, match="cannot be read"):
        runs.get_run("c")


def test_an_edited_config_is_read_again(run):
    assert run.config.training.epochs == 2
    runs.write_config(run.path, tiny_config(depth=3))
    assert run.config.model.depth == 3


def test_a_running_run_whose_lock_is_free_has_failed(run):
    runs.update_status(run.path, state="running")
    assert run.state == "failed"
    assert "resume it or start over" in run.status.message
    with runs.run_lock(run.path):
        assert run.state == "running"


def test_a_queued_run_has_a_moment_to_find_its_process(run):
    runs.update_status(run.path, state="queued", ticket=time.time_ns())
    assert run.state == "queued"
    runs.update_status(run.path, ticket=time.time_ns() - int((START_GRACE + 1) * 1e9))
    assert run.state == "failed"


@pytest.mark.parametrize("content", [b"", b"\xff{", b'{"state": "asleep"}'])
def test_a_damaged_status_is_told_and_not_raised(run, content):
    (run.path / "status.json").write_bytes(content)
    assert run.state == "failed"
    assert "cannot be read" in run.status.message
    assert runs.list_runs() == [run]


def test_metrics_are_read_on_from_an_offset_and_a_half_line_waits(run):
    assert run.metrics() == ([], 0)
    runs.append_metrics(run.path, [{"event": "step", "step": 1}])
    first, offset = run.metrics()
    assert [line["step"] for line in first] == [1]
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"event":"step",')
        file.flush()
        assert run.metrics(offset) == ([], offset)
        file.write(b'"step":2}\n')
    assert [line["step"] for line in run.metrics(offset)[0]] == [2]


def test_cutting_metrics_drops_later_steps_and_mends_a_half_line(run):
    lines = [{"event": "step", "step": step} for step in range(1, 6)]
    runs.append_metrics(run.path, lines)
    offset = run.metrics()[1]
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"event":"st')
    runs.truncate_metrics(run.path, 3)
    assert (run.path / "metrics.jsonl").read_text().splitlines() == [
        json.dumps(it, separators=(",", ":")) for it in lines[:3]
    ]
    assert run.metrics(offset)[0] == lines[:3]  # a reader that was further on starts over


def test_an_atomic_write_that_fails_leaves_the_old_file_alone(run, monkeypatch):
    before = (run.path / "status.json").read_bytes()
    names = set(os.listdir(run.path))

    def disk_full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        runs.write_status(run.path, Status(state="finished"))
    assert (run.path / "status.json").read_bytes() == before
    assert set(os.listdir(run.path)) == names


def test_what_a_killed_write_left_behind_is_swept_and_nothing_else(run):
    (run.path / "snapshots").mkdir()
    kept = [run.path / "model.safetensors", run.path / ".lock", run.path / "snapshots" / "00001.safetensors"]
    half = [run.path / ".model.safetensors-x_1", run.path / "snapshots" / ".00002.safetensors-ab"]
    for file in kept + half:
        file.touch()
    runs.remove_leftovers(run.path)
    assert all(file.exists() for file in kept)
    assert not any(file.exists() for file in half)


def test_rename_and_delete_work_on_a_run_that_has_ended(run):
    renamed = runs.rename(run, "two")
    assert [it.name for it in runs.list_runs()] == ["two"]
    runs.create("three", tiny_config())
    with pytest.raises(RunError, match="another name"):
        runs.rename(renamed, "three")
    runs.delete(renamed)
    assert [path.name for path in checkpoints_dir().iterdir()] == ["three"]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_an_active_run_is_neither_renamed_nor_deleted(run, state):
    runs.update_status(run.path, state=state, ticket=time.time_ns())
    with runs.run_lock(run.path):
        for change in (lambda: runs.delete(run), lambda: runs.rename(run, "two")):
            with pytest.raises(RunError, match=f"is {state}: stop it first"):
                change()
    assert run.path.exists()


def test_a_folder_outside_is_neither_renamed_nor_deleted(run):
    outside = Run(run.path.rename(run.path.parent.parent / "outside"))
    (checkpoints_dir() / "link").symlink_to(outside.path)
    for it in (outside, Run(checkpoints_dir() / "link")):
        with pytest.raises(RunError, match="rename or delete its folder by hand"):
            runs.delete(it)
    assert outside.path.exists()


@pytest.mark.parametrize("name", ["..", ".", ".locks", "one/..", "one/snapshots", "../checkpoints"])
def test_a_path_outside_the_folder_of_runs_is_neither_deleted_nor_renamed(run, name):
    (run.path / "snapshots").mkdir()
    (checkpoints_dir() / ".locks").mkdir()
    for change in (runs.delete, lambda it: runs.rename(it, "two")):
        with pytest.raises(RunError, match="rename or delete its folder by hand"):
            change(Run(checkpoints_dir() / name))
    assert run.config
    assert (checkpoints_dir() / ".locks").is_dir()


def test_deleting_a_run_spares_what_its_links_point_to_and_its_size_does_not_count_it(run):
    outside = checkpoints_dir().parent / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(bytes(10**6))
    before = run.size_bytes
    (run.path / "link").symlink_to(outside)
    (run.path / "model.safetensors").symlink_to(outside / "precious")
    assert run.size_bytes < before + 1000
    runs.delete(run)
    assert not run.path.exists()
    assert (outside / "precious").stat().st_size == 10**6


def test_a_name_that_only_an_empty_folder_has_is_free_and_one_that_a_file_has_is_not(home):
    (checkpoints_dir() / "one").mkdir(parents=True)
    assert runs.create("one", tiny_config()).state == "queued"
    (checkpoints_dir() / "two").touch()
    (checkpoints_dir() / "three").mkdir()
    (checkpoints_dir() / "three" / "letter.txt").touch()
    (checkpoints_dir() / "four").symlink_to("nowhere")
    for name in ("one", "two", "three", "four"):
        with pytest.raises(RunError, match="choose another name"):
            runs.create(name, tiny_config())
    assert [run.name for run in runs.list_runs()] == ["one"]
    assert not list(checkpoints_dir().glob(".*"))


@pytest.mark.parametrize("at", ["write_config", "write_status"])
def test_a_run_whose_making_was_killed_does_not_exist_and_its_remains_go_when_they_are_old(home, monkeypatch, at):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, at, killed)
        with pytest.raises(KeyboardInterrupt):
            runs.create("one", tiny_config())
    (remains,) = checkpoints_dir().iterdir()
    assert runs.list_runs() == []
    assert runs.broken_runs() == []
    runs.create("one", tiny_config())
    assert remains.exists()  # another process may still be writing it
    os.utime(remains, (0, 0))
    runs.create("two", tiny_config())
    assert {path.name for path in checkpoints_dir().iterdir()} == {"one", "two"}


def test_a_run_whose_deletion_was_killed_is_gone_and_its_remains_go_with_the_next_change(run, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.delete(run)
    assert runs.list_runs() == []
    assert [path.name.split("-")[0] for path in checkpoints_dir().iterdir()] == [".deleted"]
    runs.create("one", tiny_config())
    assert [path.name for path in checkpoints_dir().iterdir()] == ["one"]


def test_free_space_is_told_before_there_is_a_folder_of_runs(home):
    assert not checkpoints_dir().exists()
    assert free_bytes(checkpoints_dir()) > 0


def test_a_run_never_has_more_snapshots_than_it_was_asked_for(home):
    settings = config(epochs=7, snapshots=3)
    with pytest.raises(SettingsError, match="snapshots"):
        config(snapshots=SNAPSHOTS_MAX + 1)
    run = runs.create("one", settings)

    def stop_at(step):
        return lambda event: os.kill(os.getpid(), signal.SIGTERM) if getattr(event, "step", 0) == step else None

    jobs.execute(run, report=stop_at(7))
    assert 0 < len(run.snapshots) < 3
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished", run.log()
    assert len(run.snapshots) == 3
    jobs.prepare_restart(run)
    assert run.snapshots == []
    jobs.execute(run)
    assert len(run.snapshots) == 3


def test_a_free_name_is_the_next_number_and_never_too_long(home):
    for name in ("one", "one-2", "a" * 64):
        runs.create(name, tiny_config())
    assert runs.free_name("two") == "two"
    assert runs.free_name("one") == "one-3"
    assert runs.check_name(runs.free_name("a" * 64)).endswith("-2")


def test_the_latest_line_is_the_last_whole_one(run):
    assert run.latest is None
    runs.append_metrics(run.path, [{"event": "step", "step": step} for step in range(1000)])
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"event":"step","st')
    assert run.latest == {"event": "step", "step": 999}


def test_the_log_s_tail_is_its_last_lines(run):
    assert run.log() == ""
    (run.path / "log.txt").write_text("".join(f"line {number}\n" for number in range(1000)))
    assert run.log(2) == "line 998\nline 999"


def test_a_run_of_another_format_is_reported_with_what_to_do_and_never_opened(run):
    text = (run.path / runs.CONFIG).read_text()
    (run.path / runs.CONFIG).write_text(text.replace(f'"format": {FORMAT}', '"format": 1'))
    [(name, sentence)] = runs.broken_runs()
    assert name == run.name
    assert "format 1" in sentence
    assert sentence.endswith("train it again.")
    with pytest.raises(RunError, match="another version"):
        runs.find_run(run.name)
