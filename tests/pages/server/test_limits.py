"""A demo's bounds, what visitors leave on the disk, and a training that ends at its limit."""

import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pages.access import cleanup
from pages.server import limits
from pages.server.limits import DemoLimits
from tests.conftest import tiny_config
from vit import data, jobs, runs
from vit.config import MODELS, RECIPES, DataConfig, ReferenceConfig, RunConfig, TrainingConfig, ViTConfig
from vit.cost.estimate import disk_bytes, memory_bytes
from vit.data.cache import cached_split
from vit.data.files import pictures
from vit.data.files.uploads import list_uploads, upload_title
from vit.errors import DataError, RunError, SettingsError
from vit.paths import checkpoints_dir, data_dir, owned_dir

A, B = limits.owner_mark("cookie", "a"), limits.owner_mark("cookie", "b")
HOUR = 3600


def config_of(owner: str = "", source: str = "scenes", **training) -> RunConfig:
    """The settings of a tiny run of an owner."""
    config = tiny_config()
    return config.model_copy(
        update={
            "owner": owner,
            "data": config.data.model_copy(update={"source": source}),
            "training": config.training.model_copy(update=training),
        }
    )


def aged(path: Path, hours: float) -> Path:
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    return path


def ended(name: str, owner: str = "", hours: float = 0, **options) -> runs.Run:
    """Make a run that ended this number of hours ago."""
    run = runs.create(name, config_of(owner, **options))
    runs.update_status(run.path, state="finished", ticket=1)
    aged(run.path, hours)
    return run


# The switch


@pytest.mark.parametrize("said", ["", "0", "false", "No"])
def test_without_the_switch_there_are_no_bounds(monkeypatch, said):
    monkeypatch.setenv(limits.SWITCH, said)
    assert limits.in_force() is None


def test_the_switch_and_the_table_each_put_the_bounds_in_force(monkeypatch):
    monkeypatch.setenv(limits.SWITCH, "1")
    assert limits.in_force() == DemoLimits()
    assert limits.in_force({"epochs": 7}).epochs == 7
    monkeypatch.delenv(limits.SWITCH)
    assert limits.in_force({}) == DemoLimits()


def test_an_unknown_limit_is_an_error():
    with pytest.raises(SettingsError, match="epoch"):
        limits.in_force({"epoch": 3})
    with pytest.raises(SettingsError, match="not possible"):
        limits.in_force({"seconds": "many"})


# The bounds


LIMITS = DemoLimits(image_size=64, depth=4, embed_dim=96, epochs=5)


@pytest.mark.parametrize(
    ("at", "beyond", "word"),
    [
        ({"depth": 4}, {"depth": 5}, "depth"),
        ({"embed_dim": 96}, {"embed_dim": 100}, "width"),
        ({"patch_size": 4}, {"patch_size": 2, "stem": "patch"}, "patches"),
    ],
)
def test_a_network_at_the_bound_is_taken_and_beyond_it_refused(at, beyond, word):
    LIMITS.check_model(ViTConfig(**{"embed_dim": 64} | at))
    with pytest.raises(SettingsError, match=word):
        LIMITS.check_model(ViTConfig(**{"embed_dim": 64} | beyond))


@pytest.mark.parametrize("name", MODELS)
def test_images_at_the_bound_are_taken_and_beyond_it_refused(name):
    limits = DemoLimits(depth=4, embed_dim=128)
    limits.check_model(MODELS[name])
    with pytest.raises(SettingsError, match="images of 64 at most, not 96"):
        limits.check_model(MODELS[name].model_copy(update={"image_size": 96}))


def test_epochs_at_the_bound_are_taken_and_beyond_it_refused():
    LIMITS.check(config_of(epochs=5))
    with pytest.raises(SettingsError, match="5 epochs at most, not 6"):
        LIMITS.check(config_of(epochs=6))


def test_memory_and_disk_of_one_run_are_bounded():
    course = RunConfig(model=ReferenceConfig(), training=RECIPES["course"])
    megabytes = -int(-disk_bytes(course) // 1e6)
    roomy = DemoLimits(run_mb=megabytes, memory_mb=-int(-memory_bytes(course, "cpu") // 1e6))
    roomy.check(course)
    with pytest.raises(SettingsError, match="MB at most, not 1,358 MB: choose a smaller network"):
        roomy.model_copy(update={"run_mb": megabytes - 1}).check(course)
    with pytest.raises(SettingsError, match="memory at most"):
        roomy.model_copy(update={"memory_mb": roomy.memory_mb - 1}).check(course)


def test_the_default_run_and_the_widest_transformer_are_within_the_bounds():
    DemoLimits().check(RunConfig())
    DemoLimits().check(RunConfig(model=ViTConfig(embed_dim=256, num_heads=8, depth=6, mlp_ratio=4.0)))


def test_what_a_run_brings_along_is_set_to_what_the_demo_gives():
    config = config_of(A, max_seconds=1e6, resume_steps=1, threads=1000)
    own = DemoLimits(seconds=60).owned(config, B)
    assert own.owner == B
    assert (own.training.max_seconds, own.training.resume_steps, own.training.threads) == (60, None, None)
    assert DemoLimits(seconds=60).owned(config_of(max_seconds=9), B).training.max_seconds == 9


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    heads=st.integers(1, 32),
    head_dim=st.integers(1, 64),
    depth=st.integers(1, 48),
    patch=st.sampled_from([1, 2, 4, 8, 16, 32, 64]),
    size=st.sampled_from([8, 32, 64, 128, 224, 1024]),
    epochs=st.integers(1, 10_000),
    batch=st.integers(1, 8192),
)
def test_whatever_is_taken_is_within_every_bound(heads, head_dim, depth, patch, size, epochs, batch):
    try:
        model = ViTConfig(
            num_heads=heads, embed_dim=heads * head_dim, depth=depth, patch_size=patch, image_size=size, stem="patch"
        )
    except SettingsError:
        return
    training = TrainingConfig(epochs=epochs, batch_size=batch)
    config = RunConfig(model=model, data=DataConfig(image_size=size), training=training)
    limits = DemoLimits()
    try:
        bounded = limits.bounded(config, A)
    except SettingsError:
        return
    assert model.image_size <= limits.image_size
    assert model.depth <= limits.depth
    assert model.embed_dim <= limits.embed_dim
    assert epochs <= limits.epochs
    assert model.num_tokens <= 257
    assert memory_bytes(bounded, "cpu") <= limits.memory_mb * 1e6
    assert disk_bytes(bounded) <= limits.run_mb * 1e6


# Whose it is


def test_a_mark_tells_neither_cookie_nor_account():
    assert limits.owner_mark("cookie", "secret") != limits.owner_mark("account", "secret")
    assert "secret" not in limits.owner_mark("cookie", "secret")
    assert RunConfig(owner=limits.owner_mark("cookie", "secret")).owner


@pytest.mark.parametrize("mark", ["../../etc", "a" * 31, "A" * 32, "a" * 33, "/", "a" * 31 + "\n"])
def test_nothing_but_a_mark_becomes_a_folder(home, mark):
    with pytest.raises(SettingsError):
        owned_dir(mark)
    with pytest.raises(SettingsError):
        RunConfig(owner=mark)


def test_uploads_and_pictures_are_found_by_their_owner_alone(home, photo_zip):
    from PIL import Image

    with photo_zip.open("rb") as file:
        source = data.store_upload("two-colours.zip", file, owner=A)
        shared = data.store_upload("two-colours.zip", file)
    assert list_uploads(A) == [source]
    assert list_uploads(B) == []
    assert list_uploads() == [shared]
    assert upload_title(source) == upload_title(shared) == "two-colours"
    assert source in [info.source for info in data.sources(A)]
    assert source not in [info.source for info in data.sources(B)]
    picture = pictures.save_picture(Image.new("RGB", (9, 9), "red"), A)
    assert pictures.list_pictures(A) == [picture]
    assert pictures.list_pictures(B) == pictures.list_pictures() == []
    for other in (B, ""):
        with pytest.raises(DataError, match="no longer kept"):
            pictures.open_picture(picture, other)


def test_an_upload_beyond_the_bounds_is_refused_and_leaves_nothing(home, photo_zip):
    for bound, sentence in (({"bytes_max": 20_000}, "expands to more than 0 MB"), ({"entries_max": 60}, "64 files")):
        with photo_zip.open("rb") as file, pytest.raises(DataError, match=sentence):
            data.store_upload("two-colours.zip", file, owner=A, **bound)
    assert list((owned_dir(A) / "uploads").iterdir()) == []
    with photo_zip.open("rb") as file:
        assert data.store_upload("two-colours.zip", file, owner=A, bytes_max=10**6, entries_max=64)


# The disk


def test_the_disk_is_measured_at_most_once_a_minute(home, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(cleanup.time, "monotonic", lambda: clock[0])
    cleanup.measure_anew()
    data_dir().mkdir(parents=True)
    (data_dir() / "one").write_bytes(bytes(1000))
    assert cleanup.disk_used() == 1000
    (data_dir() / "two").write_bytes(bytes(500))
    assert cleanup.disk_used() == 1000
    clock[0] += cleanup.MEASURED_FOR
    assert cleanup.disk_used() == 1500
    (data_dir() / "two").unlink()
    cleanup.measure_anew()
    assert cleanup.disk_used() == 1000


def test_nothing_is_taken_beyond_the_disk_and_runs_at_work_are_counted_as_they_will_be(home):
    cleanup.measure_anew()
    limits = DemoLimits(disk_gb=0.1)
    cleanup.check_disk(limits, 100e6)
    with pytest.raises(RunError, match="full"):
        cleanup.check_disk(limits, 101e6)
    run = runs.create("waiting", config_of(A))
    with pytest.raises(RunError, match="full"):
        cleanup.check_disk(limits, 100e6)
    cleanup.check_disk(limits, 100e6 - disk_bytes(run.config) - 1e5)


def test_a_sweep_deletes_what_visitors_left_and_nothing_else(home, photo_zip):
    old, new, operators = ended("old", A, 73), ended("new", A, 71), ended("shipped", "", 999)
    working = runs.create("working", config_of(A))
    aged(working.path, 73)
    with photo_zip.open("rb") as file:
        gone = Path(data.store_upload("gone.zip", file, owner=A))
        used = Path(data.store_upload("used.zip", file, owner=A))
        without_owner = Path(data.store_upload("without_owner.zip", file))
    trained = ended("trained", A, 1, source=str(used))
    for path in (gone, used, without_owner):
        aged(path, 200)
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("kept")
    aged(elsewhere, 200)
    (owned_dir(A) / "uploads" / "link").symlink_to(elsewhere)
    (data_dir() / "visitors" / B).symlink_to(elsewhere)
    (data_dir() / "visitors" / "not-a-mark").mkdir()
    cleanup.delete_expired(72)
    assert not old.path.exists()
    assert all(run.path.is_dir() for run in (new, operators, working, trained))
    assert not gone.exists()
    assert used.is_dir()
    assert without_owner.is_dir()
    assert (elsewhere / "precious").read_text() == "kept"
    assert (data_dir() / "visitors" / "not-a-mark").is_dir()


def test_a_visitor_of_whom_nothing_is_left_leaves_no_folder(home, photo_zip):
    from PIL import Image

    picture = pictures.save_picture(Image.new("RGB", (9, 9)), A)
    pictures.save_picture(Image.new("RGB", (9, 9)), B)
    aged(owned_dir(A) / "pictures" / f"{picture}.png", 73)
    cleanup.delete_expired(72)
    assert [entry.name for entry in (data_dir() / "visitors").iterdir()] == [B]


def test_decoded_images_are_deleted_only_when_unused(trained):
    folders = [folder for folder in (data_dir() / "cache").iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        aged(folder, 100)
    data.load(runs.get_run("tiny").config.data, splits=("val",))  # used
    cleanup.delete_expired(72)
    left = [folder for folder in (data_dir() / "cache").iterdir() if folder.is_dir()]
    assert len(left) == 1
    aged(left[0], 100)
    with FileLock(left[0].with_name(f"{left[0].name}.lock")):  # it is being built
        cleanup.delete_expired(72)
    assert left[0].is_dir()
    with fetch_nothing(left[0].name) as found:
        assert len(found[0])


def fetch_nothing(key: str):
    """The split of the cache; it is not built."""
    from contextlib import nullcontext

    def plan():
        raise AssertionError("it is there")

    return nullcontext(cached_split(key, 32, plan, lambda done, total: None))


def test_of_two_sweeps_at_a_time_one_does_nothing(home):
    old = ended("old", A, 73)
    with FileLock(data_dir() / ".cleanup.lock"):
        cleanup.delete_expired(72)
    assert old.path.exists()


def test_the_oldest_unused_upload_makes_room_for_the_next(home):
    uploads = owned_dir(A) / "uploads"
    for age, name in enumerate(("newest", "older", "oldest")):
        (uploads / name).mkdir(parents=True)
        aged(uploads / name, age)
    ended("run", A, source=str(uploads / "oldest"))
    cleanup.make_room(A, 4)
    assert len(list(uploads.iterdir())) == 3
    cleanup.make_room(A, 3)
    assert sorted(path.name for path in uploads.iterdir()) == ["newest", "oldest"]
    for name in ("newest", "oldest"):
        ended(f"on-{name}", A, source=str(uploads / name))
    with pytest.raises(RunError, match="delete a run first"):
        cleanup.make_room(A, 2)


# Seconds


def test_a_training_ends_in_order_at_its_limit(trained):
    config = config_of(epochs=10_000, max_seconds=1.5)
    begun = time.monotonic()
    status = jobs.execute(runs.create("long", config))
    assert time.monotonic() - begun < 20
    assert status.state == "stopped"
    assert status.message.startswith("Stopped at its limit of 1.5 s after ")
    assert status.message.endswith(" of 10000.")
    assert status.epoch >= 1
    run = runs.get_run("long")
    assert run.has_weights
    assert run.best["epoch"] <= status.epoch
    assert run.latest["seconds"] < 4
    with pytest.raises(RunError, match=r"has reached its time limit of 1\.5 s: start a new run"):
        jobs.resume(run)


def test_seconds_before_a_resume_count_whatever_the_file_says(trained):
    from vit.jobs.worker import _alarm

    assert not _alarm(None, 1e9)()
    assert not _alarm(100, 99)()
    assert _alarm(100, 100)()
    time_up = _alarm(0.05, -1e9)  # a file may claim a negative training time
    time.sleep(0.06)
    assert time_up()


def test_a_training_within_its_limit_finishes(trained):
    run = runs.create("short", config_of(epochs=1, max_seconds=500))
    assert jobs.execute(run).message.startswith("Finished")
    shutil.rmtree(checkpoints_dir() / "short")
