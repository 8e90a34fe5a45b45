"""A training in the process that asks for it, with its curves where it is watched: for notebooks and scripts."""

import sys
from typing import Any

from vit import plots, runs
from vit.config import RunConfig
from vit.errors import RunError
from vit.jobs.worker import execute
from vit.runs import Run


def train(config: RunConfig | None = None, name: str | None = None, *, quiet: bool = False) -> Run:
    """Train a new run to its end; like every run it lies in a folder, and the app shows it too.

    In a notebook its curves grow below the cell, elsewhere each epoch is a line. Ctrl-C, or the notebook's button to
    interrupt, stops it in order: the best weights so far are kept.

    Args:
        config: as :func:`vit.flags.configure` makes it; None is the default model on scenes.
        name: what to call the run; None names it after its data, depth and heads.
        quiet: show nothing.

    Raises:
        RunError: the name is taken or impossible, or the training failed.
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
    """Shows a training while it goes on."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.handle = _display() if _in_notebook() else None

    def __call__(self, event: Any) -> None:
        if not hasattr(event, "val_loss"):
            return
        if self.handle is not None:
            curves = plots.training_curves(self.run.metrics()[0])
            self.handle.update(curves._repr_mimebundle_(), raw=True)  # the figure itself would show itself once more
            return
        print(
            f"epoch {event.epoch} of {self.run.config.training.epochs}: loss {event.train_loss:.3f}, "
            f"validation accuracy {event.val_accuracy:.1%}, {event.seconds:.0f} s",
            flush=True,
        )


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _display() -> Any:
    """What a notebook shows below the cell, to be replaced."""
    from IPython.display import display

    return display({"text/plain": "The first epoch is under way."}, raw=True, display_id=True)
