"""Data sets of the Hugging Face hub, from a local server that answers as the hub does."""

import io

import numpy as np
import pytest

from tests.data.helpers import image_bytes
from tests.data.tables.hub_server import serving
from vit import data
from vit.data.tables import hub
from vit.errors import DataError

datasets = pytest.importorskip("datasets")
NAMES = ["cat", "dog"]
SOURCE = "hf:someone/pets"


def parquet(seeds):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = {
        "image": [{"bytes": image_bytes(seed, (8, 8)), "path": f"{seed}.png"} for seed in seeds],
        "label": [seed % 2 for seed in seeds],
    }
    target = io.BytesIO()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(target)
    return target.getvalue()


CARD = """---
license: cc-by-4.0
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
  splits:
  - name: train
    num_examples: 8
  - name: test
    num_examples: 4
  download_size: 9000
---
"""


@pytest.fixture
def pets(tmp_path, monkeypatch):
    files = {
        "README.md": CARD.encode(),
        "data/train-00000-of-00001.parquet": parquet(range(8)),
        "data/test-00000-of-00001.parquet": parquet(range(8, 12)),
    }
    monkeypatch.setenv("VIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub._remembered.cache_clear()
    with serving("someone/pets", files) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_a_data_set_is_described_previewed_downloaded_and_loaded(pets):
    info = data.describe(SOURCE)
    assert (info.ready, info.class_names, info.columns) == (False, ("cat", "dog"), ("image", "label"))
    assert (info.train_count, info.val_count, info.licence, info.download_bytes) == (8, 4, "cc-by-4.0", 9000)
    assert not hub.folder_of(SOURCE).exists()
    shown = data.sample(SOURCE, 3, image_size=8)
    pixels = {np.asarray(it).tobytes(): NAMES[seed % 2] for seed in range(8) for it in [picture(seed)]}
    assert len(shown) == 3
    assert all(pixels[image.tobytes()] == name for image, name in shown)
    assert not hub.folder_of(SOURCE).exists(), "a preview keeps nothing"
    done = []
    hub.download(SOURCE, lambda *progress: done.append(progress))
    assert all(0 <= now <= total == 9000 for now, total in done)
    info = data.describe(SOURCE)
    assert (info.ready, info.licence, info.class_names) == (True, "cc-by-4.0", ("cat", "dog"))
    found = data.load(info.config(8))
    assert (len(found.train), len(found.val)) == (8, 4)
    assert {image.transpose(1, 2, 0).tobytes() for image in found.train.images} == set(pixels)
    assert [path.name for path in hub.folder_of(SOURCE).parent.iterdir() if path.is_dir()] == ["someone--pets"]


def picture(seed):
    from PIL import Image

    return Image.open(io.BytesIO(image_bytes(seed, (8, 8))))


def test_what_is_wrong_is_said_in_a_sentence(pets):
    with pytest.raises(DataError, match="cannot be read from the Hugging Face hub"):
        data.describe("hf:someone/nothing")
    for name in ("hf:", "hf:a/b/c/d", "hf:../secret", "hf:a b/c", "hf:a//b"):
        with pytest.raises(DataError, match=r"write hf:OWNER/NAME"):
            data.describe(name)
    with pytest.raises(DataError, match="is not downloaded yet"):
        data.load(data.describe(SOURCE).config(8))


def test_a_stopped_download_leaves_nothing(pets):
    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    with pytest.raises(Stopped):
        hub.download(SOURCE, stop)
    assert not [path for path in hub.folder_of(SOURCE).parent.iterdir() if path.is_dir()]


def test_a_name_is_followed_to_its_configuration():
    assert hub.parse("hf:mnist") == ("mnist", "")
    assert hub.parse("hf:ylecun/mnist") == ("ylecun/mnist", "")
    assert hub.parse("hf:owner/name/full") == ("owner/name", "full")
