"""Two visitors of a demo: what each may see, start, change and keep, by direct calls, whatever the browser sends."""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from pages import access
from pages.access import cleanup, identity
from pages.access import runs as access_runs
from pages.server import limits, secrets
from pages.server.limits import DemoLimits
from tests.conftest import tiny_config, write_photo_zip
from tests.helpers.serving import ROOT
from vit import data, runs
from vit.config import RunConfig
from vit.data.files.uploads import list_uploads
from vit.errors import DataError, RunError, SettingsError, UserError
from vit.exports import run_zip
from vit.jobs import control
from vit.paths import checkpoints_dir, data_dir, owned_dir

A, B = "A" * 32, "B" * 32
BOUNDED = {"depth": 2, "embed_dim": 64, "epochs": 4, "seconds": 30, "runs": 2, "queue": 3, "uploads": 2}


@pytest.fixture
def bounds(monkeypatch) -> dict:
    """The table of a demo in force; a test may change it."""
    table = dict(BOUNDED)
    monkeypatch.setattr(secrets, "table", lambda name: table if name == "demo" else None)
    cleanup.measure_anew()
    return table


@pytest.fixture
def visit_as(monkeypatch, bounds):
    """Look at the demo with another cookie; none where it is empty."""

    def as_(cookie: str) -> str:
        monkeypatch.setattr(identity, "visitor_mark", lambda cookies: cookie)
        return access.visitor()

    return as_


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Jobs that were started, without their processes."""
    names = []
    monkeypatch.setattr(control, "_launch", lambda run, command: names.append(run.name))
    return names


def config_of(**changes) -> RunConfig:
    """A tiny run with other settings, those of the model and the data in dictionaries."""
    config, model = tiny_config(), changes.pop("model", {})
    images = {"image_size": model.get("image_size", 32)} | changes.pop("data", {})
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "data": config.data.model_copy(update=images),
            "training": config.training.model_copy(update=changes),
        }
    )


def end(run: runs.Run) -> runs.Run:
    runs.update_status(run.path, state="stopped", message="Stopped.")
    return run


def file_of(run: runs.Run, **options) -> io.BytesIO:
    file = io.BytesIO()
    run_zip.pack(run, file, **options)
    file.name = "run.zip"
    file.seek(0)
    return file


def names() -> list[str]:
    return sorted(run.name for run in access.my_runs())


# Without a demo


def test_on_the_users_own_machine_there_are_no_owners_and_no_limits(trained, started, monkeypatch):
    monkeypatch.delenv(limits.SWITCH, raising=False)
    run = access.start(config_of(epochs=9000, data={"source": "/etc"}), "long")
    assert run.config == config_of(epochs=9000, data={"source": "/etc"}).model_copy(
        update={"created": run.config.created}
    )
    assert access.visitor() == access.owner() == ""
    assert access.room() is None
    assert names() == ["long", "tiny"]
    access.check_source("/etc")
    assert access.without_paths("/srv/vit/data is full") == "/srv/vit/data is full"
    assert not access.reason_not_changeable(runs.get_run("tiny"))
    access.rename(runs.get_run("tiny"), "mine")
    packed = file_of(runs.get_run("mine"))
    assert access.unpack(packed).config.owner == ""
    access.delete(runs.get_run("mine"))
    picture = access.save_picture(Image.new("RGB", (9, 9)))
    assert (data_dir() / "pictures" / f"{picture}.png").is_file()
    assert not (data_dir() / "visitors").exists()


# Who


def test_visitors_are_told_apart_by_their_cookie_and_by_nothing_else(visit_as):
    first = visit_as(A)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert visit_as(B) not in ("", first)
    assert visit_as(A) == first
    assert visit_as("") == ""
    assert access.owner() == access.UNKNOWN_VISITOR


def test_a_sign_in_tells_visitors_apart_by_account_and_provider(visit_as, bounds, monkeypatch):
    tables = {"demo": bounds, "auth": {}}
    monkeypatch.setattr(secrets, "table", tables.get)
    by_cookie = visit_as(A)

    streamlit = SimpleNamespace(user={"iss": "https://id.example", "sub": "17"})
    monkeypatch.setattr(identity, "st", streamlit)
    mine = access.visitor()
    assert mine
    streamlit.user = {"iss": "https://other.example", "sub": "17"}
    assert access.visitor() not in ("", mine, by_cookie)
    streamlit.user = {"iss": "https://id.example"}
    assert access.visitor() == ""


def test_limits_that_cannot_be_read_close_the_server(home, bounds):
    bounds["epoch"] = 3
    with pytest.raises(SettingsError):
        access.my_runs()


# Starting


def test_a_started_run_is_the_visitors_and_ends_in_time(home, visit_as, started):
    mine = visit_as(A)
    run = access.start(config_of(max_seconds=1e6, threads=900, resume_steps=1))
    assert started == [run.name]
    recipe = run.config.training
    assert (run.config.owner, recipe.max_seconds, recipe.threads, recipe.resume_steps) == (mine, 30, None, None)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model": {"depth": 3}}, "depth of 2"),
        ({"model": {"embed_dim": 66}}, "width of 64"),
        ({"model": {"image_size": 96}}, "images of 64"),
        ({"model": {"patch_size": 1, "stem": "patch"}}, "256 patches"),
        ({"epochs": 5}, "4 epochs"),
        ({"batch_size": 8192, "model": {"image_size": 64, "patch_size": 4, "stem": "patch"}}, "memory"),
        ({"data": {"source": "/etc"}}, "of its list"),
        ({"data": {"source": "../.."}}, "of its list"),
        ({"data": {"source": "cifar10"}}, "of its list"),
    ],
)
def test_a_run_beyond_a_limit_is_not_started_whatever_the_browser_sends(home, visit_as, started, changes, word):
    visit_as(A)
    with pytest.raises(UserError, match=word):
        access.start(config_of(**changes))
    assert started == []
    assert runs.list_runs() == []


def test_runs_at_the_bounds_are_started(home, visit_as, started):
    visit_as(A)
    access.start(config_of(epochs=4, model={"depth": 2, "embed_dim": 64, "image_size": 64, "patch_size": 4}))
    assert len(started) == 1


def test_without_a_cookie_a_visitor_can_only_look(trained, visit_as, started):
    visit_as("")
    assert names() == ["tiny"]
    assert access.room() == 0
    image = Image.new("RGB", (9, 9))
    packed = file_of(runs.get_run("tiny"))
    for act in (
        lambda: access.start(config_of()),
        lambda: access.unpack(packed),
        lambda: access.store_upload(packed),
        lambda: access.save_picture(image),
    ):
        with pytest.raises(RunError, match="cookie"):
            act()
    assert started == []
    assert names() == ["tiny"]
    assert not (data_dir() / "visitors").exists()
    assert access.why_no_room() == access.NO_COOKIE


def test_runs_of_a_visitor_are_counted(home, visit_as, started):
    visit_as(A)
    assert access.room() == 2
    first = end(access.start(config_of()))
    access.start(config_of())
    assert access.room() == 0
    with pytest.raises(RunError, match="keeps 2 runs per visitor: delete one"):
        access.start(config_of())
    assert "2 runs per visitor" in access.why_no_room()
    visit_as(B)
    access.start(config_of())
    visit_as(A)
    access.delete(first)
    access.start(config_of())


def test_the_queue_is_counted_over_all_visitors_and_tells_no_names(home, visit_as, started, bounds):
    bounds["queue"] = 1
    visit_as(B)
    other = access.start(config_of(), "secret-name")
    visit_as(A)
    assert access.room() == 0
    with pytest.raises(RunError, match="takes 1 runs at a time") as refusal:
        access.start(config_of())
    assert "secret-name" not in str(refusal.value)
    end(other)
    assert access.room() == 1
    access.start(config_of())


def test_a_full_disk_takes_nothing_new(trained, visit_as, started, bounds, photo_zip):
    bounds["disk_gb"] = 1e-6
    cleanup.measure_anew()
    visit_as(A)
    packed = file_of(runs.get_run("tiny"))
    with photo_zip.open("rb") as file:
        for act in (
            lambda: access.start(config_of()),
            lambda: access.unpack(packed),
            lambda: access.store_upload(file),
            lambda: access.save_picture(Image.new("RGB", (9, 9))),
        ):
            with pytest.raises(RunError, match="disk of this demo is full"):
                act()
    assert names() == ["tiny"]
    assert not (data_dir() / "visitors").exists()


# Runs of others, and those that came with the server


def test_a_visitor_does_not_see_or_change_the_runs_of_another(trained, visit_as, started):
    visit_as(A)
    mine = end(access.start(config_of(), "mine"))
    assert names() == ["mine", "tiny"]
    visit_as(B)
    assert names() == ["tiny"]
    absent = runs.Run(checkpoints_dir() / "absent")
    for act in (
        access.see,
        access.stop,
        access.resume,
        access.delete,
        access.report,
        lambda run: access.rename(run, "taken"),
        lambda run: access.write_notes(run, ["tag"], ""),
        lambda run: access.pack(run, io.BytesIO()),
        lambda run: access.write_events(run, io.BytesIO()),
        lambda run: access.exporting(run, "hub"),
    ):
        sentences = []
        for run in (mine, absent):
            with pytest.raises(RunError) as refusal:
                act(run)
            sentences.append(str(refusal.value).replace(run.name, "…"))
        assert sentences[0] == sentences[1]  # a run of another is as one that there is not
    assert not access.may_change(mine)
    assert mine.path.is_dir()


def test_what_came_with_the_server_is_seen_and_not_changed(trained, visit_as, started):
    visit_as(A)
    shipped = runs.get_run("tiny")
    assert access.see(shipped) == shipped
    assert "came with this demo" in access.reason_not_changeable(shipped)
    for act in (
        access.stop,
        access.resume,
        access.delete,
        lambda run: access.rename(run, "mine"),
        lambda run: access.write_notes(run, ["tag"], ""),
    ):
        with pytest.raises(RunError, match="belongs to this demo"):
            act(shipped)
    assert runs.get_run("tiny").config.owner == ""


def test_a_visitor_changes_runs_of_that_visitor(home, visit_as, started):
    visit_as(A)
    run = access.start(config_of(), "mine")
    access.stop(run)
    assert run.state == "stopped"
    access.resume(run)
    assert started == ["mine", "mine"]
    end(run)
    run = access.rename(run, "renamed")
    access.delete(run)
    assert names() == []


def test_a_name_that_another_uses_by_now_shows_nothing_of_the_new_run(home, visit_as, started):
    visit_as(A)
    run = end(access.start(config_of(), "scenes"))
    access.delete(run)
    visit_as(B)
    access.start(config_of(), "scenes")
    visit_as(A)  # with a page that was open all the time
    with pytest.raises(RunError, match="There is no run 'scenes' any more"):
        access.see(run)
    with pytest.raises(RunError, match="no run 'scenes'"):
        access.stop(run)


def test_broken_folders_are_shown_to_the_operator_only(trained, visit_as, bounds, monkeypatch):
    (checkpoints_dir() / "secret").mkdir()
    (checkpoints_dir() / "secret" / "config.json").write_text("{")
    visit_as(A)
    assert access.broken_runs() == []
    monkeypatch.setattr(secrets, "table", lambda name: None)
    assert [name for name, _ in access.broken_runs()] == ["secret"]


# Uploaded runs


def packed_by(trained: Path, **changes) -> io.BytesIO:
    """The run "tiny" with other settings, as another program may pack it."""
    run = runs.get_run("tiny")
    config = json.loads(run.config.model_dump_json())
    for path, value in changes.items():
        section, _, field = path.partition("__")
        if field:
            config[section][field] = value
        else:
            config[section] = value
    file = io.BytesIO()
    with zipfile.ZipFile(file_of(run)) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            target.writestr(name, json.dumps(config) if name.endswith("config.json") else source.read(name))
    file.name = "run.zip"
    file.seek(0)
    return file


def test_an_unpacked_run_belongs_to_the_visitor_whatever_its_settings_say(trained, visit_as, bounds):
    other = visit_as(B)
    mine = visit_as(A)
    file = packed_by(trained, owner=other, training__max_seconds=None, training__threads=900, training__epochs=2)
    run = access.unpack(file)
    assert run.config.owner == mine
    assert (run.config.training.max_seconds, run.config.training.threads) == (30, None)
    assert run.has_weights
    visit_as(B)
    assert run.name not in names()


@pytest.mark.parametrize("source", ["/etc", "../../etc", "~/x", "C:\\photos", ".", "..", "pages", "/"])
def test_an_unpacked_run_finds_no_folder_of_the_server(trained, visit_as, source):
    mine = visit_as(A)
    run = access.unpack(packed_by(trained, data__source=source))
    place = Path(run.config.data.source)
    assert place.parent == owned_dir(mine) / "uploads"
    assert place.name not in (".", "..")
    with pytest.raises(DataError):
        data.load(run.config.data)
    with pytest.raises(DataError, match="images that you upload"):
        access.resume(run)


def test_a_run_finds_its_images_again_when_its_zip_comes_back(home, trained, visit_as, bounds, photo_zip, started):
    visit_as(A)
    with photo_zip.open("rb") as file:
        source = access.store_upload(file)
    info = data.describe(source)
    images = {"source": source, "class_names": info.class_names}
    run = end(access.start(config_of(model={"num_classes": 2}, data=images), "photos"))
    file = io.BytesIO()
    access.pack(run, file)
    assert str(data_dir()).encode() not in file.getvalue()
    text = zipfile.ZipFile(file).read("photos/config.json").decode()
    assert str(home) not in text
    assert run.config.owner not in text
    access.delete(run)
    file.name = "photos.zip"
    assert access.unpack(file).config.data.source == source
    visit_as(B)
    file.seek(0)
    assert access.unpack(file).config.data.source != source


def test_an_unpacked_run_beyond_the_bounds_is_refused_and_leaves_nothing(trained, visit_as, bounds):
    visit_as(A)
    run = runs.get_run("tiny")
    file = file_of(run)
    for bound, value, word in (("depth", 1, "depth of 1"), ("embed_dim", 16, ""), ("upload_mb", 1, "")):
        bounds[bound] = value
        file.seek(0)
        if word:
            with pytest.raises(RunError, match=word):
                access.unpack(file)
        else:
            access.delete(access.unpack(file))
        bounds[bound] = BOUNDED.get(bound, 100)
    padded = packed_by(trained)
    with zipfile.ZipFile(padded, "a") as archive:
        archive.comment = b"x" * 60_000
    file = io.BytesIO(bytes(1_000_001))
    file.name = "large.zip"
    bounds["upload_mb"] = 1
    with pytest.raises(DataError, match="files of 1 MB at most"):
        access.unpack(file)
    assert names() == ["tiny"]
    assert [entry.name for entry in checkpoints_dir().iterdir() if entry.name.endswith(".part")] == []


def test_the_curves_of_an_unpacked_run_are_bounded(trained, visit_as, monkeypatch):
    visit_as(A)
    monkeypatch.setattr(access_runs, "METRICS_BYTES_MAX", 100)
    with pytest.raises(RunError, match="its metrics"):
        access.unpack(file_of(runs.get_run("tiny")))
    assert names() == ["tiny"]


def test_an_unpacked_run_counts(trained, visit_as, bounds):
    visit_as(A)
    for _ in range(2):
        access.unpack(file_of(runs.get_run("tiny")))
    with pytest.raises(RunError, match="keeps 2 runs"):
        access.unpack(file_of(runs.get_run("tiny")))


def test_an_unpacked_run_is_not_resumed_beyond_the_bounds(trained, visit_as, bounds, started):
    visit_as(A)
    runs.update_status(runs.get_run("tiny").path, state="stopped", epoch=1)
    run = access.unpack(packed_by(trained, training__epochs=5))
    with pytest.raises(SettingsError, match="4 epochs at most, not 5"):
        access.resume(run)
    assert started == []


def test_a_run_from_before_the_bounds_is_resumed_within_them(home, visit_as, bounds, started):
    visit_as(A)
    run = end(access.start(config_of()))
    bounds["seconds"] = 7
    access.resume(run)
    assert run.config.training.max_seconds == 7
    end(run)
    bounds["queue"] = 1
    visit_as(B)
    access.start(config_of())
    visit_as(A)
    with pytest.raises(RunError, match="takes 1 runs at a time"):
        access.resume(run)


# Images


def test_uploads_are_their_visitors_in_lists_links_and_trainings(home, visit_as, started, photo_zip):
    mine = visit_as(A)
    with photo_zip.open("rb") as file:
        source = access.store_upload(file)
    assert Path(source).parent == owned_dir(mine) / "uploads"
    access.check_source(source)
    assert source in [info.source for info in access.sources(access.owner())]
    picture = access.save_picture(Image.new("RGB", (9, 9), "red"))
    assert access.list_pictures() == [picture]
    classes = data.describe(source).class_names
    config = config_of(model={"num_classes": 2}, data={"source": source, "class_names": classes})
    for cookie in (B, ""):
        visit_as(cookie)
        with pytest.raises(DataError, match="of its list"):
            access.check_source(source)
        with pytest.raises(UserError):
            access.start(config)
        assert source not in [info.source for info in access.sources(access.owner())]
        assert access.list_pictures() == []
        with pytest.raises(DataError, match="no longer kept"):
            access.open_picture(picture)
    visit_as(A)
    assert access.start(config).config.data.source == source


def test_uploads_of_the_operator_are_not_offered(home, visit_as, photo_zip, bounds):
    with photo_zip.open("rb") as file:
        source = data.store_upload("mine.zip", file)
    visit_as(A)
    with pytest.raises(DataError):
        access.check_source(source)
    assert [info.source for info in access.sources(access.owner())] == ["scenes"]


def test_uploads_are_bounded_in_size_files_and_number(home, visit_as, bounds, tmp_path):
    mine = visit_as(A)
    zips = [write_photo_zip(tmp_path / f"z{index}.zip", {"train": 2 + index, "val": 2}) for index in range(3)]
    bounds["images"] = 12
    sources = []
    for path in zips:
        with path.open("rb") as file:
            if path == zips[2]:
                bounds["images"] = 11
                with pytest.raises(DataError, match="12 files"):
                    access.store_upload(file)
                bounds["images"] = 12
            sources.append(access.store_upload(file))
    assert set(list_uploads(mine)) == set(sources[1:])  # the oldest has made room
    file = io.BytesIO(bytes(2_000_001))
    file.name = "large.zip"
    bounds["upload_mb"] = 2
    with pytest.raises(DataError, match="files of 2 MB at most"):
        access.store_upload(file)


# Words


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("The folder /srv/vit/checkpoints/a-run is full.", "The folder a-run is full."),
        ("'/srv/vit/data/cache': no space", "'cache': no space"),
        ('File "/usr/lib/python3.11/json/x.py", line 3', 'File "x.py", line 3'),
        ("C:\\vit\\data\\x.zip is damaged", "x.zip is damaged"),
        ("put them into train/ and val/ folders", "put them into train/ and val/ folders"),
        ("3/4 of 5 s/epoch, see https://example.org/a/b", "3/4 of 5 s/epoch, see https://example.org/a/b"),
    ],
)
def test_sentences_name_no_folders_of_the_server(visit_as, said, read):
    visit_as(A)
    assert access.without_paths(said) == read


def test_the_data_folder_is_not_named_even_with_spaces_in_it(home, visit_as, monkeypatch):
    visit_as(A)
    monkeypatch.setenv("VIT_DATA", "/srv/my own data")
    assert access.without_paths("in /srv/my own data/cache") == "in cache"


def test_the_command_names_no_folder_of_the_server(home, visit_as, photo_zip):
    visit_as(A)
    with photo_zip.open("rb") as file:
        source = access.store_upload(file)
    command = access.command(config_of(data={"source": source}), None)
    assert f"--dataset {Path(source).name} " in command
    assert str(home) not in command


# Housekeeping


def test_a_request_starts_a_clean_up_at_most_every_ten_minutes(home, visit_as, monkeypatch):
    swept = []
    monkeypatch.setattr(access_runs, "_clean_up", swept.append)
    monkeypatch.setattr(access_runs, "_cleaned", -1e9)
    visit_as(A)
    for _ in range(3):
        access.tidy()
    assert swept == [DemoLimits().keep_hours]
    monkeypatch.setattr(access_runs, "_cleaned", access_runs._cleaned - access_runs.CLEANUP_EVERY)
    access.tidy()
    assert len(swept) == 2


def test_the_users_own_machine_is_never_cleaned_up(home, monkeypatch):
    monkeypatch.delenv(limits.SWITCH, raising=False)
    monkeypatch.setattr(access_runs, "_clean_up", lambda hours: pytest.fail("swept"))
    monkeypatch.setattr(access_runs, "_cleaned", -1e9)
    access.tidy()


def test_pages_reach_runs_uploads_and_images_only_through_this_package():
    forbidden = re.compile(
        r"\bruns\.(list_runs|broken_runs|find_run|get_run|create|delete|rename|requeue|start_over)\b|\bjobs\.\w"
        r"|\brun_zip\.\w|\b(store_upload|list_uploads|data\.sources)\b|import .*\bjobs\b|import .*\brun_zip\b"
        r"|vit\.data\.files(\.| import )(pictures|uploads)\b|vit\.exports\.report\b|vit\.runs\.store\b"
    )
    folder = ROOT / "pages"
    files = [path for path in folder.rglob("*.py") if not path.relative_to(folder).as_posix().startswith("access/")]
    assert len(files) > 80, "the search finds the pages and their parts"
    found = {
        f"{path.relative_to(folder)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if forbidden.search(line) and "access." not in line
    }
    assert found == set()


def test_a_deletion_is_measured_at_once(trained, visit_as, started):
    visit_as(A)
    run = end(access.start(config_of(), "mine"))
    (run.path / "log.txt").write_bytes(bytes(10**6))
    cleanup.measure_anew()
    before = cleanup.disk_used()
    access.delete(run)
    assert cleanup.disk_used() < before - 10**6 + 1
    shutil.rmtree(checkpoints_dir(), ignore_errors=True)
