"""``python -m vit train``, ``resume``, ``restart`` and ``stop``."""

import argparse
import sys
import time
from typing import Any

from vit import distributed, jobs, runs
from vit.cli.common import count, counter, print_result, say, say_reading
from vit.config import RunConfig, TrainingConfig, words
from vit.errors import RunError, SettingsError
from vit.exports import tensorboard, trackers
from vit.flags import add_flags, to_config
from vit.runs import Run
from vit.support import hardware, optional_packages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``train``."""
    parser.usage = "%(prog)s [options]"
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: made from its data, depth and heads)")
    add_flags(parser)


def add_resume_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--epochs",
        type=count,
        metavar="N",
        help="give the run N epochs in all, more than it had; a finished run continues, too. The learning rate follows "
        "the schedule of N epochs from there on, so a cosine rises again, and the run differs from one with N epochs "
        "from its first step (default: as many as it has)",
    )


def add_restart_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="also restart a run that came with the project")


def train(arguments: argparse.Namespace) -> int:
    """Train a new run."""
    from vit.data import check_readable, load

    if run := jobs.relaunched_run():
        return _continue(run, arguments.json)
    config = to_config(arguments)
    _check_launch(config)
    if arguments.run is not None:
        runs.check_name(arguments.run)
    if config.training.tensorboard:
        optional_packages.require(tensorboard.PURPOSE, "tensorboard")
    if config.training.track != "none":
        trackers.check(config.training.track)
    data = load(config.data, progress=counter("images"))  # before the run exists: unusable images are bad input
    say_reading(data)
    check_readable(data, config.data)
    name = arguments.run or (arguments.preset and runs.free_name(arguments.preset))
    run = runs.create(name, config)
    say(f"run {run.name} in {run.path}")
    return in_foreground(run, resume=False, as_json=arguments.json)


def resume(arguments: argparse.Namespace) -> int:
    """Continue a stopped or failed run, or any run with more epochs."""
    if run := jobs.relaunched_run():
        return _continue(run, arguments.json)
    run = runs.get_run(arguments.run)
    jobs.prepare_resume(run, epochs=arguments.epochs)
    return in_foreground(run, resume=True, as_json=arguments.json)


def restart(arguments: argparse.Namespace) -> int:
    """Train a run again from the beginning."""
    if run := jobs.relaunched_run():
        return _continue(run, arguments.json)
    run = runs.get_run(arguments.run)
    if run.shipped and not arguments.yes:
        raise RunError(
            f"The run {run.name!r} came with the project: add --yes to delete its weights and start it over."
        )
    jobs.prepare_restart(run)
    return in_foreground(run, resume=False, as_json=arguments.json)


def stop(arguments: argparse.Namespace) -> int:
    """Stop a run that is queued or training."""
    run = runs.get_run(arguments.run)
    if not run.active:
        raise RunError(f"The run {run.name!r} is {run.state}: only a queued or running one can be stopped.")
    status = jobs.stop(run)
    result = {"run": run.name, "path": str(run.path), "state": status.state, "message": status.message}
    print_result(result, arguments.json, status.message)
    return 0


def in_foreground(run: Run, *, resume: bool, as_json: bool) -> int:
    """Train a run to its end in this process, and print the result; return 1 if it failed."""
    begun = time.monotonic()
    if (mark := distributed.launch_id()) and runs.read_status(run.path).state == "queued":
        runs.update_status(run.path, launch=mark)
    status = jobs.execute(run, resume=resume, report=_Progress(run.config.training))
    best = status.best or {}
    result = {
        "run": run.name,
        "path": str(run.path),
        "state": status.state,
        "message": status.message,
        "val_accuracy": best.get("val_accuracy"),
        "epochs": status.epoch,
        "seconds": round(time.monotonic() - begun, 3),
    }
    name = words.accuracy(run.config.training, start=False)
    accuracy = f"{best['val_accuracy']:.4f} (epoch {best['epoch']})" if best else "not measured"
    print_result(result, as_json, f"{run.path}\n{status.state}, {name} of the kept weights {accuracy}")
    return int(status.state == "failed")


def _check_launch(config: RunConfig) -> None:
    """Check that ``torchrun`` has started no more processes than can train here."""
    if distributed.launched():
        if config.training.processes > 1:
            raise SettingsError("--processes does not go with torchrun, which starts the processes: leave it out.")
        if hardware.resolve(config.training.device) != "cpu":
            hardware.resolve(config.training.device, distributed.world().local_size)


def _continue(run: Run, as_json: bool) -> int:
    """Continue the run whose processes ``torchrun`` has restarted, unless it was stopped."""
    if run.state not in ("finished", "stopped"):
        jobs.prepare_resume(run)
    return in_foreground(run, resume=True, as_json=as_json)


class _Progress:
    """Prints the progress on standard error: a line for each epoch, and on a terminal a line that is overwritten."""

    def __init__(self, training: TrainingConfig) -> None:
        self.epochs, self.labelled = training.epochs, training.labelled
        self.tty = sys.stderr.isatty()
        self.shown = 0.0

    def __call__(self, event: Any) -> None:
        clear = "\r\033[K" if self.tty else ""
        if isinstance(event, str):
            say(event, clear)
        elif hasattr(event, "val_loss"):
            further = getattr(event, "measures", {})  # a line of metrics.jsonl, from rank processes, has none
            measures = "".join(f"  {name} {value:.4f}" for name, value in further.items())
            accuracy = "val_accuracy" if self.labelled else "knn_accuracy"
            say(
                f"epoch {event.epoch}/{self.epochs}  loss {event.train_loss:.4f}  val_loss {event.val_loss:.4f}  "
                f"{accuracy} {event.val_accuracy:.4f}{measures}  {event.seconds:.1f} s"
                f"{'  kept' if event.kept else ''}",
                clear,
            )
        elif self.tty and time.monotonic() - self.shown > 1:
            self.shown = time.monotonic()
            line = f"step {event.step}  loss {event.loss:.4f}  {event.images_per_second:.0f} images/s"
            print(clear + line, end="", file=sys.stderr, flush=True)
