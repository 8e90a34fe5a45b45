"""Maps drawn over an image."""

import numpy as np

from vit.pictures import overlays
from vit.pictures.colours import SIGNED

VIEW = np.full((8, 8, 3), 128, np.uint8)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], dtype=float)


def test_a_signed_map_has_a_colour_for_each_sign_and_is_transparent_at_zero():
    heat = np.array([[-2.0, 0.0], [1.0, 8.0]])
    pixels = np.asarray(overlays.signed_overlay(VIEW, heat, top=2.0, side=64), dtype=float)[16::32, 16::32]
    negative, positive = rgb(SIGNED[0]), rgb(SIGNED[1])
    np.testing.assert_allclose(pixels[0, 0], 128 + overlays.OPACITY * (negative - 128), atol=2)
    np.testing.assert_array_equal(pixels[0, 1], 128)
    np.testing.assert_allclose(pixels[1, 0], 128 + overlays.OPACITY * 0.5**0.5 * (positive - 128), atol=2)
    np.testing.assert_allclose(pixels[1, 1], 128 + overlays.OPACITY * (positive - 128), atol=2)  # beyond the top: full


def test_a_map_of_zeros_leaves_the_image_unchanged():
    for lay in (overlays.overlay, overlays.signed_overlay):
        np.testing.assert_array_equal(np.asarray(lay(VIEW, np.zeros((2, 2)), top=0.0, side=16)), 128)


def test_smooth_maps_have_the_patch_colours_at_the_centres_and_mean_opacity_between_them():
    heat = np.array([[0.0, 4.0]])
    blocky, smooth = (
        np.asarray(overlays.overlay(VIEW, heat, top=4.0, side=64, smooth=smooth), dtype=float)[32, :, 1]
        for smooth in (False, True)
    )
    assert len(set(blocky)) == 2
    np.testing.assert_allclose(smooth[[8, -8]], blocky[[8, -8]], atol=2)
    np.testing.assert_allclose(smooth[31:33].mean(), blocky[[8, -8]].mean(), atol=2)  # zero does not tint the other
    assert (np.diff(smooth) >= 0).all()


def test_a_sheet_has_every_picture_in_its_place():
    pictures = [
        overlays.overlay(np.full((4, 4, 3), shade, np.uint8), np.zeros((1, 1)), top=1, side=32)
        for shade in (9, 99, 199)
    ]
    sheet = np.asarray(overlays.titled_grid(pictures, ["one", "two", "three"], columns=2))
    step, down = 32 + overlays.GAP, 32 + overlays.LABEL + overlays.GAP
    assert sheet.shape == (2 * down, 2 * step, 4)
    for index, shade in enumerate((9, 99, 199)):
        left, top = index % 2 * step, index // 2 * down + overlays.LABEL
        assert (sheet[top : top + 32, left : left + 32, :3] == shade).all()
