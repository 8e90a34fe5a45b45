"""Nothing private leaves the machine: not in a zip, a hub folder, a report, an ONNX file or a command on a demo."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pages import access
from pages.access import identity
from pages.server import secrets
from tests.conftest import tiny_config
from vit import hub, runs
from vit.config import DataConfig, RunConfig, StartConfig, ViTConfig
from vit.data.files.uploads import store_upload
from vit.exports import formats, run_zip, tensorboard
from vit.exports.report.report import report
from vit.hub.models import HubViT
from vit.paths import checkpoints_dir, data_dir
from vit.runs import Run, Status, privacy
from vit.sweeps.config import SweepConfig

OWNER, OTHER = "a" * 32, "b" * 32
SECRETS = ("secretperson", "secretproject", OWNER, OTHER, "someone-elses-run")

FOLDERS = st.sampled_from(
    [
        "/home/secretperson/",
        "/home/secretperson/secretproject data (2)/",
        "/Users/secretperson/Desktop/",
        "~/secretproject/",
        "~secretperson/",
        "./secretproject/",
        "../../secretperson/secretproject/",
        "secretproject/",
        "C:\\Users\\secretperson\\",
        "C:/Users/secretperson/",
        "\\\\server\\secretperson\\",
        f"/srv/data/visitors/{OWNER}/uploads/",
    ]
)
NAMES = st.sampled_from(["photos", "photos.zip", "my photos.zip", "scenes", "cifar10", "été", "a<b>&'\"", "photos/"])
PATHS = st.builds(lambda folder, name: folder + name, FOLDERS, NAMES)
PUBLISHED = st.one_of(
    st.sampled_from(["", "vit_tiny_patch16_224.augreg_in21k", "timm/vit_base"]),
    PATHS.filter(lambda path: not path.startswith("secretproject")),  # relative: reads like a repository's name
)


def private_config(source: str, published: str = "", start: str | None = None) -> RunConfig:
    config = tiny_config()
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"source": source}),
            "owner": OWNER,
            "published": published,
            "start": start and StartConfig(run=start, layer_decay=0.75),
        }
    )


def write_run(name: str, owner: str, config: RunConfig | None = None) -> Run:
    return runs.create(name, (config or tiny_config()).model_copy(update={"owner": owner}))


def make_private(run: Run, source: str) -> None:
    """Fill a trained run with private values, as a failed run on a server would have them."""
    runs.write_config(run.path, private_config(source, "/home/secretperson/weights.safetensors", "someone-elses-run"))
    message = f"There is no data set {source!r}, see /home/secretperson/secretproject/log.txt."
    runs.update_status(run.path, message=message, launch="secretproject", pid=4242)


def assert_nothing_private(content: str | bytes) -> None:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.fixture(params=["/home/secretperson/secretproject data/photos.zip", "C:\\Users\\secretperson\\scenes"])
def private_run(request, trained) -> Run:
    """A trained run full of private values, on a machine with another visitor's run."""
    write_run("someone-elses-run", OTHER)
    run = runs.get_run("tiny")
    make_private(run, request.param)
    return run


@pytest.fixture
def demo(monkeypatch) -> None:
    """A demo that the owner of the private run looks at."""
    monkeypatch.setattr(secrets, "table", lambda name: {} if name == "demo" else None)
    monkeypatch.setattr(identity, "visitor_mark", lambda cookies: "A" * 32)
    monkeypatch.setattr("pages.access.identity.owner_mark", lambda *parts: OWNER)


# Settings


@given(source=PATHS, published=PUBLISHED)
def test_settings_keep_only_the_last_part_of_every_path(source, published):
    public = privacy.without_private_settings(private_config(source, published))
    assert_nothing_private(public.model_dump_json())
    name = source.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    assert public.data.source.removeprefix("./") == name
    assert public.owner == ""
    assert RunConfig.from_json(public.model_dump_json()) == public
    again = privacy.without_private_settings(public)
    assert again == public


@given(source=PATHS)
def test_a_folder_called_like_a_built_in_data_set_is_not_taken_for_it(source):
    public = privacy.public_source(source)
    assert public not in ("scenes", "cifar10")


@pytest.mark.parametrize("source", ["", "scenes", "cifar10", "coco-crops"])
def test_built_in_data_sets_keep_their_names(source):
    assert privacy.public_source(source) == source


@pytest.mark.parametrize("published", ["vit_tiny_patch16_224.augreg_in21k", "timm/vit_base_patch16_224"])
def test_names_of_published_models_are_kept(published):
    assert privacy.without_private_settings(private_config("scenes", published)).published == published


def test_everything_else_of_the_settings_is_kept():
    config = tiny_config().model_copy(update={"sweep": "heads", "created": "2026-01-01T00:00:00"})
    assert privacy.without_private_settings(config) == config


@pytest.mark.parametrize(
    ("start", "kept"),
    [("public", True), ("own", True), ("gone", True), ("someone-elses-run", False), ("broken", False)],
)
def test_the_run_that_a_training_started_from_is_named_only_if_the_owner_may_see_it(home, start, kept):
    for name, owner in (("public", ""), ("own", OWNER), ("someone-elses-run", OTHER)):
        write_run(name, owner)
    (checkpoints_dir() / "broken").mkdir()
    public = privacy.without_private_settings(private_config("scenes", start=start))
    assert public.start == StartConfig(run=start if kept else privacy.PRIVATE_RUN, layer_decay=0.75)


# Texts


@given(path=PATHS, before=st.sampled_from(["", "There is no data set ", "in: ", "see '", "("]))
def test_a_sentence_names_no_folder(path, before):
    known = privacy.without_paths(f"{before}{path}' is gone, choose 3/4 of 5 s/epoch.", path)
    assert_nothing_private(known)
    assert known.endswith("is gone, choose 3/4 of 5 s/epoch.")


@pytest.mark.parametrize("path", ["/home/secretperson/x.zip", "~/secretproject/x.zip", "C:\\secretperson\\x.zip"])
def test_a_sentence_names_no_folder_that_it_was_not_told_of(path):
    assert privacy.without_paths(f"{path!r} is gone.".replace("\\\\", "\\")) == "'x.zip' is gone."


def test_the_home_folder_may_contain_spaces(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/secretperson the first"))
    assert privacy.without_paths("/home/secretperson the first/x is gone") == "x is gone"


@given(source=PATHS)
def test_a_status_names_no_folder_and_no_process(source):
    status = Status(state="failed", message=f"No data set {source}.", pid=7, launch="secretproject", placed=OTHER)
    public = privacy.without_private_status(status, private_config(source))
    assert_nothing_private(public.model_dump_json())
    assert (public.state, public.pid) == ("failed", None)


# Files


def test_a_zip_holds_nothing_private(private_run):
    file = io.BytesIO()
    run_zip.pack(private_run, file, resume=True)
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            assert_nothing_private(name)
            assert_nothing_private(archive.read(name))
        assert json.loads(archive.read("tiny/config.json"))["data"]["source"] in ("photos.zip", "./scenes")
    file.seek(0)
    assert run_zip.unpack(file, "again").config.owner == ""


def test_a_hub_folder_holds_nothing_private(private_run):
    files = hub.contents(private_run)
    for content in files.values():
        assert_nothing_private(content)
    assert privacy.PRIVATE_RUN.encode() in files["config.json"]


def test_what_the_hubs_mixin_saves_holds_nothing_private(private_run, tmp_path):
    HubViT.of_run(private_run).save_pretrained(tmp_path / "saved")
    found = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {"README.md", "config.json", "model.safetensors"} <= {path.name for path in found}
    for path in found:
        assert_nothing_private(path.read_bytes())


def test_a_report_holds_nothing_private(private_run):
    page = report(private_run)
    assert_nothing_private(page)
    assert "There is no data set" in page


def test_curves_for_tensorboard_hold_nothing_private(private_run):
    file = io.BytesIO()
    tensorboard.write_zip(private_run, file)
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            assert_nothing_private(archive.read(name))


def test_an_onnx_file_holds_nothing_private(private_run):
    made = formats.make(private_run, "onnx", lambda done, total: None)
    assert_nothing_private(made.read_bytes())


def test_a_zip_finds_its_upload_again_on_the_machine_it_came_from(home, photo_zip):
    with photo_zip.open("rb") as file:
        source = store_upload("two-colours.zip", file)
    model = ViTConfig(image_size=32, embed_dim=16, depth=1, num_heads=2, num_classes=2)
    images = DataConfig(source=source, image_size=32, class_names=("green", "red"))
    run = write_run("photos", "", RunConfig(model=model, data=images))
    runs.update_status(run.path, state="stopped")
    file = io.BytesIO()
    run_zip.pack(run, file)
    assert str(data_dir()).encode() not in file.getvalue()
    file.seek(0)
    assert access.unpack(file).config.data.source == source


# Commands


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=PATHS)
def test_a_command_on_a_demo_shows_nothing_private(home, demo, source):
    if not (checkpoints_dir() / "someone-elses-run").exists():
        write_run("someone-elses-run", OTHER)
    config = private_config(source, start="someone-elses-run")
    for shown in (config, config.model_copy(update={"owner": ""})):
        command = access.command(shown, "my-run")
        assert_nothing_private(command)
        assert f"--start {privacy.PRIVATE_RUN}" in command
    base = config.model_copy(update={"start": None})
    assert_nothing_private(access.sweep_command(SweepConfig(name="grid", base=base)))


def test_a_command_on_a_demo_names_the_visitors_own_run(home, demo):
    write_run("own", OWNER)
    config = private_config("scenes", start="own").model_copy(update={"owner": ""})
    assert "--start own" in access.command(config, None)


def test_a_command_on_an_own_machine_is_complete(home):
    config = private_config("/home/secretperson/photos.zip").model_copy(update={"owner": ""})
    assert "--dataset /home/secretperson/photos.zip" in access.command(config, None)
