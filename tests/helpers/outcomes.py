"""What a run has come to, to be compared bit by bit with what another run of the same settings has."""

from typing import Any

from safetensors.numpy import load_file

from vit import runs
from vit.runs import Run
from vit.support.files import safetensors_metadata

TIMED = ("seconds", "images_per_second")
"""What no two runs have in common."""


def outcome(run: Run) -> dict[str, Any]:
    """All but times: curves, status, all weights with the optimiser's state bit by bit, and which files there are."""
    files = [run.path / runs.MODEL, run.path / runs.LAST, *sorted((run.path / runs.SNAPSHOTS).glob("*"))]
    status = run.status
    return {
        "metrics": [_untimed(line) for line in run.metrics()[0]],
        "tensors": {
            file.name: {name: (value.dtype, value.tobytes()) for name, value in load_file(file).items()}
            for file in files
        },
        "scalars": {file.name: _untimed(safetensors_metadata(file)) for file in files},
        "best": _untimed(run.best or {}),
        "status": (status.state, status.epoch, status.step, status.steps_total, status.validated),
        "files": sorted(str(file.relative_to(run.path)) for file in run.path.rglob("*")),
    }


def _untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in TIMED}
