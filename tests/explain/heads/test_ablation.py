"""Importance of heads and pruning, compared with loops of one full forward pass for each head."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.explain.interventions.test_head_changes import INFO, split, tensors
from tests.test_edits import course, vit
from vit.cnn import CNN
from vit.config import CNNConfig
from vit.edits import BlockEdit
from vit.errors import ExplainError
from vit.explain.heads import ablation
from vit.explain.heads.ablation import Outcome, head_importance, measure_outcome
from vit.explain.heads.pruning import POINTS_MAX, pruning
from vit.explain.interventions.head_changes import Change, to_edits, validation_means
from vit.explain.passes import sample as sampling
from vit.explain.passes.sample import MEASURED, RANKED, sample

NETWORKS = [
    pytest.param(lambda: vit(pool="cls", stem="patch"), id="cls-patch"),
    pytest.param(lambda: vit(pool="mean", stem="conv", depth=3), id="mean-conv"),
    pytest.param(course, id="course"),
]


def whole_pass(model, one, edit=None, gone=()):
    """Correctness and loss of each image, where the output of the ``gone`` heads ``(layer, head)`` is ``edit``'s."""
    right, losses = [], []
    for image, label in zip(tensors(one), one.labels, strict=True):
        hooks = []
        for layer, head in gone:
            attn = model.blocks[layer].attn
            d = model.config.embed_dim // model.config.num_heads
            part = slice(d * head, d * (head + 1))
            value = 0 if edit is None else edit.heads[layer, head]
            # Changes the input of the projection, or in the course network the output of the attention.
            if getattr(attn, "proj", None) is not None:
                hooks.append(attn.proj.register_forward_pre_hook(replacing(part, value)))
            else:
                hooks.append(attn.register_forward_hook(replacing_output(part, value)))
        logits = model(image[None], record={})[0]  # which computes every token of every block
        for hook in hooks:
            hook.remove()
        right.append(int(logits.argmax()) == label)
        losses.append(float(logits.logsumexp(0) - logits[label]))
    return np.array(right), np.array(losses)


def replacing(part, value):
    def hook(_, inputs):
        changed = inputs[0].clone()
        changed[..., part] = value
        return (changed,)

    return hook


def replacing_output(part, value):
    def hook(_, __, output):
        changed = output.clone()
        changed[..., part] = value
        return changed

    return hook


@pytest.mark.parametrize("make", NETWORKS)
def test_losses_without_each_head_equal_those_of_full_passes(make):
    model, one = make(), split(12)
    means = validation_means(model, sample(model, INFO, one))
    found = head_importance(model, sample(model, INFO, one), means)
    right, losses = whole_pass(model, one)
    np.testing.assert_array_equal(found.before.right, right)
    np.testing.assert_allclose(found.before.loss, losses, atol=1e-5)
    for layer in range(model.config.depth):
        for head in range(3):
            for kind, value in (("zero", None), ("mean", means)):
                right_without, losses_without = whole_pass(model, one, value, [(layer, head)])
                np.testing.assert_array_equal(found.without[kind].right[layer, head], right_without)
                np.testing.assert_allclose(found.without[kind].loss[layer, head], losses_without, atol=1e-5)
                lost, gained = found.estimate("accuracy", kind), found.estimate("loss", kind)
                assert lost.value[layer, head] == pytest.approx(right.mean() - right_without.mean())
                assert gained.value[layer, head] == pytest.approx(np.mean(losses_without - losses), abs=1e-5)


@pytest.mark.parametrize("make", NETWORKS)
def test_the_gradient_measure_is_that_of_an_explicit_mask(make):
    model, one = make(), split(6)
    depth = model.config.depth
    found = head_importance(model, sample(model, INFO, one), validation_means(model, sample(model, INFO, one)))
    expected = np.zeros((depth, 3))
    for image, label in zip(tensors(one), one.labels, strict=True):
        mask = torch.ones(depth, 3, requires_grad=True)
        hooks = []
        for layer in range(depth):
            attn = model.blocks[layer].attn
            wide = mask[layer].repeat_interleave(8)  # the numbers of a head lie side by side

            def masked(_, inputs, wide=wide):
                return (inputs[0] * wide,)

            def masked_output(_, __, output, wide=wide):
                return output * wide

            hooks.append(
                attn.proj.register_forward_pre_hook(masked)
                if getattr(attn, "proj", None) is not None
                else attn.register_forward_hook(masked_output)
            )
        loss = F.cross_entropy(model(image[None]), torch.tensor([label]))
        expected += torch.autograd.grad(loss, mask)[0].abs().numpy() / len(one)
        for hook in hooks:
            hook.remove()
    value = found.estimate("gradient").value
    np.testing.assert_allclose(value, expected, atol=1e-5)
    by_layer = found.estimate("gradient-by-layer").value
    for layer in range(depth):
        norm = math.sqrt(sum(expected[layer, head] ** 2 for head in range(3)))
        np.testing.assert_allclose(by_layer[layer], expected[layer] / norm, rtol=1e-4)


def test_the_gradient_is_the_slope_of_the_loss():
    model, one = vit(pool="mean"), split(5)
    batches = sample(model, INFO, one)
    found = head_importance(model, batches, validation_means(model, batches))
    step = 1e-2
    for layer in range(2):
        for head in range(3):
            part = torch.zeros(1, 3, 1, 1)
            part[:, head] = step
            up, down = (
                measure_outcome(model, batches, {layer: BlockEdit(ablated=sign * part)}).loss for sign in (-1, 1)
            )
            np.testing.assert_allclose(found.gradient[layer, head], np.abs(up - down) / (2 * step), atol=2e-3)


@pytest.mark.parametrize("make", NETWORKS)
def test_a_pruning_curve_equals_that_of_full_passes(make):
    model, one = make(), split(9)
    heads = [(layer, head) for layer in range(model.config.depth) for head in range(3)]
    order = heads[::-1][1:] + heads[-1:]
    means = validation_means(model, sample(model, INFO, split(8, seed=1)))
    for kind, value in (("zero", None), ("mean", means)):
        found = pruning(model, sample(model, INFO, one), {"mine": order}, kind, means, seeds=2)
        assert list(found.gone) == list(range(len(heads) + 1))
        assert found.random.right.shape == (2, len(heads) + 1, 9)
        for gone in found.gone:
            right, losses = whole_pass(model, one, value, order[:gone])
            np.testing.assert_array_equal(found.ranked["mine"].right[gone], right)
            np.testing.assert_allclose(found.ranked["mine"].loss[gone], losses, atol=1e-5)
        for point in (0, -1):  # random orders begin and end where the ranked ones do
            np.testing.assert_allclose(found.random.loss[:, point], [found.ranked["mine"].loss[point]] * 2, atol=1e-5)


def test_a_curve_of_many_heads_has_few_points_with_both_ends():
    model = vit(embed_dim=64, num_heads=16, depth=2)
    found = pruning(model, sample(model, INFO, split(5)), {}, seeds=1)
    assert (found.gone[0], found.gone[-1], len(found.gone)) == (0, 32, POINTS_MAX)


def test_the_order_starts_with_the_least_important_head():
    model, one = vit(), split(40)
    batches = sample(model, INFO, one)
    found = head_importance(model, batches, validation_means(model, batches))
    gained = found.estimate("loss").value
    order = found.order("loss")
    assert sorted(order) == [(layer, head) for layer in range(2) for head in range(3)]
    assert [gained[at] for at in order] == sorted(gained.ravel())


def test_ranking_and_measuring_share_no_image():
    model, one = vit(), split(41)
    halves = [sample(model, INFO, one, 30, part) for part in (RANKED, MEASURED)]
    ranked, measured = (
        {image.numpy().tobytes() for step in range(len(half)) for image in half.batch(step)[0]} for half in halves
    )
    assert (len(ranked), len(measured), len(ranked & measured)) == (15, 15, 0)
    batches = sample(model, INFO, one, 30)
    found = head_importance(model, batches, validation_means(model, batches))
    first = head_importance(model, sample(model, INFO, one, 30, RANKED), validation_means(model, batches))
    np.testing.assert_allclose(found.select(RANKED).gradient, first.gradient, atol=1e-5)
    np.testing.assert_allclose(found.select(RANKED).without["zero"].loss, first.without["zero"].loss, atol=1e-5)


def test_the_batch_size_does_not_change_the_result(monkeypatch):
    model, one = vit(), split(10)
    batches = sample(model, INFO, one)
    means = validation_means(model, batches)
    whole = head_importance(model, batches, means)
    monkeypatch.setattr(sampling, "BATCH_MAX", 3)
    monkeypatch.setattr(ablation, "HEADS_MAX", 2)
    parts = head_importance(model, sample(model, INFO, one), means)
    np.testing.assert_allclose(parts.without["mean"].loss, whole.without["mean"].loss, atol=1e-5)
    np.testing.assert_allclose(parts.gradient, whole.gradient, atol=1e-5)


def test_standard_errors_are_those_of_paired_differences():
    before = Outcome(np.array([True, True, True, False]), np.array([0.1, 0.2, 0.3, 2.0]))
    after = Outcome(np.array([[False, True, True, True]]), np.array([[1.1, 0.2, 0.3, 1.0]]))
    lost, gained = ablation.accuracy_lost(before, after), ablation.loss_gained(before, after)
    changes = np.array([1, 0, 0, -1])
    assert (lost.value[0], lost.error[0]) == (0, pytest.approx(np.std(changes, ddof=1) / 2))
    assert gained.error[0] == pytest.approx(np.std([1, 0, 0, -1], ddof=1) / 2)
    assert before.accuracy_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


@pytest.mark.parametrize(("wins", "losses", "chance"), [(5, 0, True), (6, 0, False), (0, 6, False), (9, 2, True)])
def test_a_loss_of_accuracy_is_tested_by_an_exact_sign_test(wins, losses, chance):
    right = np.ones(100, dtype=bool)
    right[:losses] = False
    after = np.ones(100, dtype=bool)
    after[losses : losses + wins] = False
    tosses = wins + losses
    tail = sum(math.comb(tosses, one) for one in range(min(wins, losses) + 1)) / 2**tosses
    assert (2 * tail > 0.05) == chance
    found = ablation.accuracy_lost(Outcome(right, np.zeros(100)), Outcome(after, np.zeros(100)))
    assert bool(found.by_chance) == chance


def test_progress_reaches_its_total_and_can_stop_the_work():
    model = vit()
    batches = sample(model, INFO, split(70))
    means, seen = validation_means(model, batches), []
    head_importance(model, batches, means, lambda *step: seen.append(step))
    pruning(model, batches, {}, seeds=2, progress=lambda *step: seen.append(step))
    measure_outcome(model, batches, None, lambda *step: seen.append(step))
    assert [step[1] for step in seen if step[0] == step[1]] == [4, 4, 2]

    class Stopped(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    for work in (
        lambda: head_importance(model, batches, means, stop),
        lambda: pruning(model, batches, {}, progress=stop),
        lambda: measure_outcome(model, batches, None, stop),
        lambda: validation_means(model, batches, stop),
    ):
        with pytest.raises(Stopped):
            work()


def test_a_convolutional_network_has_an_outcome_and_no_heads():
    torch.manual_seed(0)
    model = CNN(CNNConfig(image_size=32)).eval()
    batches = sample(model, INFO, split(10))
    assert measure_outcome(model, batches).loss.shape == (10,)
    for work in (lambda: head_importance(model, batches, None), lambda: pruning(model, batches, {})):
        with pytest.raises(ExplainError, match="no attention heads"):
            work()


def test_the_outcome_of_a_batch_with_edits_equals_that_of_single_images():
    model, one = vit(), split(8)
    edits = to_edits(model, [Change(1, 2, "zero"), Change(2, 1, "zero")])
    right, losses = whole_pass(model, one, None, [(0, 1), (1, 0)])
    found = measure_outcome(model, sample(model, INFO, one), edits)
    np.testing.assert_array_equal(found.right, right)
    np.testing.assert_allclose(found.loss, losses, atol=1e-5)
