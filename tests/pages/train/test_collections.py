"""Tables, shards and the hub on the Train page, and the window of greyscale with more than 8 bits."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pages.train.images import ELSEWHERE, HUB
from tests.data.helpers import image_bytes
from tests.pages.opening import open_page


def opened(path, **more):
    return open_page("train", data=ELSEWHERE, folder=str(path), **more)


def table(folder):
    folder.mkdir()
    for seed in range(20):
        (folder / f"{seed}.png").write_bytes(image_bytes(seed, (32, 32)))
    rows = {
        "where": [f"{seed}.png" for seed in range(20)],
        "animal": ["cat", "dog"] * 10,
        "time": ["day"] * 10 + ["night"] * 10,
    }
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def test_an_unclear_column_is_chosen_on_the_page_and_comes_into_the_run(home, tmp_path):
    app = opened(table(tmp_path / "set"))
    assert not app.exception
    assert not app.error
    assert any("which column holds the classes: choose one of" in info.value for info in app.info)
    assert app.selectbox(key="label_column").options == ["animal", "time"]
    app.selectbox(key="label_column").set_value("time").run()
    assert not app.exception
    assert any("classes: day, night" in text.value for text in app.markdown)
    assert "--image-column where --label-column time" in app.code[0].value
    app.selectbox(key="label_column").set_value("animal").run()
    assert any("classes: cat, dog" in text.value for text in app.markdown)
    app.selectbox(key="data").set_value("scenes").run()
    assert not app.exception
    assert "--label-column" not in app.code[0].value


def test_without_a_path_the_page_says_what_can_be_opened(home):
    app = open_page("train", data=ELSEWHERE)
    words = " ".join(text.value for text in app.markdown)
    assert all(word in words for word in ("folder", "CSV", "parquet", "datasets", "WebDataset"))
    assert not app.error


def test_a_parquet_file_of_images_is_shown_and_can_be_trained(home, tmp_path):
    path = tmp_path / "pets.parquet"
    images = [{"bytes": image_bytes(seed, (32, 32)), "path": None} for seed in range(20)]
    pd.DataFrame({"image": images, "label": ["cat", "dog"] * 10}).to_parquet(path)
    app = opened(path)
    assert not app.exception
    assert any("**16** training images, **4** validation images" in text.value for text in app.markdown)
    assert app.code[0].value.startswith(f"python -m vit train --dataset {path}")
    assert not app.button(key="start_training").disabled


def test_a_window_is_chosen_and_shown(home, tmp_path):
    random = np.random.default_rng(0)
    for name, mean in (("healthy", 1200), ("lesion", 1500)):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.normal(mean, 50, (32, 32)).clip(0, 4095).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / "scans" / name / f"{number}.png")
    app = opened(tmp_path / "scans")
    assert not app.exception
    assert app.segmented_control(key="window_by").value.startswith("As found: ")
    app.segmented_control(key="window_by").set_value("Centre and width").run()
    app.number_input(key="window_low").set_value(1350.0)
    app.number_input(key="window_high").set_value(601.0).run()
    assert not app.exception
    assert "--window 1049.5,1649.5" in app.code[0].value
    app.segmented_control(key="window_by").set_value("Percentiles").run()
    assert not app.exception
    said = next(text.value for text in app.caption if "become black to white" in text.value and "Values" in text.value)
    assert said
    assert "--window" in app.code[0].value


def test_the_hub_is_described_before_anything_is_downloaded(home, monkeypatch):
    pytest.importorskip("datasets")
    from tests.data.tables.hub_server import serving
    from tests.data.tables.test_hub import CARD, parquet
    from vit.data.tables import hub

    hub._remembered.cache_clear()
    files = {
        "README.md": CARD.encode(),
        "data/train-00000-of-00001.parquet": parquet(range(8)),
        "data/test-00000-of-00001.parquet": parquet(range(8, 12)),
    }
    monkeypatch.setenv("HF_HOME", str(home / "hub-cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with serving("someone/pets", files) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        app = open_page("train", data=HUB, hub="someone/pets")
        assert not app.exception
        assert "8 training images, not downloaded yet. Licence: cc" in " ".join(it.value for it in app.caption)
        assert app.button(key="download").label.startswith("Download someone/pets")
        assert not hub.folder_of("hf:someone/pets").exists()
        app = open_page("train", data=HUB, hub="no such name")
        assert "OWNER/NAME" in app.error[0].value
