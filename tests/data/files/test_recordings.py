from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.helpers import zip_bytes
from tests.helpers.recordings import frame, recording
from vit.data import describe, load, store_recording
from vit.data.files.recordings import (
    BURSTS_MAX,
    CLASS_NAME,
    CLASSES,
    FRAME_SIDE,
    FRAMES,
    split_frames,
    validation_bursts,
)
from vit.data.sampling import VAL_SHARE
from vit.errors import DataError


def stored(source: str) -> dict[str, set[str]]:
    """The bursts of each class in each split, as ``train/cup``."""
    found: dict[str, set[str]] = {}
    for path in Path(source).glob("*/*/*/*.jpg"):
        split, name, burst, _ = path.relative_to(source).parts
        found.setdefault(f"{split}/{name}", set()).add(burst)
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.lists(st.integers(1, 200), min_size=2, max_size=BURSTS_MAX))
def test_whole_bursts_go_to_validation_as_close_to_a_fifth_as_they_can(sizes):
    bursts = {f"burst-{number:02}": [f"{frame:04}.jpg" for frame in range(size)] for number, size in enumerate(sizes)}
    train, val = split_frames(bursts)
    assert sorted(train + val) == sorted((burst, frame) for burst, frames in bursts.items() for frame in frames)
    assert {burst for burst, _ in train}.isdisjoint({burst for burst, _ in val})
    assert train
    assert val
    every = (chosen for count in range(1, len(sizes)) for chosen in combinations(sizes, count))
    nearest = min(abs(sum(chosen) - VAL_SHARE * sum(sizes)) for chosen in every)
    assert abs(len(val) - VAL_SHARE * sum(sizes)) == pytest.approx(nearest)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(*FRAMES))
def test_the_only_burst_of_a_class_gives_its_last_fifth(count):
    names = [f"{number:04}.jpg" for number in range(count)]
    train, val = split_frames({"burst-01": names})
    assert [name for _, name in train + val] == names
    assert len(val) == max(1, round(VAL_SHARE * count))


def test_equal_bursts_hold_out_one_of_five_and_two_of_ten():
    assert validation_bursts([20] * 5) == (0,)
    assert validation_bursts([20] * 10) == (0, 1)
    assert validation_bursts([80, 20]) == (1,)
    assert validation_bursts([20]) == validation_bursts([]) == ()


def test_a_recording_is_stored_with_its_split(home):
    source = store_recording("cup pen.zip", recording(cup=[20, 5], pen=[10, 10, 10]))
    assert stored(source) == {
        "train/cup": {"burst-01"},
        "val/cup": {"burst-02"},
        "train/pen": {"burst-02", "burst-03"},
        "val/pen": {"burst-01"},
    }
    info = describe(source)
    assert (info.title, info.class_names) == ("cup-pen", ("cup", "pen"))
    assert (info.train_count, info.val_count, info.remarks) == (40, 15, ())
    images = load(info.config(16))
    assert (len(images.train), len(images.val), images.skipped) == (40, 15, ())
    assert [path.name for path in Path(source).iterdir() if path.name.startswith(".")] == []


def test_a_class_with_one_burst_is_told(home):
    info = describe(store_recording("x.zip", recording(cup=[20], pen=[10, 10])))
    assert len(info.remarks) == 1
    assert "'cup' has a single burst" in info.remarks[0]
    assert "Record a second burst" in info.remarks[0]


def test_classes_may_have_the_names_of_splits(home):
    source = store_recording("x.zip", recording(train=[10, 10], val=[10, 10], test=[10, 10]))
    assert describe(source).class_names == ("test", "train", "val")
    assert stored(source)["val/train"] == {"burst-01"}


@pytest.mark.parametrize(
    "name", ["..", ".git", "__pycache__", "a/b", "a\\b", "/etc", "C:", "$recycle.bin", "Thumbs.db", "", "a:b"]
)
def test_hostile_names_of_classes_are_refused(home, name):
    files = {f"{one}/burst-01/{number:04}.jpg": frame() for one in (name, "pen", "cup") for number in range(20)}
    with pytest.raises(DataError):
        store_recording("x.zip", zip_bytes(files))
    assert not [path for path in (home / "data" / "uploads").glob("*") if path.is_dir()]
    assert {path.name for path in home.rglob("*.jpg")} == set()


@pytest.mark.parametrize("name", ["CON", "a?b", "<img src=x onerror=alert(1)>", "é" * 40, "猫", "tail ", " "])
def test_unusual_names_become_names_of_folders(home, name):
    source = store_recording("x.zip", recording(**{name: [10, 10], "pen": [10, 10]}))
    assert len(describe(source).class_names) == 2
    assert all(Path(source) in path.parents for path in home.rglob("*.jpg"))


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ({"cup": [20]}, "has 1 classes: record 2 to 10"),
        ({f"class {number}": [10] for number in range(CLASSES[1] + 1)}, "has 11 classes"),
        ({"cup": [FRAMES[0] - 1], "pen": [20]}, "'cup' has 9 frames: record 10 to 300"),
        ({"cup": [FRAMES[1], 1], "pen": [20]}, "'cup' has 301 frames"),
        ({"cup": [1] * (BURSTS_MAX + 1), "pen": [20]}, "'cup' has 13 bursts: record at most 12"),
    ],
)
def test_bounds_of_a_recording(home, classes, sentence):
    with pytest.raises(DataError, match=sentence):
        store_recording("x.zip", recording(**classes))
    assert not list(home.rglob("*.jpg"))


@pytest.mark.parametrize(
    "content", [b"", b"<svg onload=alert(1)>", b"\xff\xd8\xff" + bytes(100), frame(side=FRAME_SIDE + 1)]
)
def test_a_frame_that_is_no_small_image_is_refused(home, content):
    files = {f"{name}/burst-01/{number:04}.jpg": frame() for name in ("cup", "pen") for number in range(20)}
    with pytest.raises(DataError, match=r"cup/burst-01/0007\.jpg"):
        store_recording("x.zip", zip_bytes(files | {"cup/burst-01/0007.jpg": content}))
    assert not list(home.rglob("*.jpg"))


@pytest.mark.parametrize("extra", ["cup/0001.jpg", "cup/burst-01/notes.txt", "cup/burst-01/deep/0001.jpg", "loose.jpg"])
def test_a_zip_that_is_no_recording_is_refused(home, extra):
    files = {f"{name}/burst-01/{number:04}.jpg": frame() for name in ("cup", "pen") for number in range(20)}
    with pytest.raises(DataError):
        store_recording("x.zip", zip_bytes(files | {extra: frame()}))
    assert not list(home.rglob("*.jpg"))


@pytest.mark.parametrize("name", ["cup", "my cup 2", "Kaffee-Tasse", "猫", "(a)"])
def test_the_browser_accepts_ordinary_names(name):
    assert CLASS_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", " cup", ".git", "a/b", "a\\b", "a:b", "~", "x" * 41, "a\nb"])
def test_the_browser_refuses_names_that_cannot_be_folders(name):
    assert not CLASS_NAME.fullmatch(name)
