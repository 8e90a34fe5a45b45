"""The window of greyscale with more than 8 bits: its notations, and that a run keeps and follows it."""

import json

import numpy as np
import pytest
from PIL import Image

from vit import data
from vit.cli.main import main
from vit.config import Percentiles, read_window, window_around
from vit.data.files.colours import Colours
from vit.data.files.images import Square, open_image, read_square
from vit.errors import DataError, SettingsError
from vit.flags import configure


@pytest.fixture
def scans(tmp_path):
    """Images of 16 bits with values from 1000 to 3000, half of them PNG and half TIFF."""
    random = np.random.default_rng(0)
    for name in ("healthy", "lesion"):
        (tmp_path / name).mkdir()
        for number in range(10):
            pixels = random.integers(1000, 3001, (24, 24)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.{'png' if number % 2 else 'tif'}")
    return tmp_path


def test_centre_and_width_are_those_of_dicom():
    """PS3.3, C.11.2.1.2.1: black up to centre - 0.5 - (width - 1) / 2, white above centre - 0.5 + (width - 1) / 2."""
    low, high = window_around(2048, 4096)
    assert (low, high) == (0, 4095)
    values = np.arange(-100, 500, dtype=np.float64)
    expected = np.clip(((values - (40 - 0.5)) / (400 - 1) + 0.5) * 255, 0, 255)
    low, high = window_around(40, 400)
    np.testing.assert_allclose(np.clip((values - low) / (high - low) * 255, 0, 255), expected)


def test_the_notations_of_a_window():
    assert read_window("0,4095") == (0, 4095)
    assert read_window("-1000, 400.5") == (-1000, 400.5)
    assert read_window("c=40,w=400") == window_around(40, 400)
    assert read_window("0.5%,99.5%") == Percentiles(0.5, 99.5)
    for wrong in ("", "5", "1,2,3", "a,b", "1%,5", "c=1,w=1", "w=4,c=1"):
        with pytest.raises(SettingsError):
            read_window(wrong)


@pytest.mark.parametrize("text", ["1500,2500", "c=2000,w=1001", "25%,75%"])
def test_a_run_keeps_the_window_and_new_images_are_read_with_it(scans, text):
    config = configure(dataset=str(scans), window=read_window(text), image_size=24)
    low, high = config.data.window
    assert low == pytest.approx(1500, abs=25)
    assert high == pytest.approx(2500, abs=25)
    path = scans / "lesion" / "1.png"
    values = np.asarray(Image.open(path)).astype(np.float64)
    expected = np.clip((values - low) / (high - low) * 255, 0, 255)
    shown = np.asarray(open_image(path, colours=Colours.of(config.data)))
    assert shown.shape == (24, 24, 3)
    assert np.abs(shown - expected[:, :, None]).max() <= 0.5
    train = data.load(config.data).train
    row = train.files.index("lesion/2.tif") if "lesion/2.tif" in train.files else 0
    again = read_square(scans / train.files[row], Square.of(config.data))
    np.testing.assert_array_equal(train.images[row].transpose(1, 2, 0), again)


def test_percentiles_are_those_of_the_values(scans):
    values = np.concatenate([np.asarray(Image.open(path)).reshape(-1) for path in scans.rglob("*.*")])
    found = data.percentile_window(str(scans), 10, 90)
    np.testing.assert_allclose(found, np.percentile(values, (10, 90)), rtol=0.02)
    for low, high in ((50, 50), (90, 10), (-1, 50)):
        with pytest.raises(DataError, match="are not in order"):
            data.percentile_window(str(scans), low, high)
    with pytest.raises(DataError, match="have 8 bits"):
        data.percentile_window("scenes", 1, 99)


def test_the_command_line_takes_percentiles(scans, monkeypatch, tmp_path_factory, capsys):
    monkeypatch.setenv("VIT_DATA", str(tmp_path_factory.mktemp("data")))
    assert main(["data", "--dataset", str(scans), "--window", "25%,75%", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert any("become black to white" in remark for remark in said["remarks"])
    with pytest.raises(SystemExit) as ended:
        main(["data", "--dataset", str(scans), "--window", "low,high"])
    assert ended.value.code == 2
    assert "percentiles such as 1%,99%" in capsys.readouterr().err
