"""The operations of RandAugment against those of torchvision."""

import math

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from vit.data.augmentation import scale_colours
from vit.data.randaugment import OPERATIONS, affine, autocontrast, equalize, posterize, randaugment, solarize


def images(count: int = 6, size: int = 32) -> torch.Tensor:
    """Noise with 8 bits in which some channels are dark, flat or have few values."""
    random = torch.Generator().manual_seed(0)
    found = torch.randint(0, 256, (count, 3, size, size), generator=random).float()
    found[0] = (found[0] / 4).floor()
    found[1, 0] = 77
    found[2, 1] = (found[2, 1] / 64).floor() * 40
    return found / 255


def test_a_resampling_is_torchvisions_with_its_own_numbers_for_each_image():
    random = torch.Generator().manual_seed(1)
    angle, *shear = (60 * torch.rand(3, 6, generator=random) - 30).tolist()
    shift = torch.randint(-9, 10, (6, 2), generator=random)
    scale = 0.6 + torch.rand(6, generator=random)
    moved = affine(
        images(),
        angle=torch.tensor(angle).deg2rad(),
        shear=torch.tensor(shear).T.deg2rad().tan(),
        shift=shift / 32,
        scale=scale,
        padding="zeros",
    )
    for row, image in enumerate(images()):
        expected = functional.affine(
            image,
            angle[row],
            shift[row].tolist(),
            float(scale[row]),
            [shear[0][row], shear[1][row]],
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(moved[row], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("solarize", lambda it: solarize(it, 0.6), lambda it: functional.solarize(it, 0.6)),
        ("posterize", lambda it: posterize(it, 5), lambda it: functional.posterize(it, 5)),
        ("autocontrast", autocontrast, functional.autocontrast),
        ("equalize", equalize, functional.equalize),
    ],
)
def test_colours_change_as_in_torchvision(name, ours, theirs):
    torch.testing.assert_close(ours(images()), theirs(images()), atol=1e-6, rtol=0)
    assert not torch.allclose(ours(images()), images(), atol=1e-2), name


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_factors_are_torchvisions(name):
    factors = torch.tensor([0.2, 0.5, 0.9, 1.0, 1.3, 1.9])
    neutral = dict.fromkeys(("brightness", "contrast", "saturation"), torch.ones(6))
    scaled = scale_colours(images(), **neutral | {name: factors})
    change = getattr(functional, f"adjust_{name}")
    for row, image in enumerate(images()):
        torch.testing.assert_close(scaled[row], change(image, float(factors[row])), atol=1e-3, rtol=0)


def alone(name: str, sign: float = 0.9) -> torch.Tensor:
    """The random numbers that choose one operation for each image, with a positive sign."""
    return torch.tensor([(OPERATIONS.index(name) + 0.5) / len(OPERATIONS), sign]).expand(6, 1, 2)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_reached_and_magnitude_0_and_identity_change_nothing(name):
    changed = randaugment(images(), alone(name), 9.0)
    assert 0 <= changed.min() <= changed.max() <= 1
    assert torch.allclose(changed, images(), atol=1e-5) is (name == "identity")
    if name not in ("identity", "solarize", "posterize", "autocontrast", "equalize"):
        assert torch.allclose(randaugment(images(), alone(name), 0.0), images(), atol=1e-5)
        assert not torch.allclose(randaugment(images(), alone(name, 0.1), 9.0), changed, atol=1e-3)
        both = torch.cat((alone(name), alone(name, 0.1)), 1)  # the two amounts cancel
        assert torch.allclose(randaugment(images(), both, 9.0), images(), atol=1e-5)


def test_the_magnitude_is_torchvisions_scale():
    turned = affine(
        images(),
        angle=torch.full((6,), math.radians(30 * 9 / 30)),
        shear=torch.zeros(6, 2),
        shift=torch.zeros(6, 2),
        scale=torch.ones(6),
    )
    torch.testing.assert_close(randaugment(images(), alone("rotate"), 9.0), turned, atol=1e-5, rtol=0)
