"""The examples show the effects of the departures."""

import numpy as np
import pytest
import torch

from vit.config import ReferenceConfig
from vit.explain.anatomy.arithmetic import head_arithmetic
from vit.explain.anatomy.departures import (
    attend,
    mlp_reach,
    output_reach,
    qkv_of_steps,
    query_reach,
    random_qkv,
    slice_reach,
)
from vit.networks import build_model


@pytest.mark.parametrize(("reach", "switch"), [(query_reach, "projection"), (mlp_reach, "mlp")])
def test_positions_mix_until_the_switch_is_on(reach, switch):
    off = ~np.eye(17, dtype=bool)
    assert (reach()[off] > 1e-4).all()
    mended = reach((switch,))
    assert (mended[off] == 0).all()
    assert (mended[~off] > 1e-4).all()


@pytest.mark.parametrize(("reach", "switch"), [(slice_reach, "projection"), (output_reach, "output")])
def test_heads_have_only_their_slice_until_the_switch_is_on(reach, switch):
    own = np.kron(np.eye(4), np.ones((1, 4))).astype(bool)
    course, mended = reach(), reach((switch,))
    assert course.shape == mended.shape == (4, 16)
    assert (course[~own] == 0).all()
    assert (course[own] > 1e-4).all()
    assert (mended > 1e-4).all()


def test_the_axis_of_the_softmax_decides_which_sums_are_1():
    q, k, v = random_qkv()
    course, textbook = attend(q, k, v), attend(q, k, v, ("softmax", "scaling"))
    np.testing.assert_allclose(course.column_sums, 1, rtol=1e-5)
    np.testing.assert_allclose(textbook.row_sums, 1, rtol=1e-5)
    assert np.ptp(course.row_sums) > 1
    np.testing.assert_allclose(textbook.out, torch.nn.functional.scaled_dot_product_attention(q, k, v), atol=1e-5)


def test_scaling_before_the_softmax_spreads_the_attention():
    q, k, v = random_qkv()
    late, early = attend(q, k, v, ("softmax",)), attend(q, k, v, ("softmax", "scaling"))
    assert late.effective < 3 < early.effective < 17
    assert attend(0 * q, k, v, ("softmax",)).effective == pytest.approx(17)


@pytest.mark.parametrize("mended", [(), ("softmax",), ("scaling",), ("softmax", "scaling")])
def test_attend_equals_the_attention_of_the_network(mended):
    model = build_model(ReferenceConfig(image_size=32, patch_size=8, embed_dim=16, mended=mended), seed=0)
    steps = head_arithmetic(model, torch.randn(1, 3, 32, 32), layer=2, head=1)
    values = {step.name: step.value for step in steps}
    ours = attend(*qkv_of_steps(steps), mended)
    np.testing.assert_allclose(ours.attention, values["attention"], atol=1e-5)
    np.testing.assert_allclose(ours.out, values.get("head", values["weighted"]), atol=1e-5)
