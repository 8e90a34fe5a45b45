"""Changes to heads and patches: edits, means over validation images, and the text of a link."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.test_edits import course, vit
from vit.cnn import CNN
from vit.config import CNNConfig
from vit.data import Split
from vit.edits import BlockEdit
from vit.errors import ExplainError, SettingsError
from vit.explain import capture
from vit.explain.interventions.head_changes import (
    Change,
    changes_from_text,
    changes_to_text,
    run_with_edits,
    to_edits,
    validation_means,
)
from vit.explain.interventions.patch_changes import alter, patch_order, patches_from_text, patches_to_text, shuffle
from vit.explain.passes.sample import sample

INFO = SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def split(count: int, classes: int = 5, seed: int = 0) -> Split:
    """Random images of 32 pixels."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    return Split(images, np.arange(count) % classes, None, ("",) * count)


def tensors(one: Split) -> torch.Tensor:
    return torch.from_numpy(one.images).float() / 255 * 2 - 1


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [vit, course])
def test_means_equal_those_of_single_images(make):
    model, one = make(), split(70)
    means = validation_means(model, sample(model, INFO, one))
    heads, attention = 0, 0
    for image in tensors(one):
        record = capture(model, image[None])
        heads = heads + torch.stack([layer.heads[0] for layer in record.layers]) / 70
        attention = attention + torch.stack([layer.attention[0] for layer in record.layers]) / 70
    assert means.images == 70
    torch.testing.assert_close(means.heads, heads, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(means.attention, attention, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [vit, course])
def test_each_kind_of_change_does_what_it_says_to_its_head_alone(images, make):
    model = make()
    n = model.config.num_tokens
    means = validation_means(model, sample(model, INFO, split(20)))
    kinds = ("zero", "mean", "uniform", "mean-pattern", "temperature")
    plain = capture(model, images).layers[1]
    for kind in kinds:
        record = capture(model, images, edits=to_edits(model, [Change(2, 3, kind, 2.0)], means)).layers[1]
        for head in (0, 1):
            torch.testing.assert_close(record.attention[:, head], plain.attention[:, head])
            torch.testing.assert_close(record.heads[:, head], plain.heads[:, head])
        attention, heads = record.attention[:, 2], record.heads[:, 2]
        match kind:
            case "zero":
                assert not heads.any()
            case "mean":
                torch.testing.assert_close(heads, means.heads[1, 2].expand(2, -1, -1))
            case "uniform":
                torch.testing.assert_close(attention, torch.full((2, n, n), 1 / n))
                scale = 1 if model.pool != "all" else 8**-0.5  # the course network scales what comes out
                even = record.v[:, 2].mean(dim=1, keepdim=True) * scale
                torch.testing.assert_close(heads, even.expand(-1, n, -1))
            case "mean-pattern":
                torch.testing.assert_close(attention, means.attention[1, 2].expand(2, -1, -1))
            case "temperature":
                scores = torch.log(plain.attention[:, 2])
                axis = -1 if model.normalised_over == "key" else -2
                torch.testing.assert_close(attention, (scores / 2).softmax(dim=axis), atol=1e-5, rtol=1e-5)


def test_changes_of_several_heads_and_layers_act_together(images):
    model = vit()
    means = validation_means(model, sample(model, INFO, split(20)))
    changes = changes_from_text("1.1z-1.2m-1.3u-2.1p-2.2t0.5", 2, 3)
    record = capture(model, images, edits=to_edits(model, changes, means))
    first, second = record.layers
    assert not first.heads[:, 0].any()
    torch.testing.assert_close(first.heads[:, 1], means.heads[0, 1].expand(2, -1, -1))
    torch.testing.assert_close(first.attention[:, 2], torch.full((2, 17, 17), 1 / 17))
    torch.testing.assert_close(second.attention[:, 0], means.attention[1, 0].expand(2, -1, -1))
    scores = second.q[:, 1] @ second.k[:, 1].mT / 8**0.5
    torch.testing.assert_close(second.attention[:, 1], (scores / 0.5).softmax(-1))


def test_a_mean_without_means_is_refused():
    with pytest.raises(ValueError, match=r"1\.2m needs the means"):
        to_edits(vit(), [Change(1, 2, "mean")])


def test_a_convolutional_network_has_no_heads_to_change():
    with pytest.raises(ExplainError, match="cover or shuffle"):
        to_edits(CNN(CNNConfig()), [Change(1, 1, "zero")])


def test_text_round_trip_is_in_the_order_of_the_heads():
    changes = [
        Change(12, 3, "uniform"),
        Change(2, 4, "temperature", 0.7071),
        Change(2, 1, "mean-pattern"),
        Change(1, 10, "mean"),
        Change(1, 2, "zero"),
        Change(2, 5, "temperature", 4),
    ]
    text = changes_to_text(changes)
    assert text == "1.2z-1.10m-2.1p-2.4t0.7071-2.5t4-12.3u"
    assert set(changes_from_text(text, 12, 12)) == set(changes)
    assert (changes_to_text([]), changes_from_text("", 2, 2)) == ("", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1.2", "is not a change"),
        ("1.2x", "is not a change"),
        ("1.2z-", "is not a change"),
        ("1.2z 2.3u", "is not a change"),
        ("01.2z", "is not a change"),
        ("1.2z3", "is not a change"),
        ("1.2t", "is not a change"),
        ("1.2tnan", "is not a change"),
        ("1.2t-1", "is not a change"),
        ("1.2t1e9", "is not a change"),
        ("1.2t0", "out of bounds"),
        ("1.2t999", "out of bounds"),
        ("3.1z", "does not exist"),
        ("0.1z", "is not a change"),
        ("1.5z", "does not exist"),
        ("1.2z-1.2u", "already has a change"),
    ],
)
def test_malformed_text_is_refused(text, said):
    with pytest.raises(SettingsError, match=said):
        changes_from_text(text, 2, 4)


def test_shuffled_patches_are_the_same_patches_in_other_places(images):
    order = patch_order((4, 4), 7)
    assert sorted(order.ravel()) == list(range(16))
    mixed = shuffle(images, (4, 4), 7)
    for place in range(16):
        there, here = divmod(place, 4), divmod(int(order.ravel()[place]), 4)
        for y in range(8):
            for x in range(8):
                seen = mixed[:, :, 8 * there[0] + y, 8 * there[1] + x]
                assert torch.equal(seen, images[:, :, 8 * here[0] + y, 8 * here[1] + x])
    assert torch.equal(mixed, shuffle(images, (4, 4), 7))
    assert not torch.equal(mixed, shuffle(images, (4, 4), 8))


def test_patches_whose_sizes_differ_by_a_pixel_can_be_shuffled():
    image = torch.arange(30.0).view(1, 1, 5, 6)
    order = patch_order((2, 3), 1)
    mixed = shuffle(image, (2, 3), 1)
    bounds = [(0, 3), (3, 5)]  # the first rows have three pixels, the second ones two
    for place in range(6):
        there, here = divmod(place, 3), divmod(int(order.ravel()[place]), 3)
        for offset in range(bounds[there[0]][1] - bounds[there[0]][0]):
            source = min(bounds[here[0]][0] + offset, bounds[here[0]][1] - 1)
            seen = mixed[0, 0, bounds[there[0]][0] + offset, 2 * there[1] : 2 * there[1] + 2]
            assert torch.equal(seen, image[0, 0, source, 2 * here[1] : 2 * here[1] + 2])


def test_a_picture_is_shuffled_first_and_then_covered():
    view = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert alter(view, (4, 4), (), seed=0) is view
    order, mixed = patch_order((4, 4), 3), alter(view, (4, 4), (6, 16), "mean", 3)
    mean = view.reshape(-1, 3).mean(axis=0)
    for place in range(16):
        (row, column), (from_row, from_column) = divmod(place, 4), divmod(int(order.ravel()[place]), 4)
        seen = mixed[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        if place + 1 in (6, 16):
            np.testing.assert_array_equal(seen, np.broadcast_to(mean.round(), seen.shape))
        else:
            own = view[8 * from_row : 8 * from_row + 8, 8 * from_column : 8 * from_column + 8]
            np.testing.assert_array_equal(seen, own)


def test_patch_numbers_round_trip_through_text():
    assert patches_to_text([12, 3, 1, 2, 7, 13, 2]) == "1-3.7.12-13"
    assert patches_from_text("1-3.7.12-13", 16) == (1, 2, 3, 7, 12, 13)
    assert (patches_to_text([]), patches_from_text("", 16)) == ("", ())


@pytest.mark.parametrize("text", ["0", "17", "5-3", "1-17", "1,2", "1-", "x", "1..2", "-1", "1-2-3"])
def test_malformed_or_missing_patches_are_refused(text):
    with pytest.raises(SettingsError, match=r"1-3\.7|do not exist"):
        patches_from_text(text, 16)


@pytest.mark.parametrize("make", [vit, course])
def test_run_with_edits_returns_the_output_of_the_changed_pass(images, make):
    model = make()
    edits = to_edits(model, [Change(1, 2, "zero"), Change(2, 3, "uniform")])
    found = run_with_edits(model, images, edits)
    np.testing.assert_allclose(found.probabilities, model(images, edits=edits)[0].softmax(0), atol=1e-5)
    np.testing.assert_allclose(found.attention[1, 2], 1 / model.config.num_tokens)
    assert found.record.grid == model.grid


def test_a_convolutional_network_runs_only_without_edits(images):
    torch.manual_seed(0)
    model = CNN(CNNConfig(image_size=32)).eval()
    found = run_with_edits(model, images)
    np.testing.assert_allclose(found.probabilities, model(images[:1])[0].softmax(0).detach(), atol=1e-5)
    assert found.attention is None
    with pytest.raises(ExplainError, match="cover or shuffle"):
        run_with_edits(model, images, {0: BlockEdit()})
