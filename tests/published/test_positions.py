import pytest
import torch

from vit.published.positions import interpolate_positions

timm_layers = pytest.importorskip("timm.layers")


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize(
    ("old", "new"), [((14, 14), (7, 7)), ((7, 7), (14, 14)), ((16, 16), (14, 14)), ((4, 6), (5, 3))]
)
def test_positions_of_another_grid_are_timms(old, new, prefix):
    positions = torch.randn(1, prefix + old[0] * old[1], 12)
    theirs = timm_layers.resample_abs_pos_embed(positions, list(new), list(old), num_prefix_tokens=prefix)
    assert torch.equal(interpolate_positions(positions, old, new, prefix), theirs)


def test_the_same_grid_is_left_alone_and_half_stays_half():
    positions = torch.randn(1, 17, 8).half()
    assert interpolate_positions(positions, (4, 4), (4, 4), 1) is positions
    assert interpolate_positions(positions, (4, 4), (6, 6), 1).dtype is torch.half


def test_positions_that_do_not_fill_the_grid_are_refused():
    with pytest.raises(ValueError, match=r"takes \(1, 26, embed_dim\)"):
        interpolate_positions(torch.zeros(1, 17, 8), (5, 5), (4, 4), 1)
