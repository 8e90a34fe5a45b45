"""All explanations work for the shapes of published networks: no class token, registers, extra norms, no head."""

import numpy as np
import pytest
import torch

from tests.helpers.published_runs import SHAPES, published_config, published_like
from vit import plots
from vit.classes import class_names_of, match_classes
from vit.config import ViTConfig
from vit.cost.diagram import count_parameters, diagram
from vit.cost.layer_table import summarise
from vit.data.records import Split
from vit.edits import BlockEdit
from vit.errors import DataError, ExplainError
from vit.explain import (
    METHODS,
    attention_arrays,
    capture,
    capture_tokens,
    contributions,
    methods_for,
    portraits,
    prefix_share,
    principal_components,
    reason_unavailable,
    recompute,
    rollout,
    similarity_to,
    summary_lens,
    token_lens,
    token_maps,
    token_norms,
    token_rows,
    token_states,
)
from vit.explain.anatomy.arithmetic import head_arithmetic
from vit.explain.anatomy.filters import patch_filters, position_similarity
from vit.explain.faithfulness.measure import measure_faithfulness
from vit.explain.heads.ablation import head_importance
from vit.explain.heads.layer_similarity import grams
from vit.explain.interventions.head_changes import Change, output_similarity, run_with_edits, to_edits, validation_means
from vit.explain.passes.memory import require_room
from vit.explain.passes.sample import sample
from vit.runs.weights import CheckpointInfo

HALF = (0.5, 0.5, 0.5)
MODELS = {name: published_like(config) for name, config in SHAPES.items()}
every = pytest.mark.parametrize("name", SHAPES)
with_classes = pytest.mark.parametrize("name", [name for name, config in SHAPES.items() if config.num_classes])
without = pytest.mark.parametrize("name", [name for name, config in SHAPES.items() if not config.num_classes])


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def split_of(classes: int, count: int = 12) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    return Split(pixels, np.arange(count) % max(2, min(classes, 3)), None, ("",) * count)


def info_of(config: ViTConfig) -> CheckpointInfo:
    run = published_config("tiny", config)
    return CheckpointInfo(class_names_of(run), HALF, HALF, config.image_size, "", {}, run)


@every
def test_the_record_is_of_all_tokens_and_its_rows_sum_to_one(name, images):
    model, config = MODELS[name], SHAPES[name]
    record, prefix = capture(model, images), config.num_prefix_tokens
    assert record.attention.shape == (2, 2, 4, 16 + prefix, 16 + prefix)
    assert (record.prefix_tokens, record.grid) == (prefix, (4, 4))
    torch.testing.assert_close(record.attention.sum(-1), torch.ones(2, 2, 4, 16 + prefix))
    assert record.attention.std() > 0.03, "flat attention would test nothing"
    torch.testing.assert_close(recompute(model, images, record), model(images), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(
        token_maps(record, 5).sum(axis=(2, 3)) + prefix_share(record, 5), np.ones((2, 4)), atol=1e-5
    )


@every
def test_token_numbers_mean_summary_patches_and_prefix_tokens(name, images):
    config = SHAPES[name]
    record, prefix = capture(MODELS[name], images[:1]), config.num_prefix_tokens
    attention = attention_arrays(record)
    summary = attention[..., 0, :] if config.pool == "cls" else attention[..., prefix:, :].mean(axis=-2)
    np.testing.assert_array_equal(token_rows(record, attention, 0), summary)
    np.testing.assert_array_equal(token_rows(record, attention, 3), attention[..., prefix + 2, :])
    for place, token in enumerate(range(17, 17 + prefix)):
        np.testing.assert_array_equal(token_rows(record, attention, token), attention[..., place, :])
    with pytest.raises(ValueError, match="does not exist"):
        token_rows(record, attention, 17 + prefix)


@every
def test_available_methods_give_finite_maps_and_the_others_raise_a_reason(name, images):
    model, config = MODELS[name], SHAPES[name]
    given = methods_for(config)
    assert set(given) == (set(METHODS) if config.num_classes else {"last", "rollout"})
    assert bool(reason_unavailable(config)) == (not config.num_classes)
    for method in METHODS.values():
        options = {"steps": 17} if "steps" in method.options else {}
        if method in given.values():
            maps = method.function(model, images, 3, **options) if method.for_class else method.function(model, images)
            assert maps.shape == (2, 4, 4)
            assert np.isfinite(maps).all()
            assert maps.std() > 0, method.title
        else:
            with pytest.raises(ExplainError, match="without classes"):
                method.function(model, images, None, **options)


@pytest.mark.parametrize("name", ["thousand", "registers", "registers-alone", "plain"])
def test_rollout_is_the_product_of_half_attention_and_half_identity(name, images):
    config = SHAPES[name]
    attention = capture(MODELS[name], images).attention.double().numpy()
    n, prefix = attention.shape[-1], config.num_prefix_tokens
    expected = np.eye(n)[None].repeat(2, axis=0)
    for layer in range(2):
        expected = (0.5 * attention[:, layer].mean(axis=1) + 0.5 * np.eye(n)) @ expected
    rows = expected[:, :1] if config.pool == "cls" else expected[:, prefix:]
    np.testing.assert_allclose(rollout(MODELS[name], images), rows.mean(axis=1)[:, prefix:].reshape(2, 4, 4), atol=1e-6)


@with_classes
def test_the_lens_ends_with_the_model_s_prediction(name, images):
    model, config = MODELS[name], SHAPES[name]
    record = capture(model, images)
    lens = summary_lens(model, record)
    assert lens.shape == (2, 3, config.num_classes)
    np.testing.assert_allclose(lens[:, -1], model(images).softmax(dim=1).numpy(), atol=1e-5)
    each = token_lens(model, record)
    assert each.shape == (2, 3, config.num_tokens, config.num_classes)
    if config.pool == "cls":
        np.testing.assert_allclose(each[:, -1, 0], lens[:, -1], atol=1e-5)


@every
def test_the_tokens_alone_are_those_of_the_whole_record(name, images):
    whole, alone = capture(MODELS[name], images), capture_tokens(MODELS[name], images)
    torch.testing.assert_close(token_states(alone), token_states(whole), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alone.logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert alone.layers[0].attention.numel() == 0


@every
def test_tokens_have_similarities_components_and_lengths(name, images):
    record, n = capture(MODELS[name], images), SHAPES[name].num_tokens
    similarity = similarity_to(record, [0, 1, 16])
    assert similarity.shape == (3, 3, n)
    np.testing.assert_allclose(similarity[:, 1, n - 16], 1, atol=1e-5)  # the first patch with itself
    assert np.isfinite(principal_components(record).scores).all()
    assert token_norms(record).shape == (2, 3, n)
    assert contributions(MODELS[name], record).shape == (2, 2, 4, n, n)


@every
def test_the_arithmetic_of_a_head_is_the_model_s(name, images):
    model, config = MODELS[name], SHAPES[name]
    record: dict = {}
    model(images, record=record)
    for token in {0, config.num_prefix_tokens + 2, config.num_tokens - 1}:
        for layer in (1, 2):
            steps = {step.name: step.value for step in head_arithmetic(model, images, layer=layer, head=2, token=token)}
            layers = record["layers"]
            before = record["embedded"] if layer == 1 else layers[0]["tokens"]
            np.testing.assert_allclose(steps["tokens"], before[0], atol=1e-5)
            for one in ("q", "k", "v", "attention"):
                np.testing.assert_allclose(steps[one], layers[layer - 1][one][0, 1], atol=1e-5)
            np.testing.assert_allclose(steps["layer_tokens"], layers[layer - 1]["tokens"][0], atol=1e-4)
    with pytest.raises(ValueError, match="does not exist"):
        head_arithmetic(model, images, layer=1, head=1, token=config.num_tokens)


@every
def test_the_diagram_and_the_table_have_the_network_s_parameters_and_shapes(name, images):
    model, config = MODELS[name], SHAPES[name]
    stages = diagram(config, batch=2)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert count_parameters(stages) == summarise(config).parameters == parameters
    record: dict = {}
    logits = model(images, record=record)
    parts = stages[0].branches[0].parts
    assert parts[-1].shape == tuple(record["embedded"].shape)
    assert stages[-1].branches[0].parts[-1].shape == tuple(logits.shape)
    assert any("register" in part.name for part in parts) == bool(config.reg_tokens)
    assert any("lass token" in part.name for part in parts) == config.class_token


@every
def test_heads_have_portraits_changes_and_means(name, images):
    model, config = MODELS[name], SHAPES[name]
    split, info = split_of(config.num_classes), info_of(config)
    seen = portraits(model, info, split, class_names=("a", "b", "c"))
    for measured in (seen.entropy, seen.distance, seen.departure, seen.strength, seen.by_place, seen.sink_share):
        assert np.isfinite(measured).all()
    assert bool(seen.prefix_share.any()) == bool(config.num_prefix_tokens)
    assert seen.driving_classes(1, 2)[0][0] in ("a", "b", "c")
    means = validation_means(model, sample(model, info, split))
    own = capture(model, torch.from_numpy(split.images / 127.5 - 1).float()).attention.mean(dim=0)
    torch.testing.assert_close(means.attention, own, atol=1e-5, rtol=1e-4)
    before = run_with_edits(model, images)
    assert before.probabilities.shape == (config.num_classes,)
    assert output_similarity(before, before) == pytest.approx(1)
    changes = [Change(1, 1, "zero"), Change(1, 2, "mean"), Change(2, 3, "uniform"), Change(2, 4, "temperature", 0.5)]
    after = run_with_edits(model, images, to_edits(model, changes, means))
    np.testing.assert_allclose(after.attention[1, 2], 1 / config.num_tokens)
    assert output_similarity(before, after) < 0.9999
    off = {index: BlockEdit(ablated=torch.ones(1, 4, 1, 1)) for index in range(2)}
    assert torch.isfinite(model(images, edits=off)).all()
    assert len(grams(model, info, split.images).names) == 5


@every
def test_filters_and_positions_are_those_of_the_patches(name):
    model, config = MODELS[name], SHAPES[name]
    assert patch_filters(model).shape == (32, 3, 8, 8)
    similarity = position_similarity(model).reshape(16, 16)
    offset = 0 if config.no_embed_class else config.num_prefix_tokens
    one, other = model.pos_embed[0, offset + 2], model.pos_embed[0, offset + 9]
    assert similarity[2, 9] == pytest.approx(torch.cosine_similarity(one, other, dim=0).item(), abs=1e-5)


@with_classes
def test_functions_that_need_classes_run_if_there_are_any(name):
    model, config = MODELS[name], SHAPES[name]
    split, info = split_of(config.num_classes), info_of(config)
    chosen = sample(model, info, split)
    found = head_importance(model, chosen, validation_means(model, chosen))
    assert np.isfinite(found.estimate("loss").value).all()
    result = measure_faithfulness(model, split, mean=HALF, std=HALF, images=2, methods={"chefer": METHODS["chefer"]})
    assert all(np.isfinite(row.curves).all() for row in result.rows)


@without
def test_functions_that_need_classes_raise_if_there_are_none(name, images):
    model, config = MODELS[name], SHAPES[name]
    split, info = split_of(0), info_of(config)
    record, chosen = capture(model, images), sample(model, info, split)
    for asked in (
        lambda: summary_lens(model, record),
        lambda: token_lens(model, record),
        lambda: head_importance(model, chosen, validation_means(model, chosen)),
        lambda: measure_faithfulness(model, split, mean=HALF, std=HALF),
    ):
        with pytest.raises(ExplainError, match="features without classes"):
            asked()


def test_prefix_tokens_have_names():
    assert SHAPES["registers"].prefix_names == ("class token", *(f"register {number}" for number in range(1, 5)))
    assert SHAPES["registers-alone"].prefix_names == ("register 1", "register 2")
    assert SHAPES["thousand"].prefix_names == ()
    names = plots.token_names((4, 4), SHAPES["registers"].prefix_names)
    assert names[4:6] == ["register 4", "patch r1 c1"]
    lines = plots.norm_spread(np.ones((3, 21)), ["a", "b", "c"], names, 5, 1).data
    assert [line.name for line in lines] == ["patches", "median patch", *names[:5], "patch r1 c1"]
    assert len(plots.norm_spread(np.ones((3, 16)), ["a", "b", "c"], names[5:], 0, 0).data) == 2
    matrix = np.full((16, 16), 1 / 16)
    assert plots.attention_matrix(matrix, (4, 4), ()).layout.xaxis.ticktext[0] == "row 1"


def test_too_much_attention_is_refused_with_a_possible_image_size():
    large = ViTConfig(
        **{"image_size": 518, "patch_size": 14, "embed_dim": 384, "depth": 12, "num_heads": 6},
        **{"stem": "patch", "pool": "cls", "num_classes": 0},
    )
    with pytest.raises(ExplainError, match="541 MB") as refused:
        require_room(large)
    size = int(str(refused.value).split("image size of ")[1].split()[0])
    require_room(large.model_copy(update={"image_size": size}))
    with pytest.raises(ExplainError):
        require_room(large.model_copy(update={"image_size": size + 14}))


def test_classes_are_matched_by_any_name_that_the_model_lists():
    ours = ("tench, Tinca tinca", "crane", "tabby, tabby cat", "crane, machine")
    assert match_classes(("Tabby_cat", "tench", "crane", "machine"), ours, "mine").tolist() == [2, 0, 1, 3]
    with pytest.raises(DataError, match="not trained on \\(dog\\)"):
        match_classes(("dog", "crane"), ours, "mine")
