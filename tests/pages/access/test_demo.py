"""The pages of a demo as two visitors see them, and as a trusted user does not."""

import json
import re
import shutil
import time

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages import access
from pages.access import cleanup, identity
from pages.access import runs as access_runs
from pages.server import limits, secrets
from pages.server.limits import DemoLimits
from pages.train.choices import make_space
from pages.train.images import ELSEWHERE, HUB, describe
from pages.ui import cached_models
from pages.ui.images import gallery
from tests.conftest import tiny_config
from tests.helpers.record_tables import record_table, record_tables
from tests.helpers.recordings import recording
from tests.helpers.serving import ROOT
from tests.pages.opening import ROUTER, open_page, router_pages
from vit import data, runs
from vit.config import DEPARTURES, MODELS, ReferenceConfig
from vit.cost.estimate import Speed
from vit.data.files import pictures
from vit.errors import DataError, RunError
from vit.paths import checkpoints_dir, data_dir
from vit.runs import speeds
from vit.runs.notes import make_notes, write_notes
from vit.support.hardware import Device

A, B = "A" * 32, "B" * 32
SECRET = "another-visitors-secret-run"
DEVICES = (Device("cpu", "CPU", 16 * 10**9, 8 * 10**9),)
LOOKING = (
    "predict",
    "attention",
    "relevance",
    "tokens",
    "heads",
    "compare",
    "intervene",
    "timelapse",
    "faithfulness",
    "evaluate",
)
"""The pages that look into a run, which a link names."""


@pytest.fixture
def look(monkeypatch):
    """A demo, looked at with a cookie."""
    monkeypatch.setenv(limits.SWITCH, "1")
    monkeypatch.setattr(access_runs, "_clean_up", lambda hours: None)
    cleanup.measure_anew()

    def as_(cookie: str) -> str:
        monkeypatch.setattr(identity, "visitor_mark", lambda cookies: cookie)
        return access.visitor()

    as_(A)
    return as_


@pytest.fixture
def bounds(look, monkeypatch) -> dict:
    """The table of the demo's bounds."""
    table = {}
    monkeypatch.setattr(secrets, "table", lambda name: table if name == "demo" else None)
    return table


def give(name: str, owner: str, new: str) -> runs.Run:
    """A copy of a run that belongs to a visitor."""
    shutil.copytree(checkpoints_dir() / name, checkpoints_dir() / new)
    run = runs.get_run(new)
    runs.write_config(run.path, run.config.model_copy(update={"owner": owner}))
    return run


@pytest.fixture
def shared(trained, look) -> str:
    """A demo with the run "tiny" that came with it, one of visitor A, and one of B, which waits; B's mark."""
    look(A)
    give("tiny", access.visitor(), "mine")
    other = look(B)
    run = give("tiny", other, SECRET)
    runs.update_status(run.path, state="queued", ticket=2**62, pid=None)
    look(A)
    return other


def words(app: AppTest) -> str:
    """All that the page says, with the options of its lists."""
    kinds = ("markdown", "caption", "error", "warning", "info", "code", "toast", "table", "dataframe", "button")
    elements = [element for kind in kinds for element in app.get(kind)]
    texts = [f"{getattr(element, 'value', '')} {getattr(element, 'label', '')}" for element in elements]
    texts += [str(box.options) for kind in ("selectbox", "multiselect") for box in app.get(kind)]
    texts += [str(group.options) for group in app.get("button_group")]
    texts += [json.dumps(table) for table in record_tables(app)]
    texts += [str(link.proto) for link in app.get("page_link")]
    return "\n".join(texts)


def command(app: AppTest) -> str:
    """The command that does what the Train page is set to."""
    return next(code.value for code in app.code if code.value.startswith("python -m vit train"))


# Every page


def test_no_page_shows_another_visitors_run(shared):
    for page in router_pages():
        app = open_page(str(page._page.relative_to(ROOT / "pages").with_suffix("")))
        assert not app.error, page.title
        text = words(app)
        assert SECRET not in text, page.title
        assert str(data_dir()) not in text, page.title
        assert str(checkpoints_dir()) not in text, page.title


def test_a_waiting_run_is_behind_another_run_if_it_is_another_visitors(shared):
    mine = runs.get_run("mine")
    runs.update_status(mine.path, state="queued", ticket=2**62 + 1, pid=None)
    app = open_page("train", run="mine")
    (said,) = [text.value for text in app.sidebar.caption if "queue" in text.value]
    assert "number 2 in the queue, after another run; starts in about" in said
    assert SECRET not in words(app)


@pytest.mark.parametrize("page", LOOKING)
def test_a_link_to_another_visitors_run_is_like_a_link_to_a_missing_run(shared, page):
    while "Stop" in [button.label for button in open_page(page, run=SECRET, run2=SECRET).button]:
        time.sleep(0.2)  # what is measured in the background
    seen = []
    for name in (SECRET, "there-is-no-such-run"):
        app = open_page(page, run=name, run2=name)
        text = words(app).replace(name, "…").replace(name.replace("-", "\\-"), "…")
        seen.append(re.sub(r"\d+ ms|task_\d+", "", text))
    assert "…" in seen[0]  # the sentence that there is none
    assert seen[0] == seen[1]


def test_following_another_visitors_run_shows_nothing(shared):
    seen = []
    for name in (SECRET, "there-is-no-such-run"):
        app = open_page("train", run=name, show="Follow a run")
        seen.append(words(app).replace(name.replace("-", "\\-"), "…"))
        assert app.selectbox(key="run").value in ("mine", "tiny")
    assert "There is no run **…**. Showing" in seen[0]
    assert seen[0] == seen[1]


def test_the_table_and_its_links_hold_ones_own_and_what_came_with_the_demo(shared):
    write_notes(runs.get_run(SECRET), make_notes(["their tag"], SECRET))
    app = open_page("runs", runs=SECRET, tags="their tag")
    rows = record_table(app)["rows"]
    assert {row["name"]: row["editable"] for row in rows} == {"mine": True, "tiny": False}
    assert SECRET not in words(app)
    assert "their tag" not in words(app)


@pytest.mark.parametrize("page", ["overview", "train", "runs", "attention"])
def test_without_a_cookie_one_looks_at_what_came_with_the_demo(shared, look, page):
    look("")
    app = open_page(page)
    assert not app.error
    text = words(app)
    assert SECRET not in text
    assert "mine" not in [option for box in app.selectbox for option in box.options]
    if page in ("overview", "train"):
        assert access.NO_COOKIE in text


def test_the_sidebar_tells_of_ones_own_trainings_only(shared, look):
    app = open_page("overview")
    assert not app.sidebar.get("page_link")
    look(B)
    runs.update_status(checkpoints_dir() / SECRET, ticket=2**62)
    app = open_page("overview")
    assert [link.value for link in app.sidebar.get("page_link")] == [SECRET]


def test_a_server_whose_bounds_cannot_be_read_shows_no_page(shared, bounds):
    bounds["epoch"] = 3
    app = AppTest.from_file(ROUTER, default_timeout=60).run()
    assert not app.exception
    assert ["closed" in error.value for error in app.error] == [True]
    assert not app.subheader


# Images


def test_pictures_of_another_are_neither_listed_nor_opened(shared, look):
    look(B)
    picture = access.save_picture(Image.new("RGB", (40, 40), "red"))
    look(A)
    seen = []
    for image in (f"pic-{picture}", "pic-0123456789abcdef"):
        app = open_page("attention", run="tiny", image=image)
        assert app.text_input(key="image").value == "val-0"
        assert f"pic-{picture}" not in gallery.own_images()
        app = open_page("predict", run="tiny", pictures=image)
        seen.append([error.value for error in app.error])
    assert "no longer kept" in seen[0][0]
    assert seen[0] == seen[1]
    look(B)
    app = open_page("attention", run="tiny", image=f"pic-{picture}")
    assert app.text_input(key="image").value == f"pic-{picture}"


def test_an_uploaded_picture_is_kept_for_its_visitor(shared, look):
    import io

    content = io.BytesIO()
    Image.new("RGB", (40, 40), "blue").save(content, "PNG")
    app = open_page("predict", run="tiny")
    app.file_uploader[0].upload("mine.png", content.getvalue(), "image/png").run()
    assert not app.exception
    assert "mine" in words(app)
    assert len(access.list_pictures()) == 1
    assert pictures.list_pictures() == []
    look(B)
    assert access.list_pictures() == []


def test_folders_of_the_server_are_not_offered(home, look):
    app = open_page("train", form="All settings")
    assert app.selectbox(key="data").options == ["Scenes"]
    assert "downloaded" in app.selectbox(key="data").help
    for link in (
        {"data": "/etc"},
        {"data": ELSEWHERE, "folder": "/etc"},
        {"data": HUB, "hub": "someone/pets"},
        {"data": "hf:someone/pets"},
        {"data": "cifar10"},
    ):
        app = open_page("train", **link)
        assert app.selectbox(key="data").value == "scenes"
        assert not any(field.key == "folder" for field in app.text_input)
        assert "/etc" not in words(app)


def test_what_a_session_brings_along_opens_no_folder_and_no_upload_of_another(home, look, photo_zip):
    look(B)
    with photo_zip.open("rb") as file:
        source = access.store_upload(file)
    look(A)
    for brought in (source, "/etc", ELSEWHERE):
        app = AppTest.from_file(ROUTER, default_timeout=60).run()
        app.session_state["data"] = brought
        app.switch_page("train/page.py").run()
        assert not app.exception
        assert app.selectbox(key="data").value == "scenes"
        assert "two-colours" not in words(app)


def test_a_zip_of_images_is_offered_to_its_visitor_alone(home, look, photo_zip):
    app = open_page("train", form="All settings")
    uploader = app.file_uploader[0]
    uploader.upload("two-colours.zip", photo_zip.read_bytes(), "application/zip").run()
    assert not app.exception
    assert app.selectbox(key="data").options == ["Scenes", "two-colours"]
    assert "--dataset two-colours-" in command(app)
    assert str(home) not in words(app)
    look(B)
    assert open_page("train", form="All settings").selectbox(key="data").options == ["Scenes"]


def test_a_recording_is_offered_to_its_visitor_alone_and_counts_as_an_upload(home, bounds, look):
    bounds.update(uploads=1, images=60)
    first, second = (access.store_upload(recording(cup=[count], pen=[10, 10]), recorded=True) for count in (10, 12))
    assert [upload.source for upload in access.stored_uploads()] == [second]
    assert first != second
    with pytest.raises(DataError, match="at most 60 are allowed"):
        access.store_upload(recording(cup=[40], pen=[30]), recorded=True)
    look(B)
    assert access.stored_uploads() == []
    with pytest.raises(DataError):
        access.check_source(second)


def test_a_visitor_without_a_cookie_cannot_store_a_recording(home, look):
    look("")
    with pytest.raises(RunError, match="cookie"):
        access.store_upload(recording(cup=[10], pen=[10]), recorded=True)


# Train


def test_the_untouched_page_is_within_the_bounds(home, bounds):
    bounds.update(image_size=48, depth=1, embed_dim=40, epochs=3)
    app = open_page("train", form="All settings")
    assert app.slider(key="epochs").max == 3
    assert app.slider(key="epochs").value == 3
    assert app.select_slider(key="size").options == ["32", "48"]
    controls = {widget.key: widget for widget in (*app.select_slider, *app.selectbox)}
    assert int(controls["heads"].value) * int(controls["head_dim"].value) <= 40
    text = words(app)
    assert "48 px, depth 1, width 40, 400 MB of disk, 3 epochs and 5 min of training" in text
    assert "You can start 4 more" in text
    app.button(key="start_training").click()  # without a job: the configuration is what matters
    assert not app.button(key="start_training").disabled


@pytest.mark.parametrize(("key", "at", "beyond"), [("epochs", "4", "5"), ("size", "48", "64"), ("depth", "3", "4")])
def test_a_link_reaches_to_the_bound_and_not_beyond_it(home, bounds, key, at, beyond):
    bounds.update(image_size=48, depth=3, embed_dim=128, epochs=4)
    app = open_page("train", **{key: at})
    control = next(widget for widget in (*app.select_slider, *app.slider) if widget.key == key)
    assert str(control.value) == at
    app = open_page("train", **{key: beyond})
    control = next(widget for widget in (*app.select_slider, *app.slider) if widget.key == key)
    assert str(control.value) != beyond
    assert "--depth 4" not in command(app)
    assert "--epochs 5" not in command(app)


@pytest.mark.parametrize("name", [*MODELS, "textbook"])
@pytest.mark.parametrize("recipe", ["standard", "course"])
@pytest.mark.parametrize(
    "limits", [DemoLimits(), DemoLimits(image_size=40, depth=1, embed_dim=16, epochs=2, run_mb=60)]
)
def test_every_offered_value_is_taken(name, recipe, limits):
    base = MODELS.get(name) or ReferenceConfig(mended=DEPARTURES)
    space = make_space(base, data.describe("scenes"), DEVICES, recipe, limits)
    values = space.clamp(space.defaults())
    limits.check(space.config(values))
    for key in values:
        if key != "seed":
            for value in space.allowed(key, values):
                limits.check(space.config(space.consistent({**values, key: value})))


def test_the_defaults_stay_where_the_demo_takes_them():
    info = data.describe("scenes")
    own = make_space(MODELS["vit"], info, DEVICES)
    bounded = make_space(MODELS["vit"], info, DEVICES, demo=DemoLimits())
    assert bounded.clamp(bounded.defaults()) == own.clamp(own.defaults())


def test_a_network_that_cannot_be_small_enough_is_not_available_and_the_page_says_why(home, bounds):
    bounds["run_mb"] = 10
    app = open_page("train", network="CNN")
    assert app.button(key="start_training").disabled
    assert "too large for this demo, even at its smallest. This demo takes runs of 10 MB at most" in words(app)


def test_the_page_says_where_the_limit_would_end_a_training(home, bounds, monkeypatch):
    monkeypatch.setitem(speeds._brief, "cpu", Speed("", 1e9, 1e11))
    bounds["seconds"] = 1
    text = words(open_page("train", form="All settings"))
    assert "This demo stops a training after 1 s; with these settings at about epoch 1 of 28" in text
    bounds["seconds"] = 1e6
    assert "This demo stops a training" not in words(open_page("train", form="All settings"))


def test_the_ladder_needs_more_runs_than_a_visitor_has(home, bounds):
    app = open_page("train", network="Course network")
    assert "takes 7 runs; you can start 4 on this demo now" in words(app)
    assert not any(button.key == "queue-ladder" for button in app.button)
    bounds.update(runs=7, queue=7, run_mb=2000, memory_mb=8000)
    app = open_page("train", network="Course network")
    assert any(button.key == "queue-ladder" for button in app.button)


def test_start_is_refused_in_a_sentence_where_no_run_is_left(shared, bounds):
    bounds["runs"] = 1
    app = open_page("train", show="New run")
    assert "keeps 1 runs per visitor: delete one of yours first" in words(app)
    app.button(key="start_training").click().run()
    assert ["delete one of yours first" in error.value for error in app.error] == [True]
    assert {run.name for run in runs.list_runs()} == {"mine", SECRET, "tiny"}


# What may be changed


def test_what_came_with_the_demo_cannot_be_changed_on_the_pages(shared):
    app = open_page("runs")
    app.session_state["manager"] = True
    for name, fixed in (("tiny", True), ("mine", False)):
        app.session_state["managed"] = name
        app.run()
        buttons = {button.key: button.disabled for button in app.button}
        assert (buttons["rename"], buttons["delete"]) == (fixed, fixed)
        assert ("You can change only your own runs" in words(app)) == fixed
    runs.update_status(checkpoints_dir() / "tiny", state="stopped")
    runs.update_status(checkpoints_dir() / "mine", state="stopped")
    for name, fixed in (("tiny", True), ("mine", False)):
        app = open_page("train", run=name, show="Follow a run")
        buttons = {button.key: button for button in app.button}
        assert [buttons[key].disabled for key in ("resume", "restart") if key in buttons].count(not fixed) == 0
        assert "restart" in buttons


def test_a_page_left_open_shows_nothing_of_the_run_that_took_the_name(shared, look):
    app = open_page("train", run="mine", show="Follow a run")
    assert not app.error
    run = runs.get_run("mine")
    look(B)
    runs.write_config(run.path, run.config.model_copy(update={"owner": access.visitor()}))
    look(A)
    with pytest.raises(RunError, match="no run 'mine' any more"):
        cached_models.load_model(run)
    app = open_page("train", run="mine", show="Follow a run")
    assert app.selectbox(key="run").options == ["tiny"]


def test_the_log_names_no_folder_of_the_server(shared):
    run = runs.get_run("mine")
    (run.path / "log.txt").write_text(f'File "{data_dir()}/cache/x.npy", line 3\n')
    runs.update_status(run.path, state="failed", message=f"The disk that holds {run.path} is full: free some.")
    app = open_page("train", run="mine", show="Follow a run")
    text = words(app)
    assert 'File "cache/x.npy", line 3' in text
    assert "The disk that holds mine is full" in text.replace("\\", "")


# The notice


def test_overview_and_train_say_what_a_demo_is(shared):
    for page in ("overview", "train"):
        text = words(open_page(page))
        assert "This is a public demo" in text
        assert "Only you and the operator of this server can see" in text
        assert "3 days" in text
        assert "Everything runs on this machine" not in text
        assert "streamlit run streamlit_app.py" in text
    assert "Only you can see them here. They are deleted after 3 days without use" in words(open_page("predict"))


def test_the_notice_links_to_the_program_where_the_operator_says_where_it_is(shared, bounds):
    bounds["program_url"] = "https://example.org/explorer"
    text = words(open_page("overview"))
    assert "[get the program](https://example.org/explorer)" in text
    assert "streamlit run" not in text


@pytest.mark.parametrize("page", ["overview", "train", "runs", "predict"])
def test_on_an_own_machine_no_page_speaks_of_a_demo(trained, monkeypatch, page):
    monkeypatch.delenv(limits.SWITCH, raising=False)
    describe.clear()
    app = open_page(page)
    text = words(app)
    assert "demo" not in text
    assert "cookie" not in text
    if page == "train":
        assert app.selectbox(key="data").options[-1] == ELSEWHERE
        assert app.slider(key="epochs").max == 200
    if page == "overview":
        assert "Everything runs on this machine; no data leaves it." in text


def test_a_tiny_run_of_a_stranger_is_within_the_default_bounds():
    DemoLimits().check(tiny_config())
