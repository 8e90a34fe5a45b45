"""Writes one run of each kind as the program of its time does, with what it says of a picture and how it goes on.

``tests/formats/2`` was written by it with the program of commit e26822c, ``tests/formats/3`` and ``tests/formats/4``
with the first ones that write these formats. They are never written again: they are what people have. A new format gets
a separate folder::

    python -m tests.formats.write tests/formats/5
"""

import io
import json
import os
import shutil
import signal
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from vit import jobs, runs
from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig, TrainingConfig, ViTConfig
from vit.evaluation import predict
from vit.exports import run_zip
from vit.networks import build_model
from vit.runs import weights

SIZE = 32
CLASSES = ("airplane", "bus", "cat", "dog", "pizza")
SHARED = {"image_size": SIZE, "num_classes": len(CLASSES)}
TINY = SHARED | {"embed_dim": 8, "num_heads": 2, "depth": 1, "patch_size": 16}


def picture() -> np.ndarray:
    """A picture that is the same everywhere: ``(h w c)`` uint8."""
    rows, columns = np.indices((SIZE, SIZE))
    return np.stack([8 * rows, 8 * columns, 4 * (rows + columns)], axis=-1).astype(np.uint8)


def config(model, **training) -> RunConfig:
    """Two epochs of four steps on few scenes, each step a large one."""
    data = DataConfig(source="scenes", image_size=SIZE, class_names=CLASSES, train_images=40, val_images=20)
    recipe = {"epochs": 2, "batch_size": 10, "device": "cpu", "threads": 1, "snapshots": 2, "lr": 0.02} | training
    return RunConfig(model=model, data=data, training=TrainingConfig(**recipe))


def stop_at(step: int):
    """Told of each record, asks for the end after one step."""

    def told(event) -> None:
        if getattr(event, "loss", None) is not None and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return told


def told(run: runs.Run) -> dict:
    """What the run says of itself and of the picture."""
    model, info = weights.load_checkpoint(run.path)
    return {
        "state": run.state,
        "epoch": run.status.epoch,
        "step": run.status.step,
        "best": run.best,
        "snapshots": run.snapshots,
        "metrics": run.metrics()[0],
        "probabilities": predict(model, info, [picture()])[0].tolist(),
    }


def small_cnn(run: runs.Run) -> None:
    """Most of the 390,181 weights become zero, so that the zip takes little room."""
    model = build_model(run.config.model, seed=0)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim > 1 and not name.startswith("head"):
                kept = torch.arange(tensor.numel()).view_as(tensor) % 61 == 0
                tensor.mul_(8 * kept)
    weights.save_model(run.path, model.state_dict(), {"epoch": 0, "validated": False})
    runs.update_status(run.path, state="stopped", message="Stopped after 0 of 2 epochs.")


def main(target: Path) -> None:
    """Write all of them, with ``expected.json``."""
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"VIT_CHECKPOINTS": f"{folder}/checkpoints", "VIT_DATA": f"{folder}/data"}
        jobs.execute(runs.create("patch", config(ViTConfig(**TINY, stem="patch", pool="cls", init_values=0.1))))
        jobs.execute(runs.create("course", config(ReferenceConfig(**TINY, mended=("softmax", "mlp")))))
        halved = config(ViTConfig(**TINY, stem_blocks=1, drop_path=0.1), keep="training_loss", resume_steps=1)
        jobs.execute(runs.create("conv", halved), report=stop_at(step=6))
        small_cnn(runs.create("cnn", config(CNNConfig(**SHARED))))
        expected = {run.name: told(run) for run in runs.list_runs()}
        for run in runs.list_runs():
            if run.name == "cnn":
                packed, deflated = io.BytesIO(), zipfile.ZIP_DEFLATED
                run_zip.pack(run, packed)
                with zipfile.ZipFile(packed) as stored, zipfile.ZipFile(target / "cnn.zip", "w", deflated) as small:
                    for name in stored.namelist():
                        small.writestr(name, stored.read(name))
            else:
                unneeded = [".lock", "log.txt", *([runs.LAST] if run.state == "finished" else [])]
                shutil.copytree(run.path, target / run.name, ignore=shutil.ignore_patterns(*unneeded))
        conv = runs.find_run("conv")
        jobs.prepare_resume(conv)
        jobs.execute(conv, resume=True)
        expected["conv"]["finished"] = told(conv)
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
