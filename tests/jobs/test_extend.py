"""A finished run is resumed with more epochs; a run whose folder disappears says so."""

import shlex
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.working import config
from vit import flags, jobs, runs
from vit.cli.main import main
from vit.trainer import Step
from vit.trainer.schedule import learning_rate


def trained(name: str, epochs: int, **training) -> runs.Run:
    run = runs.create(name, config(epochs, **training))
    assert jobs.execute(run).state == "finished"
    return run


def rates(run: runs.Run) -> list[float]:
    return [line["lr"] for line in run.metrics()[0] if line["event"] == "step"]


def test_a_finished_run_gets_more_epochs_at_the_rates_of_their_schedule(home):
    run = trained("one", 2)
    before = rates(run)
    assert main(["resume", "--run", "one", "--epochs", "4"]) == 0
    assert (run.state, run.status.epoch) == ("finished", 4)
    recipe = run.config.training
    assert rates(run) == before + [learning_rate(recipe, step, 8) for step in range(4, 8)]
    assert rates(run)[4] > before[-1]  # the cosine rises again
    assert run.config.extended == (2,)
    assert "Extended from 2 to 4 epochs" in run.end_of_log


def test_with_a_constant_rate_it_equals_a_run_that_had_all_epochs_from_the_start(home):
    settings = {"schedule": "constant", "warmup": 0.0, "keep": "last"}
    run = trained("one", 1, **settings)
    assert main(["resume", "--run", "one", "--epochs", "3"]) == 0
    whole = trained("whole", 3, **settings)
    first, second = (load_file(run.path / runs.MODEL) for run in (run, whole))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_commands_that_repeat_an_extended_run_are_given(home):
    run = trained("one", 1)
    assert main(["resume", "--run", "one", "--epochs", "2"]) == 0
    assert main(["resume", "--run", "one", "--epochs", "3"]) == 0
    train, *resumes = flags.command_line(run.config, "again").split(" && ")
    assert shlex.split(train)[-4:] == shlex.split(flags.command_line(config(1), "again"))[-4:]
    assert resumes == [f"python -m vit resume --run again --epochs {epochs}" for epochs in (2, 3)]
    jobs.prepare_restart(run)
    assert run.config.extended == ()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "resume it with --epochs and a number above 1"),
        ("--epochs 1", "has 1 epochs already: give a larger number than 1"),
        ("--epochs 100000000", "epochs"),
    ],
)
def test_other_numbers_of_epochs_are_refused(home, capsys, words, sentence):
    run = trained("one", 1)
    assert main(["resume", "--run", "one", *words.split()]) == 2
    assert sentence in capsys.readouterr().err
    assert (run.state, run.config.training.epochs) == ("finished", 1)


def test_a_folder_that_is_deleted_while_it_trains_is_named_and_no_resume_advised(home):
    run = runs.create("one", config(2))

    def delete(event) -> None:
        if isinstance(event, Step) and event.step == 2:
            shutil.rmtree(run.path)

    status = jobs.execute(run, report=delete)
    assert status.state == "failed"
    assert "was deleted or moved while it was in use" in status.message
    assert "resume it" not in status.message
    assert not run.path.exists()


def test_a_folder_that_is_deleted_while_it_waits_is_named(home):
    run = runs.create("one", config(2))

    def delete(event) -> None:
        if event == "Loading the data.":
            shutil.rmtree(run.path)

    assert "was deleted or moved" in jobs.execute(run, report=delete).message
