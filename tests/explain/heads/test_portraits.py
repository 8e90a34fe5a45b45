"""Portraits of heads: numbers compared with loops, and names checked on patterns with a known result."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import tiny_config
from tests.explain.heads.test_layer_similarity import info_of
from vit.cnn import CNN
from vit.config import DEPARTURES, CNNConfig, ReferenceConfig, ViTConfig
from vit.data.records import Split
from vit.errors import DataError, ExplainError
from vit.explain.heads import portraits as heads
from vit.explain.heads.portrait_result import ORDER
from vit.explain.heads.portraits import portraits
from vit.networks import build_model

GRID = 4
TOKENS = GRID * GRID + 1


def split_of(images: int, seed: int = 0) -> Split:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    return Split(pixels, random.integers(0, 5, images), None, ("",) * images)


def make(config) -> nn.Module:
    """A network whose attention is far from even, with a layer scale that differs from number to number."""
    model = build_model(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "qkv" in name or "ls1" in name or (".q." in name or ".k." in name):
                one.normal_(std=0.6, generator=generator)
                if name.endswith("bias"):  # so that all queries of some heads look the same way
                    one.mul_(12)
    return model.eval().requires_grad_(False)


def gather(model: nn.Module, split: Split) -> dict[str, np.ndarray]:
    """Attention, values, heads' outputs and their maps to the tokens, from the model's own recorded pass."""
    record: dict = {}
    model((torch.from_numpy(split.images).float() / 255 - 0.5) / 0.5, record=record)
    found = {
        name: np.stack([layer[name].double().numpy() for layer in record["layers"]], axis=1)
        for name in ("attention", "v", "heads")
    }
    maps = []
    for block in model.blocks:
        width = block.attn.proj.weight.shape[0]
        scale = block.ls1.gamma.numpy() if hasattr(block, "ls1") and hasattr(block.ls1, "gamma") else np.ones(width)
        maps.append(scale[:, None] * block.attn.proj.weight.numpy())
    return found | {"maps": np.stack(maps)}


@pytest.mark.parametrize(
    "config",
    [
        tiny_config(pool="cls").model,
        tiny_config(pool="mean", depth=3).model,
        tiny_config(pool="mean", stem="patch", num_heads=4).model,
        ReferenceConfig(image_size=32, patch_size=8, embed_dim=16, mended=DEPARTURES),
    ],
)
def test_every_number_equals_its_definition(config, monkeypatch):
    monkeypatch.setattr(heads, "BATCH_MAX", 3)  # so that sums run over several batches
    model, split = make(config), split_of(7)
    seen = portraits(model, info_of(model), split)
    found = gather(model, split)
    a, b, depth, h = found["attention"], 7, len(model.blocks), config.num_heads
    d = found["v"].shape[-1]
    places = [(r, c) for r in range(GRID) for c in range(GRID)]
    assert (seen.grid, seen.prefix_tokens, seen.patch) == ((4, 4), 1, 8)
    np.testing.assert_array_equal(seen.images, np.arange(7))
    np.testing.assert_allclose(seen.picture, split.images.mean(axis=0).transpose(1, 2, 0), atol=0.51)
    for layer in range(depth):
        for head in range(h):
            at, weight = (layer, head), found["maps"][layer][:, head * d : (head + 1) * d]
            numbers = {name: [] for name in ("entropy", "distance", "own", "neighbour", "prefix", "departure")}
            focus, with_focus, weighted, lengths = np.zeros(TOKENS), 0, 0.0, []
            for image in range(b):
                rows = a[image, layer, head]
                length = [
                    np.linalg.norm(
                        found["maps"][layer][:, head * d : (head + 1) * d] @ found["v"][image, layer, head, m]
                    )
                    for m in range(TOKENS)
                ]
                lengths.append(np.mean(length))
                any_focus = False
                for m in range(TOKENS):
                    takers = sum(rows[1 + q, m] >= 3 / TOKENS for q in range(16))
                    if takers >= 0.9 * 16:
                        drawn = np.mean([rows[1 + q, m] for q in range(16)])
                        focus[m] += drawn
                        weighted += drawn * length[m]
                        any_focus = True
                with_focus += any_focus
                for q, (r, c) in enumerate(places):
                    row = rows[1 + q]
                    numbers["entropy"].append(-sum(x * np.log(x) for x in row if x > 0))
                    to_patches = row[1:] / row[1:].sum()
                    numbers["distance"].append(
                        sum(x * 8 * np.hypot(r - y, c - z) for x, (y, z) in zip(to_patches, places, strict=True))
                    )
                    numbers["own"].append(row[1 + q])
                    numbers["neighbour"].append(
                        sum(row[1 + k] for k, (y, z) in enumerate(places) if max(abs(r - y), abs(c - z)) == 1)
                    )
                    numbers["prefix"].append(row[0])
                    numbers["departure"].append(sum(abs(x - 1 / TOKENS) for x in row) / 2)
            expected = {name: np.mean(values) for name, values in numbers.items()}
            assert seen.entropy[at] == pytest.approx(expected["entropy"], abs=1e-5)
            assert seen.entropy_share[at] == pytest.approx(expected["entropy"] / np.log(17), abs=1e-5)
            assert seen.distance[at] == pytest.approx(expected["distance"], rel=1e-5)
            assert seen.own_share[at] == pytest.approx(expected["own"], abs=1e-5)
            assert seen.neighbour_share[at] == pytest.approx(expected["neighbour"], abs=1e-5)
            assert seen.prefix_share[at] == pytest.approx(expected["prefix"], abs=1e-5)
            assert seen.departure[at] == pytest.approx(expected["departure"], abs=1e-5)

            mean = a[:, layer, head].mean(axis=0)
            np.testing.assert_allclose(seen.attention[at], mean, atol=1e-5)
            apart = np.abs(mean[1:] - 1 / TOKENS).sum(axis=1).mean() / 2
            assert seen.by_place[at] == pytest.approx(apart / expected["departure"], abs=1e-5)
            by_key = mean[1:, 1:].mean(axis=0)
            assert (seen.key[at], seen.key_share[at]) == (by_key.argmax(), pytest.approx(by_key.max(), abs=1e-5))
            steps = {}
            for down in range(-3, 4):
                for right in range(-3, 4):
                    shares = [
                        mean[1 + q, 1 + k]
                        for q, (r, c) in enumerate(places)
                        for k, place in enumerate(places)
                        if place == (r + down, c + right)
                    ]
                    if len(shares) >= 8:
                        steps[down, right] = np.mean(shares)
            best = max(steps, key=steps.get)
            assert (tuple(seen.offset(*at)), seen.offset_share[at]) == (best, pytest.approx(steps[best], abs=1e-5))

            np.testing.assert_allclose(seen.focus[at], focus / b, atol=1e-5)
            assert seen.focus_rate[at] == pytest.approx(with_focus / b)
            if focus.any():
                assert seen.focus_value[at] == pytest.approx(weighted / focus.sum() / np.mean(lengths), rel=1e-5)
            else:
                assert np.isnan(seen.focus_value[at])

            summary = {"cls": range(1), "mean": range(1, TOKENS), "all": range(TOKENS)}[model.pool]
            for image in range(b):
                added = [np.linalg.norm(weight @ found["heads"][image, layer, head, n]) for n in summary]
                assert seen.strength[image, layer, head] == pytest.approx(np.mean(added), rel=1e-5)
    assert seen.even_distance == pytest.approx(
        8 * np.mean([np.hypot(r - y, c - z) for r, c in places for y, z in places])
    )
    assert (seen.focus_rate > 0).any(), "no head has a focus, so that part was not tried"


class Patterned(nn.Module):
    """One block of heads with prescribed attention, ``patterns(image) -> (h n m)``, and values of these ``lengths``."""

    def __init__(self, patterns, lengths) -> None:
        super().__init__()
        self.patterns, self.lengths = patterns, lengths
        self.attn = SimpleNamespace(proj=None)

    def forward(self, x, record):
        attention = torch.stack([torch.from_numpy(self.patterns(int(one))).float() for one in x[:, 0, 0]])
        b, h = attention.shape[:2]
        v = torch.from_numpy(self.lengths).float().expand(b, h, TOKENS)[..., None]
        empty = torch.zeros(b, TOKENS, 1)
        record.update(attention=attention, v=v, heads=attention @ v, q=v, k=v, out=empty, mlp=empty, tokens=empty)
        return x


class Prescribed(nn.Module):
    """A network of such a block; an image is its number, written into its first pixel."""

    normalised_over, mixes_positions, num_prefix_tokens, grid, pool = "key", False, 1, (GRID, GRID), "mean"

    def __init__(self, patterns, lengths=None) -> None:
        super().__init__()
        self.config = ViTConfig()  # for the number of channels
        self.weight = nn.Parameter(torch.zeros(1))
        self.blocks = nn.Sequential(Patterned(patterns, np.ones(TOKENS) if lengths is None else lengths))

    def embed(self, images):
        number = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round()
        return number[:, None, None].expand(-1, TOKENS, 1)

    def forward(self, images, record=None, edits=None):
        tokens = self.embed(images)
        layer: dict = {}
        self.blocks[0](tokens, layer)
        record.update(embedded=tokens, layers=[layer])
        return torch.zeros(len(images), 5)


def look(pattern, images: int = 12, lengths=None):
    """The portrait of one head whose attention in image i is ``pattern(i) (n m)``."""
    split = split_of(images)
    split.images[:, 0, 0, 0] = np.arange(images)
    model = Prescribed(lambda image: pattern(image)[None], lengths).eval()
    return portraits(model, info_of(model), split)


def rows(fill) -> np.ndarray:
    """Attention from unnormalised rows: ``fill(attention, query row, query column, patches)`` writes each patch's."""
    attention = np.full((TOKENS, TOKENS), 1e-4)
    for q in range(16):
        fill(attention[1 + q], q // GRID, q % GRID, attention[1 + q, 1:].reshape(GRID, GRID))
    return attention / attention.sum(axis=1, keepdims=True)


def even(_):
    return np.full((TOKENS, TOKENS), 1 / TOKENS)


def left(_):
    def fill(row, r, c, patches):
        patches[r, max(0, c - 1)] = 1

    return rows(fill)


def near(image):
    def fill(row, r, c, patches):
        generator = np.random.default_rng((image, r, c))
        for y in range(max(0, r - 1), min(GRID, r + 2)):
            for x in range(max(0, c - 1), min(GRID, c + 2)):
                patches[y, x] = generator.random()

    return rows(fill)


def corner(_):
    def fill(row, r, c, patches):
        patches[0, 3] = 0.8
        patches[...] += 0.02

    return rows(fill)


def half(_):
    def fill(row, r, c, patches):
        patches[:, 2:] = 1 if c < 2 else 0.01  # each half looks at the other
        patches[:, :2] = 0.01 if c < 2 else 1

    return rows(fill)


def wandering(image):
    """Nearly everything on one patch, another in each image."""

    def fill(row, r, c, patches):
        patches.flat[(5 * image) % 16] = 1
        patches[...] += 0.01

    return rows(fill)


def class_token(_):
    def fill(row, r, c, patches):
        row[0] = 0.6
        patches[...] = 0.4 / 16

    return rows(fill)


def by_content(image):
    """Each query at five patches that the image decides."""

    def fill(row, r, c, patches):
        patches.flat[np.random.default_rng((image, r, c)).permutation(16)[:5]] = 1

    return rows(fill)


LOW = np.where(np.arange(TOKENS) == 0, 0.1, 1.0)


@pytest.mark.parametrize(
    ("pattern", "lengths", "name"),
    [
        (even, None, "global"),
        (left, None, "positional"),
        (corner, None, "positional"),
        (half, None, "positional"),
        (near, None, "local"),
        (by_content, None, "content"),
        (class_token, LOW, "sink"),
        (class_token, None, "positional"),  # it takes much from the class token, so this is no parking
        (wandering, None, "content"),  # all patches attend to one patch
    ],
)
def test_heads_get_the_expected_names(pattern, lengths, name):
    assert look(pattern, lengths=lengths).names.tolist() == [[name]]


def test_the_numbers_of_known_patterns():
    seen = look(even)
    assert seen.entropy_share[0, 0] == pytest.approx(1)
    assert seen.effective_tokens[0, 0] == pytest.approx(17, rel=1e-5)
    assert seen.distance[0, 0] == pytest.approx(seen.even_distance)
    assert seen.by_place[0, 0] == 1
    assert (seen.prefix_share[0, 0], seen.own_share[0, 0]) == pytest.approx((1 / 17, 1 / 17))
    assert seen.neighbour_share[0, 0] == pytest.approx(seen.even_neighbour_share)
    assert seen.focus_share[0, 0] == 0

    seen = look(left)
    assert tuple(seen.offset(0, 0)) == (0, -1)
    assert seen.offset_share[0, 0] == pytest.approx(1, abs=0.01)
    assert seen.distance[0, 0] == pytest.approx(8 * 12 / 16, abs=0.05)  # patches at the left edge look at themselves
    assert seen.by_place[0, 0] == pytest.approx(1, abs=1e-5)

    seen = look(corner)
    assert seen.key[0, 0] == 3
    assert seen.key_share[0, 0] == pytest.approx(0.82 / 1.12, abs=0.01)

    assert look(class_token).prefix_share[0, 0] == pytest.approx(0.6, abs=0.01)
    assert look(by_content, images=200).by_place[0, 0] < 0.15


def test_a_sink_has_short_values_and_is_not_a_fixed_patch():
    values = np.ones(TOKENS)
    low_everywhere = look(wandering, images=16, lengths=values)
    assert low_everywhere.focus_rate[0, 0] == 1
    assert low_everywhere.focus_value[0, 0] == pytest.approx(1)
    assert low_everywhere.sink_share[0, 0] == 0

    values[1:4] = 0.01  # the first three patches are what the head looks at in turn
    turns = look(lambda image: wandering(13 * (image % 3)), lengths=values)  # 5 * 13 = 1 modulo 16
    assert turns.focus[0, 0].nonzero()[0].tolist() == [1, 2, 3]
    assert turns.names[0, 0] == "sink"
    assert turns.sink_share[0, 0] == pytest.approx(turns.focus_share[0, 0])

    same = look(lambda image: wandering(0), lengths=values)
    assert (same.sink_share[0, 0], same.names[0, 0]) == (0, "positional")


def test_heads_are_sorted_by_name_and_distance():
    patterns = [even, by_content, left, near, class_token]
    split = split_of(12)
    split.images[:, 0, 0, 0] = np.arange(12)
    model = Prescribed(lambda image: np.stack([one(image) for one in patterns]), LOW).eval()
    seen = portraits(model, info_of(model), split)
    names = [seen.names[at] for at in seen.order()]
    assert names == ["local", "positional", "content", "global", "sink"] == [n for n in ORDER if n in names]
    assert sorted(seen.order()) == list(np.ndindex(1, 5))


def test_driving_images_are_those_to_which_the_head_adds_most():
    model, split = make(tiny_config().model), split_of(20)
    seen = portraits(model, info_of(model), split, count=12)
    rows = seen.images
    assert (len(rows), rows.tolist()) == (12, sorted(set(rows.tolist())))
    strongest = seen.driving(1, 0, 4)
    strengths = dict(zip(rows.tolist(), seen.strength[:, 1, 0], strict=True))
    assert strongest.tolist() == sorted(strengths, key=strengths.get, reverse=True)[:4]
    classes = seen.driving_classes(1, 0, 4)
    assert sum(found for _, found, _ in classes) == 4
    for name, found, chance in classes:
        label = seen.class_names.index(name)
        assert found == sum(split.labels[row] == label for row in strongest)
        assert chance == pytest.approx(4 * np.mean(split.labels[rows] == label))


def test_networks_without_attention_rows_are_refused():
    with pytest.raises(ExplainError, match="no heads"):
        portraits(CNN(CNNConfig(image_size=32)).eval(), info_of(None), split_of(5))
    course = build_model(ReferenceConfig(image_size=32, patch_size=8, embed_dim=16), seed=0)
    with pytest.raises(ExplainError, match="columns of a map sum to 1"):
        portraits(course.eval(), info_of(None), split_of(5))
    with pytest.raises(DataError, match="no validation images"):
        portraits(make(tiny_config().model), info_of(None), split_of(0))


def test_progress_reaches_its_total_in_small_steps(monkeypatch):
    monkeypatch.setattr(heads, "BATCH_BYTES", 4 * 2 * TOKENS**2 * 5)  # five images of two heads
    told = []
    model = make(tiny_config().model)
    portraits(model, info_of(model), split_of(12), progress=lambda *it: told.append(it))
    assert told == [(5, 24), (10, 24), (15, 24), (20, 24), (22, 24), (24, 24)]
