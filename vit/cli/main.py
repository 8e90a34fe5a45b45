"""The command line, ``python -m vit``.

``--json`` prints one JSON object on standard output and nothing else there; progress goes to standard error. Bad input
exits with 2 and one line on standard error. torch is imported only by the commands that compute.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from vit import __version__, distributed
from vit.cli import (
    app,
    attention,
    causes,
    data,
    evaluate,
    export,
    faithfulness,
    open,
    report,
    runs,
    sweep,
    timelapse,
    train,
)
from vit.cli.common import BAD_INPUT, say
from vit.errors import UserError
from vit.jobs import rank_processes
from vit.jobs.worker import train_rank
from vit.support.untrusted_text import bare

TRAINING = ("train", "resume", "restart")
INTERRUPTED = 130  # the status that shells use


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {bare(message)} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, 1 if a training failed, 2 for bad input.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if distributed.launch_id():
        rank_processes.end_with_parent()
    if distributed.world().rank:  # only rank 0 prints
        if words[:1] and words[0] in TRAINING and not {"-h", "--help"} & set(words):
            os._exit(train_rank())  # PyTorch's threads may abort an ordinary exit after the other ranks are gone
        return 0
    parsed = _parser().parse_args(words)
    try:
        return parsed.command(parsed)
    except UserError as error:
        say(f"vit {parsed.name}: {error}")
    except OSError as error:
        say(f"vit {parsed.name}: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        say(f"vit {parsed.name}: interrupted")
        return INTERRUPTED
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    name = "vit" if Path(sys.argv[0]).stem == "vit" else "python -m vit"  # the installed command, or the module
    parser = _Parser(prog=name, description="Train Vision Transformers and look inside every attention head.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(
        name: str, function: Callable[[argparse.Namespace], int], summary: str, *, run: bool = True
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        added.set_defaults(command=function, name=name)
        if run:
            added.add_argument("--run", required=True, metavar="NAME|DIR", help="name of a run, or path to its folder")
        added.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        return added

    train.add_arguments(
        command("train", train.train, "train a new run; Ctrl-C stops it and keeps its weights", run=False)
    )
    sweep.add_arguments(
        command(
            "sweep", sweep.run, "train a grid of runs over heads, depth and seeds, and show its progress", run=False
        )
    )
    evaluate.add_arguments(
        command("evaluate", evaluate.evaluate, "compute accuracy, confusion matrix and scores on validation images")
    )
    evaluate.add_predict_arguments(
        command("predict", evaluate.predict, "classify images; exits with 2 if none of them can be read")
    )
    attention.add_arguments(
        command("attention", attention.run, "save the attention or relevance maps of one image as arrays or a picture")
    )
    timelapse.add_arguments(
        command("timelapse", timelapse.run, "make a film of the maps of one image over the snapshots of a run")
    )
    faithfulness.add_arguments(
        command("faithfulness", faithfulness.run, "measure how faithful the relevance maps of a run are, as a table")
    )
    causes.add_patch_arguments(
        command("patch", causes.patch, "copy activations of one image into the run of another (activation patching)")
    )
    causes.add_votes_arguments(
        command("votes", causes.votes, "split the logit of a class into the votes of heads, MLPs and the embedding")
    )
    report.add_arguments(command("report", report.run, "write a report on a run as one HTML file"))
    export.add_arguments(
        command("export", export.run, "export a run for the Hugging Face hub and timm, ONNX, TensorBoard or as a zip")
    )
    open.add_arguments(
        command("open", open.run, "open a published model as a run, by its name in timm or from a file", run=False)
    )
    runs.add_list_arguments(command("runs", runs.run, "list all runs, newest first", run=False))
    runs.add_note_arguments(command("note", runs.write_note, "tag a run, or write a note about it"))
    runs.add_import_arguments(command("import", runs.import_run, "add a run from the zip of a run", run=False))
    runs.add_rename_arguments(command("rename", runs.rename, "rename a run that is not training"))
    runs.add_delete_arguments(command("delete", runs.delete, "delete a run with all its files"))
    train.add_resume_arguments(
        command("resume", train.resume, "continue a stopped or failed run from its last checkpoint, or add epochs")
    )
    train.add_restart_arguments(
        command("restart", train.restart, "train a run again with the same settings; deletes its weights and curves")
    )
    command("stop", train.stop, "stop a run that is queued or running")
    app.add_arguments(command("app", app.run, "start the app", run=False))
    data.add_arguments(command("data", data.run, "download, decode and cache a data set", run=False))
    return parser
