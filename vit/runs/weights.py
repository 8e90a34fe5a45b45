"""Read and write a run's tensors: kept weights, resume checkpoint, snapshots. Safetensors files, never pickles."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vit.classes import class_names_of
from vit.config import Interpolation, RunConfig
from vit.errors import RunError
from vit.networks import Network, build_model
from vit.runs.folder import MODEL, SNAPSHOTS
from vit.runs.run import Run
from vit.runs.store import get_run
from vit.support.files import write_atomic


@dataclass(frozen=True)
class CheckpointInfo:
    """Information about a model's weights.

    Attributes:
        class_names: in the order of the logits.
        mean, std: normalisation per channel, of pixels in [0, 1].
        image_size: pixels per side.
        dataset: the source that the run was trained on.
        metrics: metrics of these weights: ``epoch``, ``validated``, and, if validated, ``val_accuracy`` and
            ``val_loss``.
        config: all settings of the run.
    """

    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    dataset: str
    metrics: dict
    config: RunConfig

    @property
    def crop_pct(self) -> float:
        """Share of each side of the image's centre square that is used."""
        return self.config.data.crop_pct

    @property
    def interpolation(self) -> Interpolation:
        """Interpolation with which images are resized."""
        return self.config.data.interpolation


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(contiguous, metadata={key: json.dumps(value) for key, value in metadata.items()}))


def read_tensors(path: Path, advice: str = "train the run again") -> tuple[dict[str, Tensor], dict]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(f"The run {path.parent.name!r} has no {path.name}: train it first.") from None
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise RunError(f"The file {path.name} of {path.parent.name!r} is damaged ({error}): {advice}.") from None


def save_model(run: Path, weights: Mapping[str, Tensor], metrics: Mapping) -> None:
    """Write the kept weights of a run, with their epoch and metrics as metadata."""
    write_tensors(run / MODEL, weights, metrics)


def load_checkpoint(run: str | Path, *, device: str = "cpu") -> tuple[Network, CheckpointInfo]:
    """Return the kept model of a run, in eval mode and frozen, so that threads may share it.

    Args:
        run: a run's name, or a path to its folder.
        device: where to put the model.

    Raises:
        RunError: there is no such run, it has no weights yet, or its files are damaged.
    """
    found = get_run(run)
    tensors, metrics = read_tensors(found.path / MODEL)
    return _model(found, tensors, device), _info(found, metrics)


def load_snapshot(run: str | Path, epoch: int, *, device: str = "cpu") -> tuple[Network, CheckpointInfo]:
    """Return the model as it was after ``epoch``, from its float16 snapshot."""
    found = get_run(run)
    tensors, metrics = read_tensors(snapshot_path(found.path, epoch))
    return _model(found, tensors, device), _info(found, metrics)


def snapshot_path(run: Path, epoch: int) -> Path:
    return run / SNAPSHOTS / f"{epoch:05d}.safetensors"


def save_snapshot(run: Path, epoch: int, weights: Mapping[str, Tensor]) -> None:
    write_tensors(snapshot_path(run, epoch), weights, {"epoch": epoch})


def _model(run: Run, tensors: dict[str, Tensor], device: str) -> Network:
    with torch.device("meta"):  # skips random weights that are replaced at once; a ViT-B/16 takes seconds for them
        model = build_model(run.config.model)
    kept = model.state_dict()
    tensors = {name: tensor.to(kept[name].dtype) if name in kept else tensor for name, tensor in tensors.items()}
    try:
        model.load_state_dict(tensors, assign=True)  # float16 snapshots were converted to float32 above
    except RuntimeError:
        raise RunError(f"The weights of {run.name!r} do not fit its config.json: train the run again.") from None
    model.class_names = class_names_of(run.config)
    return model.eval().requires_grad_(False).to(device)


def _info(run: Run, metrics: dict) -> CheckpointInfo:
    data = run.config.data
    return CheckpointInfo(
        class_names_of(run.config), data.mean, data.std, data.image_size, data.source, metrics, run.config
    )
