"""Why a training cannot continue, in a sentence with what to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vit.config import RunConfig
from vit.errors import UserError


class TrainingFailed(UserError):
    """Training cannot continue; the message says why and what to change."""


@contextmanager
def translated_errors(config: RunConfig) -> Iterator[None]:
    """Raise errors of the device and of the image files as :class:`TrainingFailed`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise _out_of_memory(config) from None
    except RuntimeError as error:
        # messages of the CPU's and Apple's allocators
        if "allocate memory" in str(error) or "out of memory" in str(error):
            raise _out_of_memory(config) from None
        raise
    except OSError as error:
        raise TrainingFailed(
            f"The images of {config.data.source!r} can no longer be read ({error.strerror or error}); "
            "put the data set back and start the run again."
        ) from error


def not_resumable(reason: str) -> TrainingFailed:
    """Return the error for a checkpoint that does not fit; the reason is a clause."""
    return TrainingFailed(f"Training cannot be resumed, because {reason}: start the run over.")


def _out_of_memory(config: RunConfig) -> TrainingFailed:
    return TrainingFailed(
        f"The device has not enough memory for this model with batches of {config.training.batch_size}; "
        "choose a smaller batch, fewer heads or layers, or larger patches."
    )
