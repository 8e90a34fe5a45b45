"""The sample photographs are small, and each has its licence beside it."""

import re

import pytest

from pages.ui.images.photographs import FOLDER, PHOTOGRAPHS, open_photograph
from vit.errors import DataError


def test_every_photograph_is_there_with_its_author_and_licence_and_nothing_else_is():
    files = {path.name: path for path in FOLDER.iterdir()}
    assert set(files) == {f"{name}.jpg" for name in PHOTOGRAPHS} | {"LICENCES.md"}
    assert sum(path.stat().st_size for path in files.values()) <= 200_000
    lines = files["LICENCES.md"].read_text().splitlines()
    for name, one in PHOTOGRAPHS.items():
        image = open_photograph(name)
        assert max(image.size) == 256
        assert image.mode == "RGB"
        (row,) = [line for line in lines if line.startswith(f"| {name}.jpg |")]
        assert one.title in row
        assert one.author in row
        assert re.search(one.licence, row)
        assert one.licence in ("CC0", "public domain")


def test_another_name_is_refused():
    with pytest.raises(DataError, match="no sample photograph"):
        open_photograph("../chelsea")
