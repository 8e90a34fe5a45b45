"""Each kind of stored results is read back equal, by its arrays and by what follows from them."""

import io
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch

from vit import data, runs
from vit.explain.faithfulness.measure import measure_faithfulness
from vit.explain.faithfulness.stored import FAITHFULNESS
from vit.explain.heads.ablation import RANKING, head_importance
from vit.explain.heads.layer_similarity import Similarities, grams, similarity
from vit.explain.heads.portraits import portraits
from vit.explain.heads.pruning import pruning
from vit.explain.heads.stored import IMPORTANCE, PORTRAITS, PRUNING, SIMILARITIES
from vit.explain.interventions.head_changes import validation_means
from vit.explain.passes.sample import MEASURED, RANKED, sample
from vit.results.kinds import Kind
from vit.results.stored import StoredResult, stored_result
from vit.runs.weights import load_checkpoint


def assert_same(found: Any, expected: Any) -> None:
    """Compare results field by field, with the types of their arrays."""
    if is_dataclass(expected):
        assert type(found) is type(expected)
        for field in fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def measured_portraits(model, info, split):
    return portraits(model, info, split, count=20, class_names=("<b>", "ü", "c", "d", "e"))


def measured_importance(model, info, split):
    means = validation_means(model, sample(model, info, split, 20, RANKED))
    return head_importance(model, sample(model, info, split, 20), means), means


def measured_pruning(model, info, split):
    importance, means = measured_importance(model, info, split)
    orders = {name: importance.select(RANKED).order(name, "zero") for name in RANKING}
    return pruning(model, sample(model, info, split, 20, MEASURED), orders, "zero", means, seeds=2)


def measured_similarities(model, info, split):
    found = grams(model, info, split.images[:12])
    return Similarities(
        {"tokens": similarity(found), "summary": similarity(found, of="summary")}, found.names, found.names, 12
    )


def measured_faithfulness(model, info, split):
    return measure_faithfulness(model, split, mean=info.mean, std=info.std, images=5)


KINDS: dict[Kind[Any], Callable] = {
    PORTRAITS: measured_portraits,
    IMPORTANCE: measured_importance,
    PRUNING: measured_pruning,
    SIMILARITIES: measured_similarities,
    FAITHFULNESS: measured_faithfulness,
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def stored(request, several) -> tuple[StoredResult, Any]:
    """Return the place of a result of each kind, and the result that is stored there."""
    run, kind = runs.get_run("tiny-mean"), request.param
    split = data.load(run.config.data, splits=("val",)).val
    result = KINDS[kind](*load_checkpoint(run.path), split)
    place = stored_result(run, kind, split)
    place.keep(result)
    return place, result


def test_a_result_is_read_back_equal(stored):
    place, result = stored
    assert_same(place.read(), result)


def is_shared(place: StoredResult, axis: str) -> bool:
    """Return whether the size of an axis is known, or is that of an axis of another array, too."""
    axes = [one for array in place.kind.arrays.values() for one in array.shape.split()]
    return axis.isdigit() or axis in dict(place.sizes) or axes.count(axis) > 1


def test_no_result_is_read_of_arrays_that_were_tampered_with(stored):
    place, _ = stored
    with np.load(place.path, allow_pickle=False) as file:
        arrays = dict(file)
    for name, array in arrays.items():
        wrong = [array[None], array.astype(np.complex64) if array.dtype.kind != "U" else np.zeros(array.shape)]
        if array.dtype.kind == "f":
            wrong.append(np.full_like(array, np.inf))
        if name != "about" and array.ndim and array.size and is_shared(place, place.kind.arrays[name].shape.split()[0]):
            wrong.append(np.concatenate([array, array]))
        for changed in wrong:
            content = io.BytesIO()
            np.savez(content, **arrays | {name: changed})
            place.path.write_bytes(content.getvalue())
            assert place.read() is None, name
        content = io.BytesIO()
        np.savez(content, **{key: value for key, value in arrays.items() if key != name})
        place.path.write_bytes(content.getvalue())
        assert place.read() is None, name


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (PORTRAITS, "pool", np.array("first")),
        (PORTRAITS, "grid", np.array([16, 4])),
        (PORTRAITS, "labels", np.full(20, 5)),
        (PRUNING, "rankings", np.array(["loss", "gradient", "<script>"])),
        (SIMILARITIES, "down", np.array(["[a](javascript:b)"] * 5)),
        (FAITHFULNESS, "orders", None),
        (FAITHFULNESS, "names", None),
    ],
)
def test_impossible_values_are_refused(several, kind, name, value):
    run = runs.get_run("tiny-mean")
    split = data.load(run.config.data, splits=("val",)).val
    place = stored_result(run, kind, split)
    arrays = dict(kind.pack(KINDS[kind](*load_checkpoint(run.path), split)))
    kind.checked(arrays, dict(place.sizes))
    changed = np.zeros_like(arrays[name]) if value is None else value
    with pytest.raises((ValueError, KeyError)):
        kind.checked(arrays | {name: changed}, dict(place.sizes))
