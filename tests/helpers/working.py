"""The smallest runs for tests with real processes, and helpers that wait for them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import tiny_config
from vit import jobs, runs
from vit.config import RunConfig, TrainingConfig

ENDLESS = 5000


def config(epochs: int = 1, **training: Any) -> RunConfig:
    """The smallest run, on one thread."""
    base = tiny_config(depth=1, num_heads=1, embed_dim=16)
    settings = {"epochs": epochs, "batch_size": 20, "device": "cpu", "threads": 1, "snapshots": 2} | training
    data = base.data.model_copy(update={"train_images": 40, "val_images": 20})
    return base.model_copy(update={"training": TrainingConfig(**settings), "data": data})


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Poll until the condition returns a true value, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s; logs: {[run.log() for run in runs.list_runs()]}")


def job_processes() -> list[psutil.Process]:
    """The jobs that this process has started and not reaped; child processes of other tests are left out."""
    return [
        it for it in psutil.Process().children() if it.status() == psutil.STATUS_ZOMBIE or "vit.jobs" in it.cmdline()
    ]


@pytest.fixture
def jobs_end(home: Path) -> Iterator[Path]:
    """No job outlives its test."""
    yield home
    for run in runs.list_runs():
        jobs.stop(run)
