"""Preprocessing equals timm's, and class names are those of ImageNet."""

import numpy as np
import pytest
from PIL import Image

timm = pytest.importorskip("timm")

from timm.data import create_transform, resolve_data_config  # noqa: E402
from timm.models import get_pretrained_cfg  # noqa: E402

from vit.data.batches import to_tensor  # noqa: E402
from vit.data.files.images import crop_square, fit_square, prepared_image  # noqa: E402
from vit.errors import UserError  # noqa: E402
from vit.published.class_names import class_names, is_projection  # noqa: E402
from vit.published.preprocessing import preprocessing_of  # noqa: E402

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def photo(width: int, height: int) -> Image.Image:
    """Return an image with structures of many sizes and noise, like a photograph."""
    random = np.random.default_rng(width * height)
    whole = np.zeros((height, width, 3))
    for cells in (4, 16, 64):
        blots = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        whole += np.asarray(blots.resize((width, height), Image.Resampling.BICUBIC), dtype=float) / 3
    return Image.fromarray((whole + random.normal(0, 8, whole.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("size", [(500, 375), (333, 640), (401, 401), (90, 120), (224, 224)])
def test_the_input_equals_timms_evaluation_transform(size, crop_pct, interpolation):
    cfg = IMAGENET | {"input_size": (3, 224, 224), "crop_pct": crop_pct, "interpolation": interpolation}
    theirs = create_transform(**resolve_data_config(pretrained_cfg=cfg), is_training=False)(photo(*size))
    found = preprocessing_of(cfg)
    view = fit_square(photo(*size), found.image_size, found.crop_pct, found.interpolation)
    ours = to_tensor([view], found.mean, found.std)[0]
    step = 1 / 255 / 0.22  # of a pixel's value, normalised
    assert (ours - theirs).abs().mean() < 0.5 * step
    assert (ours - theirs).abs().max() < 3 * step


def test_an_image_of_the_model_s_own_size_is_cropped_but_not_twice():
    whole = photo(224, 224)
    once = fit_square(whole, 224, 0.8)
    assert np.array_equal(fit_square(prepared_image(once), 224, 0.8), once)
    assert crop_square(whole, 224, 0.8).size == (180, 180)
    assert crop_square(prepared_image(once), 224, 0.8).size == (224, 224)
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[8:-8, 8:-8, 0] = 255  # a red square, and a black border that the crop leaves out
    assert (fit_square(Image.fromarray(pixels), 64, 0.75)[2:-2, 2:-2, 0] > 200).all()


def test_the_view_shows_the_part_of_the_image_that_the_model_sees():
    whole = photo(500, 375)
    part = crop_square(whole, 224, 0.9)
    assert abs(part.width - 375 * 224 / 248) <= 2
    small = np.asarray(part.resize((224, 224), Image.Resampling.BICUBIC), dtype=float)
    assert np.abs(small - fit_square(whole, 224, 0.9)).mean() < 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"interpolation": "lanczos"}, "bicubic"),
        ({"crop_mode": "squash"}, "squashed"),
        ({"crop_mode": "border"}, "border"),
    ],
)
def test_differences_from_the_original_are_remarks(change, word):
    found = preprocessing_of(IMAGENET | change)
    assert word in " ".join(found.remarks)
    assert not preprocessing_of(IMAGENET).remarks


@pytest.mark.parametrize(
    "cfg",
    [{"mean": (0.5,) * 4}, {"std": (0, 1, 1)}, {"input_size": (1, 224, 224)}, {"crop_pct": "much"}, {"mean": "abc"}],
)
def test_invalid_settings_are_refused(cfg):
    with pytest.raises(UserError):
        preprocessing_of(IMAGENET | cfg)


@pytest.mark.parametrize("count", [1000, 11221, 11821, 21843])
def test_names_of_imagenet_classes_are_distinct(count):
    names = class_names({}, count)
    assert len(set(names)) == len(names) == count
    assert all(name == name.strip() and "()" not in name for name in names)


def test_the_two_cranes_have_different_names():
    names = class_names({}, 1000)
    assert (names[0], names[134], names[517]) == (
        "tench",
        "crane (large long-necked wading bird)",
        "crane (lifts and moves heavy objects)",
    )


def test_names_in_the_file_have_priority():
    assert class_names({"label_names": ["cat", "dog"]}, 2) == ("cat", "dog")
    assert class_names({"label_names": ["cat", "cat"]}, 2) == ("cat (0)", "cat (1)")
    assert class_names({"label_names": ["cat"]}, 2) is None
    assert class_names({"label_names": ["\ud800", "x"]}, 2) is None
    described = {"label_names": ["n02124075", "n02123045"], "label_descriptions": {"n02124075": "Egyptian cat"}}
    assert class_names(described, 2) == ("Egyptian cat", "n02123045")


@pytest.mark.parametrize(
    ("name", "projects"),
    [
        ("vit_base_patch32_clip_224.openai", True),
        ("vit_large_patch14_clip_224.laion2b", True),
        ("vit_base_patch32_clip_224.openai_ft_in1k", False),
        ("vit_tiny_patch16_224.augreg_in21k", False),
        ("vit_small_patch16_224.dino", False),
    ],
)
def test_outputs_of_clip_are_not_classes(name, projects):
    cfg = get_pretrained_cfg(name).to_dict()
    assert is_projection(cfg, cfg["num_classes"]) == projects
