"""How good the default model is: the shipped run on its own images, and a training on photographs.

    python -m benchmarks.accuracy [--photos PHOTOS.zip] [--epochs 5] [--device cpu]

- *scenes*: the shipped run, evaluated anew on the 1,000 validation images that the program draws.
- *photographs*: the default model and recipe trained on a folder or zip in ImageFolder layout, at the size that "auto"
  gives; the accuracy of the weights that the run would keep, and the seconds of training and validation.
"""

import argparse
import time

from vit import data, estimate
from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig, project_root
from vit.evaluation import evaluate
from vit.runs import SHIPPED_RUN, get_run
from vit.trainer import Epoch, fit
from vit.weights import load_checkpoint


def row(*cells: object) -> None:
    """One line of the table."""
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def shipped() -> None:
    """The run that comes with the project."""
    run = get_run(project_root() / "checkpoints" / SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    result = evaluate(model, info, data.load(info.config.data, splits=("val",)).val)
    parameters = estimate.count_parameters(info.config.model)
    row("scenes (shipped run)", f"{parameters:,}", info.config.training.epochs, f"{result.accuracy:.3f}", "")


def photographs(source: str, epochs: int, device: str) -> None:
    """Train the default model on photographs."""
    found = data.describe(source)
    size = found.auto_image_size
    config = RunConfig(
        model=ViTConfig(image_size=size, num_classes=len(found.class_names)),
        data=DataConfig(source=found.source, image_size=size, class_names=found.class_names),
        training=TrainingConfig(epochs=epochs, device=device),
    )
    images = data.load(config.data)
    begin = time.monotonic()
    kept = [event for event in fit(config, images) if isinstance(event, Epoch) and event.kept][-1]
    seconds = time.monotonic() - begin
    parameters = estimate.count_parameters(config.model)
    row(found.title, f"{parameters:,}", epochs, f"{kept.val_accuracy:.3f}", f"{seconds:.0f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", help="folder or zip to train on; without it the shipped run alone is evaluated")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    row("data", "parameters", "epochs", "validation accuracy", "seconds")
    row("---", "---", "---", "---", "---")
    shipped()
    if options.photos:
        photographs(options.photos, options.epochs, options.device)


if __name__ == "__main__":
    main()
