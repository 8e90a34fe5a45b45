"""Changes to heads in a forward pass, compared with plain implementations of single heads."""

import math
import threading

import pytest
import torch

from vit import ViT, ViTConfig
from vit.config import DEPARTURES
from vit.edits import BlockEdit
from vit.reference import ReferenceViT

LAYER = 1
CHANGES = ("temperature", "pattern", "zero", "output", "all")


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def vit(**settings) -> ViT:
    torch.manual_seed(0)
    model = ViT(ViTConfig(**{"image_size": 32, "embed_dim": 24, "num_heads": 3, "depth": 2} | settings))
    return strong(model)


def course(*mended: str) -> ReferenceViT:
    torch.manual_seed(0)
    return strong(ReferenceViT(image_size=32, patch_size=16, embed_dim=24, num_heads=3, mended=mended))


def strong(model):
    """A network with weights large enough that its heads differ and have an effect."""
    for name, weight in model.named_parameters():
        if ".attn." in name and weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.4)
    return model.eval().requires_grad_(False)


def edit(change: str, n: int, d: int) -> BlockEdit:
    """A change to one or two of three heads, the same for all images or not."""
    random = torch.Generator().manual_seed(1)
    pattern = torch.rand(1, 3, n, n, generator=random).softmax(-1)
    output = torch.randn(2, 3, n, d, generator=random)
    parts = {
        "temperature": {"temperature": torch.tensor([0.5, 1.0, 3.0]).view(1, 3, 1, 1)},
        "pattern": {"pattern": pattern, "replaced": torch.tensor([0.0, 1.0, 0.25]).view(1, 3, 1, 1)},
        "zero": {"ablated": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]).view(2, 3, 1, 1)},
        "output": {"output": output, "ablated": torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)},
    }
    if change == "all":
        return BlockEdit(**parts["temperature"], **parts["pattern"], **parts["output"])
    return BlockEdit(**parts[change])


def edited(scores, v, softmax_dim: int, after: float, change: BlockEdit, image: int, head: int):
    """Compute the output ``(n d)`` of one head for one image from ``scores (n m)`` and ``v (m d)``."""

    def of(values):
        return values[image % len(values), head % values.shape[1]]

    if change.temperature is not None:
        scores = scores / float(of(change.temperature))
    weights = torch.exp(scores - scores.max())
    attention = weights / weights.sum(dim=softmax_dim, keepdim=True)
    if change.pattern is not None:
        share = float(of(change.replaced))
        attention = (1 - share) * attention + share * of(change.pattern)
    out = torch.zeros(len(v), v.shape[1])
    for query in range(len(v)):
        for key in range(len(v)):
            out[query] += attention[query, key] * v[key] * after
    if change.ablated is not None:
        gone = float(of(change.ablated))
        out = (1 - gone) * out + (0 if change.output is None else gone * of(change.output))
    return attention, out


def written_out_vit(model: ViT, images, change: BlockEdit):
    """Logits, and the attention ``(b h n m)`` of the edited layer."""
    tokens, seen = model.embed(images), None
    for index, block in enumerate(model.blocks):
        here = change if index == LAYER else BlockEdit()
        normed, d = block.norm1(tokens), 8
        weight, bias = block.attn.qkv.weight, block.attn.qkv.bias
        added, maps = torch.zeros_like(tokens), torch.zeros(2, 3, tokens.shape[1], tokens.shape[1])
        for image in range(len(images)):
            for head in range(3):
                rows = [slice(24 * part + d * head, 24 * part + d * (head + 1)) for part in range(3)]
                q, k, v = (normed[image] @ weight[row].T + bias[row] for row in rows)
                maps[image, head], out = edited(q @ k.T / math.sqrt(d), v, -1, 1, here, image, head)
                added[image] += out @ block.attn.proj.weight[:, d * head : d * (head + 1)].T
        tokens = tokens + block.ls1(added + block.attn.proj.bias)
        tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
        seen = maps if index == LAYER else seen
    summary = model.norm(tokens)
    summary = summary[:, 0] if model.pool == "cls" else summary[:, 1:].mean(dim=1)
    return model.head(summary), seen


def written_out_course(model: ReferenceViT, images, change: BlockEdit):
    """Compute logits and attention of the course network, with or without its switches."""
    tokens, seen, d = model.embed(images), None, 8
    mended = bool(model.config.mended)
    for index, block in enumerate(model.blocks):
        here = change if index == LAYER else BlockEdit()
        normed, n = block.norm1(tokens), tokens.shape[1]
        out, maps = torch.zeros_like(tokens), torch.zeros(2, 3, n, n)
        for image in range(len(images)):
            for head, one in enumerate(block.attn.heads):
                own = normed[image] if mended else normed[image, :, d * head : d * (head + 1)].flatten()
                q, k, v = ((own @ part.weight.T + part.bias).view(n, d) for part in (one.q, one.k, one.v))
                before, after = (1 / math.sqrt(d), 1) if mended else (1, 1 / math.sqrt(d))
                axis = 1 if mended else 0
                maps[image, head], result = edited(before * (q @ k.T), v, axis, after, here, image, head)
                out[image, :, d * head : d * (head + 1)] = result
        tokens = tokens + (out if block.attn.proj is None else block.attn.proj(out))
        tokens = tokens + block.mlp(block.norm2(tokens))
        seen = maps if index == LAYER else seen
    return model.head(model.norm(tokens).mean(dim=1)), seen


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("settings", [{"pool": "cls", "stem": "patch"}, {"pool": "mean", "stem": "conv"}])
def test_a_changed_vit_equals_the_plain_implementation(images, settings, change):
    model = vit(**settings)
    one = edit(change, 17, 8)
    logits, attention = written_out_vit(model, images, one)
    record: dict = {}
    torch.testing.assert_close(model(images, record=record, edits={LAYER: one}), logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(record["layers"][LAYER]["attention"], attention, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits, model(images), atol=1e-4)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("mended", [(), DEPARTURES])
def test_a_changed_course_network_equals_the_plain_implementation(images, mended, change):
    model = course(*mended)
    one = edit(change, 5, 8)
    logits, attention = written_out_course(model, images, one)
    record: dict = {}
    torch.testing.assert_close(model(images, record=record, edits={LAYER: one}), logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(record["layers"][LAYER]["attention"], attention, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits, model(images), atol=1e-4)


@pytest.mark.parametrize("make", [vit, course])
def test_recorded_unrecorded_and_unchanged_passes_agree(images, make):
    model = make()
    n = model.config.num_tokens
    changes = {0: edit("zero", n, 8), 1: edit("all", n, 8)}
    torch.testing.assert_close(model(images, record={}, edits=changes), model(images, edits=changes))
    for unchanged in ({}, {0: BlockEdit()}, {1: BlockEdit(ablated=torch.zeros(1, 3, 1, 1))}):
        torch.testing.assert_close(model(images, edits=unchanged), model(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [vit, course])
def test_the_last_blocks_alone_give_the_same(images, make):
    model = make()
    one = {LAYER: edit("all", model.config.num_tokens, 8)}
    tokens = model.blocks[0](model.embed(images))
    torch.testing.assert_close(model.classify(model.blocks(tokens, None, one, start=1)), model(images, edits=one))


@pytest.mark.parametrize("make", [vit, course])
def test_edits_in_one_thread_do_not_affect_another(images, make):
    model = make()
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    changes = [None, {LAYER: edit("all", model.config.num_tokens, 8)}]
    expected = [model(images, edits=one) for one in changes]
    wrong = []

    def run(place: int) -> None:
        for _ in range(30):
            if not torch.equal(model(images, edits=changes[place]), expected[place]):
                wrong.append(place)

    threads = [threading.Thread(target=run, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(
    "half",
    [
        {"pattern": torch.ones(1, 1, 2, 2)},
        {"replaced": torch.ones(1, 1, 1, 1)},
        {"output": torch.ones(1, 1, 2, 2)},
    ],
)
def test_an_incomplete_change_is_refused(half):
    with pytest.raises(ValueError, match=r"pattern and replaced|output needs ablated"):
        BlockEdit(**half)
