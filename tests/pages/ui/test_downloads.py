"""Figures and their numbers can be downloaded."""

import io

import numpy as np
from PIL import Image

from pages.ui import downloads


def test_pictures_are_png_arrays_are_npz_and_rows_are_csv():
    picture = Image.open(io.BytesIO(downloads._png(Image.new("RGB", (3, 2), "red"))))
    assert (picture.format, picture.size) == ("PNG", (3, 2))
    with np.load(io.BytesIO(downloads._npz({"maps": np.arange(6).reshape(2, 3)})), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["maps"], [[0, 1, 2], [3, 4, 5]])
    assert downloads._csv([{"head": 'L1, "H2"', "entropy": 1.5}]) == 'head,entropy\n"L1, ""H2""",1.5\n'
    assert downloads._csv([]) == "\n"


def test_text_that_a_spreadsheet_would_run_as_a_formula_stays_text():
    assert downloads._csv([{"class": "=cmd()"}]).splitlines()[1] == "'=cmd()"
    assert downloads._csv([{"difference": -0.5}]).splitlines()[1] == "-0.5"


def test_the_toolbar_saves_a_figure_under_its_name():
    config = downloads.plotly_config("heads")
    assert config["modeBarButtons"] == [["toImage"]]
    assert config["toImageButtonOptions"]["filename"] == "heads"
