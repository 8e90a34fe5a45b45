"""Activation patching, compared with hooks on timm's network, and with its definition."""

import numpy as np
import pytest
import torch

from tests.helpers.published_runs import SHAPES, published_like
from tests.helpers.timm_parts import pair_of_models, patched
from vit import ViTConfig
from vit.cnn import CNN
from vit.config import DEPARTURES, CNNConfig
from vit.edits import BlockEdit, Replacement
from vit.errors import ExplainError, SettingsError, UserError
from vit.explain import capture
from vit.explain.maps.target import Target
from vit.explain.patching.mean import mean_effect, scene_pairs, split_pairs
from vit.explain.patching.patch import (
    SITES,
    TOKEN_SITES,
    attribute_each,
    edit_of,
    patch_each,
    patch_paths,
    patch_together,
    places_from_text,
    places_to_text,
    rank_correlation,
    record_runs,
)
from vit.reference import ReferenceViT

FAMILIES = {
    "plain": {},
    "pooled": {"global_pool": "avg", "fc_norm": False},
    "pooled-then-normed": {"global_pool": "avg"},
    "registers-scaled": {"reg_tokens": 2, "init_values": 0.3, "no_embed_class": True},
    "no-class-token": {"class_token": False, "global_pool": "avg", "fc_norm": False, "qkv_bias": False},
}


def networks() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    small = {"image_size": 32, "patch_size": 16, "embed_dim": 24, "num_heads": 3}
    return {
        **{name: published_like(config) for name, config in SHAPES.items() if config.num_classes},
        "conv": published_like(
            ViTConfig(image_size=32, patch_size=8, embed_dim=24, num_heads=3, depth=2, stem="conv", init_values=0.5)
        ),
        "course": ReferenceViT(**small).eval(),
        "mended": ReferenceViT(**small, mended=DEPARTURES).eval(),
    }


NETWORKS = networks()
every = pytest.mark.parametrize("name", NETWORKS)


def pictures(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, 32, 32, generator=generator), torch.randn(1, 3, 32, 32, generator=generator)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_patch_equals_a_hook_on_timms_network(family, direction):
    theirs, ours = pair_of_models(**FAMILIES[family])
    clean, corrupt = pictures()
    base, source = (corrupt, clean) if direction == "denoise" else (clean, corrupt)
    runs = record_runs(ours, clean, corrupt, Target(1, 3), direction)
    with torch.no_grad():
        differences = [(logits[1] - logits[3]).item() for logits in (theirs(clean)[0], theirs(corrupt)[0])]
        assert [runs.clean, runs.corrupt] == pytest.approx(differences, abs=1e-5)
        for site in SITES:
            found = patch_each(runs, site)
            assert found.shape == (3, ours.config.num_tokens if site in TOKEN_SITES else 3)
            for layer, unit in [(0, 0), (1, 2), (2, found.shape[1] - 1), (2, 0)]:
                logits = patched(theirs, base, source, site, layer, unit)
                assert found[layer, unit] == pytest.approx((logits[1] - logits[3]).item(), abs=2e-5), (site, layer)


@every
def test_patching_everything_gives_1_and_nothing_gives_0(name):
    model = NETWORKS[name]
    runs = record_runs(model, *pictures(), Target(1, 0))
    tokens, depth = model.config.num_tokens, model.config.depth
    for layer in range(depth):
        whole = patch_together(runs, [("residual", [(layer, token) for token in range(tokens)])])
        assert runs.effect(whole) == pytest.approx(1, abs=1e-5)
    heads = [(layer, head) for layer in range(depth) for head in range(model.config.num_heads)]
    branches = [(layer, token) for layer in range(depth) for token in range(tokens)]
    first = [(0, token) for token in range(tokens)]
    of_heads = [(site, heads) for site in SITES if site not in TOKEN_SITES]
    everything = [("residual", first), ("mlp", branches), *of_heads]
    assert runs.effect(patch_together(runs, everything)) == pytest.approx(1, abs=1e-5)
    nothing = patch_together(runs, [(site, []) for site in SITES])
    assert runs.effect(nothing) == pytest.approx(0, abs=1e-5)


@every
@pytest.mark.parametrize("site", SITES)
def test_a_group_of_one_is_the_unit_alone(name, site):
    runs = record_runs(NETWORKS[name], *pictures(), Target(1, 0))
    found = patch_each(runs, site)
    for place in [(0, 0), (1, 1)]:
        assert patch_together(runs, [(site, [place])]) == pytest.approx(found[place], abs=1e-5)


@every
def test_a_patch_of_nothing_changes_no_logit(name):
    model, (image, other) = NETWORKS[name], pictures()
    theirs = capture(model, other)
    off = torch.zeros(())
    with torch.no_grad():
        for layer in range(model.config.depth):
            own = theirs.layers[layer]
            edit = BlockEdit(
                tokens=Replacement(theirs.entering(layer), off),
                q=Replacement(own.q, off),
                k=Replacement(own.k, off),
                v=Replacement(own.v, off),
                pattern=own.attention,
                replaced=off,
                output=own.heads,
                ablated=off,
                mlp=Replacement(own.mlp, off),
            )
            torch.testing.assert_close(model(image, edits={layer: edit}), model(image), atol=1e-5, rtol=1e-5)


@every
@pytest.mark.parametrize("site", SITES)
def test_the_estimate_is_the_slope_of_the_patch(name, site):
    """The gradient times the difference is what a small part of the patch does, divided by its size."""
    model = NETWORKS[name]
    runs = record_runs(model, *pictures(), Target(1, 0))
    estimate, step = attribute_each(runs, site), 1e-2
    with torch.no_grad():
        for layer, unit in [(0, 1), (1, 0)]:
            where = torch.zeros(1, estimate.shape[1])
            ends = []
            for sign in (-1, 1):
                where[0, unit] = sign * step
                logits = model(runs.images, edits={layer: edit_of(runs.source, site, layer, where)})
                ends.append((logits[0, 1] - logits[0, 0]).item())
            slope = (ends[1] - ends[0]) / (2 * step)
            assert estimate[layer, unit] - runs.base_difference == pytest.approx(slope, abs=2e-3, rel=2e-2)


def test_both_directions_meet():
    """Noising the clean run is denoising with the images exchanged."""
    clean, corrupt = pictures()
    there = record_runs(NETWORKS["plain"], clean, corrupt, Target(1, 0), "noise")
    back = record_runs(NETWORKS["plain"], corrupt, clean, Target(1, 0), "denoise")
    for site in SITES:
        assert there.effect(patch_each(there, site)) == pytest.approx(back.effect(patch_each(back, site)), abs=1e-5)


def test_an_effect_without_a_difference_is_undefined():
    clean, _ = pictures()
    runs = record_runs(NETWORKS["plain"], clean, clean.clone(), Target(1, 0))
    assert "same logit difference" in runs.undefined
    with pytest.raises(ExplainError, match="undefined"):
        runs.effect(patch_each(runs, "head"))


def test_a_path_equals_its_written_out_definition():
    """The receiver gets the tokens of the base plus the change of the sender's output through its W_O."""
    model = NETWORKS["scaled"]
    runs = record_runs(model, *pictures(), Target(1, 0))
    found = patch_paths(runs, (0, 2))
    assert np.isnan(found[0]).all()
    block, receiver, width = model.blocks[0], model.blocks[1], model.config.head_dim
    with torch.no_grad():
        change = runs.source.layers[0].heads[:, 2] - runs.base.layers[0].heads[:, 2]
        written = change @ block.attn.proj.weight[:, 2 * width : 3 * width].T * block.ls1.gamma
        tokens = runs.base.layers[0].tokens + written
        qkv = receiver.attn.qkv(receiver.norm1(tokens)).view(1, -1, 3, 4, width).permute(2, 0, 3, 1, 4)
        for head in range(4):
            q, k, v = (part[:, head] for part in qkv)
            out = torch.softmax(q @ k.transpose(1, 2) / width**0.5, -1) @ v
            heads = runs.base.layers[1].heads.clone()
            heads[:, head] = out
            joined = heads.transpose(1, 2).flatten(2)
            entered = runs.base.layers[0].tokens + receiver.ls1(receiver.attn.proj(joined))
            logits = model.classify(entered + receiver.ls2(receiver.mlp(receiver.norm2(entered))))
            assert found[1, head] == pytest.approx((logits[0, 1] - logits[0, 0]).item(), abs=1e-5)
    for single in "qkv":
        assert not np.allclose(patch_paths(runs, (0, 2), single)[1], found[1], atol=1e-7)


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    one, other = np.random.default_rng(0).integers(0, 6, (2, 4, 5)).astype(float)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert np.isnan(rank_correlation(one, np.ones_like(one)))


@pytest.mark.parametrize(
    ("target", "words"),
    [(Target(1), "two classes"), (Target(1, 1), "the same"), (Target(1, 9), "no class 9"), (Target("cat", 1), "cat")],
)
def test_other_targets_are_refused(target, words):
    with pytest.raises(UserError, match=words):
        record_runs(NETWORKS["plain"], *pictures(), target)


def test_networks_without_attention_or_classes_are_refused():
    with pytest.raises(ExplainError, match="no attention"):
        record_runs(CNN(CNNConfig(image_size=32)).eval(), *pictures(), Target(1, 0))
    with pytest.raises(ExplainError, match="without classes"):
        record_runs(published_like(SHAPES["clip"]), *pictures(), Target(1, 0))


def test_a_place_that_does_not_exist_is_refused():
    runs = record_runs(NETWORKS["plain"], *pictures(), Target(1, 0))
    with pytest.raises(ExplainError, match="no head 5 in layer 1"):
        patch_together(runs, [("head", [(0, 4)])])


@pytest.mark.parametrize("by_gradient", [False, True])
def test_the_mean_is_that_of_the_pairs(by_gradient):
    model = NETWORKS["plain"]

    def prepare(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1

    pairs = scene_pairs("object", 6, image_size=32)
    seen = []
    found = mean_effect(
        model, pairs, prepare, "head", by_gradient=by_gradient, progress=lambda *state: seen.append(state)
    )
    assert seen[-1] == (6, 6)
    effects, weights = [], []
    for pair in pairs:
        clean, corrupt, label, other = pair()
        runs = record_runs(model, prepare(clean), prepare(corrupt), Target(label, other))
        effects.append(runs.effect((attribute_each if by_gradient else patch_each)(runs, "head")))
        weights.append(abs(runs.clean - runs.corrupt))
    assert found.mean == pytest.approx(np.average(effects, axis=0, weights=weights), abs=1e-6)
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()
    assert found.pairs == 6
    assert len(found.agreement) == (0 if by_gradient else 6)


def test_pairs_of_a_split_have_different_classes():
    from vit.data.records import Split

    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    split = Split(pixels, np.arange(12) % 3, None, None)
    found = [pair() for pair in split_pairs(split, 12)]
    assert len(found) == 12
    for clean, corrupt, label, other in found:
        assert label != other
        assert clean.shape == (32, 32, 3)
        assert not np.array_equal(clean, corrupt)


def test_places_are_written_and_read():
    places = ((0, 1), (1, 16))
    assert places_to_text(reversed(places)) == "1.2-2.17"
    assert places_from_text("2.17-1.2", (2, 17)) == places
    assert places_from_text("", (2, 17)) == ()
    for wrong in ("2.18", "3.1", "0.1", "1", "1.2-", "1.2--1.3", "a.b"):
        with pytest.raises(SettingsError):
            places_from_text(wrong, (2, 17))
