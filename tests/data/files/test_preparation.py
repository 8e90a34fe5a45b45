"""The words about the preparation of images are what the program does."""

import io

import numpy as np
from PIL import Image, ImageOps

from vit.config import DataConfig
from vit.data.batches import to_tensor
from vit.data.files import preparation
from vit.data.files.images import fit_square, open_image

DATA = DataConfig(image_size=16, crop_pct=0.8, interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def test_the_steps_in_words_are_those_of_the_program():
    generator = np.random.default_rng(0)
    pixels = Image.fromarray(generator.integers(0, 256, (40, 60, 4), np.uint8), "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    content = io.BytesIO()
    pixels.save(content, "PNG", exif=exif)
    image = open_image(content.getvalue())
    found = to_tensor([fit_square(image, DATA.image_size, DATA.crop_pct, DATA.interpolation)], DATA.mean, DATA.std)

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content.getvalue())))
    white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    assert white.size == (40, 60)
    square = white.crop((4, 14, 36, 46))  # 80 % of each side of the centre square of 40 pixels
    resized = np.asarray(square.resize((16, 16), Image.Resampling.BILINEAR)) / 255
    expected = (resized - np.array(DATA.mean)) / np.array(DATA.std)
    difference = np.abs(found[0].numpy().transpose(1, 2, 0) - expected)
    assert difference[1:-1, 1:-1].max() < 0.02  # at the edge, the program's antialiasing sees pixels beside the square

    words = preparation.sentence(DATA)
    for part in (
        "turned upright by its EXIF orientation",
        "transparent parts on white",
        "the centre square of the image is cut out, 80.0% of each side",
        "16 × 16 pixels (bilinear, with antialiasing)",
        "scaled to [0, 1]",
        "mean (0.1, 0.2, 0.3) and the standard deviation (0.4, 0.5, 0.6)",
    ):
        assert part in words
