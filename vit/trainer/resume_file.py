"""The file of a run that a resume needs: weights, optimiser state and position."""

from pathlib import Path

from vit.errors import RunError
from vit.runs.folder import LAST
from vit.runs.weights import read_tensors, write_tensors
from vit.trainer.checkpoint import Checkpoint, is_position


def save_resume(run: Path, checkpoint: Checkpoint) -> None:
    """Write the resume file of a run folder, with the position in its metadata."""
    write_tensors(run / LAST, checkpoint.tensors, checkpoint.position)


def load_resume(run: Path) -> Checkpoint | None:
    """Return what :func:`save_resume` wrote, or None if there is no such file.

    :func:`vit.trainer.fit` checks whether it fits the run.

    Raises:
        RunError: the file is damaged.
    """
    path = run / LAST
    if not path.exists():
        return None
    checkpoint = Checkpoint(*read_tensors(path, advice="start the run over"))
    if not is_position(checkpoint.position):
        raise RunError(f"The file {path.name} of {run.name!r} has no valid training position: start the run over.")
    return checkpoint
