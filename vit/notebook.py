"""Train a run in this process and show its curves, for notebooks and scripts."""

import sys
from typing import Any

from vit import plots, runs
from vit.config import RunConfig, words
from vit.errors import RunError
from vit.jobs.worker import execute
from vit.runs import Run


def train(config: RunConfig | None = None, name: str | None = None, *, quiet: bool = False) -> Run:
    """Train a new run to its end. Like every run it is stored in a folder, and the app shows it too.

    A notebook shows the curves below the cell; elsewhere one line is printed for each epoch. Ctrl-C, or the notebook's
    interrupt button, stops the training and keeps the best weights so far.

    Args:
        config: from :func:`vit.flags.configure`; None is the default model on scenes.
        name: name of the run; None makes one from its data, depth and heads.
        quiet: show nothing.

    Raises:
        RunError: the name is taken or not allowed, or the training failed.
    """
    if config is None:
        from vit.flags import configure

        config = configure()
    run = runs.create(name, config)
    status = execute(run, report=None if quiet else _Watcher(run))
    if status.state == "failed":
        raise RunError(status.message)
    return run


class _Watcher:
    """Shows the progress of a training."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.handle = _display() if _in_notebook() else None

    def __call__(self, event: Any) -> None:
        if not hasattr(event, "val_loss"):
            return
        if self.handle is not None:
            curves = plots.training_curves(self.run.metrics()[0])
            self.handle.update(
                curves._repr_mimebundle_(), raw=True
            )  # passing the figure would display it a second time
            return
        print(
            f"epoch {event.epoch} of {self.run.config.training.epochs}: loss {event.train_loss:.3f}, "
            f"{words.accuracy(self.run.config.training, start=False)} {event.val_accuracy:.1%}, {event.seconds:.0f} s",
            flush=True,
        )


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _display() -> Any:
    """Return the output below a notebook's cell, whose content is replaced as the training continues."""
    from IPython.display import display

    return display({"text/plain": "Training the first epoch."}, raw=True, display_id=True)
