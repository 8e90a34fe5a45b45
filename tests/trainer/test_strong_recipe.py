"""Averaged weights, distillation, Muon and diverse heads: by their definitions, and resumed bit by bit."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.trainer.test_loop import DATA, cloned, config, interrupted, losses, told
from vit.config import NO_AUGMENTATION, RECIPES, CNNConfig, RunConfig, TrainingConfig, ViTConfig
from vit.errors import RunError, SettingsError
from vit.networks import Adapted, build_model
from vit.trainer import Checkpoint, Epoch, Snapshot, TrainingFailed, fit
from vit.trainer.muon import Muon, orthogonalise
from vit.trainer.objectives import weight_average
from vit.trainer.objectives.distillation import distillation_loss
from vit.trainer.objectives.head_diversity import head_correlation
from vit.trainer.objectives.weight_average import WeightAverage

EVERYTHING = {
    "mixup": 0.4,
    "cutmix": 1.0,
    "randaugment": 2,
    "repeats": 2,
    "average": 0.9,
    "teacher": "cnn",
    "optimizer": "muon",
    "blank_images": 0.1,
    "diversity": 0.5,
}


def teacher(seed: int = 3) -> torch.nn.Module:
    network = build_model(CNNConfig(image_size=32), seed=seed)
    return Adapted(network, (4, 3, 2, 1, 0), ((0.5,) * 3, (0.5,) * 3), ((0.4,) * 3, (0.2,) * 3))


def test_a_training_with_everything_goes_on_from_every_step_as_if_never_interrupted():
    settings = config({"dropout": 0.2}, epochs=2, resume_steps=1, keep="training_loss", **EVERYTHING)
    events, checkpoints = interrupted(settings, teacher=teacher())
    assert len(checkpoints) == 6
    for index, checkpoint in checkpoints:
        rest = told(fit(settings, DATA, resume=checkpoint, teacher=teacher()))
        assert rest == events[index:], checkpoint.position


def test_the_average_is_a_moving_average_of_weights_and_running_statistics(monkeypatch):
    monkeypatch.setattr(weight_average, "WARM_UP", 2)  # decays of 0, 1/3, 1/2, then 1/2 by the recipe
    model = build_model(CNNConfig(image_size=32), seed=0)
    average, expected = WeightAverage(model, 0.5), {}
    for step, decay in enumerate((0, 1 / 3, 1 / 2, 1 / 2)):
        with torch.no_grad():
            for value in model.parameters():
                value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(step)))
        model(torch.rand(4, 3, 32, 32))  # moves the running statistics
        average.update(step)
        for name, value in model.state_dict().items():
            moved = expected.get(name, 0) * decay + value * (1 - decay)
            expected[name] = moved if value.is_floating_point() else value.clone()
    for name, value in expected.items():
        torch.testing.assert_close(average.state()[name], value, msg=name)


def test_the_average_begins_as_a_copy_and_its_weights_are_what_is_validated_and_kept():
    model = build_model(ViTConfig(image_size=32), seed=0)
    average = WeightAverage(model, 0.999)
    with torch.no_grad():
        model.pos_embed.add_(1)
    average.update(0)
    assert torch.equal(average.model.pos_embed, model.pos_embed)

    settings = config(average=0.9)
    events = list(fit(settings, DATA))
    assert losses(events) == losses(list(fit(config(), DATA)))  # the training itself is the same
    kept = [event for event in fit(settings, DATA) if isinstance(event, Epoch)][-1]
    tensors = kept.checkpoint.tensors
    for name, value in kept.weights.items():
        assert torch.equal(value, tensors[f"objective.average.{name}"])
    assert not torch.equal(tensors["objective.average.head.weight"], tensors["model.head.weight"])
    last = [event for event in events if isinstance(event, Snapshot)][-1]
    assert torch.equal(last.weights["head.weight"], kept.weights["head.weight"].half())


@pytest.mark.parametrize("blank", [None, torch.tensor([0.0, 1.0, 0.25, 0.0])])
def test_distillation_is_its_definition(blank):
    random = torch.Generator().manual_seed(0)
    logits, taught = torch.randn(4, 5, generator=random), torch.randn(4, 5, generator=random)
    share = torch.zeros(4) if blank is None else blank

    def expected(target: torch.Tensor, answer: torch.Tensor, entropy: bool) -> torch.Tensor:
        target = (1 - share[:, None]) * target + share[:, None] / 5
        terms = target * ((target + 1e-30).log() * entropy - answer.log())
        return terms.sum(1).mean()

    soft = distillation_loss(logits, taught, blank, TrainingConfig(temperature=2.5))
    torch.testing.assert_close(soft, 2.5**2 * expected((taught / 2.5).softmax(1), (logits / 2.5).softmax(1), True))
    hard = distillation_loss(logits, taught, blank, TrainingConfig(distillation="hard"))
    torch.testing.assert_close(hard, expected(torch.eye(5)[taught.argmax(1)], logits.softmax(1), False))


def test_the_teacher_sees_the_same_crop_and_its_share_of_the_loss_is_the_recipe_s():
    seen, settings = (
        [],
        config(epochs=1, batch_size=60, teacher="cnn", teacher_weight=0.3, blank_images=0.0),
    )

    class Watched(torch.nn.Linear):
        def forward(self, images):
            seen.append(images)
            return super().forward(images.mean((2, 3)))

    watched = Watched(3, 5)
    loss, *_ = losses(list(fit(settings, DATA, teacher=watched)))
    student = build_model(settings.model, seed=0)
    labels = torch.from_numpy(np.asarray(DATA.train.labels))
    logits, taught = student(seen[0]), watched(seen[0])
    cross_entropy = F.cross_entropy(logits, labels, label_smoothing=0.1)
    tau = settings.training.temperature
    divergence = F.kl_div((logits / tau).log_softmax(1), (taught / tau).softmax(1), reduction="batchmean")
    assert loss == pytest.approx((0.7 * cross_entropy + 0.3 * tau**2 * divergence).item(), rel=1e-5)


def test_an_adapted_network_answers_as_with_its_own_normalisation_and_order_of_classes():
    images = torch.rand(3, 3, 32, 32)
    network = build_model(CNNConfig(image_size=32), seed=3).eval()
    answers = Adapted(network, (4, 3, 2, 1, 0), ((0.5,) * 3, (0.5,) * 3), ((0.4,) * 3, (0.2,) * 3)).eval()
    torch.testing.assert_close(answers((images - 0.5) / 0.5), network((images - 0.4) / 0.2).flip(1), atol=1e-4, rtol=0)


def test_a_resume_needs_the_teacher_with_which_the_training_began():
    settings = config(epochs=1, resume_steps=1, teacher="cnn")
    first = next(cloned(event) for event in fit(settings, DATA, teacher=teacher()) if isinstance(event, Checkpoint))
    with pytest.raises(RunError, match="The weights of the teacher 'cnn' have changed"):
        fit(settings, DATA, resume=first, teacher=teacher(seed=4))
    with pytest.raises(TrainingFailed, match="has a teacher"):
        fit(settings, DATA)
    with pytest.raises(TrainingFailed, match="cannot be resumed"):
        fit(config(epochs=1), DATA, resume=first)


def matrices(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: it for name, it in model.named_parameters() if it.ndim == 2 and name.startswith("blocks.")}


def test_muon_is_torch_s_for_the_matrices_of_the_blocks_and_adamw_for_the_rest(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self)  # torch's then computes in float32, as ours does
    recipe = TrainingConfig(weight_decay=0.3, optimizer="muon")
    network = ViTConfig(image_size=32, embed_dim=16, num_heads=2, depth=3)
    ours, theirs = (build_model(network, seed=0) for _ in range(2))
    optimizer = Muon(ours, recipe)
    own = matrices(theirs)
    assert len(own) == 12
    reference = torch.optim.Muon(own.values(), lr=1e-2, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
    decayed = {id(it) for it in Muon(theirs, recipe).decayed}
    rest = [it for it in theirs.parameters() if all(it is not other for other in own.values())]
    groups = [
        {"params": [it for it in rest if (id(it) in decayed) is on], "weight_decay": 0.3 * on} for on in (True, False)
    ]
    adamw = torch.optim.AdamW(groups, lr=1e-2, fused=True)
    optimizer.lr.fill_(1e-2)
    for step in range(3):
        images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        for model in (ours, theirs):
            model.zero_grad()
            model(images).square().mean().backward()
        optimizer.step()
        reference.step()
        adamw.step()
    for (name, value), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(value, other, atol=2e-5, rtol=0, msg=name)
    moved = (ours.blocks[0].mlp.fc1.weight - build_model(network, seed=0).blocks[0].mlp.fc1.weight).std()
    assert 0.1e-2 < moved < 1e-2  # about the step of AdamW


def test_orthogonalised_matrices_have_singular_values_near_one():
    random = torch.randn(3, 48, 16, generator=torch.Generator().manual_seed(0))
    for one in (random, random.mT):
        values = torch.linalg.svdvals(orthogonalise(one))
        assert 0.5 < values.min() < values.max() < 1.3


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_diversity_is_the_mean_correlation_of_the_heads_maps(pool):
    model = build_model(ViTConfig(image_size=32, embed_dim=24, num_heads=3, depth=2, pool=pool, reg_tokens=1), seed=1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "qkv" in name:
                value.mul_(20)
    record: dict = {}
    model(torch.rand(4, 3, 32, 32), record=record)
    found = []
    for layer in record["layers"]:
        attention = layer["attention"].detach().numpy()
        maps = attention[:, :, 0, 2:] if pool == "cls" else attention[:, :, 2:, 2:].mean(2)
        found += [np.corrcoef(image[a], image[b])[0, 1] for image in maps for a, b in combinations(range(3), 2)]
    correlation = head_correlation(record, model)
    assert correlation.item() == pytest.approx(np.mean(found), abs=1e-5)
    assert 0 < abs(np.mean(found)) < 0.99
    one_head = build_model(ViTConfig(image_size=32, embed_dim=8, num_heads=1), seed=1)
    one_head(torch.rand(4, 3, 32, 32), record=(record := {}))
    assert float(head_correlation(record, one_head)) == 0


def test_the_penalty_makes_the_heads_of_a_layer_less_alike():
    def trained(weight: float) -> float:
        settings = config(epochs=4, diversity=weight, **NO_AUGMENTATION)
        *_, last = (event for event in fit(settings, DATA) if isinstance(event, Epoch))
        model = build_model(settings.model)
        model.load_state_dict(last.weights)
        record: dict = {}
        model.eval()(torch.from_numpy(np.asarray(DATA.val.images)) / 127.5 - 1, record=record)
        return float(head_correlation(record, model))

    assert trained(2.0) < trained(0.0) - 0.1


@pytest.mark.parametrize(("setting", "value"), [("optimizer", "muon"), ("diversity", 1.0)])
def test_a_network_without_blocks_has_no_matrices_for_muon_and_no_heads_to_compare(setting, value):
    recipe = TrainingConfig(**{setting: value})
    RunConfig(model=ViTConfig(), training=recipe)
    with pytest.raises(SettingsError, match=setting):
        RunConfig(model=CNNConfig(), training=recipe)


def test_only_the_strong_recipe_uses_any_of_it():
    ours = ("mixup", "cutmix", "randaugment", "repeats", "average", "teacher", "optimizer", "diversity")
    default = TrainingConfig()
    for name, recipe in RECIPES.items():
        used = any(getattr(recipe, field) != getattr(default, field) for field in ours)
        assert used is (name == "strong")
