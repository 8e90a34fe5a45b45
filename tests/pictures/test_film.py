"""Films: frames and durations match the pictures and the requested seconds."""

import io

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from vit.errors import SettingsError
from vit.pictures import film

TITLES = ("before", "between", "after")


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Three noisy pictures with odd sides, each with a bright patch at a different place."""
    random = np.random.default_rng(0)
    frames = []
    for place in range(3):
        pixels = random.integers(60, 120, (75, 101, 3), dtype=np.uint8)
        pixels[20 * place : 20 * place + 16, 30:46] = (253, 231, 37)
        frames.append(Image.fromarray(pixels))
    return frames


def patch(frame: np.ndarray, place: int) -> np.ndarray:
    """The colour of the bright patch of a picture, without its border."""
    return frame[20 * place + 3 : 20 * place + 13, 33:43].reshape(-1, 3).mean(axis=0)


def test_a_gif_shows_each_picture_for_the_requested_time_and_the_last_one_longer(pictures):
    with Image.open(io.BytesIO(film.gif(pictures, 0.4))) as image:
        assert (image.format, image.size, image.n_frames) == ("GIF", (101, 75), 3)
        assert image.info["loop"] == 0
        frames = [(frame.info["duration"], np.asarray(frame.convert("RGB"))) for frame in ImageSequence.Iterator(image)]
    assert [duration for duration, _ in frames] == [400, 400, 400 + 1000 * film.HOLD]
    for place, (_, frame) in enumerate(frames):
        np.testing.assert_allclose(patch(frame, place), (253, 231, 37), atol=12)


def test_a_rare_colour_survives_in_a_gif():
    # Only 16 of 200,000 pixels have this colour; the palette must still contain it.
    pixels = np.random.default_rng(0).integers(0, 140, (450, 450, 3), dtype=np.uint8)
    pixels[10:14, 10:14] = (253, 231, 37)
    with Image.open(io.BytesIO(film.gif([Image.fromarray(pixels)]))) as image:
        seen = np.asarray(image.convert("RGB"))[11:13, 11:13].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(seen, (253, 231, 37), atol=30)


@pytest.mark.parametrize("seconds", [0.25, 0.7, 2.0])
def test_an_mp4_decodes_to_the_pictures_with_even_sides_and_the_requested_duration(pictures, seconds):
    with av.open(io.BytesIO(film.mp4(pictures, seconds))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.duration * stream.time_base) == pytest.approx(3 * seconds, rel=0.01)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert [frame.shape for frame in frames] == [(76, 102, 3)] * 3
    for place, frame in enumerate(frames):
        np.testing.assert_allclose(patch(frame, place), (253, 231, 37), atol=12)


@pytest.mark.parametrize("make", film.MAKERS.values())
@pytest.mark.parametrize("seconds", [0.0, -1.0, 60.0, float("nan")])
def test_seconds_out_of_bounds_are_refused(pictures, make, seconds):
    with pytest.raises(SettingsError, match=r"0\.1 to 10"):
        make(pictures, seconds)


@pytest.mark.parametrize("make", film.MAKERS.values())
def test_a_film_of_one_picture_is_a_film(pictures, make):
    assert make(pictures[:1], 0.5)


def test_heads_of_all_frames_share_one_colour_scale():
    maps = np.zeros((2, 1, 2, 4, 4), dtype=np.float32)
    maps[0, :, :, 0, 0] = 0.1
    maps[1] = 0.5
    view = np.full((32, 32, 3), 200, dtype=np.uint8)
    first, second = film.head_pictures(view, maps, [1], [1, 2], TITLES[:2])
    assert first.size == second.size
    dim, bright = (np.asarray(one)[60:80, 110:125].reshape(-1, 3).mean(axis=0) for one in (first, second))
    assert bright[1] > 200 > dim[1] + 30  # the first value is a fifth of the second
    np.testing.assert_array_equal(np.asarray(first)[:20, -20:], 255)  # on white


def test_maps_of_a_method_have_their_own_scale_and_a_colour_for_each_sign():
    maps = np.zeros((2, 2, 2), dtype=np.float32)
    maps[0] = [[1e-6, 0], [0, 0]]
    maps[1] = [[5.0, 0], [0, -5.0]]
    view = np.full((32, 32, 3), 200, dtype=np.uint8)

    def seen(signed: bool, frame: int, at: int) -> np.ndarray:
        picture = film.map_pictures(view, maps, TITLES[:2], signed=signed)[frame]
        return np.asarray(picture)[30 + at : 40 + at, 8 + at : 18 + at].reshape(-1, 3).mean(axis=0)

    np.testing.assert_allclose(seen(False, 0, 60), seen(False, 1, 60), atol=1)
    positive, negative = seen(True, 1, 60), seen(True, 1, 400)
    assert positive[0] > positive[2]  # vermilion
    assert negative[2] > negative[0]  # blue


def test_a_long_title_widens_all_frames_equally():
    view = np.zeros((32, 32, 3), dtype=np.uint8)
    pictures = film.head_pictures(view, np.ones((2, 2, 1, 4, 4)), [1, 2], [1], ["short", "a title that is long " * 4])
    assert len({picture.size for picture in pictures}) == 1
    assert pictures[0].width > 400
    film.mp4(pictures)


def test_titles_name_the_epoch_the_accuracy_and_the_map():
    assert film.epoch_title(0, None) == "Before training"
    assert film.epoch_title(12, 0.9741) == "After epoch 12: validation accuracy 97.4%"
    assert (
        film.epoch_title(3, None, film.token_title(0, (8, 8), "mean")) == "After epoch 3 · from the mean of the patches"
    )
    assert film.token_title(10, (8, 8), "cls") == "from patch r2 c2"
