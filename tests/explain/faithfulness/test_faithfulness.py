"""Curves, measures, intervals and comparisons, compared with loops; only the true map beats chance."""

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.explain.maps.test_gradcam import make_cnn
from tests.explain.test_capture import make
from vit.data import Split
from vit.errors import ExplainError
from vit.explain import METHODS, Method
from vit.explain.faithfulness import result as measures
from vit.explain.faithfulness.bootstrap import RESAMPLES, intervals
from vit.explain.faithfulness.chance_maps import CHANCE_MAPS, noise, order
from vit.explain.faithfulness.fold_weights import fold_standardised_weights
from vit.explain.faithfulness.maps import make_maps, on_grid, pass_cost
from vit.explain.faithfulness.measure import curve_frames, curves_of, measure_faithfulness, object_shares, pick_images
from vit.explain.faithfulness.verdict import summary, verdict
from vit.explain.maps.target import Target
from vit.explain.passes.parallel import Meter, in_parallel
from vit.reference import ReferenceViT

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
FAST = {name: method for name, method in METHODS.items() if method.fast}


def made_of(function, **settings) -> Method:
    """A method around a function."""
    return replace(METHODS["chefer"], function=function, title="Made up", **settings)


def split_of(count: int, *, masks: bool = True, side: int = 32) -> Split:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    drawn = np.zeros((count, side, side), dtype=np.uint8)
    for index, mask in enumerate(drawn):
        top, left = random.integers(0, side // 2, 2)
        mask[top : top + 5 + index % 12, left : left + 14] = 1
    return Split(images, np.arange(count) % 5, drawn if masks else None, ("",) * count)


# Curves


def expected_curve(model, image, label, ranked, kind, fill, side):
    """Image by image, patch by patch."""
    patches = len(ranked)
    width = 32 // side
    if fill == "mean":
        blank = image.mean(dim=(1, 2))[:, None, None].expand_as(image)
    else:
        weights = np.exp(-((np.arange(32)[:, None] - np.arange(32)) ** 2) / (2 * width**2))
        weights = torch.tensor(weights / weights.sum(axis=1, keepdims=True), dtype=torch.float32)
        blank = torch.stack([weights @ channel @ weights.T for channel in image])
    found = []
    for k in range(11):
        count = round(k * patches / 10)
        start, change = (image, blank) if kind == "deletion" else (blank, image)
        seen = start.clone()
        for patch in ranked[:count]:
            y, x = divmod(int(patch), side)
            place = np.s_[:, y * width : (y + 1) * width, x * width : (x + 1) * width]
            seen[place] = change[place]
        found.append(float(model(seen[None]).softmax(dim=1)[0, label]))
    return found


@pytest.mark.parametrize("settings", [{}, {"pool": "mean"}, {"stem": "conv", "pool": "mean"}])
def test_curves_are_the_probabilities_of_images_covered_patch_by_patch(settings):
    model, image = make(**settings), torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(1))
    orders = np.stack([np.random.default_rng(row).permutation(16) for row in range(3)])
    with torch.no_grad():
        found = curves_of(model, image, 2, orders, (4, 4))
        for row, ranked in enumerate(orders):
            for f, fill in enumerate(("mean", "blur")):
                for k, kind in enumerate(("deletion", "insertion")):
                    expected = expected_curve(model, image, 2, ranked, kind, fill, 4)
                    np.testing.assert_allclose(found[row, f, k], expected, atol=1e-5)


def test_the_model_runs_once_for_each_distinct_covered_image():
    seen = []

    class Counting(nn.Module):
        def forward(self, images):
            seen.extend(image.numpy().tobytes() for image in images)
            return torch.zeros(len(images), 5)

    orders = np.stack([np.arange(16), np.arange(16), np.arange(16)[::-1]])
    curves_of(Counting(), torch.rand(3, 32, 32), 0, orders, (4, 4))
    # Of each fill: the first j patches covered or the last j, for eleven j, all and none in common. Two rows are one,
    # and the third one's deletion is their insertion.
    assert len(seen) == 2 * (11 + 11 - 2)
    assert len(set(seen)) == len(seen) - 1  # the whole image, once a fill


def test_area_is_the_sum_of_trapezoids_over_the_share_of_patches():
    counts = np.array([0, 2, 3, 5, 6, 8, 10, 11, 13, 14, 16])
    curve = np.random.default_rng(0).random((4, 11))
    expected = [sum((row[i] + row[i + 1]) / 2 * (counts[i + 1] - counts[i]) / 16 for i in range(10)) for row in curve]
    np.testing.assert_allclose(measures.area(curve, counts), expected, rtol=1e-6)
    assert measures.area(np.ones(11), counts) == pytest.approx(1)


# Masks


def test_object_shares_count_the_pixels_of_each_patch():
    masks = split_of(3).masks[:, :31, :30]
    found = object_shares(masks, (4, 4))
    for index, mask in enumerate(masks):
        for patch in range(16):
            inside = [
                mask[y, x]
                for y in range(31)
                for x in range(30)
                if y * 4 // 31 == patch // 4 and x * 4 // 30 == patch % 4
            ]
            assert found[index, patch] == pytest.approx(sum(inside) / len(inside))


def test_measures_of_masks_by_loops():
    random = np.random.default_rng(0)
    maps = random.normal(size=(20, 16))  # signed: the negative part must not count
    maps[3] = -1
    shares = np.clip(random.normal(0.3, 0.4, size=(20, 16)), 0, 1)
    orders = np.stack([order(one.reshape(4, 4), 0, index) for index, one in enumerate(maps)])
    on = shares >= 0.5
    inside, pointing, iou = (
        measures.share_inside(maps, shares),
        measures.pointing_game(orders, on),
        measures.iou(orders, on),
    )
    for index in range(20):
        positive = [max(value, 0) for value in maps[index]]
        if index == 3:  # says nothing, as a uniform one
            positive = [1] * 16
        weighted = sum(value * share for value, share in zip(positive, shares[index], strict=True))
        assert inside[index] == pytest.approx(weighted / sum(positive))
        assert pointing[index] == (shares[index, orders[index, 0]] >= 0.5)
        theirs = {patch for patch in range(16) if shares[index, patch] >= 0.5}
        named = set(orders[index, : len(theirs)].tolist())
        assert iou[index] == pytest.approx(len(theirs & named) / len(theirs | named))


def test_images_without_a_patch_on_the_object_are_left_out_and_counted():
    split = split_of(8)
    split.masks[2] = 0
    split.masks[5] = 0
    split.masks[5, :3, :3] = 1
    result = measure_faithfulness(make(num_classes=5), split, **HALF, images=8, methods={"rollout": FAST["rollout"]})
    assert np.flatnonzero(~result.counted).tolist() == [2, 5]
    row = result.row("rollout")
    for name in ("inside", "pointing", "iou"):
        assert np.flatnonzero(np.isnan(row.values[name])).tolist() == [2, 5]
        kept = [value for index, value in enumerate(row.values[name]) if index not in (2, 5)]
        assert result.scores["rollout"][name].mean == pytest.approx(np.mean(kept))
    assert result.to_dict()["images_with_object"] == 6


# Intervals


def test_intervals_are_percentiles_of_means_of_resampled_images():
    values = np.random.default_rng(1).gamma(2, size=(30, 2))
    draws = np.random.default_rng(7).multinomial(30, [1 / 30] * 30, size=RESAMPLES)
    for column, found in enumerate(intervals(values, seed=7)):
        means = []
        for draw in draws:
            images = [index for index, times in enumerate(draw) for _ in range(times)]
            assert len(images) == 30
            means.append(np.mean(values[images, column]))
        assert found.mean == pytest.approx(values[:, column].mean())
        assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_the_width_of_an_interval_is_that_of_theory():
    found = intervals(np.random.default_rng(0).normal(5, 2, size=(400, 1)))[0]
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 2 / 20, rel=0.1)
    with pytest.raises(ValueError, match="at least one image"):
        intervals(np.empty((0, 2)))


# Chance


def test_ties_are_broken_at_random_and_the_same_way_each_time():
    flat = order(np.ones((4, 4)), 0, 3)
    assert flat.tolist() != list(range(16))
    assert sorted(flat) == list(range(16))
    np.testing.assert_array_equal(flat, order(noise((4, 4), 0, 3), 0, 3))
    np.testing.assert_array_equal(flat, order(np.zeros((4, 4)), 0, 3))
    assert flat.tolist() != order(np.ones((4, 4)), 0, 4).tolist()
    assert order(np.arange(16.0).reshape(4, 4), 0, 3).tolist() == list(range(15, -1, -1))


def test_the_gaussian_is_highest_in_the_middle_and_the_same_in_all_corners():
    for grid in ((8, 8), (14, 14), (5, 7)):
        bump = CHANCE_MAPS["gaussian"].function(grid, 0, 0)
        np.testing.assert_array_equal(bump, bump[::-1, ::-1])
        assert bump.max() == bump[grid[0] // 2, grid[1] // 2]
        assert bump[0, 0] == bump.min()


@pytest.mark.parametrize("labels", [np.repeat(np.arange(5), 40), np.arange(200) % 5])
def test_picked_images_cover_all_classes_of_sorted_and_alternating_splits(labels):
    chosen = pick_images(200, 25)
    assert (chosen // 8).tolist() == list(range(25))
    assert set(labels[chosen]) == set(range(5))
    assert pick_images(200, 25, seed=1).tolist() != chosen.tolist()
    assert pick_images(10, 25).tolist() == list(range(10))


# The whole


class Bright(nn.Module):
    """Two classes; the first one's logit is a weighted sum of the pixels' brightness, so that the truth is known."""

    grid = (4, 4)
    config = SimpleNamespace(num_classes=2)

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights, requires_grad=False)

    def forward(self, images):
        score = (images * self.weights).sum(dim=(1, 2, 3)) - 1
        return torch.stack([score, -score], dim=1)


def truth(model, images, target):
    """How much each patch adds to the score, by the model's own weights."""
    return (images * model.weights).unfold(2, 8, 8).unfold(3, 8, 8).sum(dim=(1, 4, 5)).numpy()


@pytest.fixture(scope="module")
def judged():
    """A linear model whose class is bright squares anywhere, asked by the truth, by noise and by a uniform map."""
    random = np.random.default_rng(0)
    images = random.integers(0, 40, (60, 3, 32, 32), dtype=np.uint8)
    masks = np.zeros((60, 32, 32), dtype=np.uint8)
    for image, mask in zip(images, masks, strict=True):
        for patch in random.choice(16, 3, replace=False):
            place = np.s_[8 * (patch // 4) : 8 * (patch // 4) + 8, 8 * (patch % 4) : 8 * (patch % 4) + 8]
            image[(slice(None), *place)] = 255
            mask[place] = 1
    split = Split(images, np.zeros(60, dtype=np.int64), masks, ("",) * 60)
    model = Bright(torch.full((3, 32, 32), 0.005)).eval()
    untrained = Bright(torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.01).eval()
    methods = {
        "truth": made_of(truth, signed=True),
        "noise": made_of(lambda model, images, target: random.random((len(images), 4, 4))),
        "flat": made_of(lambda model, images, target: np.ones((len(images), 4, 4))),
    }
    return measure_faithfulness(
        model, split, mean=(0, 0, 0), std=(1, 1, 1), images=60, methods=methods, untrained=untrained
    )


def test_the_truth_beats_chance_on_every_measure(judged):
    assert set(judged.measures) == set(measures.MEASURES)
    assert all(it.better and it.low > 0 for it in judged.advantages["truth"].values())
    assert verdict(judged, "truth").kind == "evidence"
    assert verdict(judged, "truth").sentence == "better than chance on every measure"
    scores = judged.scores["truth"]
    assert scores["pointing"].mean == scores["iou"].mean == 1
    assert scores["deletion_mean"].mean < judged.scores["random"]["deletion_mean"].mean
    assert scores["insertion_blur"].mean > judged.scores["random"]["insertion_blur"].mean


@pytest.mark.parametrize("name", ["noise", "flat"])
def test_noise_and_a_uniform_map_do_not(judged, name):
    assert not any(it.better for it in judged.advantages[name].values())
    found = verdict(judged, name)
    assert found.kind == "decoration"
    assert "better than chance on" not in found.sentence.replace("no better than chance on", "")
    assert summary(judged)["decoration"] == "Not supported: Made up and Made up, no better than chance on any curve."


def test_a_uniform_map_has_the_curves_of_the_random_order(judged):
    np.testing.assert_array_equal(judged.row("uniform").curves, judged.row("random").curves)
    np.testing.assert_array_equal(judged.row("flat").curves, judged.row("random").curves)
    assert judged.advantages["flat"]["deletion_mean"].mean <= 0


def test_a_method_is_compared_with_its_best_control_including_untrained_weights(judged):
    for name in ("truth", "noise", "flat"):
        rivals = ["uniform", "gaussian", "random", f"{name}-untrained"]
        assert {row.name for row in judged.chance_rows(name)} == set(rivals)
        for measure, it in judged.measures.items():
            values = {rival: judged.row(rival).values[measure] for rival in rivals}
            means = {rival: it.sign * np.mean(value) for rival, value in values.items()}
            found = judged.advantages[name][measure]
            assert means[found.against] == max(means.values())
            paired = [
                it.sign * (mine - theirs)
                for mine, theirs in zip(judged.row(name).values[measure], values[found.against], strict=True)
            ]
            assert found.mean == pytest.approx(np.mean(paired), abs=1e-12)
            expected = intervals(np.array(paired)[:, None])[0]
            assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_map_that_does_not_depend_on_training_is_reported(judged):
    assert verdict(judged, "truth").learned
    for name in ("noise", "flat"):
        assert "not better on any curve than its own map" in verdict(judged, name).sentence
    own = judged.over_untrained["truth"]["insertion_mean"]
    values = [judged.row(row).values["insertion_mean"] for row in ("truth", "truth-untrained")]
    assert (own.mean, own.against) == (pytest.approx(np.mean(values[0] - values[1])), "truth-untrained")


def test_maps_from_untrained_weights_are_evaluated_with_the_trained_model():
    split, model = split_of(6), make(num_classes=5)
    result = measure_faithfulness(model, split, **HALF, images=6, methods={"rollout": FAST["rollout"]})
    untrained = result.row("rollout-untrained")
    assert untrained.chance
    assert not np.allclose(untrained.maps, result.row("rollout").maps)
    inputs = torch.from_numpy(split.images / 255).float() * 2 - 1
    with torch.no_grad():
        whole = model(inputs).softmax(dim=1)
    np.testing.assert_array_equal(result.labels, whole.argmax(dim=1))
    for row in result.rows:
        np.testing.assert_allclose(row.curve("deletion", "blur")[:, 0], whole.amax(dim=1), atol=1e-5)
        np.testing.assert_allclose(row.curve("insertion", "mean")[:, -1], whole.amax(dim=1), atol=1e-5)


def test_the_result_depends_only_on_the_seed():
    model, split = make(num_classes=5), split_of(30)
    one, two, other = (
        measure_faithfulness(model, split, **HALF, images=7, methods={"chefer": FAST["chefer"]}, seed=seed)
        for seed in (0, 0, 1)
    )
    assert one.to_dict() == two.to_dict()
    assert one.images.tolist() != other.images.tolist()
    json.dumps(one.to_dict(), allow_nan=False)


def test_without_masks_only_the_curves_are_measured():
    result = measure_faithfulness(make(num_classes=5), split_of(6, masks=False), **HALF, images=6)
    assert list(result.measures) == ["deletion_mean", "deletion_blur", "insertion_mean", "insertion_blur"]
    assert result.to_dict()["images_with_object"] is None
    assert {row.name for row in result.methods} == set(FAST)


def test_a_convolutional_network_is_measured_on_squares_with_its_available_methods():
    model = make_cnn()
    result = measure_faithfulness(model, split_of(5), **HALF, images=5)
    assert [row.name for row in result.methods] == ["gradcam"]
    assert result.grid == (8, 8)
    own = FAST["gradcam"].function(model, torch.from_numpy(split_of(5).images / 255).float() * 2 - 1)
    assert own.shape == (5, 2, 2)
    np.testing.assert_allclose(result.row("gradcam").maps[:, 0, 0], own[:, 0, 0], atol=1e-5)


def test_unavailable_methods_are_left_out_with_the_reason():
    torch.manual_seed(0)
    course = ReferenceViT(image_size=32, patch_size=8, embed_dim=16, num_heads=2, depth=1).eval().requires_grad_(False)
    result = measure_faithfulness(course, split_of(5), **HALF, images=5, methods=FAST)
    assert [row.name for row in result.methods] == ["last"]
    assert "mixes positions" in result.refused["rollout"]
    assert verdict(result, "last").kind == "decoration"  # its softmax makes this map an even one
    with pytest.raises(ExplainError, match="mixes positions"):
        measure_faithfulness(course, split_of(5), **HALF, images=5, methods={"chefer": FAST["chefer"]})


def test_maps_of_another_grid_are_averaged_or_interpolated():
    fine = np.arange(16.0).reshape(1, 4, 4).astype(np.float32)
    np.testing.assert_allclose(on_grid(fine, (2, 2)), [[[2.5, 4.5], [10.5, 12.5]]])
    coarse = np.array([[[0, 4], [0, 4]]], dtype=np.float32)
    np.testing.assert_allclose(on_grid(coarse, (4, 4))[0], [[0, 1, 3, 4]] * 4)


def test_progress_reaches_its_total_and_slow_methods_report_in_between():
    seen = []
    methods = {name: METHODS[name] for name in ("rollout", "occlusion")}
    measure_faithfulness(
        make(num_classes=5), split_of(12), **HALF, images=12, methods=methods, progress=lambda *it: seen.append(it)
    )
    done = [it[0] for it in seen]
    assert done == sorted(done)
    assert seen[-1] == (seen[0][1], seen[0][1])


def test_a_stop_raised_by_progress_ends_the_work():
    class Stopped(BaseException):
        pass

    def progress(done, total):
        if done:
            raise Stopped

    cores, threads = torch.get_num_threads(), threading.active_count()
    with pytest.raises(Stopped):
        measure_faithfulness(make(num_classes=5), split_of(60), **HALF, images=60, progress=progress)
    assert (torch.get_num_threads(), threading.active_count()) == (cores, threads)


def test_curve_frames_are_the_images_of_the_measured_curve():
    split, model = split_of(6), make(num_classes=5)
    result = measure_faithfulness(model, split, **HALF, images=6, methods={"chefer": FAST["chefer"]})
    view = np.moveaxis(split.images[4], 0, -1)
    for kind in ("deletion", "insertion"):
        for fill in ("mean", "blur"):
            seen = curve_frames(model, view, FAST["chefer"], **HALF, kind=kind, fill=fill, number=4)
            np.testing.assert_allclose(seen.probabilities, result.row("chefer").curve(kind, fill)[4], atol=1e-5)
            np.testing.assert_array_equal(seen.frames[0 if kind == "deletion" else -1], view)
    assert seen.label == result.labels[4]
    np.testing.assert_allclose(seen.shares, result.counts / 16)


# Many passes


@pytest.mark.parametrize("make_one", [lambda: make(stem="conv"), make, make_cnn])
def test_folded_weights_give_equal_logits_and_do_not_change_the_network(make_one):
    model, images = make_one(), torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.testing.assert_close(fold_standardised_weights(model)(images), model(images), rtol=0, atol=0)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


def test_maps_that_share_a_pass_equal_those_of_each_method_alone():
    model, images = (
        make(stem="conv", pool="mean"),
        torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
    )
    target = Target(torch.tensor([1, 2, 0]))
    own = {"chefer": made_of(lambda model, images, target: np.ones((len(images), 4, 4)))}  # a name is not enough
    for methods in (METHODS, own):
        meter = Meter(1)
        for method, found in zip(methods.values(), make_maps(model, methods, images, target, meter), strict=True):
            np.testing.assert_allclose(found, method.function(model, images, target), atol=1e-6)
        assert meter.done == pytest.approx(sum(map(pass_cost, methods.values())) * 3)


# Workers


def test_each_worker_has_one_core_and_the_caller_s_number_is_restored():
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        meter = Meter(9)

        def work(item):
            meter.add(1)
            return item, torch.get_num_threads()

        assert in_parallel(work, range(9), meter) == [(item, 1) for item in range(9)]
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (torch.get_num_threads(), later, meter.done) == (2, [2], 9)
    finally:
        torch.set_num_threads(cores)


def test_an_error_in_a_worker_is_raised():
    def work(item):
        if item == 3:
            raise ExplainError("not this one.")

    with pytest.raises(ExplainError, match="not this one"):
        in_parallel(work, range(8), Meter(8))
