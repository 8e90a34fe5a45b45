"""Training without labels: DINO, masked autoencoding and the k-nearest-neighbour classifier."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.trainer.test_loop import DATA, config, interrupted, told
from vit import networks
from vit.config import RECIPES, CNNConfig, DataConfig, RunConfig, StartConfig, TrainingConfig, ViTConfig
from vit.config.unlabelled import local_size
from vit.data import load, views
from vit.data.batches import Batches
from vit.distributed import World
from vit.errors import SettingsError
from vit.trainer import Epoch, TrainingFailed, fit
from vit.trainer.objectives import DinoObjective, MaskedObjective, build_objective, mae
from vit.trainer.objectives.dino import STUDENT_TEMPERATURE, summarise_crops
from vit.trainer.objectives.neighbours import neighbour_accuracy

METHODS = ("dino", "mae")


def unlabelled(method: str, model: dict | None = None, **training) -> RunConfig:
    """Settings of a small training without labels."""
    labelled = config(dict(model or {}))
    recipe = RECIPES[method].model_dump() | {"epochs": 2, "batch_size": 20, "device": "cpu", "threads": 1}
    recipe["local_crops"] = 2
    network = ViTConfig(**labelled.model.model_dump() | {"num_classes": 0})
    return labelled.model_copy(update={"model": network, "training": TrainingConfig(**recipe | training)})


def objective(method: str, model: dict | None = None, **training) -> DinoObjective | MaskedObjective:
    settings = unlabelled(method, model, **training)
    network = networks.build_model(settings.model, seed=0)
    batches = Batches(DATA.train, batch_size=20, device="cpu", mean=(0.5,) * 3, std=(0.5,) * 3, augment=True)
    built = build_objective(network, batches, settings.training)
    assert isinstance(built, DinoObjective | MaskedObjective)
    return built


@pytest.mark.parametrize("method", METHODS)
def test_a_resume_equals_the_uninterrupted_training(method):
    settings = unlabelled(method, {"dropout": 0.1}, batch_size=30, resume_steps=1)
    events, checkpoints = interrupted(settings)
    assert [int(checkpoint.position["step"]) for _, checkpoint in checkpoints] == [1, 2, 3, 4]
    for index, checkpoint in checkpoints:
        assert told(fit(settings, DATA, resume=checkpoint)) == events[index:], checkpoint.position


@pytest.mark.parametrize("method", METHODS)
def test_flips_can_be_turned_off(method):
    images = torch.from_numpy(DATA.val.images[:8]) / 255

    def loss(**settings) -> float:
        with torch.no_grad():
            return objective(method, **settings).loss_of(images.clone(), torch.Generator().manual_seed(0)).item()

    assert loss(flip=True) != loss(flip=False)
    if method == "mae":
        generator, it = torch.Generator().manual_seed(0), objective("mae")
        noise = torch.rand(8, views.CROP_NOISE, generator=generator)
        flipped = torch.stack([one.flip(2) if lot < 0.5 else one for one, lot in zip(images, noise[:, 4], strict=True)])
        with torch.no_grad():
            expected = it._error(it.batches.standardise(flipped), generator).item()
        assert loss(flip=True, shift=False) == expected


def test_what_a_method_gives_cannot_be_changed():
    for method, name, value in (("dino", "shift", False), ("dino", "erasing", True), ("mae", "colour", True)):
        with pytest.raises(SettingsError, match=f"{name} = {value} has no effect with learn_from = '{method}'"):
            TrainingConfig(**RECIPES[method].model_dump() | {name: value})


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_reports_neighbours_and_keeps_a_network_without_a_head(method):
    epoch = [event for event in fit(unlabelled(method), DATA) if isinstance(event, Epoch)][-1]
    assert epoch.train_accuracy is None
    assert "train_accuracy" not in epoch.best
    assert 0 <= epoch.val_accuracy <= 1
    assert not any(name.startswith("head.") for name in epoch.weights)
    assert set(epoch.measures) == ({"teacher_entropy", "divergence"} if method == "dino" else set())
    assert epoch.best["val_accuracy"] == epoch.val_accuracy


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "model",
    [
        {"stem": "conv", "pool": "cls", "patch_size": 4},
        {
            "stem": "patch",
            "pool": "mean",
            "class_token": False,
            "fc_norm": True,
            "no_embed_class": True,
            "reg_tokens": 1,
        },
    ],
)
def test_every_trained_parameter_gets_a_gradient_from_any_network(method, model):
    it = objective(method, model)
    it.before_step(2, 1)
    it.batches.seed(1, 0)
    loss, _ = it.loss(it.model, it.batches.order(1)[:20], slice(None))
    loss.backward()
    trained = {name: value for module in (it.model, *it.modules.values()) for name, value in module.named_parameters()}
    assert [name for name, value in trained.items() if value.grad is None] == []


def test_the_loss_of_dino_is_its_definition():
    it = objective("dino", {"pool": "cls"})
    it.before_step(2, 3)
    it.center.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    center = it.center.clone()
    images = it.batches.pixels(torch.arange(4))
    loss = it.loss_of(images, torch.Generator().manual_seed(5))
    large, small = it._crops(images, torch.Generator().manual_seed(5))
    # The heads standardise over all crops of the batch.
    teachers = it.teacher_head(torch.cat([it.teacher(crops) for crops in large])).chunk(2)
    students = it.head(torch.cat([summarise_crops(it.model, crops) for crops in large + small])).chunk(4)
    total, pairs = torch.zeros(()), 0
    for one, teacher in enumerate(teachers):
        target = torch.exp((teacher - center) / it.temperature)
        target = target / target.sum(dim=1, keepdim=True)
        for other, student in enumerate(students):
            if other != one:
                total = (
                    total - (target * torch.log(torch.softmax(student / STUDENT_TEMPERATURE, dim=1))).sum(dim=1).mean()
                )
                pairs += 1
    torch.testing.assert_close(loss, total / pairs, rtol=1e-5, atol=1e-6)
    mean = torch.cat(teachers).mean(dim=0, keepdim=True)
    torch.testing.assert_close(it.center, 0.9 * center + 0.1 * mean, rtol=1e-5, atol=1e-6)


def test_an_object_keeps_its_pixels_on_another_background():
    split = load(DataConfig(source="scenes", image_size=32, train_images=12, val_images=10, class_names=())).train
    images = torch.from_numpy(np.array(split.images)).float() / 255
    masks = torch.from_numpy(np.array(split.masks)).float()[:, None]
    noise = torch.rand(12, views.BACKGROUND_NOISE, generator=torch.Generator().manual_seed(3))
    swapped = views.swap_backgrounds(images, masks, noise, share=0.5)
    background = masks.expand_as(images) == 0
    for index, image in enumerate(swapped):
        if noise[index, 0] >= 0.5:
            assert torch.equal(image, images[index])
            continue
        assert torch.equal(image[~background[index]], images[index][~background[index]])
        assert not torch.equal(image, images[index])
        # Every new pixel is that of another image at the same place, and only a few show one of their objects.
        candidates = torch.cat((images[:index], images[index + 1 :]))
        free = (torch.cat((masks[:index], masks[index + 1 :])) == 0).expand_as(candidates)
        same = candidates == image
        assert same.any(dim=0)[background[index]].all()
        assert (same & free).any(dim=0)[background[index]].float().mean() > 0.9


def test_backgrounds_are_only_swapped_for_images_with_masks():
    it = objective("dino", {"pool": "cls"}, swap_backgrounds=1.0)
    with pytest.raises(SettingsError, match="need masks"):
        it.loss(it.model, torch.arange(4), slice(None))


def test_the_teacher_follows_the_student_and_stands_still_at_the_end():
    it = objective("dino")
    before = it.teacher.norm.weight.clone()
    with torch.no_grad():
        it.model.norm.weight.add_(1.0)
    it.after_step(0)
    torch.testing.assert_close(it.teacher.norm.weight, 0.99 * before + 0.01 * it.model.norm.weight)
    still = it.teacher.norm.weight.clone()
    it.after_step(it.total)
    assert torch.equal(it.teacher.norm.weight, still)


def test_the_prototypes_are_frozen_in_the_first_epoch():
    it = objective("dino")
    for epoch in (1, 2):
        it.before_step(epoch, epoch)
        it.head.zero_grad()
        it.loss_of(it.batches.pixels(torch.arange(4)), torch.Generator().manual_seed(0)).backward()
        assert bool(it.head.prototypes.grad.any()) == (epoch == 2)
        assert it.head.mlp[0].weight.grad.any()


@pytest.mark.parametrize(("size", "patch", "side"), [(64, 4, 32), (64, 8, 32), (32, 16, 16), (48, 16, 16)])
def test_a_small_crop_has_whole_patches(size, patch, side):
    assert local_size(size, patch) == side


def test_a_crop_of_the_whole_image_is_the_image():
    images = torch.rand(2, 3, 8, 8)
    noise = torch.tensor([0.0, 0.5, 0.3, 0.7, 0.9]).expand(2, 5)
    torch.testing.assert_close(views.crop(images, noise, 8, (1.0, 1.0)), images)
    flipped = torch.tensor([0.0, 0.5, 0.3, 0.7, 0.1]).expand(2, 5)
    torch.testing.assert_close(views.crop(images, flipped, 8, (1.0, 1.0)), images.flip(3))
    torch.testing.assert_close(views.crop(images, flipped, 8, (1.0, 1.0), flip=False), images)


def test_a_crop_is_cut_where_its_numbers_say():
    """A quarter of the image, at the top right, agrees with a plain slice."""
    images = torch.rand(1, 3, 8, 8)
    noise = torch.tensor([[0.0, 0.5, 0.0, 1.0, 0.9]])
    torch.testing.assert_close(views.crop(images, noise, 4, (0.25, 0.25)), images[:, :, :4, 4:])


def test_colours_stay_in_range_and_grey_has_no_colour():
    images = torch.rand(6, 3, 8, 8)
    noise = torch.rand(6, views.COLOUR_NOISE)
    noise[:, 4] = 0.0
    changed = views.recolour(images, noise, blur=0.0, solarise=0.0)
    assert changed.min() >= 0
    assert changed.max() <= 1
    torch.testing.assert_close(changed[:, 0], changed[:, 2])


def test_a_hue_of_a_third_turn_swaps_the_channels():
    images = 0.2 + 0.6 * torch.rand(2, 3, 8, 8)
    noise = torch.full((2, views.COLOUR_NOISE), 0.5)
    noise[:, 3], noise[:, 8] = 0.0, 0.5 + 1 / 3  # 120 degrees
    changed = views.recolour(images, noise, blur=0.0, solarise=0.0, hue=views.ANY_HUE)
    torch.testing.assert_close(changed, images[:, [2, 0, 1]])


def test_masked_patches_do_not_reach_the_encoder():
    """The reconstruction does not depend on what hidden patches contain, even with a convolutional stem."""
    it = objective("mae", {"stem": "conv", "patch_size": 4})
    model, decoder = it.model.eval(), it.decoder.eval()
    images, noise = torch.rand(2, 3, 32, 32), torch.rand(2, 64)
    one = mae.reconstruct(model, decoder, images, noise, 0.75)
    hidden = 1 - (mae.hide(torch.ones_like(images), one.hidden, 4))
    other = mae.reconstruct(model, decoder, images + 3 * hidden, noise, 0.75)
    assert torch.equal(one.patches, other.patches)
    assert (one.hidden.sum(dim=1) == 48).all()


def test_the_error_of_mae_is_that_of_normalised_pixels_on_hidden_patches():
    it = objective("mae")
    images = torch.rand(3, 3, 32, 32)
    found = mae.reconstruct(it.model, it.decoder, images, noise := torch.rand(3, 16), 0.75)
    total, count = 0.0, 0
    for image, row in zip(images, range(3), strict=True):
        for place in range(16):
            if found.hidden[row, place]:
                r, c = divmod(place, 4)
                patch = image[:, 8 * r : 8 * r + 8, 8 * c : 8 * c + 8].permute(1, 2, 0).flatten()
                target = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
                total += float((found.patches[row, place].detach() - target).square().mean())
                count += 1
    assert count == 36
    it.batches.standardise = lambda pixels: pixels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mae, "draw", lambda *_, **__: noise)
        assert float(it._error(images, torch.Generator())) == pytest.approx(total / count, rel=1e-5)
    assert torch.equal(mae.unpatchify(mae.patchify(images, 8), 8, 4), images)


def test_a_choice_of_images_has_all_classes_in_their_shares():
    """Evenly spaced rows would miss classes: the labels of drawn scenes repeat in a cycle."""
    rows = objective("mae").batches.stratified(12)
    assert np.bincount(DATA.train.labels[rows.numpy()]).tolist() == [3, 3, 2, 2, 2]


def test_neighbours_vote_with_the_weights_of_their_similarity():
    generator = torch.Generator().manual_seed(3)
    known, features = torch.randn(40, 6, generator=generator), torch.randn(15, 6, generator=generator)
    labels, truth = torch.randint(4, (40,), generator=generator), torch.randint(4, (15,), generator=generator)
    right = 0
    for feature, own in zip(features, truth, strict=True):
        similar = sorted(
            (
                (float(F.cosine_similarity(feature, it, dim=0)), int(label))
                for it, label in zip(known, labels, strict=True)
            ),
            reverse=True,
        )[:7]
        votes = [sum(math.exp(value / 0.07) for value, label in similar if label == one) for one in range(4)]
        right += votes.index(max(votes)) == int(own)
    assert neighbour_accuracy(known, labels, features, truth, k=7) == pytest.approx(right / 15)


def test_settings_that_make_no_sense_without_labels_are_refused():
    with pytest.raises(SettingsError, match="one process"):
        TrainingConfig(**RECIPES["dino"].model_dump() | {"processes": 2})
    with pytest.raises(SettingsError, match="Vision Transformer"):
        RunConfig(model=CNNConfig(), training=RECIPES["dino"])
    with pytest.raises(SettingsError, match="num_classes = 0"):
        RunConfig(training=RECIPES["mae"])
    with pytest.raises(SettingsError, match="leave start out"):
        RunConfig(model=ViTConfig(num_classes=0), training=RECIPES["mae"], start=StartConfig(run="tiny"))
    with pytest.raises(SettingsError, match="smaller patches"):
        RunConfig(model=ViTConfig(num_classes=0, patch_size=64), training=RECIPES["dino"])
    with pytest.raises(TrainingFailed, match="without torchrun"):
        fit(unlabelled("dino"), DATA, world=World(0, 2))
