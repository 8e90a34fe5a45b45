"""Which images a run is evaluated on, and what is told about them; a network with random weights is enough."""

import shutil

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.cli.test_main import call  # noqa: F401
from tests.data.helpers import image_bytes, write_tree
from vit import evaluated_images, load_checkpoint, runs
from vit.config import DataConfig, RunConfig, ViTConfig
from vit.data import describe
from vit.data.files.folders import scan
from vit.errors import DataError
from vit.evaluation import Evaluation, joined
from vit.support.intervals import wilson_interval

NETWORK = ViTConfig(image_size=16, patch_size=8, num_classes=2, embed_dim=16, depth=1, num_heads=1)


def a_run(name: str, source, **images):
    """A run with random weights, trained on nothing."""
    from vit.networks import build_model
    from vit.runs.weights import save_model

    data = DataConfig(source=str(source), image_size=16, class_names=describe(str(source)).class_names, **images)
    run = runs.create(name, RunConfig(model=NETWORK, data=data))
    save_model(run.path, build_model(NETWORK, seed=0).state_dict(), {"epoch": 1, "validated": False})
    return load_checkpoint(name)[1]


@pytest.fixture
def plain(home):
    """Two classes of twenty images each, without splits."""
    return write_tree(home / "plain", [f"{label}/{index}.png" for label in "ab" for index in range(20)])


@pytest.fixture
def split(home):
    names = [
        f"{split}/{label}/{index}.png" for split in ("train", "val", "test") for label in "ab" for index in range(3)
    ]
    return write_tree(home / "split", names)


def test_a_run_is_evaluated_on_its_own_validation_images(plain):
    info = a_run("one", plain, seed=7)
    images = evaluated_images.load(info)
    expected = [file.name for file in scan(plain).files("val", seed=7)]
    assert (images.name, list(images.splits["val"].files), images.overlap) == ("val", expected, 0)
    assert images.words() == ""


def test_the_folder_of_the_run_is_recognised_and_keeps_its_seed(plain, home):
    info = a_run("one", plain, seed=7)
    (home / "link").symlink_to(plain)
    for path in (str(plain), f"{plain}/../plain", str(home / "link")):
        images = evaluated_images.load(info, path)
        assert list(images.splits["val"].files) == [file.name for file in scan(plain).files("val", seed=7)]
        assert images.overlap == 0


def test_another_set_without_splits_is_evaluated_as_a_whole(plain, home):
    info = a_run("one", plain)
    other = write_tree(home / "other", [f"{label}/{name}.png" for label in "ab" for name in ("x", "y", "z")])
    images = evaluated_images.load(info, str(other))
    assert (images.name, len(images)) == ("all", 6)


def test_copies_of_training_images_are_counted(plain, home):
    info = a_run("one", plain, seed=7)
    shutil.copytree(plain, home / "copy")
    train = len(scan(plain).files("train", seed=7))
    images = evaluated_images.load(info, str(home / "copy"))
    assert (images.name, len(images), images.overlap) == ("all", 40, train)
    assert f"{train} of these 40 images are also among the training images" in images.words()


@pytest.mark.parametrize(("split_name", "count"), [("train", 6), ("val", 6), ("test", 6), ("all", 18), (None, 6)])
def test_every_split_can_be_chosen(split, split_name, count):
    info = a_run("one", split)
    images = evaluated_images.load(info, split=split_name)
    assert len(images) == count
    assert images.name == {"all": "train+val+test", None: "val"}.get(split_name, split_name)


def test_test_images_used_for_validation_count_once(home):
    names = [f"{split}/{label}/{index}.png" for split in ("train", "test") for label in "ab" for index in range(3)]
    info = a_run("one", write_tree(home / "two", names))
    assert evaluated_images.load(info, split="all").name == "train+val"
    assert len(evaluated_images.load(info, split="test")) == len(evaluated_images.load(info, split="val")) == 6


def test_a_set_of_test_images_alone_is_enough(plain, home):
    info = a_run("one", plain)
    other = write_tree(home / "held", [f"{split}/{label}/9.png" for split in ("val", "test") for label in "ab"])
    assert evaluated_images.load(info, str(other), "test").name == "test"


def test_a_split_that_is_not_there_names_the_others(plain):
    info = a_run("one", plain)
    with pytest.raises(DataError, match="no images for the split 'test': choose val, train or all"):
        evaluated_images.load(info, split="test")


def test_the_command_line_tells_split_and_overlap(plain, home, call):  # noqa: F811
    a_run("one", plain)
    (home / "mixed" / "a").mkdir(parents=True)
    shutil.copytree(plain / "b", home / "mixed" / "b")
    for index in range(3):
        (home / "mixed" / "a" / f"{index}.png").write_bytes(image_bytes(900 + index))
    status, out, errors = call(f"evaluate --run one --dataset {home}/mixed --split all --json")
    assert status == 0
    assert '"split": "all"' in out
    assert '"overlap_with_training": 16' in out
    assert "16 of these 23 images are also among the training images" in errors


@pytest.mark.parametrize(("right", "count"), [(5, 6), (0, 6), (6, 6), (47, 100), (999, 1000)])
def test_the_interval_of_the_accuracy_is_that_of_wilson(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_six_images_leave_the_calibration_open_and_six_thousand_do_not():
    def made(count: int) -> Evaluation:
        right = np.arange(count) % 3 > 0  # two thirds, with a confidence of 0.95
        labels = np.where(right, 0, 1)
        return Evaluation(("a", "b"), labels, np.tile([0.95, 0.05], (count, 1)), 0.0)

    few, many = made(6), made(6000)
    assert few.overconfidence_interval[0] < 0.02 < few.overconfidence_interval[1]
    assert many.overconfidence_interval[0] > 0.2
    low, high = many.calibration_interval
    assert low < many.calibration().ece < high < low + 0.05


def test_evaluations_are_joined_by_their_images():
    one = Evaluation(("a", "b"), np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), 1.0)
    two = Evaluation(("a", "b"), np.array([1]), np.array([[0.3, 0.7]]), 4.0)
    both = joined([one, two])
    assert (both.accuracy, both.loss, both.confusion_matrix.tolist()) == (2 / 3, 2.0, [[1, 0], [1, 1]])
