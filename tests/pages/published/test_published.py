"""Published models: a model that opens links to the other pages; one that does not shows the reason."""

import json
import sys
import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

timm = pytest.importorskip("timm")

import torch  # noqa: E402
from safetensors.torch import load_file, save  # noqa: E402

from pages import access  # noqa: E402
from pages.access import identity  # noqa: E402
from pages.access import runs as access_runs  # noqa: E402
from pages.published import downloads  # noqa: E402
from pages.server import limits  # noqa: E402
from pages.ui import background  # noqa: E402
from pages.ui.background import Task  # noqa: E402
from tests.pages.opening import open_page  # noqa: E402
from tests.published import models  # noqa: E402
from tests.published.hub import serving_hub  # noqa: E402
from tests.published.test_download import NAME, point_to  # noqa: E402
from vit import runs  # noqa: E402
from vit.published import catalogue, guess_architecture  # noqa: E402

RELPOS = "vit_relpos_small_patch16_224.sw_in1k"
SIZE = 224
FILE = {"published_from": "From a file"}


@pytest.fixture(autouse=True)
def _short_list(monkeypatch):
    """Show only the first suggestion, without downloads of another test."""
    monkeypatch.setattr(catalogue, "CURATED", {NAME: catalogue.CURATED[NAME]})
    background.download_tasks.clear()


@pytest.fixture
def file(home):
    """Save the weights of a small ViT with a config.json next to them."""
    arguments = {"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 3}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=2, **arguments)
    config = {"architecture": "vit_tiny_patch16_224", "model_args": arguments, "label_names": ["ant", "bee"]}
    (home / "config.json").write_text(json.dumps(config))
    return models.save(model, home / "ants.safetensors")


def download_of(name: str) -> Task | None:
    """Return this visitor's download of a model at its own size."""
    return background.download_tasks().find(("published model", access.owner(), name, SIZE))


def links(app: AppTest) -> list[str]:
    return [link.label for link in app.main.get("page_link")]


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def test_a_suggested_model_shows_its_description_and_size(home):
    app = open_page("published")
    assert "3 heads per block" in app.markdown[0].value
    assert all(
        word in app.main.caption[1].value for word in ("23 MB", "1,000 classes", "apache", "12 blocks of 3 heads")
    )
    assert links(app) == []


def test_a_model_that_cannot_be_opened_shows_the_reason_and_no_button(home):
    app = open_page("published", model=RELPOS)
    assert any("cannot be opened here: it has relative positions" in caption.value for caption in app.caption)
    assert not [button for button in app.button if button.key == "chosen_fetch"]


def test_a_link_to_an_unknown_model_selects_none(home):
    assert open_page("published", model="nosuchmodel").selectbox(key="model").value is None


def test_a_model_with_large_images_can_be_opened_at_a_smaller_size(home):
    app = open_page("published", model="vit_small_patch14_reg4_dinov2.lvd142m")
    assert app.selectbox(key="chosen_size").value == 336
    assert "518 px, as published" in app.selectbox(key="chosen_size").options


def test_a_model_is_downloaded_and_links_to_the_other_pages(home, monkeypatch):
    content = save(timm.create_model("vit_tiny_patch16_224").state_dict())
    with serving_hub({f"timm/{NAME}/model.safetensors": content}) as hub:
        point_to(hub.address, monkeypatch)
        app = press(open_page("published"), "curated_0_fetch")
        for _ in range(600):
            if runs.list_runs():
                break
            time.sleep(0.05)
    assert [run.config.published for run in runs.list_runs()] == [NAME]
    app = open_page("published")
    assert links(app) == ["Attention", "Predict", "Anatomy", "Fine-tune"]
    assert not [button for button in app.button if button.key == "curated_0_fetch"]


def test_a_failed_download_shows_an_error_and_can_be_tried_again(home, monkeypatch):
    with serving_hub({}) as hub:
        point_to(hub.address, monkeypatch)
        app = press(open_page("published"), "curated_0_fetch")
        download_of(NAME).wait(30)
        app.run()
    assert "only as pickled weights" in app.error[0].value
    assert app.button(key="curated_0_fetch")


def test_progress_is_shown_in_bytes_and_time_and_the_download_can_be_stopped():
    shown, started = [], threading.Event()

    def work(progress):
        started.wait(10)
        progress(10**6, 10**8)
        shown.append(downloads.progress_words(task))
        task.begun -= 10
        progress(11 * 10**6, 10**8)
        shown.append(downloads.progress_words(task))
        task.stop()
        progress(12 * 10**6, 10**8)

    task = Task(work, resumes=True)
    started.set()
    task.wait(10)
    assert shown[0] == "1 MB of 100 MB"
    assert shown[1].startswith("11 MB of 100 MB, about 1 min 29 s left")
    assert task.stopped
    assert task.finished


def test_a_file_on_this_machine_becomes_a_run(file):
    app = open_page("published", **FILE)
    app.text_input(key="weights_path").set_value(str(file))
    press(app, "weights_open")
    assert links(app) == ["Attention", "Predict", "Anatomy", "Fine-tune"]
    assert runs.get_run("ants").config.data.class_names == ("ant", "bee")


def test_an_upload_with_its_config_becomes_a_run(file):
    app = open_page("published", **FILE)
    config = file.with_name("config.json").read_bytes()
    uploads = [("ants.safetensors", file.read_bytes(), ""), ("config.json", config, "application/json")]
    app.file_uploader[0].set_value(uploads).run()
    press(app, "weights_open")
    assert not app.error
    assert runs.get_run("ants").config.data.class_names == ("ant", "bee")
    assert list((file.parent / "data").glob("*")) == []


def upload(*files: tuple[str, bytes]) -> AppTest:
    app = open_page("published", **FILE)
    app.file_uploader[0].set_value([(name, content, "") for name, content in files]).run()
    return press(app, "weights_open")


def test_a_refusal_names_the_uploaded_file(file):
    config = ("config.json", file.with_name("config.json").read_bytes())
    for content in (b"PK a pickle", file.read_bytes()[:-8], save({"something": torch.zeros(3)})):
        app = upload(("my ants.safetensors", content), config)
        assert "my ants" in app.error[0].value
        assert "weights.safetensors" not in app.error[0].value.replace("\\", "")


def test_the_parts_of_a_model_are_uploaded_together(file):
    tensors = load_file(file)
    names = sorted(tensors)
    parts = {1: names[::2], 2: names[1::2]}
    files = [
        (f"ants-0000{number}-of-00002.safetensors", save({name: tensors[name] for name in own}))
        for number, own in parts.items()
    ]
    config = ("config.json", file.with_name("config.json").read_bytes())
    app = upload(files[0], config)
    assert "Part 2 of the 2 parts of the model is missing" in app.error[0].value
    app = upload(*reversed(files), config)
    assert not app.error
    assert runs.get_run("ants").config.data.class_names == ("ant", "bee")


def test_a_link_to_a_model_of_another_family_shows_the_reason(home):
    app = open_page("published", model="swin_tiny_patch4_window7_224.ms_in1k")
    assert any("but timm's SwinTransformer" in caption.value for caption in app.caption)


def test_weights_that_fit_several_networks_ask_for_a_choice(file, monkeypatch):
    file.with_name("config.json").unlink()
    monkeypatch.setattr(
        guess_architecture, "candidates", lambda shapes: ("deit_tiny_patch16_224", "vit_tiny_patch16_224")
    )
    app = open_page("published", **FILE)
    app.text_input(key="weights_path").set_value(str(file))
    press(app, "weights_open")
    assert "choose deit\\_tiny\\_patch16\\_224, vit\\_tiny" in app.info[0].value
    assert app.selectbox(key="weights_architecture").options[:2] == ["deit_tiny_patch16_224", "vit_tiny_patch16_224"]
    app.selectbox(key="weights_architecture").select("vit_tiny_patch16_224")
    press(app, "weights_open")
    assert "belong to another network" in app.error[0].value  # the real one has more blocks


def test_without_a_file_an_error_is_shown(home):
    app = press(open_page("published", **FILE), "weights_open")
    assert app.error[0].value == "There is no file yet\\. Upload one, or type its path\\."


def test_a_demo_opens_only_models_within_its_limits(file, monkeypatch):
    monkeypatch.setenv(limits.SWITCH, "1")
    monkeypatch.setattr(access_runs, "_clean_up", lambda hours: None)
    monkeypatch.setattr(identity, "visitor_mark", lambda cookies: "A" * 32)
    app = press(open_page("published"), "curated_0_fetch")
    download_of(NAME).wait(30)
    app.run()
    assert "takes images of 64 at most, not 224" in app.error[0].value
    assert runs.list_runs() == []

    app = open_page("published", **FILE)
    assert not app.text_input  # no folder of the server
    config = file.with_name("config.json").read_bytes()
    app.file_uploader[0].set_value([("ants.safetensors", file.read_bytes(), ""), ("config.json", config, "")]).run()
    press(app, "weights_open")
    assert not app.error
    assert [run.config.owner for run in runs.list_runs()] == [access.visitor()]


def test_a_demo_opens_nothing_for_an_unknown_visitor(file, monkeypatch):
    monkeypatch.setenv(limits.SWITCH, "1")
    monkeypatch.setattr(access_runs, "_clean_up", lambda hours: None)
    monkeypatch.setattr(identity, "visitor_mark", lambda cookies: "")
    app = press(open_page("published"), "curated_0_fetch")
    assert "does not keep this page's cookie" in app.error[0].value
    assert download_of(NAME) is None


def test_without_timm_the_page_shows_how_to_install_it(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # imports of timm fail
    app = open_page("published")
    assert "not installed here" in app.info[0].value
    assert app.code[0].value.endswith("-m pip install timm")
    assert not app.button
