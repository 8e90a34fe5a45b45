"""Relevance: every method of a network over one image, one of them large, from controls and from links."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.relevance import maps
from tests.conftest import tiny_config
from tests.pages.attention.test_attention import texts
from tests.pages.opening import open_page
from vit import data, jobs, runs
from vit.config import CNNConfig, ReferenceConfig
from vit.data.batches import to_tensor
from vit.data.files.pictures import save_picture
from vit.explain import METHODS, OVER_QUERIES, Target
from vit.explain.maps import attention
from vit.runs import weights

FAST = [method.title for method in METHODS.values() if method.fast]


@pytest.fixture(scope="module")
def zoo(workshop, tmp_path_factory) -> Path:
    """The runs of the workshop and trained runs of other networks: "cnn" and "course"."""
    folder = tmp_path_factory.mktemp("relevance")
    shutil.copytree(workshop, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        for name, model in {
            "cnn": CNNConfig(image_size=32),
            "course": ReferenceConfig(image_size=32, patch_size=8, embed_dim=16),
        }.items():
            jobs.execute(runs.create(name, tiny_config().model_copy(update={"model": model})))
            assert runs.get_run(name).state == "finished", runs.get_run(name).status.message
    return folder


@pytest.fixture
def mixed(home, zoo) -> Path:
    shutil.copytree(zoo, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def drawn(monkeypatch) -> dict[str, np.ndarray]:
    """Collect the maps that the page draws: the large one, and the small ones in their order."""
    found: dict[str, np.ndarray] = {}

    def map_jpeg(view: np.ndarray, heat: np.ndarray | None, signed: bool, side: int, smooth: bool) -> bytes:
        if heat is not None:
            found["large" if side == maps.LARGE else f"small {len(found)}"] = heat
        return original(view, heat, signed, side, smooth)

    original = maps.map_jpeg
    monkeypatch.setattr(maps, "map_jpeg", map_jpeg)
    return found


def expected(run_name: str, index: int, method: str, label: str, against: str | None = None, **options) -> np.ndarray:
    model, info = weights.load_checkpoint(runs.get_run(run_name).path)
    split = data.load(runs.get_run(run_name).config.data, splits=("val",)).val
    images = to_tensor([np.moveaxis(split.images[index], 0, -1)], info.mean, info.std)
    target = Target(info.class_names.index(label), None if against is None else info.class_names.index(against))
    return METHODS[method].function(model, images, target, **options)[0]


def tiles(app: AppTest) -> list[str]:
    return [button.label for button in app.button if button.key.startswith("open_")]


def test_without_a_run_the_page_links_to_train(home):
    app = open_page("relevance")
    assert [link.value for link in app.main.get("page_link")] == ["Train a model"]


def test_every_fast_method_is_shown_and_one_of_them_large(trained, drawn):
    app = open_page("relevance", image="val-2", **{"class": "dog"})
    assert tiles(app) == FAST
    assert app.subheader[-1].value == METHODS["chefer"].title
    assert len(drawn) == len(FAST) + 1
    np.testing.assert_allclose(drawn["large"], expected("tiny", 2, "chefer", "dog"), rtol=1e-5)
    for place, method in enumerate(name for name, method in METHODS.items() if method.fast):
        np.testing.assert_allclose(drawn[f"small {place}"], expected("tiny", 2, method, "dog"), rtol=1e-5)
    shown = texts(app)
    assert "dog: " in shown
    assert "When not to trust it" in shown
    assert [link.value for link in app.main.get("page_link")] == ["Test this map"]


@pytest.mark.parametrize(
    ("link", "method", "options"),
    [
        ({"method": "rollout", "fuse": "max", "discard": "50"}, "rollout", {"fusion": "max", "discard": 0.5}),
        ({"method": "gradient-rollout", "discard": "90"}, "gradient-rollout", {"discard": 0.9}),
        ({"method": "Grad-CAM"}, "gradcam", {}),
        ({"method": "occlusion"}, "occlusion", {}),
        ({"method": "integrated", "slow": "true"}, "integrated", {}),
    ],
)
def test_a_link_reproduces_the_view(several, drawn, link, method, options):
    app = open_page("relevance", run="tiny-mean", image="val-7", against="cat", **{"class": "bus"}, **link)
    assert app.selectbox(key="class").value == "bus"
    assert app.selectbox(key="against").value == "cat"
    assert app.subheader[-1].value == METHODS[method].title
    assert app.query_params["method"] == method
    np.testing.assert_allclose(drawn["large"], expected("tiny-mean", 7, method, "bus", "cat", **options), rtol=1e-4)
    assert len(tiles(app)) == len(METHODS if "slow" in link else FAST)


def test_invalid_values_in_a_link_fall_back(trained):
    link = {"method": "dream", "class": "tiger", "against": "wolf", "fuse": "median", "discard": "900"}
    app = open_page("relevance", **link)
    assert app.selectbox(key="class").value is None
    assert app.selectbox(key="against").value is None
    assert app.slider(key="discard").value == 95
    assert app.subheader[-1].value == METHODS["chefer"].title
    app.selectbox(key="class").set_value("dog").run()
    app.selectbox(key="against").set_value("cat").run()
    app.selectbox(key="class").set_value("cat").run()  # a class is not compared with itself
    assert not app.exception
    assert app.selectbox(key="against").value is None


def test_a_tile_opens_its_method_without_a_pass_and_another_class_takes_one(trained, drawn, monkeypatch):
    asked = []
    original = attention.relevance_maps
    monkeypatch.setattr(
        "vit.explain.relevance_maps",
        lambda model, images, target, names, **options: (
            asked.append(names) or original(model, images, target, names, **options)
        ),
    )
    app = open_page("relevance", image="val-4", **{"class": "dog"})
    app.button(key="open_gradcam").click().run()
    assert app.subheader[-1].value == "Grad-CAM"
    assert app.query_params["method"] == "gradcam"
    before, _ = len(asked), drawn.clear()
    app.selectbox(key="class").set_value("pizza").run()
    assert not app.exception
    np.testing.assert_allclose(drawn["large"], expected("tiny", 4, "gradcam", "pizza"), rtol=1e-5)
    assert len(asked) == before + 1
    app.button(key="open_rollout").click().run()
    assert len(asked) == before + 1


def test_the_switch_adds_slow_methods_and_says_whether_they_add_up(trained, drawn):
    app = open_page("relevance", image="val-1", **{"class": "dog"})
    app.toggle(key="slow").set_value(True).run()
    assert tiles(app) == [method.title for method in METHODS.values()]
    app.button(key="open_integrated").click().run()
    assert not app.exception
    np.testing.assert_allclose(drawn["large"], expected("tiny", 1, "integrated", "dog"), rtol=1e-4, atol=1e-7)
    assert f"The map's sum is {drawn['large'].sum():.2f}" in texts(app)


def test_slow_methods_of_large_networks_are_computed_on_demand_with_progress(trained, drawn, monkeypatch):
    monkeypatch.setattr(maps, "QUICK_FLOPS", 0)
    app = open_page("relevance", image="val-5", method="occlusion", **{"class": "cat"})
    assert tiles(app) == FAST
    assert "is not computed yet" in app.info[-1].value
    starts = [button for button in app.button if button.label == "Compute"]
    assert len(starts) == 2
    starts[1].click().run()
    end = time.monotonic() + 60
    while METHODS["occlusion"].title not in tiles(app):
        assert not app.exception
        assert time.monotonic() < end
        time.sleep(0.2)
        app.run()
    np.testing.assert_allclose(drawn["large"], expected("tiny", 5, "occlusion", "cat"), rtol=1e-4, atol=1e-7)


def test_a_convolutional_network_shows_its_methods_and_says_why_the_others_are_missing(mixed, drawn):
    app = open_page("relevance", run="cnn", image="val-3", method="rollout", **{"class": "bus"})
    assert tiles(app) == ["Grad-CAM", "Integrated gradients", "Occlusion"]
    assert app.subheader[-1].value == "Grad-CAM"
    assert "no attention" in app.info[0].value
    np.testing.assert_allclose(drawn["large"], expected("cnn", 3, "gradcam", "bus"), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(drawn["small 2"], expected("cnn", 3, "occlusion", "bus"), rtol=1e-4, atol=1e-6)


def test_the_course_network_shows_its_methods_and_says_why_the_others_are_missing(mixed):
    app = open_page("relevance", run="course")
    assert tiles(app) == [METHODS[name].title for name in ("last", "integrated", "occlusion")]
    assert "mixes positions" in app.info[0].value
    assert OVER_QUERIES in app.warning[0].value


def test_an_uploaded_picture_has_no_label_and_a_damaged_run_shows_an_error(trained):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    picture = f"pic-{save_picture(Image.fromarray(pixels))}"
    app = open_page("relevance", image=picture)
    assert tiles(app) == FAST
    assert "true: " not in texts(app)
    (trained / "checkpoints" / "tiny" / "model.safetensors").write_bytes(b"damaged")
    app = open_page("relevance", image=picture)
    assert len(app.error) == 1


def test_all_maps_and_the_large_one_can_be_downloaded(trained, monkeypatch):
    offered = {}
    monkeypatch.setattr("pages.ui.downloads.downloads", lambda name, key, **makers: offered.update({key: makers}))
    open_page("relevance", image="val-6", method="gradcam", against="cat", **{"class": "dog"})
    arrays = offered["all_maps"]["arrays"]()
    assert (arrays["class"], arrays["against"]) == ("dog", "cat")
    fast = [name for name, method in METHODS.items() if method.fast]
    assert set(arrays) == {*fast, "class", "against"}
    np.testing.assert_allclose(arrays["gradcam"], expected("tiny", 6, "gradcam", "dog", "cat"), rtol=1e-5)
    assert offered["all_maps"]["picture"]().width > 3 * maps.SMALL
    assert offered["one_map"]["picture"]().size == (maps.LARGE, maps.LARGE)
    rows = offered["one_map"]["table"]()
    assert [row["relevance"] for row in rows] == arrays["gradcam"].ravel().tolist()
    assert (rows[6]["row"], rows[6]["column"]) == (2, 3)
