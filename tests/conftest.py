"""Fixtures that several rooms share: empty folders, and tiny runs that were really trained."""

import os

os.environ["VIT_PREPARE_SCENES"] = "0"  # each server of a test would draw 6,000 scenes that no test uses
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' tensors are tiny: a second thread would only wait

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "photos5.zip"
"""Ten thousand real photographs, where they are at hand; they are no part of the project."""


def tiny_config(**model) -> RunConfig:
    """A model that trains in a second on 32 px scenes."""
    settings = {
        "image_size": 32,
        "patch_size": 8,
        "embed_dim": 16,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 2.0,
    } | model
    return RunConfig(
        model=ViTConfig(**settings),
        data=DataConfig(
            source="scenes",
            image_size=settings["image_size"],
            class_names=("airplane", "bus", "cat", "dog", "pizza"),
            train_images=60,
            val_images=30,
        ),
        training=TrainingConfig(epochs=2, batch_size=20, device="cpu"),
    )


@pytest.fixture(scope="session")
def workshop(tmp_path_factory) -> Path:
    """A folder with a decoded cache and the runs "tiny", "tiny-mean" and "tiny-deep", trained once for the session."""
    from vit import jobs, runs

    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        for name, model in {
            "tiny": {},
            "tiny-mean": {"pool": "mean"},
            "tiny-deep": {"depth": 3, "stem": "patch"},
        }.items():
            jobs.execute(runs.create(name, tiny_config(**model)))
            assert runs.get_run(name).state == "finished", runs.get_run(name).status.message
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Empty folders of runs and data, in force for the test and for the processes that it starts."""
    monkeypatch.setenv("VIT_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("VIT_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def several(home, workshop) -> Path:
    """``home`` with three trained runs, "tiny", "tiny-mean" and "tiny-deep"."""
    shutil.copytree(workshop, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def trained(several) -> Path:
    """``home`` with one trained run, "tiny"."""
    for name in ("tiny-mean", "tiny-deep"):
        shutil.rmtree(several / "checkpoints" / name)
    return several


@pytest.fixture
def twenty(trained) -> Path:
    """``home`` with twenty trained runs."""
    for number in range(2, 21):
        shutil.copytree(trained / "checkpoints" / "tiny", trained / "checkpoints" / f"tiny-{number}")
    return trained


def write_photo_zip(path: Path, counts: dict[str, int]) -> Path:
    """A zip in ImageFolder layout, with two classes that differ in colour."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in counts.items():
            for label, channel in {"green": 1, "red": 0}.items():
                for index in range(count):
                    pixels = random.integers(0, 90, (40, 48, 3), dtype=np.uint8)
                    pixels[..., channel] += 150
                    with archive.open(f"two-colours/{split}/{label}/{index:03d}.png", "w") as file:
                        Image.fromarray(pixels).save(file, "PNG")
    return path


@pytest.fixture(scope="session")
def photo_zip(tmp_path_factory) -> Path:
    """A small zip in ImageFolder layout: train/ and val/ of two classes."""
    return write_photo_zip(tmp_path_factory.mktemp("zips") / "two-colours.zip", {"train": 24, "val": 8})


@pytest.fixture(scope="session")
def photos5() -> Path:
    """The real photographs; skips where they are absent."""
    if not PHOTOS.exists():
        pytest.skip("the real photographs (photos5.zip) are not at hand")
    return PHOTOS
