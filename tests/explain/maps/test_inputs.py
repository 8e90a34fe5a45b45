"""What a map accepts: a caller without gradients, class names and indices, images, networks of other libraries."""

import numpy as np
import pytest
import timm
import torch
import torchvision

from tests.explain.maps.test_gradcam import make_cnn
from tests.explain.test_capture import make
from vit.config import DEPARTURES
from vit.errors import ExplainError, UserError
from vit.explain import METHODS, Target, capture, capture_tokens, gain_over_blank, grad_cam, methods_for
from vit.explain.anatomy import departures
from vit.runs import SHIPPED_RUN
from vit.runs.weights import load_checkpoint


def pictures(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def each_method(model):
    return [
        pytest.param(model, METHODS[name].function, id=f"{type(model).__name__} {name}") for name in methods_for(model)
    ]


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(("model", "function"), [*each_method(make(stem="patch")), *each_method(make_cnn())])
def test_maps_are_the_same_inside_a_caller_s_no_grad_and_inference_mode(model, function, outside):
    labels = torch.tensor([3, 1])
    expected = function(model, pictures(), Target(labels))
    with outside():
        made_inside = pictures() * 1.0
        seen = function(model, made_inside, Target(labels * 1))
        assert torch.is_inference_mode_enabled() == (outside is torch.inference_mode)
    np.testing.assert_array_equal(seen, expected)


def test_a_model_made_in_inference_mode_has_maps():
    expected = METHODS["chefer"].function(make(), pictures(), 1)
    with torch.inference_mode():
        model = make()
        seen = METHODS["chefer"].function(model, pictures(), 1)
        record = capture(model, pictures(), grad=True)
    np.testing.assert_array_equal(seen, expected)
    assert record.logits.requires_grad


def test_the_course_network_s_derivatives_work_in_inference_mode():
    with torch.inference_mode():
        assert departures.query_reach().any()
        assert departures.mlp_reach(DEPARTURES).any()


CLASSES = ("airplane", "bus", "tabby, tabby cat", "dog", "pizza")


@pytest.mark.parametrize(("model", "name"), [(make(), "chefer"), (make(), "occlusion"), (make_cnn(), "gradcam")])
def test_a_class_can_be_given_by_its_name(model, name):
    model.class_names, function = CLASSES, METHODS[name].function
    np.testing.assert_array_equal(
        function(model, pictures(), Target(label="dog", against="Tabby cat")), function(model, pictures(), Target(3, 2))
    )
    by_name = function(model, pictures(), Target(["dog", "bus"]))
    np.testing.assert_array_equal(by_name, function(model, pictures(), Target(np.array([3, 1]))))
    np.testing.assert_array_equal(function(model, pictures(), "dog"), function(model, pictures(), 3))
    with pytest.raises(UserError, match="This model has no class 'horse': its classes are airplane, bus"):
        function(model, pictures(), Target("horse"))


def test_a_loaded_run_knows_its_class_names():
    model, info = load_checkpoint(SHIPPED_RUN)
    assert model.class_names == info.class_names
    images = torch.randn(1, 3, info.image_size, info.image_size, generator=torch.Generator().manual_seed(0))
    assert gain_over_blank(model, images, "dog") == gain_over_blank(model, images, info.class_names.index("dog"))


@pytest.mark.parametrize(("model", "name"), [(make(), "chefer"), (make(), "integrated"), (make_cnn(), "gradcam")])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(5), "This model has no class 5: its classes are 0 to 4."),
        (Target(-1), "This model has no class -1: its classes are 0 to 4."),
        (Target(0, against=9), "This model has no class 9: its classes are 0 to 4."),
        (Target(0, against=-1), "This model has no class -1"),
        (Target(torch.tensor([0, 7])), "This model has no class 7"),
        (Target(torch.tensor([0, 1, 2])), "There are 3 classes for 2 images: give one class for each image."),
        (Target(1.5), "1.5 is not a class: give an index from 0 to 4, or a class name."),
        (Target("dog"), "this model has no class names: give the index of the class, from 0 to 4"),
    ],
    ids=str,
)
def test_a_class_that_does_not_exist_is_refused_with_a_sentence(model, name, target, message):
    model.class_names = ()
    with pytest.raises(UserError) as refused:
        METHODS[name].function(model, pictures(), target)
    assert message in str(refused.value)


@pytest.mark.parametrize(("model", "function"), [*each_method(make(stem="patch")), *each_method(make_cnn())])
def test_images_that_are_not_normalised_floats_are_refused_with_a_sentence(model, function):
    with pytest.raises(UserError, match=r"dtype torch.uint8, but the model takes normalised float32 images"):
        function(model, torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"shape \(3, 32, 32\); this model takes \(batch, 3, height, width\)"):
        function(model, pictures()[0])


@pytest.mark.parametrize("call", [capture, capture_tokens, grad_cam, *(it.function for it in METHODS.values())])
def test_a_network_of_another_library_is_refused_with_what_to_do(call):
    with pytest.raises(
        ExplainError, match=r"VisionTransformer has no .*; it is a transformer of another library: save"
    ):
        call(timm.create_model("test_vit", num_classes=5), pictures())
    with pytest.raises(ExplainError, match=r"ResNet has no .*; it is a network of another library: use captum"):
        call(torchvision.models.resnet18(), pictures())


def test_a_torchvision_transformer_is_called_a_transformer():
    model = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32)
    with pytest.raises(TypeError, match="it is a transformer of another library"):
        capture(model, pictures())
