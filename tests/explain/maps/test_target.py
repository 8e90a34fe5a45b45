"""The explained score: one logit, or the difference between two."""

import pytest
import torch

from vit.explain import Target

LOGITS = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])


@pytest.mark.parametrize(
    ("target", "scores"),
    [
        (Target(), [5, 4]),
        (Target(2), [2, 3]),
        (Target(torch.tensor([0, 2])), [1, 3]),
        (Target(0, against=2), [-1, 1]),
        (Target(against=0), [4, 0]),
        (Target.of(1), [5, 0]),
        (Target.of(None), [5, 4]),
        (Target.of(Target(2, 1)), [-3, 3]),
    ],
)
def test_the_score_is_a_logit_or_a_difference_of_logits(target, scores):
    assert target.score(LOGITS).tolist() == scores


def test_a_part_of_a_batch_keeps_its_own_classes():
    assert Target(torch.tensor([0, 2]), against=1).part(slice(1, 2)).score(LOGITS[1:]).tolist() == [3]
    assert Target(2).part(slice(1, 2)) == Target(2)
    assert Target(torch.tensor(2)).part(slice(1, 2)).score(LOGITS[1:]).tolist() == [3]
