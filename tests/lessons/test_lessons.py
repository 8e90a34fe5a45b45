"""The lessons' runs and their measured figures: complete, fair, and recognised among a person's own."""

import statistics

import pytest

from benchmarks import lessons as program
from tests.conftest import tiny_config
from vit import data, lessons, plots, runs
from vit.config import StartConfig
from vit.explain.faithfulness.chance_maps import CHANCE_MAPS
from vit.lessons import EXPERIMENTS, Figures, Stored, Training, contrast
from vit.plots.lessons import Dot, Own

ALL = [(experiment, variant) for experiment, variants in EXPERIMENTS.items() for variant in variants]


def figures(*accuracies: float) -> Figures:
    return Figures(
        tuple(Training(seed=seed, accuracy=it, train_accuracy=it, seconds=1) for seed, it in enumerate(accuracies))
    )


# What is stored


@pytest.mark.parametrize(("experiment", "variant"), ALL, ids=[f"{name}-{it.name}" for name, it in ALL])
def test_every_variant_is_measured_from_as_many_seeds(experiment, variant):
    of = lessons.measured(experiment, variant.name)
    assert [training.seed for training in of.trainings] == list(range(of.seeds))
    assert of.seeds == lessons.measured(experiment, EXPERIMENTS[experiment][0].name).seeds >= 1
    assert all(0 < training.accuracy <= 1 and training.seconds > 0 for training in of.trainings)
    if variant.config.model.architecture == "vit":
        assert all(0 < training.by_area < 1 and 0 < training.on_object < 1 for training in of.trainings)
        assert len(of.values("apart")) == (of.seeds if variant.config.model.num_heads > 1 else 0)


def test_nothing_else_is_stored():
    trainings = lessons.stored().trainings
    own = {
        name: [variant.name for variant in variants if not lessons.is_shared(name, variant.name)]
        for name, variants in EXPERIMENTS.items()
    }
    assert {name: list(of) for name, of in trainings.items()} == {name: names for name, names in own.items() if names}


def test_the_maps_and_all_that_know_nothing_are_judged():
    found = lessons.stored().faithfulness
    assert [row.name for row in found.rows if not row.chance] == list(program.MAPS)
    assert [row.name for row in found.rows if row.chance] == list(CHANCE_MAPS)


# The runs


def test_what_is_compared_differs_in_nothing_else():
    for end in ("", "-short"):
        assert len({variant.parameters for variant in EXPERIMENTS[f"heads{end}"]}) == 1
        sizes = [variant.parameters for variant in EXPERIMENTS[f"depth{end}"]]
        assert max(sizes) < 1.15 * min(sizes)
        for name in ("heads", "depth", "patches"):
            assert len({it.config.training.model_dump_json() for it in EXPERIMENTS[f"{name}{end}"]}) == 1
    for images in lessons.LITTLE:
        same = [it.config for it in EXPERIMENTS["little"] if it.config.data.train_images == images]
        assert len(same) == len(lessons.NETWORKS)
        assert len({config.training.model_dump_json() for config in same}) == 1


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if not name.endswith("-short")])
def test_the_short_version_trains_the_same_networks_for_about_two_minutes(name):
    full = {it.name: it for it in EXPERIMENTS[name]}
    short = EXPERIMENTS[lessons.short_version(name)]
    for variant in short:
        assert variant.config.model == full[variant.name].config.model
        assert variant.config.data == full[variant.name].config.data
        assert variant.config.training.epochs <= full[variant.name].config.training.epochs
    seconds = sum(lessons.measured(lessons.short_version(name), variant.name).mean("seconds") for variant in short)
    assert 30 < seconds < 150  # of one thread; starting the processes takes some seconds more
    pairs = lessons.comparisons(lessons.short_version(name))
    assert pairs
    assert {(one.name, other.name) for one, other in pairs} <= {
        (one.name, other.name) for one, other in lessons.comparisons(name)
    }


def test_no_two_runs_of_an_experiment_are_taken_for_each_other():
    for variants in EXPERIMENTS.values():
        for variant in variants:
            assert [it.name for it in variants if lessons.is_of(variant.seeded(5), it)] == [variant.name]


def test_a_run_is_recognised_whatever_its_seed_device_and_pace_and_by_nothing_less():
    variant = EXPERIMENTS["heads"][0]
    config = variant.config

    def trained(**recipe) -> bool:
        training = config.training.model_copy(update=recipe)
        return lessons.is_of(config.model_copy(update={"training": training}), variant)

    assert trained(seed=9, device="cpu", threads=1, snapshots=0, max_seconds=300.0)
    assert not trained(epochs=31)
    assert not lessons.is_of(config.model_copy(update={"start": StartConfig(run="other")}), variant)
    assert not lessons.is_of(config.model_copy(update={"published": "vit_tiny"}), variant)


def test_ones_own_runs_are_found_by_their_settings(home):
    one, two = EXPERIMENTS["heads"][:2]
    mine = runs.create("mine", two.seeded(3))
    runs.create("other", tiny_config())
    assert lessons.own_runs("heads", runs.list_runs()) == {two.name: [mine]}
    assert one.name not in lessons.own_runs("heads", runs.list_runs())


# What counts as a difference


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (figures(0.5, 0.52, 0.51), figures(0.4, 0.41, 0.39), "better"),
        (figures(0.4, 0.41, 0.39), figures(0.5, 0.52, 0.51), "worse"),
        (figures(0.3, 0.6, 0.5), figures(0.4, 0.35, 0.3), "similar"),  # the seeds differ more than the networks
        (figures(0.51, 0.51, 0.51), figures(0.49, 0.49, 0.49), "similar"),  # too near for so few images
        (figures(0.6), figures(0.5), "better"),
        (figures(0.52), figures(0.5), "similar"),
    ],
)
def test_an_order_is_told_only_if_the_interval_of_the_difference_excludes_zero(one, other, order):
    assert contrast(one, other) == order


def test_the_noise_of_the_seed_is_that_of_the_version_if_it_is_measured():
    for name in EXPERIMENTS:
        groups = [lessons.measured(name, variant.name).values("accuracy") for variant in EXPERIMENTS[name]]
        pooled = statistics.fmean(statistics.variance(group) for group in groups)  # as many seeds each
        assert lessons.stored_noise(name).variance == pytest.approx(pooled)


def test_means_and_ranges_are_over_the_seeds_that_have_the_number():
    of = Figures((*figures(0.2, 0.4).trainings, Training(seed=2, accuracy=0.6, train_accuracy=0, seconds=1, apart=0.5)))
    assert of.mean() == pytest.approx(statistics.fmean((0.2, 0.4, 0.6)))
    assert of.range() == (0.2, 0.6)
    assert of.mean("apart") == 0.5


# The program


def test_the_program_trains_and_looks_at_the_heads(workshop, monkeypatch):
    monkeypatch.setenv("VIT_DATA", str(workshop / "data"))
    config = tiny_config()
    images = data.load(config.data)
    found = program.trained(config, images)
    assert found.accuracy == pytest.approx(runs_best(workshop, monkeypatch), abs=1e-6)  # as a run of the app scores
    assert 0 <= found.apart <= 1
    assert found.by_area == pytest.approx(images.val.masks.mean(), abs=1e-3)
    assert program.trained(tiny_config(num_heads=1, depth=1), images).apart is None


def runs_best(workshop, monkeypatch) -> float:
    monkeypatch.setenv("VIT_CHECKPOINTS", str(workshop / "checkpoints"))
    return runs.find_run("tiny").best["val_accuracy"]


def test_the_program_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "FILE", tmp_path / "lessons.json")
    assert program.read() == Stored()
    first = EXPERIMENTS["heads"][0].name
    program.write(program.with_training(program.read(), "heads", first, figures(0.3).trainings[0]))
    left = [(variant.name, seed) for _, variant, seed in program.left(program.read(), ["heads"], 2)]
    names = [variant.name for variant in EXPERIMENTS["heads"]]
    assert left == [(name, 0) for name in names[1:]] + [(name, 1) for name in names]
    assert program.table(program.read(), "heads").count("\n") == 2
    assert not list(program.left(program.read(), ["little-short"], 1))  # the full version has these runs


# The figures


def test_the_figures_show_means_ranges_and_own_runs():
    dots = [Dot("one", 0.4, 0.3, 0.5, (Own("mine<b>", 0.45),)), Dot("bump", 0.2, 0.2, 0.2, chance=True)]
    figure = plots.measured_dots(dots, quantity="Accuracy", guessing=0.2)
    measured, chance, own = figure.data
    assert (list(measured.x), list(measured.y), list(measured.error_x.array)) == ([0.4], ["one"], [pytest.approx(0.1)])
    assert list(chance.y) == ["bump"]
    assert (list(own.x), list(own.y), list(own.customdata)) == ([0.45], ["one"], ["mine&lt;b&gt;"])
    lines = plots.measured_lines({"A": {100: dots[0], 2000: dots[1]}}, quantity="Accuracy", across="Images")
    assert list(lines.data[0].x) == ["100", "2,000"]
    assert list(lines.data[1].y) == [0.45]
