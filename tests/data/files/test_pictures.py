import os

import numpy as np
import pytest
from PIL import Image

from vit.data.files import pictures
from vit.errors import DataError


def picture(seed: int, size=(12, 10)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def test_a_picture_comes_back_pixel_by_pixel_under_its_content(home):
    name = pictures.save_picture(picture(0))
    assert np.array_equal(np.asarray(pictures.open_picture(name)), np.asarray(picture(0)))
    assert pictures.save_picture(picture(0)) == name != pictures.save_picture(picture(1))
    assert len(pictures.list_pictures()) == 2


def test_a_huge_picture_is_reduced_and_keeps_its_id(home):
    name = pictures.save_picture(picture(0, (3000, 1500)))
    kept = pictures.open_picture(name)
    assert kept.size == (1024, 512)
    assert pictures.save_picture(kept) == name


def test_the_newest_are_kept(home, monkeypatch):
    monkeypatch.setattr(pictures, "KEPT", 3)
    names = []
    for seed in range(5):
        names.append(pictures.save_picture(picture(seed)))
        os.utime(home / "data" / "pictures" / f"{names[-1]}.png", ns=(seed, seed))
        if seed == 3:
            pictures.save_picture(picture(1))  # looked at again
    assert set(pictures.list_pictures()) == {names[1], names[3], names[4]}


@pytest.mark.parametrize("name", ["0123456789abcdef", "../../etc/passwd", "", "0123456789ABCDEF", "0" * 17])
def test_an_unknown_id_is_a_sentence_and_no_path(home, name):
    with pytest.raises(DataError, match="no longer kept"):
        pictures.open_picture(name)


def test_no_picture_is_an_empty_list(home):
    assert pictures.list_pictures() == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/<b>cat.png", "<b>cat.png"),
        ("C:\\secret\\cat.png", "cat.png"),
        ("a\x00b\n\u202ecat.png", "a\ufffdb cat.png"),
        ("", ""),
    ],
)
def test_a_picture_keeps_the_last_part_of_its_file_name(home, name, kept):
    picture_id = pictures.save_picture(picture(0), name=name)
    assert pictures.picture_name(picture_id) == kept
    assert [path.name for path in (home / "data").rglob("*") if path.is_file()] == [f"{picture_id}.png"]


def test_an_equal_picture_gets_the_newest_name_and_no_name_keeps_the_old_one(home):
    name = pictures.save_picture(picture(0), name="old.png")
    assert pictures.save_picture(picture(0)) == name
    assert pictures.picture_name(name) == "old.png"
    assert pictures.save_picture(picture(0), name="new.png") == name
    assert pictures.picture_name(name) == "new.png"
    assert np.array_equal(np.asarray(pictures.open_picture(name)), np.asarray(picture(0)))
    assert pictures.picture_name("../" + name) == ""
    long = pictures.save_picture(picture(1), name="x" * 5000 + ".png")
    assert len(pictures.picture_name(long)) <= pictures.NAME_COLUMNS
