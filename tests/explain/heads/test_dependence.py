"""Attention dependence, compared with its definition written out image by image, and with networks made by hand."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.explain.heads.test_ablation import whole_pass
from tests.explain.interventions.test_head_changes import INFO, split, tensors
from tests.test_edits import course, vit
from vit import ViT, ViTConfig
from vit.cnn import CNN
from vit.config import CNNConfig
from vit.data import Split
from vit.errors import ExplainError
from vit.explain import capture, token_maps
from vit.explain.heads.ablation import Outcome, accuracy_lost, interval_of_accuracy_lost
from vit.explain.heads.dependence import attention_dependence, pairwise_correlation
from vit.explain.passes.sample import sample

NETWORKS = [
    pytest.param(lambda: vit(pool="cls", stem="patch"), id="cls-patch"),
    pytest.param(lambda: vit(pool="mean", stem="conv", depth=3), id="mean-conv"),
    pytest.param(lambda: course("softmax", "mlp"), id="course-over-keys"),
    pytest.param(course, id="course"),
]


def labelled(model, count=24) -> Split:
    """Random images with a rectangle as object, labelled with the model's own answers except for every eighth."""
    one = split(count)
    answers = model(tensors(one)).argmax(dim=1).numpy()
    answers[::8] = (answers[::8] + 1) % 5
    masks = np.zeros((count, 32, 32), dtype=np.uint8)
    for index in range(count - 3):  # the last images have no object
        masks[index, index % 20 :, 3 : 5 + index % 27] = 1
    return dataclasses.replace(one, labels=answers, masks=masks)


def with_patterns(model, one, patterns) -> float:
    """The accuracy if each head uses its pattern ``(n m)`` in place of its attention; the sums are written out."""
    d = model.config.head_dim

    def hook(attn, inputs, _):
        tokens, layer = inputs[0], [block.attn for block in model.blocks].index(attn)
        outputs = []
        for head in range(model.config.num_heads):
            if model.pool == "all":  # the course network
                v = attn.heads[head](tokens)[2]
                outputs.append(patterns[layer, head] @ v * d**-0.5)
            else:
                rows = slice(2 * model.config.embed_dim + head * d, 2 * model.config.embed_dim + (head + 1) * d)
                outputs.append(patterns[layer, head] @ F.linear(tokens, attn.qkv.weight[rows], attn.qkv.bias[rows]))
        out = torch.cat(outputs, dim=-1)
        return out if getattr(attn, "proj", None) is None else F.linear(out, attn.proj.weight, attn.proj.bias)

    hooks = [block.attn.register_forward_hook(hook) for block in model.blocks]
    answers = [int(model(image[None], record={}).argmax()) for image in tensors(one)]
    for each in hooks:
        each.remove()
    return np.mean(answers == one.labels)


@pytest.mark.parametrize("make", NETWORKS)
def test_every_figure_equals_its_definition(make):
    model = make()
    one = labelled(model)
    found = attention_dependence(model, sample(model, INFO, one))
    depth, heads, n = model.config.depth, model.config.num_heads, model.config.num_tokens
    records = [capture(model, image[None]) for image in tensors(one)]
    attention = torch.stack([record.attention[0] for record in records])
    right, _ = whole_pass(model, one)
    every = [(layer, head) for layer in range(depth) for head in range(heads)]
    assert found.images == 24
    assert found.chance == np.bincount(one.labels).max() / 24
    assert found.accuracy == right.mean()
    assert found.without_heads == whole_pass(model, one, gone=every)[0].mean()
    assert found.even_patterns == with_patterns(model, one, torch.full((depth, heads, n, n), 1 / n))
    assert found.mean_patterns == with_patterns(model, one, attention.mean(dim=0))
    for layer, head in every:
        lost = right.astype(int) - whole_pass(model, one, gone=[(layer, head)])[0]
        value = found.layers[layer][head]
        assert value.lost == pytest.approx(lost.mean())
        assert value.error == pytest.approx(lost.std(ddof=1) / 24**0.5)
        assert value.low < value.lost < value.high or not lost.any()
    grey = torch.zeros(1, 3, 32, 32)  # 0.5 with a mean of 0.5
    assert found.grey == pytest.approx(float(model(grey).softmax(-1).max()), abs=1e-6)


@pytest.mark.parametrize("make", NETWORKS[:2])
def test_maps_are_compared_with_the_object_and_with_each_other(make):
    model = make()
    one = labelled(model)
    found = attention_dependence(model, sample(model, INFO, one))
    inside, correlations, areas = [], [], []
    for image, mask in zip(tensors(one), one.masks, strict=True):
        record = capture(model, image[None])
        maps = token_maps(record, 0)  # depth h r c
        flat = maps.reshape(*maps.shape[:2], -1)
        correlations.append([[np.corrcoef(layer)[a, b] for a in range(3) for b in range(a)] for layer in flat])
        if mask.any():
            share = mask.reshape(4, 8, 4, 8).mean(axis=(1, 3))
            inside.append((maps * share).sum(axis=(2, 3)) / maps.sum(axis=(2, 3)))
            areas.append(mask.mean())
    np.testing.assert_allclose(found.variety, np.mean(correlations, axis=(0, 2)), atol=1e-5)
    np.testing.assert_allclose(
        [[head.inside for head in layer] for layer in found.layers], np.mean(inside, axis=0), atol=1e-5
    )
    assert found.object_area == pytest.approx(np.mean(areas))
    assert len(inside) == 21


def test_a_network_over_queries_has_no_maps_to_compare_with_objects():
    model = course()
    found = attention_dependence(model, sample(model, INFO, labelled(model)))
    assert found.best_inside is found.object_area is found.mean_variety is None


def test_means_of_other_images_may_be_given():
    model = vit(pool="cls", stem="patch")
    one = labelled(model)
    means = torch.stack([capture(model, image[None]).attention[0] for image in tensors(split(9, seed=5))]).mean(dim=0)
    found = attention_dependence(model, sample(model, INFO, one), means)
    assert found.mean_patterns == with_patterns(model, one, means)


def test_batches_and_threads_do_not_change_the_result(monkeypatch):
    model = vit(pool="cls", stem="patch")
    one = labelled(model)
    chosen = sample(model, INFO, one)
    steps = []
    parts = attention_dependence(
        model, dataclasses.replace(chosen, size=7), progress=lambda done, total: steps.append((done, total))
    )
    whole = attention_dependence(model, dataclasses.replace(chosen, size=24))
    np.testing.assert_allclose(numbers(parts), numbers(whole), atol=1e-6)
    total = 4 * (2 + 2)
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)


def numbers(found) -> list[float]:
    """All figures of a measurement but its time."""
    heads = [number for layer in found.layers for head in layer for number in head.model_dump().values()]
    return [*found.model_dump(exclude={"seconds", "layers", "variety"}).values(), *found.variety, *heads]


def test_heads_that_are_zero_by_construction_cost_nothing():
    model = vit(pool="mean", stem="conv")
    for block in model.blocks:
        block.attn.proj.weight.zero_()
        block.attn.proj.bias.zero_()
    model.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    found = attention_dependence(model, sample(model, INFO, labelled(model)))
    assert found.accuracy == found.without_heads == found.even_patterns == found.mean_patterns == 21 / 24
    assert found.needed_heads == 0
    assert found.lost_share == 0
    assert found.warning == ("This network's answer hardly depends on its attention (87.5% → 87.5% without any head).")


def marker_network() -> ViT:
    """Two heads over two features: the first finds the red patch and copies its blue, the second does nothing.

    A token is (red, -red, blue, -blue, class token, -class token, 0, 0), so its layer norm is a constant factor.
    """
    config = ViTConfig(
        image_size=32, patch_size=8, embed_dim=8, depth=1, num_heads=2, num_classes=2, stem="patch", pool="cls"
    )
    model = ViT(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if "norm" not in name and "ls" not in name:
            weight.zero_()
        elif "ls" in name:
            weight.fill_(1)
    for feature, channel in ((0, 0), (2, 2)):
        model.patch_embed.proj.weight[feature, channel] = 1 / 64
        model.patch_embed.proj.weight[feature + 1, channel] = -1 / 64
    model.cls_token[0, 0, 4:6] = torch.tensor([2**0.5, -(2**0.5)])
    attn = model.blocks[0].attn
    attn.qkv.weight[0, 4] = 100  # query of the class token
    attn.qkv.weight[8, 0] = 1  # key: red
    attn.qkv.weight[16, 2] = 1  # value: blue
    attn.proj.weight[2, 0], attn.proj.weight[3, 0] = 1, -1
    model.head.weight[:, 2] = torch.tensor([1.0, -1.0])
    return model


def test_a_network_whose_attention_is_essential_falls_to_chance_without_it():
    random = np.random.default_rng(0)
    count = 400
    blue = random.integers(0, 2, (count, 16))
    marked, labels = random.integers(0, 16, count), np.arange(count) % 2
    blue[np.arange(count), marked] = 1 - labels
    images = np.zeros((count, 3, 4, 8, 4, 8), dtype=np.uint8)
    masks = np.zeros((count, 4, 8, 4, 8), dtype=np.uint8)
    for index in range(count):
        images[index, 2] = 255 * blue[index].reshape(4, 1, 4, 1)
        images[index, 0, marked[index] // 4, :, marked[index] % 4] = 255
        masks[index, marked[index] // 4, :, marked[index] % 4] = 1
    one = Split(images.reshape(count, 3, 32, 32), labels, masks.reshape(count, 32, 32), ("",) * count)
    model = marker_network()
    found = attention_dependence(model, sample(model, INFO, one))
    (finder, idle) = found.layers[0]
    assert found.accuracy == 1
    assert found.without_heads == found.chance == 0.5
    assert found.even_patterns < 0.65
    assert found.mean_patterns < 0.65
    assert not found.low
    assert found.lost_share > 0.7
    assert (finder.lost, idle.lost, found.needed_heads) == (0.5, 0, 1)
    assert finder.inside == pytest.approx(1)
    assert idle.inside == pytest.approx(found.object_area) == 1 / 16
    assert found.variety == (None,)  # a uniform map has no correlation


def test_equal_maps_correlate_fully_and_opposite_ones_negatively():
    first = torch.rand(3, 1, 16, generator=torch.Generator().manual_seed(0))
    assert pairwise_correlation(torch.cat([first, first], dim=1)) == (pytest.approx(3), 3)
    assert pairwise_correlation(torch.cat([first, 1 - first, first], dim=1)) == (pytest.approx(-3), 9)
    assert pairwise_correlation(first) == (0, 0)


def outcome(right) -> Outcome:
    return Outcome(np.array(right, dtype=bool), np.zeros(np.shape(right)))


def test_the_interval_agrees_with_the_exact_test_if_few_predictions_change():
    before = outcome(np.ones(500))
    for wrong in (1, 5, 6, 20):
        after = outcome(np.arange(500) >= wrong)
        low, high = interval_of_accuracy_lost(before, after)
        assert (low > 0) == (not accuracy_lost(before, after).by_chance) == (wrong >= 6)
        assert low < wrong / 500 < high


def test_the_interval_covers_the_true_loss():
    random = np.random.default_rng(0)
    became = random.choice([0, 1, -1], p=[0.955, 0.03, 0.015], size=(4000, 200))
    before = np.where(became == 0, random.random((4000, 200)) < 0.5, became == 1)
    after = np.where(became == 0, before, became == -1)
    ends = [interval_of_accuracy_lost(outcome(one), outcome(other)) for one, other in zip(before, after, strict=True)]
    covered = [low <= 0.015 <= high for low, high in ends]
    assert 0.94 < np.mean(covered) < 0.985


def test_networks_without_heads_or_classes_are_refused():
    cnn = CNN(CNNConfig())
    with pytest.raises(ExplainError, match="no attention heads"):
        attention_dependence(cnn, sample(cnn, INFO, split(10)))
    features = vit(num_classes=0)
    with pytest.raises(ExplainError, match="without classes"):
        attention_dependence(features, sample(features, INFO, split(10)))
