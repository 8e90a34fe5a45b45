"""Jobs that are asked to stop within an epoch: they save the exact step, and a resume ends as if nothing had been."""

import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.conftest import tiny_config
from tests.helpers.outcomes import outcome
from tests.jobs.test_resume import config
from vit import jobs, runs
from vit.cli import train
from vit.cli.main import main
from vit.config import RECIPES, CNNConfig, RunConfig, TrainingConfig, ViTConfig
from vit.jobs import rank_processes

IN_A_TERMINAL = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
"""How a process that is started in a terminal handles the signals that one started in the background may ignore."""
STRONG = {"average": 0.9, "mixup": 0.4, "cutmix": 1.0, "randaugment": 1, "repeats": 2, "teacher": "cnn"}


@pytest.fixture(autouse=True)
def in_a_terminal() -> Iterator[None]:
    """Handle signals as in a terminal: tests started with ``nohup`` or ``&`` inherit ignored SIGHUP or SIGINT."""
    before = {number: signal.signal(number, handler) for number, handler in IN_A_TERMINAL.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python


def without_labels() -> RunConfig:
    tiny = config()
    recipe = RECIPES["dino"].model_dump() | tiny.training.model_dump(include={"epochs", "batch_size", "threads"})
    network = ViTConfig(**tiny.model.model_dump() | {"num_classes": 0, "pool": "cls"})
    training = TrainingConfig(**recipe | {"device": "cpu", "local_crops": 1, "snapshots": 2})
    return tiny.model_copy(update={"model": network, "training": training})


def stop_at(step: int, *numbers: signal.Signals):
    """Send signals to this process once a step is reported."""

    def report(event: object) -> None:
        if hasattr(event, "images_per_second") and event.step == step:
            for number in numbers:
                signal.raise_signal(number)

    return report


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        (config, (signal.SIGTERM, signal.SIGTERM)),  # as if two tabs asked
        (lambda: config(**STRONG), (signal.SIGHUP,)),
        (without_labels, (signal.SIGINT,)),
    ],
    ids=["standard", "strong", "dino"],
)
def test_a_run_stopped_in_its_first_epoch_and_again_later_ends_with_the_very_same_weights(home, settings, numbers):
    if settings().training.teacher:
        jobs.execute(runs.create("cnn", config(1).model_copy(update={"model": CNNConfig(image_size=32)})))
    whole, run = runs.create("whole", settings()), runs.create("run", settings())
    assert jobs.execute(whole).state == "finished", whole.log()
    status = jobs.execute(run, report=stop_at(2, *numbers))
    assert (status.state, status.epoch, status.step, status.validated) == ("stopped", 0, 2, False)
    assert status.message == "Stopped after step 2, in epoch 1 of 2."
    assert run.can_resume
    assert (run.resume_step, run.has_unsaved_steps) == (2, False)
    jobs.prepare_resume(run)
    status = jobs.execute(run, resume=True, report=stop_at(5, signal.SIGTERM))
    assert (status.message, status.epoch) == ("Stopped after step 5, in epoch 2 of 2.", 1)
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True).state == "finished", run.log()
    assert outcome(run) == outcome(whole)


def test_ctrl_c_on_the_command_line_saves_the_step_and_resume_continues_after_it(home, monkeypatch, capsys):
    flags = "--dataset scenes --image-size 32 --train-images 60 --val-images 20 --batch-size 20 --epochs 1 --threads 1"
    network = "--depth 1 --num-heads 1 --embed-dim 16 --patch-size 8 --device cpu --snapshots 0"

    class Progress(train._Progress):
        def __call__(self, event) -> None:
            super().__call__(event)
            stop_at(2, signal.SIGINT)(event)

    assert main(["train", "--run", "whole", *flags.split(), *network.split()]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(train, "_Progress", Progress)
        assert main(["train", "--run", "one", *flags.split(), *network.split()]) == 0
    run = runs.find_run("one")
    said = capsys.readouterr()
    assert "Saving step 2." in said.err
    assert "stopped" in said.out
    assert run.status.message == "Stopped after step 2, in epoch 1 of 1."
    assert main(["resume", "--run", "one"]) == 0
    assert outcome(run) == outcome(runs.find_run("whole"))


def test_the_progress_of_rank_processes_is_printed_from_their_metrics(home, capsys):
    run = runs.create("one", config(1))
    jobs.execute(run)
    for line in run.metrics()[0]:
        train._Progress(run.config.training)(SimpleNamespace(**line))
    assert "epoch 1/1  loss " in capsys.readouterr().err


def test_a_run_of_which_nothing_was_saved_says_that_it_starts_from_the_beginning(home):
    run = runs.create("one", config(1))
    runs.update_status(run.path, state="stopped")
    said = []
    jobs.prepare_resume(run)
    assert jobs.execute(run, resume=True, report=said.append).state == "finished"
    assert "Nothing was saved that it could continue from: it starts from the beginning." in said


def test_a_terminal_that_is_gone_does_not_end_a_training(home):
    def report(_: object) -> None:
        raise OSError(5, "Input/output error")

    assert jobs.execute(runs.create("one", config(1)), report=report).state == "finished"


def test_a_signal_that_was_ignored_when_the_job_began_does_not_stop_it(home):
    assert rank_processes.heeded_signals() == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    for number in IN_A_TERMINAL:  # as under nohup, and for a command that a script started with &
        signal.signal(number, signal.SIG_IGN)
    assert rank_processes.heeded_signals() == [signal.SIGTERM]
    status = jobs.execute(runs.create("one", config(1)), report=stop_at(2, *IN_A_TERMINAL))
    assert (status.state, status.step) == ("finished", 3)
    assert [signal.getsignal(number) for number in IN_A_TERMINAL] == [signal.SIG_IGN] * 2


def test_where_a_resume_continues_is_read_from_its_file(home):
    run = runs.create("one", tiny_config())
    assert run.place == "before its first step"
    runs.update_status(run.path, state="stopped", epoch=1)
    assert run.place == "after 1 of 2 epochs"
    (run.path / runs.LAST).write_bytes(b"damaged")
    assert (run.resume_step, run.place) == (0, "after 1 of 2 epochs")
