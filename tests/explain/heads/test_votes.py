"""Votes and circuits: they sum to what they explain, and equal a computation on timm's network."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.explain.patching.test_patch import FAMILIES, NETWORKS, every, pictures
from tests.helpers.published_runs import SHAPES, published_like
from tests.helpers.timm_parts import caught, hooked, pair_of_models
from vit.cnn import CNN
from vit.config import CNNConfig, ViTConfig
from vit.data.records import Split
from vit.errors import ExplainError, UserError
from vit.explain import capture
from vit.explain.heads.ablation import head_importance
from vit.explain.heads.circuits import role, score_parts, singular_vectors, written_classes
from vit.explain.heads.rankings import compare_rankings, votes_of_images
from vit.explain.heads.votes import position_part, votes
from vit.explain.interventions.head_changes import validation_means
from vit.explain.maps.target import Target
from vit.explain.passes.sample import sample
from vit.model import ViT
from vit.reference import ReferenceViT
from vit.runs.weights import CheckpointInfo

circuits_of = pytest.mark.parametrize(
    "name", [name for name, model in NETWORKS.items() if not isinstance(model, ReferenceViT)] + ["clip-with-classes"]
)


def network(name: str) -> torch.nn.Module:
    if name == "clip-with-classes":
        return published_like(SHAPES["clip"].model_copy(update={"num_classes": 6}))
    return NETWORKS[name]


def images_of(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", [*NETWORKS, "clip-with-classes"])
@pytest.mark.parametrize("target", [Target(1), Target(1, 0), Target(None, 2), Target([0, 2], 1)])
def test_the_votes_sum_to_the_logit(name, target):
    model, images = network(name), images_of()
    found = votes(model, images, target)
    with torch.no_grad():
        expected = target.for_model(model, 2).score(model(images)).numpy()
    assert found.logit == pytest.approx(expected, abs=1e-4)
    for image in range(2):
        assert sum(value for _, value in found.parts(image)) == pytest.approx(expected[image], abs=1e-4)
    names = [name for name, _ in found.parts()]
    assert len(names) == len(set(names)) == 3 + model.config.depth * (model.config.num_heads + 2)
    assert names[:3] == ["embedding", "positions", "layer 1 head 1"]
    if found.sources is not None:
        assert found.sources.sum(axis=-1) == pytest.approx(found.by_head(), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_votes_of_heads_and_mlps_equal_a_computation_on_timms_network(family):
    theirs, ours = pair_of_models(**FAMILIES[family])
    image, _ = pictures()
    found = votes(ours, image, Target(2, 4))
    ends = []
    after = theirs.blocks[-1]
    with hooked(after, False, lambda tensor: (ends.append(tensor), tensor)[1]):
        logits = theirs(image)[0]
    last, prefix = ends[0][0], theirs.num_prefix_tokens
    weight = theirs.head.weight[2] - theirs.head.weight[4]
    token_pool = theirs.global_pool == "token"
    pooled_first = not isinstance(theirs.fc_norm, torch.nn.Identity)
    norm = theirs.fc_norm if pooled_first else theirs.norm

    def vote(branch: torch.Tensor) -> float:
        """The vote of something that was added to the tokens ``(n e)``, with the deviation of the last tokens."""
        read = (lambda it: it[:1]) if token_pool else (lambda it: it[prefix:])
        rows, whole = read(branch), read(last)
        if pooled_first:
            rows, whole = rows.mean(dim=0, keepdim=True), whole.mean(dim=0, keepdim=True)
        deviation = torch.sqrt(whole.var(dim=1, correction=0, keepdim=True) + norm.eps)
        normed = (rows - rows.mean(dim=1, keepdim=True)) / deviation * norm.weight
        return float((normed @ weight).mean())

    assert found.logit[0] == pytest.approx(float(logits[2] - logits[4]), abs=1e-4)
    for index, block in enumerate(theirs.blocks):
        heads = caught(theirs, image, "head", index)  # h n d
        for head, out in enumerate(heads):
            width = out.shape[1]
            written = out @ block.attn.proj.weight[:, head * width : (head + 1) * width].T
            assert found.by_head()[0, index, head] == pytest.approx(vote(block.ls1(written)), abs=1e-4)
        assert found.mlps[0, index].sum() == pytest.approx(vote(caught(theirs, image, "mlp", index)), abs=1e-4)
        bias = block.ls1(block.attn.proj.bias.expand_as(last))
        assert found.attention_bias[0, index].sum() == pytest.approx(vote(bias), abs=1e-4)
    assert found.bias[0] == pytest.approx(
        float(norm.bias @ weight + theirs.head.bias[2] - theirs.head.bias[4]), abs=1e-4
    )


def test_a_source_token_has_the_vote_of_what_is_copied_from_it():
    """Setting one key's attention to zero removes its share of the head, with the norm's scale held."""
    model, image = NETWORKS["mean-normed"], pictures()[0]
    record = capture(model, image)
    found = votes(model, image, Target(1), record)
    layer, head, key = 1, 2, 5
    width = model.config.head_dim
    attention = record.layers[layer].attention[0, head]
    copied = attention[:, key, None] * record.layers[layer].v[0, head, key]
    written = copied @ model.blocks[layer].attn.proj.weight[:, head * width : (head + 1) * width].T
    pooled = record.layers[-1].tokens[0, 1:].mean(dim=0)
    part = written[1:].mean(dim=0)
    scale = 1 / math.sqrt(float(pooled.var(correction=0)) + model.fc_norm.eps)
    expected = float((part - part.mean()) * scale @ (model.fc_norm.weight * model.head.weight[1]))
    assert found.require_sources()[0, layer, head, key] == pytest.approx(expected, abs=1e-5)


def test_tokens_that_the_head_does_not_read_have_no_vote():
    found = votes(NETWORKS["plain"], images_of(), Target(1))
    assert not found.heads[..., 1:].any()
    pooled = votes(NETWORKS["registers-placed"], images_of(), Target(1))
    assert not pooled.heads[..., :5].any()
    assert pooled.heads[..., 5:].all()


def test_the_course_network_has_votes_but_no_sources():
    found = votes(NETWORKS["course"], images_of(), Target(1))
    with pytest.raises(ExplainError, match="mixes positions"):
        found.require_sources()
    assert votes(NETWORKS["mended"], images_of(), Target(1)).require_sources().shape[2:] == (3, 5)


def test_networks_without_a_head_or_attention_are_refused():
    with pytest.raises(ExplainError, match="without classes"):
        votes(published_like(SHAPES["clip"]), images_of(), Target(1))
    with pytest.raises(ExplainError, match="no attention"):
        votes(CNN(CNNConfig(image_size=32)).eval(), images_of(), Target(1))
    with pytest.raises(UserError, match="no class 77"):
        votes(NETWORKS["plain"], images_of(), Target(77))


@circuits_of
def test_the_positions_are_what_is_missing_without_them(name):
    model, images = network(name), images_of(1)
    without = copy.deepcopy(model)
    without.pos_embed.data.zero_()
    difference = model.embed(images) - without.embed(images)
    found = position_part(model, images)
    if model.config.pre_norm:  # the norm's scale would change without positions, so the formula is written out
        tokens = torch.cat([model.cls_token, model.patch_embed(images)], dim=1) + model.pos_embed
        deviation = torch.sqrt(tokens.var(-1, correction=0, keepdim=True) + model.norm_pre.eps)
        centred = model.pos_embed - model.pos_embed.mean(-1, keepdim=True)
        difference = centred / deviation * model.norm_pre.weight
    torch.testing.assert_close(found.expand_as(difference), difference, atol=1e-5, rtol=1e-5)


@circuits_of
def test_the_parts_of_the_scores_sum_to_the_scores(name):
    model, images = network(name), images_of(1)
    recorded: dict = {}
    with torch.no_grad():
        model(images, record=recorded)
    record = capture(model, images)
    for layer in range(model.config.depth):
        for head in range(model.config.num_heads):
            found = score_parts(model, images, record, layer, head)
            expected = recorded["layers"][layer]["scores"][0, head].numpy()
            assert found.scores == pytest.approx(expected, abs=1e-4)
            assert found.shares.sum() == pytest.approx(1)
    first = score_parts(model, images, record, 0, 0)
    assert not first.parts[2].any()  # nothing was written before the first layer
    assert first.shares[:, 3] == pytest.approx(0, abs=1e-9)  # a constant of the key moves no score within a row


def test_what_a_head_writes_to_the_classes_is_written_out():
    model, image = NETWORKS["scaled"], pictures()[0]
    record = capture(model, image)
    found = written_classes(model, record, 1, 3)
    block, width = model.blocks[1], model.config.head_dim
    last = record.layers[-1].tokens[0, 0]
    scale = 1 / math.sqrt(float(last.var(correction=0)) + model.norm.eps)
    for key in (0, 7):
        value = record.layers[1].v[0, 3, key]
        written = block.ls1(value @ block.attn.proj.weight[:, 3 * width : 4 * width].T)
        logits = model.head.weight @ ((written - written.mean()) * scale * model.norm.weight)
        assert found[key] == pytest.approx((logits - logits.mean()).numpy(), abs=1e-5)


@pytest.mark.parametrize("circuit", ["QK", "OV"])
def test_singular_vectors_are_those_of_the_whole_matrix(circuit):
    model, image = NETWORKS["plain"], pictures()[0]
    record = capture(model, image)
    layer, head, width, e = 1, 2, model.config.head_dim, model.config.embed_dim
    block = model.blocks[layer]
    rows = [slice(part * e + head * width, part * e + (head + 1) * width) for part in range(3)]
    query, key, value = (block.attn.qkv.weight[row].double() * block.norm1.weight for row in rows)
    written = block.attn.proj.weight[:, head * width : (head + 1) * width].T.double()
    matrix = query.T @ key if circuit == "QK" else value.T @ written
    left, values, right = torch.linalg.svd(matrix)
    found = singular_vectors(model, image, record, layer, head, circuit=circuit, count=3)
    assert found.values == pytest.approx(values[:3].numpy())
    assert found.share == pytest.approx((values**2 / (values**2).sum())[:3].numpy())
    tokens = F.layer_norm(record.layers[0].tokens[0], (e,), eps=block.norm1.eps).double()
    for index in range(3):  # a vector and its opposite are both right
        expected = (tokens @ left[:, index]).numpy()
        sign = np.sign(expected @ found.left[index])
        assert found.left[index] * sign == pytest.approx(expected, abs=1e-6)
        assert found.right[index] * sign == pytest.approx((tokens @ right[index]).numpy(), abs=1e-6)


def test_the_course_network_has_no_circuits():
    model = NETWORKS["course"]
    with pytest.raises(ExplainError, match="standard design"):
        score_parts(model, images_of(1), capture(model, images_of(1)), 0, 0)


@pytest.fixture(scope="module")
def measured():
    model = NETWORKS["plain"]
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3, 32, 32), dtype=np.uint8)
    split = Split(pixels, np.arange(30) % 6, None, None)
    info = CheckpointInfo.__new__(CheckpointInfo)
    object.__setattr__(info, "mean", (0.5,) * 3)
    object.__setattr__(info, "std", (0.5,) * 3)
    chosen = sample(model, info, split)
    return model, chosen, votes_of_images(model, chosen)


def test_votes_of_images_are_the_votes_of_each(measured):
    model, chosen, found = measured
    images, labels = chosen.batch(0)
    with torch.no_grad():
        logits = model(images)
    for row in range(3):
        others = [label for label in logits[row].argsort(descending=True).tolist() if label != labels[row]]
        one = votes(model, images[row : row + 1], Target(int(labels[row]), others[0]))
        assert found.values[row] == pytest.approx([value for _, value in one.parts()], abs=1e-4)
        assert found.heads[..., row] == pytest.approx(one.by_head()[0], abs=1e-4)
    means = found.means(2)
    assert [one.mean for one in means] == pytest.approx(found.values[found.labels == 2].mean(axis=0))
    assert all(one.low <= one.mean <= one.high for one in found.means())


def test_rankings_are_compared_by_spearmans_correlation(measured):
    from scipy.stats import spearmanr

    model, chosen, found = measured
    importance = head_importance(model, chosen, validation_means(model, chosen))
    boards = {
        "votes": found.heads.mean(axis=-1),
        "ablation": importance.estimate("loss").value,
        "gradient": importance.gradient.mean(axis=-1),
    }
    agreements = compare_rankings(found, importance, resamples=200)
    assert {frozenset((one.one, one.other)) for one in agreements} == {
        frozenset(pair) for pair in (("votes", "ablation"), ("votes", "gradient"), ("ablation", "gradient"))
    }
    for one in agreements:
        expected = spearmanr(boards[one.one].ravel(), boards[one.other].ravel()).statistic
        assert one.correlation.mean == pytest.approx(expected)
        assert -1 <= one.correlation.low <= one.correlation.high <= 1
    with pytest.raises(ValueError, match="the same ones"):
        compare_rankings(found, importance.select(slice(0, 5)))


@every
def test_without_its_votes_a_part_is_a_vote_of_zero(name):
    """A head whose output is zero votes zero."""
    from vit.edits import BlockEdit

    model, images = NETWORKS[name], images_of()
    off = {1: BlockEdit(ablated=torch.tensor([1.0] + [0.0] * (model.config.num_heads - 1)).view(1, -1, 1, 1))}
    with torch.no_grad():
        edited = model(images, edits=off)[:, 1].numpy()
    record = capture(model, images, edits=off)
    found = votes(model, images, Target(1), record)
    rest = sum(value for name_, value in found.parts() if name_ != "layer 2 head 1")
    assert rest == pytest.approx(edited[0], abs=1e-4)


def strong_head(position: float, content: float):
    """A network whose first head looks from each patch to the one before it, or to patches of the same colour."""
    model = ViT(
        ViTConfig(image_size=32, patch_size=8, embed_dim=48, num_heads=1, depth=1, stem="patch", pool="mean")
    ).requires_grad_(False)
    config = model.config
    model.pos_embed.zero_()
    for patch in range(config.grid**2):
        model.pos_embed[0, config.num_prefix_tokens + patch, 4 + patch] = position
    model.patch_embed.proj.weight.zero_()
    model.patch_embed.proj.bias.zero_()
    for channel in range(3):
        model.patch_embed.proj.weight[channel, channel] = content / 64
    qkv = torch.zeros(3, 48, 48)
    qkv[0, :4, :4] = qkv[1, :4, :4] = torch.eye(4)
    for patch in range(1, config.grid**2):
        qkv[0, 20 + patch, 4 + patch] = qkv[1, 20 + patch, 4 + patch - 1] = (
            1.0  # the query of a patch is the key of the last
        )
    model.blocks[0].attn.qkv.weight.copy_(qkv.view(144, 48))
    return model.eval()


def test_a_head_that_looks_one_patch_to_the_left_is_found_by_its_positions():
    found = role(strong_head(position=20.0, content=0.05), images_of(3), 0, 0)
    assert found.position > 0.9
    assert found.step == (0, -1)
    assert found.step_share == pytest.approx(1)
    assert found.images == 3


def test_a_head_that_looks_at_the_same_colour_is_found_by_its_content():
    coarse = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = F.normalize(coarse, dim=1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    by_colour = role(strong_head(position=0.0, content=20.0), images, 0, 0)
    assert by_colour.content > 0.9
    assert by_colour.colour > 0.8
    by_place = role(strong_head(position=20.0, content=0.05), images, 0, 0)
    assert by_place.content < 0.1
