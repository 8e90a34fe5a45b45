"""The stored example of a run: rounding, and what is refused when it is read."""

import numpy as np
import pytest

from vit import runs
from vit.runs.example import compress, object_cover, read_example, write_example
from vit.runs.folder import EXAMPLE

SHAPE = (2, 2, 17, 17)  # depth h n m of the run "tiny"


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture
def attention() -> np.ndarray:
    return softmax(np.random.default_rng(0).normal(0, 4, SHAPE))


def test_a_weight_is_off_by_half_a_level_of_its_row_at_most(attention):
    example = compress(3, attention, np.ones(5) / 5)
    error = np.abs(example.attention - attention)
    assert (error <= attention.max(axis=-1, keepdims=True) / 510 + 1e-6).all()
    assert (example.attention.argmax(axis=-1) == attention.argmax(axis=-1)).all()
    assert not compress(0, np.zeros(SHAPE), np.ones(5)).attention.any()  # no division by the largest weight


def test_what_is_written_is_read(trained, attention):
    run = runs.get_run("tiny")
    assert read_example(run) is None
    example = compress(3, attention, np.arange(5) / 10)
    write_example(run.path, example)
    found = read_example(run)
    assert found is not None
    assert found.image == 3
    np.testing.assert_array_equal(found.attention, example.attention)
    np.testing.assert_array_equal(found.probabilities, example.probabilities)
    runs.start_over(run)
    assert not (run.path / EXAMPLE).exists()


def test_an_example_of_other_weights_or_another_network_or_a_damaged_one_is_not_shown(trained, attention):
    run = runs.get_run("tiny")
    write_example(run.path, compress(3, attention[:1], np.ones(5)))
    assert read_example(run) is None  # one layer
    write_example(run.path, compress(3, attention * 2, np.ones(5)))
    assert read_example(run) is None  # weights above 1
    write_example(run.path, compress(-1, attention, np.ones(5)))
    assert read_example(run) is None  # no such image
    write_example(run.path, compress(3, attention, np.ones(5)))
    assert read_example(run) is not None
    whole = (run.path / EXAMPLE).read_bytes()
    for content in (b"", b"no zip", whole[:500], np.lib.format.magic(1, 0)):
        (run.path / EXAMPLE).write_bytes(content)
        assert read_example(run) is None
    (run.path / EXAMPLE).write_bytes(whole)
    with (run.path / runs.MODEL).open("ab") as file:
        file.write(b"\0")
    assert read_example(run) is None


def test_the_cover_is_the_mean_of_the_mask_in_each_patch():
    mask = np.zeros((6, 4), dtype=np.uint8)
    mask[:2, :1] = 1
    mask[4:, 2:] = 1
    np.testing.assert_allclose(object_cover(mask, (3, 2)), [0.5, 0, 0, 0, 0, 1])
