"""Pictures unlike the known images, and the answer to a grey picture."""

import numpy as np
import pytest
import torch

from tests.explain.maps.test_gradcam import make_cnn
from tests.explain.test_capture import make
from vit import data
from vit.errors import DataError
from vit.explain.familiarity import (
    FALSE_ALARMS,
    NEIGHBOUR,
    Familiarity,
    grey_probabilities,
    last_features,
    learn_familiarity,
)
from vit.explain.passes.sample import sample
from vit.reference import ReferenceViT
from vit.runs import SHIPPED_RUN
from vit.runs.weights import load_checkpoint


def course() -> ReferenceViT:
    torch.manual_seed(0)
    return ReferenceViT(image_size=32, patch_size=8, embed_dim=16).eval().requires_grad_(False)


@pytest.mark.parametrize("model", [make(pool="cls"), make(pool="mean"), make_cnn(), course()])
def test_the_last_layer_maps_the_features_to_the_logits(model):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.head(last_features(model, images)), model(images), atol=1e-4, rtol=1e-3)


def test_a_grey_picture_is_normalised_like_every_other():
    model, mean, std = make(pool="mean"), np.array([0.4, 0.5, 0.7]), np.array([0.2, 0.1, 0.3])
    picture = torch.tensor((np.full((32, 32, 3), 0.5) - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]
    own = model(picture).softmax(dim=1)[0]
    np.testing.assert_allclose(grey_probabilities(model, mean, std), own.numpy(), rtol=1e-4)
    assert np.abs(grey_probabilities(model, (0.5,) * 3, std) - own.numpy()).max() > 1e-4  # the colour counts


def test_the_distance_is_one_minus_the_cosine_of_the_fifth_nearest():
    random = np.random.default_rng(0)
    known, asked = random.normal(size=(30, 4)), random.normal(size=(3, 4))
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)
    found = Familiarity(unit, 0.5).distances(asked)
    for row, distance in zip(asked, found, strict=True):
        assert distance == pytest.approx(sorted(1 - unit @ row / np.linalg.norm(row))[NEIGHBOUR - 1])


def test_the_included_run_flags_noise_and_few_of_its_own_images():
    model, info = load_checkpoint(SHIPPED_RUN)
    split = data.load(info.config.data, splits=("val",)).val
    known = learn_familiarity(model, sample(model, info, split, 200))
    own = torch.from_numpy(np.array(split.images[200:260])).float() / 127.5 - 1
    noise = torch.rand(20, *own.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert known.is_unlike(model, own).mean() < 4 * FALSE_ALARMS
    assert known.is_unlike(model, noise).mean() > 0.5


def test_too_few_images_are_refused():
    model, info = load_checkpoint(SHIPPED_RUN)
    split = data.load(info.config.data, splits=("val",)).val
    with pytest.raises(DataError, match="20 images are too few to say what is unlike them"):
        learn_familiarity(model, sample(model, info, split, 20))
