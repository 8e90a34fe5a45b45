import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.helpers import write_tree
from tests.helpers.hostile import encoded, pixels
from vit.config import DataConfig
from vit.data import describe, load
from vit.data.files.colours import Colours, Range, window_for
from vit.data.files.images import open_image
from vit.errors import DataError, SettingsError


def deep(values: np.ndarray) -> bytes:
    return encoded(Image.fromarray(values.astype(np.uint16)), "PNG")


def drawing(colour: str) -> bytes:
    """A line on a transparent ground."""
    image = Image.new("RGBA", (32, 32))
    ImageDraw.Draw(image).line((0, 0, 31, 31), fill=colour, width=3)
    return encoded(image, "PNG")


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_camera_with_fewer_bits_than_its_file_fills_all_levels(bits):
    ramp = np.linspace(0, 2**bits - 1, 4096).reshape(64, 64)
    image = open_image(deep(ramp))
    assert len(np.unique(np.asarray(image))) == 256
    assert image.info["window"] == (0, 2**bits - 1)


def test_sixteen_bits_that_are_used_are_not_stretched():
    image = open_image(deep(np.linspace(0, 40_000, 64).reshape(8, 8)))
    assert np.asarray(image).max() == round(40_000 / 257)
    assert "window" not in image.info


@pytest.mark.parametrize(
    ("ranges", "window"),
    [
        ([(0, 255)], (0, 255)),
        ([(3, 900), (0, 1000)], (0, 1023)),
        ([(10, 4000), (0, 16_000)], (0, 16_383)),
        ([(31_000, 34_000)], (31_000, 34_000)),  # signed values, moved up
        ([(-1000, 3000)], (-1000, 3000)),
        ([(0, 70_000)], (0, 70_000)),
    ],
)
def test_the_window_is_that_of_the_whole_set(ranges, window):
    assert window_for([Range(*found) for found in ranges]) == window


def test_fractions_keep_their_range():
    assert window_for([Range(0, 0.4, True)]) == (0, 1)


@pytest.fixture
def scans(home):
    """Twelve-bit images; those of the class dim use the lower half of the values."""
    for label, top in (("bright", 4000), ("dim", 2000)):
        for index in range(4):
            path = home / "scans" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(deep(np.linspace(0, top - index, 256).reshape(16, 16)))
    return home / "scans"


def test_one_window_for_the_set_keeps_dim_images_dim(scans):
    info = describe(str(scans))
    assert info.window == (0, 4095)
    data = load(DataConfig(source=str(scans), image_size=16))
    tops = data.train.images.max(axis=(1, 2, 3))
    assert tops[data.train.labels == 0].min() > 240
    assert 110 < tops[data.train.labels == 1].max() < 130
    assert any("values from 0 to 4,095 become black to white" in remark for remark in data.remarks)


def test_a_chosen_window_clips(scans):
    data = load(DataConfig(source=str(scans), image_size=16, window=(1000, 2000)))
    assert (data.train.images.min(), data.train.images.max()) == (0, 255)
    assert (data.train.images == 255).mean() > 0.2
    assert any("1,000 to 2,000" in remark for remark in data.remarks)
    with pytest.raises(SettingsError, match="lower value first"):
        DataConfig(window=(5, 5))


def test_a_white_drawing_shows_on_every_ground_but_white():
    seen = {}
    for ground in ("white", "grey", "black", "checker"):
        seen[ground] = np.asarray(open_image(drawing("white"), colours=Colours(ground)))
    assert np.ptp(seen["white"]) == 0
    assert (seen["grey"][0, -1] == 128).all()
    assert (seen["black"][0, -1] == 0).all()
    assert set(np.unique(seen["checker"])) == {48, 96, 255}
    dark = np.asarray(open_image(drawing("black"), colours=Colours("checker")))
    assert set(np.unique(dark)) == {0, 160, 208}


def test_images_of_one_colour_are_used_and_told(home):
    root = write_tree(home / "photos", [f"{label}/{index}.png" for label in "ab" for index in range(4)])
    for index in range(2):
        (root / "a" / f"white{index}.png").write_bytes(drawing("white"))
    data = load(DataConfig(source=str(root), image_size=16))
    assert {*data.train.one_colour, *data.val.one_colour} == {"a/white0.png", "a/white1.png"}
    assert len(data.train) + len(data.val) == 10
    assert any("2 images have only one colour: a/white0.png, a/white1.png" in remark for remark in data.remarks)
    again = load(DataConfig(source=str(root), image_size=16, ground="black"))
    assert not any("one colour" in remark for remark in again.remarks)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30, "subsampling": "4:2:0"}])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_without_its_end_mark_is_read(options, cut):
    data = encoded(Image.fromarray(pixels(3, (90, 70))), "JPEG", **options)
    assert (np.asarray(open_image(data[:-cut])) == np.asarray(open_image(data))).all()
    assert (np.asarray(open_image(data[:-cut] + bytes(100))) == np.asarray(open_image(data))).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("cut", [20, 300, 1500])
def test_a_jpeg_without_its_last_pixels_is_truncated(options, cut):
    data = encoded(Image.fromarray(pixels(3, (90, 70))), "JPEG", quality=90, **options)
    with pytest.raises(DataError, match="truncated"):
        open_image(data[:-cut])


def test_a_heic_image_is_read_or_the_package_is_named():
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000)
    try:
        import pillow_heif
    except ImportError:
        with pytest.raises(DataError, match=r"is a HEIC image: install the package pillow-heif"):
            open_image(io.BytesIO(content), name="IMG_1.HEIC")
        return
    with pytest.raises(DataError, match="damaged"):
        open_image(io.BytesIO(content), name="IMG_1.HEIC")
    file = io.BytesIO()
    image = Image.fromarray(pixels(3, (64, 48)))
    pillow_heif.from_pillow(image).save(file, quality=95)
    assert np.abs(np.asarray(open_image(file.getvalue())).astype(int) - np.asarray(image)).mean() < 20


def test_a_video_is_not_called_heic():
    with pytest.raises(DataError, match="video"):
        open_image(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100))
