"""``python -m vit evaluate`` and ``predict``: how well a run does, and what it says of images."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vit import runs
from vit.cli.common import BAD_INPUT, count, counter, open_image, print_result, say
from vit.config import EVALUATED_SPLITS, TransformerConfig
from vit.errors import DataError, SettingsError
from vit.runs import Run
from vit.runs.dependence import Dependence, keep_dependence, read_dependence
from vit.support.untrusted_text import bare

if TYPE_CHECKING:
    from PIL import Image

    from vit.data import Split
    from vit.evaluation import Evaluation
    from vit.networks import Network
    from vit.runs.weights import CheckpointInfo

LABEL_COLUMNS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``evaluate``."""
    parser.add_argument(
        "--dataset",
        metavar="NAME|PATH",
        help="evaluate on another data set, whose classes are matched by name (default: the run's own)",
    )
    parser.add_argument(
        "--split",
        choices=EVALUATED_SPLITS,
        help="which images (default: val; of another data set without splits, all)",
    )
    parser.add_argument(
        "--dependence", action="store_true", help="measure the attention dependence if the run has none, and store it"
    )


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image file")
    parser.add_argument("--top", type=count, default=5, metavar="N", help="number of classes to print (default 5)")


def evaluate(arguments: argparse.Namespace) -> int:
    """Print accuracy, confusion matrix and scores on validation images, or on those of another split.

    The model always runs on the images, also if the run has stored answers, so that the command can check those.
    """
    from vit import evaluated_images, evaluation
    from vit.runs import weights

    if arguments.dependence and arguments.dataset is not None:
        raise SettingsError("--dependence measures on the run's own validation images: leave --dataset out.")
    model, info = weights.load_checkpoint(arguments.run)
    images = evaluated_images.load(info, arguments.dataset, arguments.split, progress=counter("images"))
    if words := images.words():
        say(words)
    scores = evaluation.joined([evaluation.evaluate(model, info, split) for split in images.splits.values()])
    if arguments.dataset is None and images.name == "val":
        _keep(runs.get_run(arguments.run), images.splits["val"], scores)
    result = {"run": runs.get_run(arguments.run).name, "dataset": arguments.dataset or info.dataset}
    result |= {"split": images.name, "overlap_with_training": images.overlap} | scores.to_dict()
    lines = [_scores(result)]
    if arguments.dataset is None:  # it is measured on the run's own images
        found = _dependence(runs.get_run(arguments.run), measure=arguments.dependence)
        result["attention_dependence"] = found and found.to_dict()
        lines.append(_dependence_text(runs.get_run(arguments.run), found))
    print_result(result, arguments.json, "\n".join(filter(None, lines)))
    return 0


def _keep(run: Run, split: "Split", scores: "Evaluation") -> None:
    """Store the answers for the app, unless the run has them."""
    from vit.results.answers import stored_answers

    place = stored_answers(run, split)
    if place.read() is None:
        place.keep(scores)


def predict(arguments: argparse.Namespace) -> int:
    """Print the most probable classes of images."""
    from vit import evaluation
    from vit.classes import has_one_output
    from vit.runs import weights

    model, info = weights.load_checkpoint(arguments.run)
    pictures: dict[Path, Image.Image] = {}
    predictions: list[dict[str, Any]] = []
    for path in arguments.images:
        try:
            pictures[path] = open_image(path, info.config.data)
        except DataError as error:
            say(f"vit predict: {error}")
            predictions.append({"image": str(path), "error": str(error)})
        else:
            predictions.append({"image": str(path)})
    if has_one_output(info.config.model):
        return _predict_number(arguments, model, info, pictures, predictions)
    rows = iter(evaluation.predict(model, info, [*pictures.values()]) if pictures else ())
    probabilities = dict(zip(pictures, rows, strict=True))
    for path, item in zip(arguments.images, predictions, strict=True):
        if path in probabilities:
            row = probabilities[path]
            best = np.argsort(-row, kind="stable")[: arguments.top]
            item["top"] = [{"label": info.class_names[index], "probability": float(row[index])} for index in best]
    lines = [
        f"{bare(item['image'])}: " + ", ".join(f"{bare(it['label'])} {it['probability']:.3f}" for it in item["top"])
        for item in predictions
        if "top" in item
    ]
    if pictures or arguments.json:
        result = {"run": runs.get_run(arguments.run).name, "predictions": predictions}
        print_result(result, arguments.json, "\n".join(lines))
    return 0 if pictures else BAD_INPUT


def _predict_number(
    arguments: argparse.Namespace,
    model: "Network",
    info: "CheckpointInfo",
    pictures: dict[Path, "Image.Image"],
    predictions: list[dict[str, Any]],
) -> int:
    """Print the number that a network with a single output computes for each image."""
    from vit.evaluation import single_outputs

    values = iter(single_outputs(model, info, [*pictures.values()]) if pictures else ())
    for item in predictions:
        if "error" not in item:
            item["output"] = float(next(values))
    lines = [f"{bare(item['image'])}: {item['output']:.4g}" for item in predictions if "output" in item]
    if pictures or arguments.json:
        result = {"run": runs.get_run(arguments.run).name, "predictions": predictions}
        print_result(result, arguments.json, "\n".join(lines))
    return 0 if pictures else BAD_INPUT


def _dependence(run: Run, *, measure: bool) -> Dependence | None:
    """Return the stored attention dependence; with ``measure``, measure and store it if there is none."""
    found = read_dependence(run)
    if found is None and measure:
        from vit.explain.heads.dependence import measure_run

        stamp = run.stamp
        found = measure_run(run, progress=counter("steps of the attention dependence"))
        keep_dependence(run, found, stamp)
    return found


def _dependence_text(run: Run, found: Dependence | None) -> str:
    if found is None:
        has_heads = isinstance(run.config.model, TransformerConfig)
        return "attention dependence: not measured; --dependence measures it" if has_heads else ""
    figures = found.figures()
    width = max(len(figure.name) for figure in figures)
    lines = [f"  {figure.name.lower():{width}}  {figure.value}" for figure in figures[1:]]
    first = f"attention dependence {found.text}, on {found.images} images"
    return "\n".join([first, *lines, *([found.warning] if found.low else [])])


def _scores(result: dict[str, Any]) -> str:
    width = min(LABEL_COLUMNS, max(len(bare(name)) for name in result["class_names"]))
    low, high = result["accuracy_interval"]
    which = {"val": "validation ", "train": "training ", "test": "test "}.get(result["split"], "")
    lines = [
        f"accuracy {result['accuracy']:.4f} ({low:.3f} to {high:.3f}) on {result['images']} {which}images of "
        f"{bare(result['dataset'])}"
    ]
    for row in result["per_class"]:
        scores = "  ".join(f"{score} {row[score]:.3f}" for score in ("precision", "recall", "f1"))
        lines.append(f"  {bare(row['label']):{width}}  {scores}")
    return "\n".join(lines)
