import contextlib
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, features

from tests.helpers import hostile
from vit.data.files import colours, decoder_process, header_checks, images
from vit.data.files.images import fit_square, open_image, prepared_image, read_header
from vit.errors import DataError

COLOUR = (200, 60, 20)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str = "RGB", size=(20, 12)) -> Image.Image:
    return Image.new("RGB", size, COLOUR).convert(mode)


def centre(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[image.height // 2, image.width // 2].astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "MPO", "AVIF"])
def test_every_usual_format_opens_as_rgb(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    image = open_image(encoded(plain(), kind))
    assert (image.mode, image.size) == ("RGB", (20, 12))
    assert np.abs(centre(image) - COLOUR).max() <= 8


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("L", "JPEG"), ("LA", "PNG"), ("1", "PNG")])
def test_greyscale_becomes_three_equal_channels(mode, kind):
    image = open_image(encoded(Image.new("L", (9, 9), 255).convert(mode), kind))
    assert image.mode == "RGB"
    assert centre(image).tolist() == [255, 255, 255]


def test_palette_keeps_its_colours():
    assert np.abs(centre(open_image(encoded(plain("P")))) - COLOUR).max() <= 40


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_lies_on_white(kind):
    image = Image.new("RGBA", (8, 8), (*COLOUR, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    pixels = np.asarray(open_image(encoded(image, kind, lossless=True)))
    assert pixels[4, 1].tolist() == [255, 255, 255]
    assert pixels[4, 6].tolist() == list(COLOUR)


def test_transparent_colour_of_a_palette_lies_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 60, 20])
    assert centre(open_image(encoded(image, transparency=0))).tolist() == [255, 255, 255]


def test_cmyk_is_not_inverted():
    white, ink = (open_image(encoded(Image.new("CMYK", (8, 8), ink), "JPEG")) for ink in ((0, 0, 0, 0), (0, 255, 0, 0)))
    assert centre(white).min() > 245
    red, green, _ = centre(ink)
    assert green < 60 < red


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    values = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    pixels = np.asarray(open_image(encoded(Image.fromarray(values), kind)))[..., 0]
    assert pixels.ravel().tolist() == list(range(256))


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 1e6])
def test_float_images_use_the_whole_range(top):
    values = np.linspace(0, top, 64, dtype=np.float32).reshape(8, 8)
    pixels = np.asarray(open_image(encoded(Image.fromarray(values), "TIFF")))
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_as_its_camera_was_held(orientation):
    upright = Image.new("RGB", (30, 20))
    upright.paste((255, 0, 0), (0, 0, 10, 8))  # red at the top left
    undo = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # Image.Transpose that the camera applied, its own inverse or mirror
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(encoded(stored, exif=exif))
    assert image.size == (30, 20)
    assert np.array_equal(np.asarray(image), np.asarray(upright))


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert centre(open_image(data)).tolist() == [255, 0, 0]


def test_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.txt"
    path.write_bytes(encoded(plain(), "JPEG"))
    assert open_image(path).size == (20, 12)
    disguised = tmp_path / "photo.jpg"
    disguised.write_text("not at all an image")
    with pytest.raises(DataError, match=r"photo\.jpg is not an image"):
        open_image(disguised)


def test_a_stream_opens_and_is_called_by_the_name_given():
    assert open_image(io.BytesIO(encoded(plain()))).size == (20, 12)
    with pytest.raises(DataError, match=r"^cat\.png is not an image"):
        open_image(io.BytesIO(b"junk"), name="cat.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_a_file_that_breaks_off_is_a_sentence(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(DataError, match=r"^(The file|it) is (truncated|a damaged image|not an image)"):
        open_image(data[: len(data) // 2])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_no_damage_leads_to_anything_but_an_image_or_a_sentence(kind):
    whole, random = encoded(plain(size=(24, 24)), kind), np.random.default_rng(0)
    for _ in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        data[random.integers(0, min(len(data), 100), 4)] = random.integers(0, 256, 4)
        with contextlib.suppress(DataError):
            assert open_image(data.tobytes()).mode == "RGB"


def test_an_empty_and_an_absent_file_are_sentences(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png is empty"):
        open_image(tmp_path / "empty.png")
    with pytest.raises(DataError, match="cannot be opened"):
        open_image(tmp_path / "absent.png")


def test_an_iphone_image_says_what_to_do_where_its_package_is_missing(monkeypatch):
    monkeypatch.setattr(images, "_formats", lambda heif=False: ["JPEG"])
    with pytest.raises(DataError, match=r"HEIC.*JPEG"):
        open_image(b"\x00\x00\x00\x18ftypheic" + bytes(64))


def test_a_postscript_file_is_never_handed_to_an_interpreter():
    with pytest.raises(DataError, match="not an image"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")


def test_pixels_are_counted_before_they_are_decoded():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for width, height in ((9_000, 9_000), (60_000, 60_000)):  # over our limit, and over Pillow's own
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        with pytest.raises(DataError, match="million pixels"):
            open_image(bomb)


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: hostile.jpeg_of_segments(0xFE, b"", 100_001),
        lambda: hostile.tiff_with_a_giant_tile(4200),
        lambda: hostile.tiff_of_strips(100_001),
        lambda: hostile.exif_bomb(5000, 60_000),
        lambda: hostile.png_of_empty_chunks(100_001),
        lambda: hostile.gif_of_blocks(100_001),
        lambda: hostile.run_length_bmp(4000, 1001),
        lambda: b"P6 4000 5000 254\n" + bytes(3 * 2**20),
        lambda: b"P3 4000 5000 255\n" + b"1 " * (3 * 2**19),
    ],
)
def test_what_would_take_minutes_or_gigabytes_is_refused_from_its_header(bomb, monkeypatch):
    data = bomb()
    monkeypatch.setattr(images.Image, "open", None)  # no decoder sees it
    with pytest.raises(DataError, match=r"^cat\.png would take far too long to decode"):
        open_image(data, name="cat.png")


def test_the_scans_of_a_jpeg_are_counted_by_its_pixels(monkeypatch):
    monkeypatch.setattr(header_checks, "SCANS_MAX", 64 * 64 * 5)
    assert open_image(hostile.jpeg_of_scans(64, 64, 4)).size == (64, 64)
    with pytest.raises(DataError, match="far too long"):
        open_image(hostile.jpeg_of_scans(64, 64, 5))


def test_metadata_that_expands_is_never_read():
    bomb = hostile.exif_bomb(5000, 60_000)
    assert open_image(hostile.jpeg_of_segments(0xE1, b"Exif\0\0" + bomb, 3)).size == (16, 16)
    data = hostile.png_with_texts(100)
    stripped, *_ = header_checks.check_and_strip(data, "x.png")
    assert len(stripped) < 200 < 10_000 < len(data)
    assert open_image(data).size == (10, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to a size")
def test_an_avif_that_is_larger_than_it_says_is_stopped_in_a_process_of_its_own(monkeypatch):
    if not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    monkeypatch.setattr(decoder_process, "MEMORY_MAX", 100 * 2**20)
    assert open_image(encoded(plain(), "AVIF")).size == (20, 12)
    with pytest.raises(DataError, match=r"a damaged image|too much time or memory"):
        open_image(hostile.avif_that_lies(8000))


def test_a_decoder_that_does_not_come_to_an_end_is_stopped(monkeypatch):
    monkeypatch.setattr(decoder_process, "SECONDS_MAX", 0.001)
    with pytest.raises(DataError, match=r"cat\.jp2 takes too much time or memory"):
        open_image(encoded(plain(), "JPEG2000"), name="cat.jp2")


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_what_is_decoded_in_a_process_of_its_own_is_the_same_picture(kind, mode):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    image = Image.fromarray(hostile.pixels(1, channels=4)).convert(mode)
    data = encoded(image, kind, **({"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}))
    shown = Image.new("RGBA", image.size, "white")
    shown.alpha_composite(image.convert("RGBA"))
    difference = np.asarray(open_image(data)).astype(int) - np.asarray(shown.convert("RGB"))
    assert np.abs(difference).max() <= 8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK", "I;16", "F"])
def test_a_large_image_is_reduced_on_the_way_and_looks_the_same(mode, monkeypatch):
    monkeypatch.setattr(colours, "_BAND", 4000)  # many bands
    waves = hostile.pixels(0, (304, 264), channels=4)
    if mode in ("I;16", "F"):
        deep = waves[..., 0].astype(np.uint16) * 200 if mode == "I;16" else waves[..., 0].astype(np.float32) * 1e4 - 5e4
        data = encoded(Image.fromarray(deep), "TIFF")
    else:
        image = Image.fromarray(waves if mode == "RGBA" else waves[..., :3])
        data = encoded(image if mode == "RGBA" else image.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    whole = open_image(data, at_least=16)
    assert whole.size == (304, 264)
    monkeypatch.setattr(images, "LARGE", 1000)
    monkeypatch.setattr(colours, "LARGE", 1000)
    small = open_image(data, at_least=16)
    assert small.size == (38, 33)  # 8 times smaller
    difference = fit_square(small, 16).astype(int) - fit_square(whole, 16)
    assert np.abs(difference).max() <= 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_says_how_its_camera_was_held(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(encoded(plain(), kind, exif=exif)).size == (12, 20)


def test_a_jpeg_turned_by_its_xmp_alone_stands_upright():
    data = encoded(plain(), "JPEG")
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="8"/>'
    assert open_image(data[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + data[2:]).size == (12, 20)


def test_bytes_are_limited(monkeypatch):
    monkeypatch.setattr(images, "FILE_BYTES_MAX", 100)
    with pytest.raises(DataError, match="larger than"):
        open_image(io.BytesIO(bytes(1000)))


def test_a_large_jpeg_is_read_smaller_and_looks_the_same():
    x, y = np.meshgrid(np.linspace(0, 255, 800), np.linspace(0, 255, 800))
    data = encoded(Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8)), "JPEG", quality=95)
    small = open_image(data, at_least=64)
    assert 128 <= small.width < 800
    difference = fit_square(small, 64).astype(int) - fit_square(open_image(data), 64)
    assert np.abs(difference).max() <= 4


def test_natural_size_is_the_shorter_side():
    assert read_header(encoded(plain(size=(50, 30)))).side == 30


def test_fit_square_takes_the_centre():
    image = Image.new("RGB", (60, 20), "black")
    image.paste("white", (15, 0, 45, 20))
    square = fit_square(image, 10)
    assert (square.shape, square.dtype, square.min()) == ((10, 10, 3), np.uint8, 255)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 7)])
def test_fit_square_takes_any_shape(size):
    assert fit_square(Image.new("RGB", size, COLOUR), 32)[16, 16].tolist() == list(COLOUR)


def test_fit_square_leaves_pixels_of_the_right_size_alone():
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(fit_square(Image.fromarray(pixels), 32), pixels)


def test_fit_square_blurs_what_is_too_fine_to_show():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(fit_square(Image.fromarray(stripes), 8).astype(int) - 127).max() <= 12


def test_fit_square_takes_a_part_of_the_centre():
    image = Image.new("RGB", (400, 200), "black")
    image.paste("white", (150, 50, 250, 150))  # half of the centre square, each way
    assert fit_square(image, 64, 0.5)[4:-4, 4:-4].min() >= 250
    assert fit_square(image, 64, 0.4).min() >= 250  # within it
    assert fit_square(image, 64).min() == 0


def test_a_square_that_was_fitted_before_is_not_cropped_again():
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(fit_square(prepared_image(pixels), 32, 0.9), pixels)
