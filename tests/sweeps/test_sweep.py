"""Sweeps: the grid, what makes runs a sweep, starting what is missing, the map, and the command."""

import json
import shutil

import pytest

from tests.conftest import tiny_config
from tests.helpers.working import ENDLESS, config, jobs_end, wait_for  # noqa: F401 - a fixture
from vit import plots, runs
from vit.cli import main
from vit.config import DEPTHS, HEADS, CNNConfig, DataConfig, ReferenceConfig, RunConfig, ViTConfig
from vit.data import ImageData
from vit.errors import RunError, SettingsError
from vit.jobs import control
from vit.sweeps import sweep
from vit.sweeps.config import NAME_MAX, RUNS_MAX, Point, SweepConfig


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Jobs that were started, without their processes."""
    names = []
    monkeypatch.setattr(control, "_launch", lambda run, command: names.append(run.name))
    return names


def grid(name: str = "wide", base: RunConfig | None = None, **axes) -> SweepConfig:
    return SweepConfig(**{"name": name, "base": base or tiny_config(), "heads": (1, 2), "depths": (1, 3)} | axes)


def end(run: runs.Run, state: str = "finished", accuracy: float | None = None) -> None:
    best = None if accuracy is None else {"val_accuracy": accuracy, "epoch": 1}
    runs.update_status(run.path, state=state, best=best, validated=best is not None, message="It was so.")


def seen(name: str = "wide") -> sweep.Sweep:
    return sweep.find(name)


# The grid


def test_each_run_has_its_heads_depth_and_seed_and_heads_keep_their_width():
    wanted = grid(base=RunConfig(), heads=(4, 2, 2), depths=(3,), seeds=(7, 5))
    configs = [wanted.config(point) for point in wanted.points()]
    assert [(it.model.num_heads, it.model.depth, it.training.seed) for it in configs] == [
        (2, 3, 5),
        (4, 3, 5),
        (2, 3, 7),
        (4, 3, 7),
    ]
    assert {config.model.head_dim for config in configs} == {ViTConfig().head_dim}
    assert {config.sweep for config in configs} == {"wide"}
    assert wanted.run_name(next(wanted.points())) == "wide-h2-d3-s5"


def test_a_constant_token_is_shared_by_its_heads_and_must_be_divided_by_them():
    wanted = grid(base=RunConfig(), heads=(1, 2, 4), same="token")
    assert {wanted.config(point).model.embed_dim for point in wanted.points()} == {ViTConfig().embed_dim}
    with pytest.raises(SettingsError, match="not a multiple of num_heads = 3"):
        grid(base=RunConfig(), heads=(3,), same="token")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": (HEADS[-1] + 1,)}, "heads.0"),
        ({"depths": (0,)}, "depths.0"),
        ({"seeds": (-1,)}, "seeds.0"),
        ({"heads": ()}, "at least 1"),
        ({"heads": HEADS, "depths": DEPTHS}, f"has at most {RUNS_MAX}"),
        ({"name": "../other"}, "cannot be called"),
        ({"name": "a" * (NAME_MAX + 1)}, "cannot be called"),
        ({"base": RunConfig(model=CNNConfig())}, "has no heads"),
    ],
)
def test_what_cannot_be_a_sweep_gets_a_sentence(changes, said):
    with pytest.raises(SettingsError, match=said):
        grid(**changes)


def test_the_longest_name_leaves_room_for_the_names_of_the_runs():
    wanted = grid("a" * NAME_MAX, heads=HEADS[-1:], depths=DEPTHS[-1:], seeds=(2**31 - 1,))
    assert len(wanted.run_name(next(wanted.points()))) <= 64


@pytest.mark.parametrize("name", ["../other", "a/b", "A", ".hidden", "x" * 65, "a\n"])
def test_the_name_of_a_sweep_in_a_run_s_settings_is_no_path(name):
    with pytest.raises(SettingsError, match="sweep"):
        RunConfig(sweep=name)


def test_a_run_from_before_sweeps_is_read_and_stands_alone(home):
    run = runs.create("old", tiny_config())
    text = json.loads((run.path / runs.CONFIG).read_text())
    del text["sweep"]
    (run.path / runs.CONFIG).write_text(json.dumps(text))
    assert runs.get_run("old").config.sweep == ""
    assert sweep.group_by_sweep(runs.list_runs()) == {}


# Start, stop, go on


def test_starting_twice_starts_only_what_is_missing(home, started):
    first = sweep.start(grid())
    assert (
        started == [run.name for run in first] == ["wide-h1-d1-s0", "wide-h2-d1-s0", "wide-h1-d3-s0", "wide-h2-d3-s0"]
    )
    assert sweep.start(grid()) == []
    end(first[1])
    runs.rename(first[1], "favourite")  # under another name it is still the sweep's
    end(first[2])
    runs.delete(first[2])
    assert seen().open == 1
    assert [cell.state for cell in seen().cells] == ["queued", "finished", "open", "queued"]
    more = sweep.start(grid(seeds=(0, 1)))
    assert [run.name for run in more] == [
        "wide-h1-d3-s0",
        *(f"wide-h{heads}-d{depth}-s1" for depth in (1, 3) for heads in (1, 2)),
    ]
    assert seen().open == 0


def test_what_is_missing_is_known_from_the_runs_that_are_there(home, started):
    for same in ("head", "token"):
        wanted = grid(same, base=tiny_config(num_heads=1), same=same)
        all_ = sweep.start(wanted)
        end(all_[2])
        runs.delete(all_[2])
        found = sweep.group_by_sweep(runs.list_runs())[same]
        assert [run.config.model for run in sweep.start(sweep.config_of(found))] == [
            wanted.config(Point(1, 3, 0)).model
        ]


def test_a_sweep_of_that_name_with_other_settings_is_not_mixed_with_it(home, started):
    sweep.start(grid())
    base = tiny_config()
    other = base.model_copy(update={"training": base.training.model_copy(update={"epochs": 9})})
    with pytest.raises(RunError, match=r"other settings \(Epochs 2, not 9\): choose another name"):
        sweep.start(grid(base=other, seeds=(5,), heads=(1,)))
    for same_results in ({"threads": 2}, {"max_seconds": 60.0}):
        base = base.model_copy(update={"training": base.training.model_copy(update=same_results)})
        assert sweep.start(grid(base=base)) == []


def test_if_another_run_has_the_name_nothing_is_started(home, started):
    runs.create("wide-h2-d3-s0", tiny_config())
    with pytest.raises(RunError, match="already a run 'wide-h2-d3-s0'"):
        sweep.start(grid())
    assert started == []
    runs.create("scenes-d2-h2", tiny_config())
    assert sweep.suggest_name(tiny_config()) == "scenes-sweep"
    sweep.start(grid("scenes-sweep"))
    assert sweep.suggest_name(tiny_config()) == "scenes-sweep-2"


def test_stopping_a_sweep_ends_what_trains_and_lets_nothing_begin_that_waits(jobs_end):  # noqa: F811
    all_ = sweep.start(grid(base=config(ENDLESS), depths=(1,), seeds=(0, 1)))
    wait_for(lambda: all_[0].status.epoch)
    with pytest.raises(RunError, match="stop them first"):
        sweep.delete(all_)
    sweep.stop(all_)
    assert [run.state for run in all_] == ["stopped"] * 4
    assert not any(run.has_unsaved_steps for run in all_)
    assert [run.status.epoch > 0 for run in all_] == [True, False, False, False]
    sweep.delete(all_)
    with pytest.raises(RunError, match="There is no sweep 'wide': start one first"):
        seen()


def test_what_failed_or_was_stopped_goes_on_in_its_order_and_what_cannot_is_told(home, started):
    all_ = sweep.start(grid())
    for run, state in zip(all_, ("failed", "finished", "stopped", "stopped"), strict=True):
        end(run, state)
    runs.update_status(all_[0].path, epoch=1)  # and what it would go on from is lost
    del started[:]
    with pytest.raises(RunError, match=r"has no last.safetensors"):
        sweep.resume(all_)
    assert started == ["wide-h1-d3-s0", "wide-h2-d3-s0"]


# What is seen of it


def test_a_cell_is_the_mean_and_the_range_of_the_seeds_that_have_run_their_course(home, started):
    all_ = {sweep.point_of(run.config): run for run in sweep.start(grid(depths=(1,), seeds=(0, 1, 2)))}
    end(all_[1, 1, 0], accuracy=0.5)
    end(all_[1, 1, 1], accuracy=0.8)
    end(all_[1, 1, 2], "stopped", accuracy=0.1)  # in its first epoch
    end(all_[2, 1, 0], "running", accuracy=0.3)
    one, two = seen().cells
    assert (one.accuracies, one.accuracy, one.state, one.final) == ((0.5, 0.8), pytest.approx(0.65), "stopped", True)
    assert (two.accuracy, two.final) == (0.3, False)
    assert seen().best == one


def test_of_two_runs_at_one_point_the_newer_counts(home, started):
    old = sweep.start(grid(heads=(1,), depths=(1,)))[0]
    end(old)
    shutil.copytree(old.path, old.path.with_name("copy"))
    runs.write_config(old.path.with_name("copy"), old.config.model_copy(update={"created": "2999-01-01T00:00:00"}))
    assert [member.run.name for member in seen().members] == ["copy"]


def test_the_map_shows_accuracy_as_colour_and_every_other_state_with_a_frame_that_is_explained(home, started):
    all_ = sweep.start(grid(heads=(1, 2, 4), depths=(1, 3)))
    states = ("finished", "failed", "stopped", "finished", "queued", "finished")
    for run, state, accuracy in zip(all_, states, (0.5, None, 0.2, 0.75, None, 0.6), strict=True):
        end(run, state, accuracy)
    runs.delete(all_[5])
    figure = plots.sweep_heatmap(seen()).to_dict()
    heat, targets = figure["data"][0], figure["data"][-1]
    assert heat["z"] == [[0.5, None, 0.2], [0.75, None, None]]
    assert heat["colorbar"]["title"]["text"] == "Validation accuracy"
    assert list(figure["layout"]["xaxis"]["ticktext"]) == ["1", "2", "4"]
    assert [trace["name"] for trace in figure["data"][1:-1]] == [
        "Waiting",
        "Failed",
        "Stopped",
        "Open: a run is missing",
    ]
    frames = [shape["line"] for shape in figure["layout"]["shapes"]]
    assert len(frames) == 4
    assert len({(line["color"], line["dash"]) for line in frames}) == 4
    texts = [note["text"] for note in figure["layout"]["annotations"]]
    assert texts == ["<b>50.0%</b>", "failed", "<b>20.0%</b> so far<br>stopped", "<b>75.0%</b>", "waiting", "open"]
    assert list(zip(targets["x"], targets["y"], strict=True)) == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert "seed 0: failed" in targets["customdata"][1]


def test_the_map_tells_the_range_over_seeds_and_how_far_a_run_is(home, started):
    all_ = sweep.start(grid(heads=(1,), depths=(1,), seeds=(0, 1)))
    end(all_[0], accuracy=0.5)
    end(all_[1], accuracy=0.625)
    assert plots.sweep_heatmap(seen()).layout.annotations[0].text == "<b>56.2%</b><br>50.0 to 62.5<br>n = 2"
    with runs.run_lock(all_[1].path):
        runs.update_status(all_[1].path, state="running", best=None, validated=False, step=3, steps_total=6, epoch=1)
        figure = plots.sweep_heatmap(seen())
    assert figure.layout.annotations[0].text == "<b>50.0%</b><br>n = 1, training"
    assert "epoch 2 of 2" in figure.data[-1].customdata[0]


# The command

TINY = (
    "--image-size 32 --patch-size 16 --stem patch --embed-dim 8 --train-images 40 --val-images 20 --batch-size 20 "
    "--epochs 1 --threads 1 --device cpu --snapshots 0"
)


def test_the_command_trains_what_is_missing_and_exits_with_1_where_a_run_failed(jobs_end, capsys):  # noqa: F811
    words = ["sweep", "--name", "grid", "--heads", "2", "--depth", "1", *TINY.split()]
    assert main.main(words) == 0
    out, told = capsys.readouterr()
    [cell] = seen("grid").cells
    [member] = cell.members
    assert (member.run.name, member.run.config.model.embed_dim) == ("grid-h2-d1-s0", 8)
    assert out.splitlines()[-1].split() == ["1", f"{member.run.best['val_accuracy']:.4f}"]
    assert "grid-h2-d1-s0  finished, accuracy" in told
    runs.update_status(member.run.path, state="failed", message="The disk is full.")
    assert main.main([*words, "--json"]) == 1
    out, told = capsys.readouterr()
    result = json.loads(out)
    assert (result["heads"], result["failed"]) == ([2], 1)
    assert [run["state"] for run in result["cells"][0]["runs"]] == ["failed"]
    assert "0 runs started, 1 exist already" in told
    assert "failed: The disk is full." in told


def test_the_table_has_depth_down_and_heads_across_with_the_range_over_seeds(home, started, capsys):
    for run, accuracy in zip(sweep.start(grid(seeds=(0, 1))), (0.1, 0.2, 0.3, 0.4, 0.2, 0.3, 0.4, None), strict=True):
        end(run, "stopped" if accuracy is None else "finished", accuracy)
    assert main.main(["sweep", "--watch", "--name", "wide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "validation accuracy, mean and range over 2 seeds"
    assert lines[1].split() == ["depth", "\\", "heads", "1", "2"]
    assert lines[2].split() == ["1", "0.1500", "(0.100-0.200)", "0.2500", "(0.200-0.300)"]
    assert lines[3].split() == ["3", "0.3500", "(0.300-0.400)", "0.4000", "(0.400-0.400)"]


def test_the_command_that_the_app_shows_is_the_sweep(home, started, capsys, monkeypatch):
    base = RunConfig(data=DataConfig(class_names=tiny_config().data.class_names))
    narrow = base.model_copy(update={"model": ViTConfig(num_heads=2, embed_dim=32, depth=5)})
    course = base.model_copy(update={"model": ReferenceConfig(depth=1, num_heads=1, embed_dim=64)})
    monkeypatch.setattr("vit.data.load", lambda *args, **options: ImageData("", (), 32, None, None))
    monkeypatch.setattr("vit.cli.sweep._follow", lambda name, cluster: sweep.find(name))
    for number, (one, same) in enumerate((one, same) for one in (base, narrow, course) for same in ("head", "token")):
        wanted = grid(f"no{number}", base=one, same=same, seeds=(3, 4))
        command = sweep.command_line(wanted)
        assert main.main(command.split()[3:]) == 0
        assert sweep.start(wanted) == []  # they are all there, with these settings
        capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--heads", "1,2", "--num-heads", "2"], "set the same"),
        (["--heads", "1,99"], "heads.1 = '99'"),
        (["--depths", "1-200"], "not a list of numbers"),
        (["--model", "cnn"], "has no heads"),
        (["--watch"], "add --name"),
        (["--stop", "--name", "none"], "There is no sweep 'none'"),
        (["--name", "No"], "cannot be called"),
    ],
)
def test_bad_input_gets_one_line(home, capsys, words, said):
    try:
        status = main.main(["sweep", *words])
    except SystemExit as error:
        status = error.code
    out, told = capsys.readouterr()
    assert (status, out) == (2, "")
    assert said in told
    assert len(told.splitlines()) == 1
