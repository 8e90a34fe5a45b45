import os
import zipfile

import numpy as np
import pytest

from tests.data.helpers import image_bytes, pets, write_tree, zip_bytes
from vit.config import DataConfig
from vit.data import describe, load
from vit.data.files.folders import scan
from vit.errors import DataError


def layouts(names: list[str], root, kind: str):
    """The same files as a folder or as a zip."""
    folder = write_tree(root / "photos", names)
    if kind == "folder":
        return folder
    path = root / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for entry in sorted(folder.rglob("*")):
            archive.write(entry, entry.relative_to(folder))
    return path


kinds = pytest.mark.parametrize("kind", ["folder", "zip"])


@kinds
@pytest.mark.parametrize("val", ["val", "valid", "validation", "test", "Val"])
@pytest.mark.parametrize("wrapping", ["", "photos/", "a/b/"])
def test_train_and_validation_folders_are_found(tmp_path, kind, val, wrapping):
    names = [f"{wrapping}{split}/{label}/{i}.png" for split in ("train", val) for label in "ab" for i in range(2)]
    index = scan(layouts([*names, f"{wrapping}README.txt"], tmp_path, kind))
    assert index.class_names == ("a", "b")
    assert [file.name for file in index.train] == sorted(names[:4])
    assert [file.name for file in index.files("val")] == sorted(names[4:])
    assert [file.label for file in index.train] == [0, 0, 1, 1]


@kinds
def test_val_is_preferred_to_test(tmp_path, kind):
    names = [f"{split}/{label}/{split}.png" for split in ("train", "test", "val") for label in "ab"]
    assert {file.name for file in scan(layouts(names, tmp_path, kind)).val} == {"val/a/val.png", "val/b/val.png"}


@kinds
@pytest.mark.parametrize("prefix", ["", "photos/", "train/"])
def test_classes_alone_are_split_one_in_five_by_the_seed(tmp_path, kind, prefix):
    names = [f"{prefix}{label}/{i}.png" for label in ("cat", "dog") for i in range(10)]
    path = layouts(names, tmp_path, kind)
    index = scan(path)
    train, val = index.files("train", seed=1), index.files("val", seed=1)
    assert np.bincount([file.label for file in val]).tolist() == [2, 2]
    assert sorted(file.name for file in train + val) == sorted(names)
    assert index.files("val", seed=1) == val != index.files("val", seed=2)
    info = describe(str(path), seed=1)
    assert (info.train_count, info.val_count) == (16, 4)


@kinds
def test_a_test_folder_without_classes_is_no_validation(tmp_path, kind):
    names = [f"train/{label}/{i}.png" for label in "ab" for i in range(5)] + ["test/1.png", "test/2.png"]
    index = scan(layouts(names, tmp_path, kind))
    assert not index.val
    assert len(index.files("val")) == 2


def test_a_class_may_be_called_train(tmp_path):
    names = [f"{label}/{i}.png" for label in ("bus", "train") for i in range(3)]
    assert scan(write_tree(tmp_path, names)).class_names == ("bus", "train")


def test_images_in_folders_below_a_class_belong_to_it(tmp_path):
    names = ["a/morning/1.png", "a/evening/1.png", "b/1.png", "b/2.png"]
    assert [file.label for file in scan(write_tree(tmp_path, names)).train] == [0, 0, 1, 1]


@kinds
def test_what_the_operating_system_left_is_ignored(tmp_path, kind):
    hidden = [".DS_Store", "__MACOSX/photos/a/._1.png", "a/.hidden.png", "b/Thumbs.db", ".git/x/1.png", "b/desktop.ini"]
    index = scan(layouts(["a/1.png", "a/2.png", "b/1.png", "b/2.png", *hidden], tmp_path, kind))
    assert index.class_names == ("a", "b")
    assert len(index.train) == 4
    assert index.skipped == ()


@kinds
def test_images_outside_the_classes_are_listed(tmp_path, kind):
    index = scan(layouts(["a/1.png", "b/1.png", "stray.png", "notes.txt"], tmp_path, kind))
    assert [(entry.file, "outside" in entry.reason) for entry in index.skipped] == [("stray.png", True)]


@kinds
@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a/1.png", "a/2.png"], "has 1 class: put the images into at least two folders"),
        (["1.png", "2.png"], "has no classes"),
        ([], "has no classes"),
        (["train/a/1.png", "val/a/1.png"], r"train/ has 1 class"),
        (["train/1.png", "val/2.png"], r"train/ has no classes"),
        (["a/1.png", "b/1.png", "c/"], "the class 'c' has no images"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png", "val/c/1.png"], "'c' that train/ lacks"),
        (["test/a/1.png", "val/b/1.png"], r"has val/ but no train/"),
    ],
)
def test_a_layout_that_cannot_be_used_is_a_sentence(tmp_path, kind, names, sentence):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=sentence) as caught:
        scan(layouts(names, tmp_path, kind))
    assert str(caught.value).startswith("photos")
    assert str(caught.value).endswith(".")


def test_links_are_followed_but_not_in_circles(tmp_path):
    write_tree(tmp_path / "other", ["1.png", "2.png"])
    root = write_tree(tmp_path / "photos", ["a/1.png", "a/2.png"])
    (root / "b").symlink_to(tmp_path / "other")
    (root / "a" / "round").symlink_to(root)
    assert [file.name for file in scan(root).train] == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]


@pytest.mark.parametrize("source", ["nowhere", "/no/such/folder", "cifar11"])
def test_a_source_that_is_nowhere_names_the_choices(home, source):
    with pytest.raises(DataError, match=r"There is no data set .*scenes, cifar10"):
        describe(source)


def test_images_that_are_nowhere_are_those_of_a_model_that_came_trained(home):
    with pytest.raises(DataError, match="use your own images or another data set"):
        describe("")


def test_a_file_that_is_no_zip_is_a_sentence(tmp_path):
    (tmp_path / "photo.png").write_bytes(image_bytes())
    (tmp_path / "half.zip").write_bytes(zip_bytes(pets()).getvalue()[:-40])
    for name in ("photo.png", "half.zip"):
        with pytest.raises(DataError, match=f"{name} is not a zip file"):
            describe(str(tmp_path / name))


def test_describe_tells_sizes_and_counts(home):
    path = home / "photos.zip"
    entries = {f"train/{label}/{i}.jpg": image_bytes(i, (90, 75), "JPEG") for label in "ab" for i in range(3)}
    path.write_bytes(zip_bytes(entries).getvalue())
    info = describe(str(path))
    assert (info.title, info.class_names, info.image_size, info.auto_image_size) == ("photos.zip", ("a", "b"), 75, 64)
    assert (info.train_count, info.val_count, info.ready) == (4, 2, True)
    assert info.source == str(path)


@pytest.mark.parametrize(
    ("natural", "automatic"), [(8, 32), (28, 32), (32, 32), (45, 48), (50, 48), (64, 64), (99, 64)]
)
def test_the_automatic_size_is_one_that_a_model_can_use(home, natural, automatic):
    root = home / "photos"
    for label in "ab":
        (root / label).mkdir(parents=True)
        for index in range(2):
            (root / label / f"{index}.png").write_bytes(image_bytes(index, (natural, natural)))
    assert describe(str(root)).auto_image_size == automatic


def test_a_relative_path_is_described_as_an_absolute_one(home, monkeypatch):
    write_tree(home / "photos", ["a/1.png", "a/2.png", "b/1.png", "b/2.png"])
    monkeypatch.chdir(home)
    assert describe("photos").source == str(home / "photos")


@kinds
def test_unreadable_files_are_skipped_and_listed(home, kind):
    names = [f"{label}/{index}.png" for label in "ab" for index in range(6)]
    path = layouts([*names, "a/notes.txt", "b/words.txt"], home, kind)
    data = load(DataConfig(source=str(path), image_size=8))
    left_out = {entry.file: entry.reason for entry in data.skipped}
    assert left_out.keys() == {"a/notes.txt", "b/words.txt"}
    assert all("not an image" in reason for reason in left_out.values())
    assert len(data.train) + len(data.val) == 12
    assert {*data.train.files, *data.val.files}.isdisjoint(left_out)
    assert data.train.labels.tolist() == [data.class_names.index(name[0]) for name in data.train.files]


@kinds
def test_a_class_of_unreadable_files_is_an_error_that_names_it(home, kind):
    path = layouts(["train/a/1.png", "train/b/broken.jpg", "val/a/1.png", "val/b/1.png"], home, kind)
    with pytest.raises(
        DataError,
        match=r"The only file of the class 'b' cannot be read as an image: train/b/broken\.jpg, .*not an image",
    ):
        load(DataConfig(source=str(path), image_size=8))
    assert not [entry for entry in (home / "data" / "cache").iterdir() if entry.suffix == ".part"]


def test_a_class_may_be_missing_among_the_few_images_split_off(home):
    root = write_tree(home / "photos", [*(f"a/{index}.png" for index in range(9)), "b/broken.png", "b/2.png"])
    val = scan(root).files("val", seed=0)
    seed = next(
        seed for seed in range(99) if "b/broken.png" in {file.name for file in scan(root).files("val", seed=seed)}
    )
    data = load(DataConfig(source=str(root), image_size=8, seed=seed))
    assert set(data.val.labels) == {0}
    assert len(data.val) == len(val) - 1


def test_a_damaged_member_is_skipped(home):
    data = bytearray(zip_bytes(pets(), zipfile.ZIP_STORED).getvalue())
    data[data.find(b"IDAT") + 10] ^= 0xFF  # the checksum of the first file no longer fits
    (home / "photos.zip").write_bytes(data)
    loaded = load(DataConfig(source=str(home / "photos.zip"), image_size=8))
    assert [entry.file for entry in loaded.skipped] == ["train/cat/0.png"]
    assert "damaged" in loaded.skipped[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_sentence(tmp_path):
    root = write_tree(tmp_path / "photos", ["a/1.png", "b/1.png"])
    (root / "a").chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        scan(root)


def test_real_photographs_load_in_seconds(home, photos5):
    data = load(DataConfig(source=str(photos5), image_size=32))
    assert data.class_names == ("airplane", "cat", "dog", "frog", "truck")
    assert data.train.images.shape == (7500, 3, 32, 32)
    assert np.bincount(data.val.labels).tolist() == [500] * 5
    assert data.skipped == ()
