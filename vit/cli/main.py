"""The command line, ``python -m vit``.

``--json`` prints one JSON object on standard output and nothing else there; progress goes to standard error. Bad input
exits with 2 and one line on standard error. torch is imported only by the commands that compute.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from vit import __version__, distributed, jobs, runs
from vit.cli import attention as cli_attention
from vit.cli import export as cli_export
from vit.cli import faithfulness as cli_faithfulness
from vit.cli import open
from vit.cli import runs as cli_runs
from vit.cli import sweep as cli_sweep
from vit.cli import timelapse as cli_timelapse
from vit.config import DataConfig, RunConfig
from vit.errors import DataError, RunError, SettingsError, UserError
from vit.exports import tensorboard
from vit.flags import add_flags, to_config
from vit.jobs import rank_processes
from vit.jobs.worker import train_rank
from vit.runs import Run
from vit.support import hardware, optional_packages
from vit.support.untrusted_text import bare, on_terminal

if TYPE_CHECKING:
    from PIL import Image

    from vit.data import Split
    from vit.runs.weights import CheckpointInfo

BAD_INPUT = 2
LABEL_COLUMNS = 40
TRAINING = ("train", "resume", "restart")
INTERRUPTED = 130  # as shells have it


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered with one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {bare(message)} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 when a training failed, 2 for bad input."""
    words = sys.argv[1:] if arguments is None else arguments
    if distributed.launch_mark():
        rank_processes.end_with_parent()
    if distributed.world().rank:  # only rank 0 prints
        if words[:1] and words[0] in TRAINING and not {"-h", "--help"} & set(words):
            os._exit(train_rank())  # PyTorch's threads may abort an ordinary exit after the other ranks are gone
        return 0
    parsed = _parser().parse_args(words)
    try:
        return parsed.command(parsed)
    except UserError as error:
        _say(f"vit {parsed.name}: {error}")
    except OSError as error:
        _say(f"vit {parsed.name}: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        _say(f"vit {parsed.name}: interrupted")
        return INTERRUPTED
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m vit", description="Train Vision Transformers, and look into every head.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, function: Any, description: str, *, run: bool = True, json_flag: bool = True) -> _Parser:
        added = commands.add_parser(name, help=description, description=description)
        added.set_defaults(command=function, name=name)
        if run:
            added.add_argument("--run", required=True, metavar="NAME|DIR", help="name of a run, or path to its folder")
        if json_flag:
            added.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        return added

    train = command("train", _train, "train a new run in this process; Ctrl-C stops it in order", run=False)
    add_flags(train)
    train.add_argument("--run", metavar="NAME", help="what to call the run (default: after its data, depth and heads)")

    sweep = command("sweep", _sweep, "train a grid of runs over heads, depth and seeds, and follow them", run=False)
    cli_sweep.add_arguments(sweep)

    evaluate = command("evaluate", _evaluate, "accuracy, confusion matrix and scores on validation images")
    evaluate.add_argument("--dataset", help="another data set; its classes are matched by name (default: the run's)")

    predict = command(
        "predict", _predict, "class probabilities of images; exits with 2 only if none of them could be read"
    )
    predict.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    predict.add_argument("--top", type=_count, default=5, metavar="N", help="how many classes to print (default 5)")

    attention = command("attention", _attention, "attention or relevance of one image, as arrays or as a picture")
    cli_attention.add_arguments(attention, _count)

    timelapse = command("timelapse", _timelapse, "maps of one image through a run's snapshots, as a film")
    cli_timelapse.add_arguments(timelapse, _count)

    faithfulness = command(
        "faithfulness", _faithfulness, "whether the maps of a run tell the truth: methods beside chance, as a table"
    )
    cli_faithfulness.add_arguments(faithfulness, _count)

    report = command("report", _report, "one HTML file with all there is to hand in of a run")
    report.add_argument("--out", type=Path, metavar="FILE", help="the file to write (default: NAME.html, here)")

    export = command("export", _export, "a run for elsewhere: Hugging Face hub and timm, ONNX, TensorBoard, or a zip")
    cli_export.add_arguments(export)

    open_ = command("open", _open, "open a published model as a run, by its name in timm or from a file", run=False)
    open.add_arguments(open_, _count)

    command("runs", _runs, "all runs, newest first", run=False)
    command("resume", _resume, "go on with a stopped or failed run after its last complete epoch")
    restart = command("restart", _restart, "begin a run anew, with its settings; what it has made so far is deleted")
    restart.add_argument("--yes", action="store_true", help="even if the run came with the project")
    command("stop", _stop, "stop a run that is queued or running")
    data = command("data", _data, "prepare a data set: download if need be, decode and cache it", run=False)
    data.add_argument("--dataset", required=True, help="scenes, a name of the catalog, or a folder or zip")
    data.add_argument(
        "--image-size", type=_count, metavar="N", help="pixels a side (default: the data's own, 64 at most)"
    )
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from vit.data import load

    if run := jobs.relaunched():
        return _go_on(run, arguments.json)
    config = to_config(arguments)
    _check_launch(config)
    if arguments.run is not None:
        runs.check_name(arguments.run)
    if config.training.tensorboard:
        optional_packages.require(tensorboard.PURPOSE, "tensorboard")
    load(config.data, progress=_counter("images"))  # before there is a run: images that cannot be used are bad input
    name = arguments.run or (arguments.preset and runs.free_name(arguments.preset))
    run = runs.create(name, config)
    _say(f"run {run.name} in {run.path}")
    return _in_foreground(run, resume=False, as_json=arguments.json)


def _sweep(arguments: argparse.Namespace) -> int:
    result, text, status = cli_sweep.run(arguments, _say, _counter)
    _print(result, arguments.json, text)
    return status


def _check_launch(config: RunConfig) -> None:
    """Whether ``torchrun`` has started as many processes as can train here."""
    if distributed.launched():
        if config.training.processes > 1:
            raise SettingsError("--processes does not go with torchrun, which starts them itself: leave it out.")
        if hardware.resolve(config.training.device) != "cpu":
            hardware.resolve(config.training.device, distributed.world().local_size)


def _go_on(run: Run, as_json: bool) -> int:
    """What ``torchrun`` does when it starts its processes anew: go on with their run, unless it was stopped."""
    if run.state not in ("finished", "stopped"):
        jobs.prepare_resume(run)
    return _in_foreground(run, resume=True, as_json=as_json)


def _resume(arguments: argparse.Namespace) -> int:
    if run := jobs.relaunched():
        return _go_on(run, arguments.json)
    run = runs.get_run(arguments.run)
    jobs.prepare_resume(run)
    return _in_foreground(run, resume=True, as_json=arguments.json)


def _restart(arguments: argparse.Namespace) -> int:
    if run := jobs.relaunched():
        return _go_on(run, arguments.json)
    run = runs.get_run(arguments.run)
    if run.shipped and not arguments.yes:
        raise RunError(
            f"The run {run.name!r} came with the project: add --yes to delete its weights and start it over."
        )
    jobs.prepare_restart(run)
    return _in_foreground(run, resume=False, as_json=arguments.json)


def _in_foreground(run: Run, *, resume: bool, as_json: bool) -> int:
    begun = time.monotonic()
    if (mark := distributed.launch_mark()) and runs.read_status(run.path).state == "queued":
        runs.update_status(run.path, launch=mark)
    status = jobs.execute(run, resume=resume, report=_Progress(run.config.training.epochs))
    best = status.best or {}
    result = {
        "run": run.name,
        "path": str(run.path),
        "state": status.state,
        "message": status.message,
        "val_accuracy": best.get("val_accuracy"),
        "epochs": status.epoch,
        "seconds": round(time.monotonic() - begun, 3),
    }
    accuracy = f"{best['val_accuracy']:.4f} (epoch {best['epoch']})" if best else "not measured"
    _print(result, as_json, f"{run.path}\n{status.state}, validation accuracy of the kept weights {accuracy}")
    return int(status.state == "failed")


class _Progress:
    """Tells of a training on standard error: a line an epoch, and on a terminal a passing line a second."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.tty = sys.stderr.isatty()
        self.shown = 0.0

    def __call__(self, event: Any) -> None:
        clear = "\r\033[K" if self.tty else ""
        if isinstance(event, str):
            _say(event, clear)
        elif hasattr(event, "val_loss"):
            _say(
                f"epoch {event.epoch}/{self.epochs}  loss {event.train_loss:.4f}  "
                f"val_loss {event.val_loss:.4f}  val_accuracy {event.val_accuracy:.4f}  {event.seconds:.1f} s"
                f"{'  kept' if event.kept else ''}",
                clear,
            )
        elif self.tty and time.monotonic() - self.shown > 1:
            self.shown = time.monotonic()
            line = f"step {event.step}  loss {event.loss:.4f}  {event.images_per_second:.0f} images/s"
            print(clear + line, end="", file=sys.stderr, flush=True)


def _evaluate(arguments: argparse.Namespace) -> int:
    from vit.evaluation import evaluate
    from vit.runs import weights

    model, info = weights.load_checkpoint(arguments.run)
    split = _validation_images(info, arguments.dataset)
    result = {"run": runs.get_run(arguments.run).name, "dataset": arguments.dataset or info.dataset}
    result |= evaluate(model, info, split).to_dict()
    _print(result, arguments.json, _scores(result))
    return 0


def _validation_images(info: "CheckpointInfo", dataset: str | None) -> "Split":
    """The run's own validation images, or another data set's with its labels turned into the model's."""
    from vit.classes import listed, match, require_classes
    from vit.data import describe, load

    require_classes(info.config.model)
    if dataset is None and not info.config.data.source:
        raise DataError(
            "The images that this model was trained on are not here: name a data set whose classes it knows, --dataset "
            f"DIR; among them are {listed(info.class_names)}."
        )
    if dataset is None:
        return load(info.config.data, splits=("val",), progress=_counter("images")).val
    ours = match(describe(dataset).class_names, info.class_names, dataset)
    config = DataConfig(
        source=dataset,
        image_size=info.image_size,
        mean=info.mean,
        std=info.std,
        crop_pct=info.crop_pct,
        interpolation=info.interpolation,
    )
    split = load(config, splits=("val",), progress=_counter("images")).val
    return replace(split, labels=ours[np.asarray(split.labels)])


def _scores(result: dict[str, Any]) -> str:
    width = min(LABEL_COLUMNS, max(len(bare(name)) for name in result["class_names"]))
    lines = [f"accuracy {result['accuracy']:.4f} on {result['images']} images of {bare(result['dataset'])}"]
    for row in result["per_class"]:
        scores = "  ".join(f"{score} {row[score]:.3f}" for score in ("precision", "recall", "f1"))
        lines.append(f"  {bare(row['label']):{width}}  {scores}")
    return "\n".join(lines)


def _predict(arguments: argparse.Namespace) -> int:
    from vit.evaluation import predict
    from vit.runs import weights

    model, info = weights.load_checkpoint(arguments.run)
    pictures = [_open_image(path) for path in arguments.images]
    readable = [picture for picture in pictures if not isinstance(picture, DataError)]
    rows = iter(predict(model, info, readable) if readable else ())
    predictions: list[dict[str, Any]] = []
    for path, picture in zip(arguments.images, pictures, strict=True):
        if isinstance(picture, DataError):
            _say(f"vit predict: {picture}")
            predictions.append({"image": str(path), "error": str(picture)})
            continue
        row = next(rows)
        best = np.argsort(-row, kind="stable")[: arguments.top]
        top = [{"label": info.class_names[index], "probability": float(row[index])} for index in best]
        predictions.append({"image": str(path), "top": top})
    lines = [
        f"{bare(item['image'])}: " + ", ".join(f"{bare(it['label'])} {it['probability']:.3f}" for it in item["top"])
        for item in predictions
        if "top" in item
    ]
    if readable or arguments.json:
        _print({"run": runs.get_run(arguments.run).name, "predictions": predictions}, arguments.json, "\n".join(lines))
    return 0 if readable else BAD_INPUT


def _open_image(path: Path) -> "Image.Image | DataError":
    from vit.data.files.images import open_image

    try:
        return open_image(path)
    except DataError as error:
        return error
    except OSError as error:
        return DataError(f"{path}: {error.strerror or error}.")


def _attention(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix not in (".npz", ".png"):
        raise SettingsError(f"--out {arguments.out} is of no known kind: take a name in .npz or .png.")
    from vit.runs import weights

    picture = _open_image(arguments.image)
    if isinstance(picture, DataError):
        raise picture
    model, info = weights.load_checkpoint(arguments.run)
    seen = cli_attention.look(arguments, picture, model, info)
    if seen.record is not None and seen.record.caveat:
        _say(seen.record.caveat)
    if arguments.out.suffix == ".npz":
        np.savez_compressed(arguments.out, **cli_attention.arrays(seen, info.class_names))
    else:
        cli_attention.picture(arguments, seen).save(arguments.out)
    result = {"run": runs.get_run(arguments.run).name, "out": str(arguments.out), "method": arguments.method}
    if seen.explained is not None:
        result |= {"class": seen.explained, "against": arguments.against}
    _print(result, arguments.json, str(arguments.out))
    return 0


def _timelapse(arguments: argparse.Namespace) -> int:
    from vit.pictures import film

    make = film.MAKERS.get(arguments.out.suffix.lower())
    if make is None:
        raise SettingsError(f"--out {arguments.out} is of no known kind: take a name in .gif or .mp4.")
    film.check_seconds(arguments.seconds)
    picture = _open_image(arguments.image)
    if isinstance(picture, DataError):
        raise picture
    reel = cli_timelapse.Reel(runs.get_run(arguments.run), picture)
    frames, caveat = cli_timelapse.pictures(arguments, reel, _counter("frames"))
    if caveat:
        _say(caveat)
    arguments.out.write_bytes(make(frames, arguments.seconds))
    result = {"run": reel.run.name, "out": str(arguments.out), "method": arguments.method, "epochs": reel.epochs}
    _print(result, arguments.json, str(arguments.out))
    return 0


def _faithfulness(arguments: argparse.Namespace) -> int:
    result, text = cli_faithfulness.measured(arguments, _counter("images"), _counter("forward passes, about"))
    _print(result, arguments.json, text)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from vit.exports.report.report import report

    run = runs.get_run(arguments.run)
    out = arguments.out or Path(f"{run.name}.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--out {out} is of no known kind: take a name in .html.")
    if not out.absolute().parent.is_dir():  # before minutes of work
        raise SettingsError(f"--out {out}: there is no folder {out.absolute().parent}.")
    out.write_text(report(run, _say), encoding="utf-8")
    _print({"run": run.name, "out": str(out)}, arguments.json, str(out))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    result, text = cli_export.run(arguments, _say)
    _print(result, arguments.json, text)
    return 0


def _open(arguments: argparse.Namespace) -> int:
    if open.is_list(arguments):
        result, text = open.listed(arguments.pattern, arguments.image_size)
        _print(result, arguments.json, text)
        return 0
    run = open.opened(arguments, _counter("bytes"))
    _print(open.as_dict(run), arguments.json, f"{run.path}\n{run.status.message}")
    return 0


def _runs(arguments: argparse.Namespace) -> int:
    result, text = cli_runs.listed()
    for item in result["broken"]:
        _say(f"vit runs: {item['error']}")
    _print(result, arguments.json, text)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    run = runs.get_run(arguments.run)
    if not run.active:
        raise RunError(f"The run {run.name!r} is not at work, it is {run.state}: there is nothing to stop.")
    status = jobs.stop(run)
    result = {"run": run.name, "path": str(run.path), "state": status.state, "message": status.message}
    _print(result, arguments.json, status.message)
    return 0


def _data(arguments: argparse.Namespace) -> int:
    from vit.data import describe, load
    from vit.data.catalog import catalog

    info = describe(arguments.dataset)
    if not info.ready:
        catalog.download(arguments.dataset, progress=_counter("bytes"))
        info = describe(arguments.dataset)
    size = arguments.image_size or info.auto_image_size
    data = load(DataConfig(source=info.source, image_size=size), progress=_counter("images"))
    for skipped in data.skipped:
        _say(f"skipped {skipped.file}: {skipped.reason}")
    result = {
        "dataset": data.source,
        "class_names": list(data.class_names),
        "image_size": size,
        "train_images": len(data.train.labels),
        "val_images": len(data.val.labels),
        "skipped": len(data.skipped),
    }
    text = f"{result['train_images']} training and {result['val_images']} validation images of {size} x {size} pixels"
    _print(result, arguments.json, f"{text} in {len(data.class_names)} classes are ready")
    return 0


def _counter(unit: str) -> Any:
    """A progress function that says on standard error how far things are, once a second."""
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > 1:
            said = time.monotonic()
            _say(f"{done:,} of {total:,} {unit}")

    return progress


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _say(line: str, clear: str = "") -> None:
    print(clear + on_terminal(" ".join(line.splitlines())), file=sys.stderr, flush=True)


def _print(result: dict[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(result) if as_json else on_terminal(text), flush=True)
