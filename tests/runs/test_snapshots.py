"""The weights along the way of a run, from before its first step on."""

import torch

from tests.conftest import tiny_config
from vit import jobs, runs
from vit.runs import snapshots, weights


def test_epochs_begin_before_training_and_end_with_the_last_snapshot(trained):
    run = runs.find_run("tiny")
    assert run.snapshots == [1, 2]
    assert snapshots.epochs(run) == [0, 1, 2]
    assert sorted(snapshots.history(run)) == [1, 2]
    assert all(0 <= line["val_accuracy"] <= 1 for line in snapshots.history(run).values())


def test_a_run_without_snapshots_has_no_epochs(trained):
    run = runs.find_run("tiny")
    for file in (run.path / runs.SNAPSHOTS).iterdir():
        file.unlink()
    assert snapshots.epochs(run) == []


def test_a_run_that_trains_has_its_beginning_until_its_first_snapshot(trained):
    run = runs.find_run("tiny")
    for file in (run.path / runs.SNAPSHOTS).iterdir():
        file.unlink()
    runs.update_status(run.path, state="running")
    with runs.run_lock(run.path):
        assert snapshots.epochs(run) == [0]


def test_epoch_0_has_the_weights_that_the_training_began_with(home):
    seen = {}

    def peek(event: object) -> None:
        if event == "Training.":  # the initial weights have just been written, and no step has been taken
            seen.update(weights.load_checkpoint("one")[0].state_dict())

    run = runs.create("one", tiny_config())
    jobs.execute(run, report=peek)
    before, after = snapshots.load(run, 0), snapshots.load(run, 1)
    assert not before.training
    assert not any(parameter.requires_grad for parameter in before.parameters())
    assert seen.keys() == before.state_dict().keys()
    assert all(torch.equal(value, seen[name]) for name, value in before.state_dict().items())
    assert not torch.equal(before.pos_embed, after.pos_embed)


def test_drawing_the_beginning_leaves_the_random_state_alone(trained):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    snapshots.load(runs.find_run("tiny"), 0)
    torch.testing.assert_close(torch.rand(4), expected)


def test_a_stamp_changes_with_its_file_alone(trained):
    run = runs.find_run("tiny")
    first, second = snapshots.stamp(run, 1), snapshots.stamp(run, 2)
    weights.save_snapshot(run.path, 2, weights.load_checkpoint(run.path)[0].state_dict())
    assert (snapshots.stamp(run, 1), snapshots.stamp(run, 0)) == (first, 0)
    assert snapshots.stamp(run, 2) != second
