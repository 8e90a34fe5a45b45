import pytest

from tests.data.files.test_folders import kinds, layouts
from tests.data.helpers import write_tree
from vit.config import DataConfig
from vit.data import describe, load, own_splits
from vit.data.files.file_names import by_number, is_hidden
from vit.data.files.folders import scan
from vit.errors import DataError


def images(*folders: str, count: int = 3) -> list[str]:
    return [f"{folder}/{index}.png" for folder in folders for index in range(count)]


@kinds
def test_a_class_called_train_with_folders_of_its_own_is_no_split(tmp_path, kind):
    index = scan(layouts(images("bus", "car", "train/day1", "train/day2"), tmp_path, kind))
    assert index.class_names == ("bus", "car", "train")
    assert len(index.train) == 12
    assert "train/ has folders of its own (day1, day2)" in index.remarks[0]
    assert "all 3 are read as classes, bus, car, train" in index.remarks[0]


@kinds
@pytest.mark.parametrize("beside", ["unlabeled", "extra/more", "cat"])
def test_folders_beside_the_splits_are_told(tmp_path, kind, beside):
    index = scan(layouts(images("train/cat", "train/dog", "val/cat", "val/dog", beside), tmp_path, kind))
    assert index.class_names == ("cat", "dog")
    assert index.remarks == (f"{beside.split('/')[0]}/ is not used (3 files): it is no split of the data set.",)


@kinds
@pytest.mark.parametrize("name", ["test", "val"])
def test_a_split_beside_the_classes_is_no_class(tmp_path, kind, name):
    index = scan(layouts(images("cat", "dog", f"{name}/cat", f"{name}/dog"), tmp_path, kind))
    assert index.class_names == ("cat", "dog")
    assert {file.name.split("/")[0] for file in index.val} == {name}
    assert f"{name}/ has folders of the classes beside it" in index.remarks[0]


def test_a_train_folder_with_the_classes_beside_it_is_a_split(tmp_path):
    index = scan(write_tree(tmp_path, images("cat", "dog", "train/cat", "train/dog")))
    assert {file.name.split("/")[0] for file in index.train} == {"train"}
    assert [remark.split("/")[0] for remark in index.remarks] == ["cat", "dog"]


def test_groups_that_hold_the_same_folders_are_told(tmp_path):
    index = scan(write_tree(tmp_path, images("monday/cat", "monday/dog", "sunday/cat", "sunday/dog")))
    assert index.class_names == ("monday", "sunday")
    assert "folders called cat, dog" in index.remarks[0]


@kinds
def test_a_validation_set_may_lack_a_class(home, kind):
    path = layouts([*images("train/a", "train/b", "train/c", "val/a", "val/b"), "val/c/"], home, kind)
    data = load(DataConfig(source=str(path), image_size=8))
    assert (len(data.train), len(data.val), data.class_names) == (9, 6, ("a", "b", "c"))
    assert set(data.val.labels) == {0, 1}
    assert "val/ has no images of the class c" in data.remarks[0]


@kinds
def test_test_images_are_kept_apart_from_validation(home, kind):
    path = layouts(images("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"), home, kind)
    index = scan(path)
    assert own_splits(str(path)) == index.own_splits == ("train", "val", "test")
    assert {file.name.split("/")[0] for file in index.files("test")} == {"test"}
    assert len(index.files("all")) == 18


def test_a_set_without_training_images_can_only_be_evaluated(home):
    root = write_tree(home / "photos", images("val/a", "val/b", "test/a", "test/b"))
    with pytest.raises(DataError, match="has val/ but no train/"):
        scan(root)
    index = scan(root, to_train=False)
    assert (index.class_names, index.own_splits, len(index.files("test"))) == (("a", "b"), ("val", "test"), 6)


@pytest.mark.parametrize("text", ["readme.txt", "README.md", "LICENSE", "labels.csv", "manual.pdf", "notes.xyz"])
@kinds
def test_a_folder_of_texts_is_not_a_class_with_one_image(tmp_path, kind, text):
    folder = write_tree(tmp_path / "photos", images("a", "b"))
    (folder / "docs").mkdir()
    (folder / "docs" / text).write_text("some words")
    with pytest.raises(DataError, match=rf"the class 'docs' has no images \(only {text}\)") as caught:
        scan(folder if kind == "folder" else layouts([], tmp_path, "zip"))
    assert "only one image" not in str(caught.value)


def test_images_need_no_suffix(home):
    folder = write_tree(home / "photos", [f"{label}/{index}" for label in "ab" for index in range(3)])
    assert describe(str(folder)).train_count == 4


def test_a_broken_file_is_not_called_an_image(home):
    folder = write_tree(home / "photos", [*images("a", "b"), "c/broken.jpg"])
    with pytest.raises(DataError, match=r"The only file of the class 'c' cannot be read as an image: c/broken\.jpg"):
        describe(str(folder))


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "@EADIR", "__MACOSX", "Thumbs.db", "THUMBS.DB", ".@__thumb", "#recycle", "@Recycle", "lost+found",
     "System Volume Information", "SYNOPHOTO_THUMB_M.jpg", ".ipynb_checkpoints", ".picasaoriginals"],
)  # fmt: skip
def test_what_other_systems_leave_behind_is_hidden(tmp_path, name):
    assert is_hidden(name)
    index = scan(write_tree(tmp_path, [*images("a", "b"), f"{name}/x.png", f"a/{name}/y.png"]))
    assert (index.class_names, len(index.train), index.remarks) == (("a", "b"), 6, ())


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "2", "1", "0"], ["0", "1", "2", "10"]),
        (["-1", "-10", "0.5", "0"], ["-10", "-1", "0", "0.5"]),
        (["class10", "class2", "class1"], ["class1", "class2", "class10"]),
        (["dog", "cat", "Dog"], ["Dog", "cat", "dog"]),
        (["01", "1", "2"], ["01", "1", "2"]),
    ],
)
def test_numbers_in_class_names_count_by_value(names, ordered):
    assert by_number(names) == ordered


def test_a_run_keeps_the_order_of_classes_that_it_was_trained_with(home):
    folder = write_tree(home / "photos", images("1", "2", "10"))
    new = load(DataConfig(source=str(folder), image_size=8))
    old = load(DataConfig(source=str(folder), image_size=8, class_names=("1", "10", "2")))
    assert (new.class_names, old.class_names) == (("1", "2", "10"), ("1", "10", "2"))
    for data in (new, old):
        assert [data.class_names[label] for label in data.val.labels] == [file[:-6] for file in data.val.files]
