"""``python -m vit runs``, ``note``, ``import``, ``rename`` and ``delete``: list, describe, add and remove runs."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vit import runs
from vit.cli.common import print_result, say
from vit.errors import RunError
from vit.jobs import queue
from vit.paths import checkpoints_dir
from vit.runs import Run
from vit.runs.dependence import read_dependence
from vit.runs.learning import verdict
from vit.runs.notes import NOTE_LENGTH, TAG_LENGTH, TAGS_MAX, make_notes, read_notes, write_notes
from vit.support.files import free_bytes


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``runs``."""
    parser.add_argument("--tag", action="append", default=[], help="list only runs with this tag; may be repeated")


def run(arguments: argparse.Namespace) -> int:
    """List all runs, or those with some tags, newest first."""
    wanted = set(arguments.tag)
    found = [each for each in runs.list_runs() if wanted <= set(read_notes(each).tags)]
    places = queue.positions()
    rows = [_row(each, places.get(each.name)) for each in found]
    broken = [{"run": name, "error": sentence} for name, sentence in runs.broken_runs()]
    total, free = sum(row["size_bytes"] for row in rows), free_bytes(checkpoints_dir())
    lines = [_line(row) for row in rows]
    lines.append(f"{len(rows)} run{'s' if len(rows) != 1 else ''}, {_megabytes(total)}; {_megabytes(free)} free")
    for item in broken:
        say(f"vit runs: {item['error']}")
    nothing = "No run has these tags." if wanted else "No runs yet: train one."
    result = {"runs": rows, "broken": broken, "size_bytes": total, "free_bytes": free}
    print_result(result, arguments.json, "\n".join(lines) if rows else nothing)
    return 0


def add_note_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``note``."""
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        help=f"add a tag of up to {TAG_LENGTH} characters; may be repeated, a run can have {TAGS_MAX}",
    )
    parser.add_argument("--untag", action="append", default=[], metavar="TAG", help="remove a tag; may be repeated")
    parser.add_argument("--text", help=f'the note, up to {NOTE_LENGTH:,} characters; "" removes it')


def write_note(arguments: argparse.Namespace) -> int:
    """Change the tags and the note of a run, and print them.

    Raises:
        RunError: there is no such run, it has no such tag, or its folder cannot be written.
        SettingsError: a tag or the note is too long, or has characters that are not allowed.
    """
    found = runs.get_run(arguments.run)
    before = read_notes(found)
    missing = [tag for tag in arguments.untag if tag not in before.tags]
    if missing:
        tags = ", ".join(before.tags)
        raise RunError(f"The run {found.name!r} has no tag {missing[0]!r}" + (f": it has {tags}." if tags else "."))
    kept = [tag for tag in before.tags if tag not in arguments.untag]
    text = before.note if arguments.text is None else arguments.text
    after = make_notes([*kept, *arguments.tag], text)
    if after != before:
        write_notes(found, after)
    result = {"run": found.name, "tags": after.tags, "note": after.note}
    print_result(result, arguments.json, f"{found.name}: {_tags(after.tags) or 'no tags'}\n{after.note}".rstrip())
    return 0


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``import``."""
    parser.add_argument("file", type=Path, metavar="FILE.zip", help="zip of a run, as export --format zip writes it")
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: the name in the zip, or one like it)")


def add_rename_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rename``."""
    parser.add_argument("--to", required=True, metavar="NAME", help="the new name")


def add_delete_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``delete``."""
    parser.add_argument("--yes", action="store_true", help="also delete a run that came with the project")


def import_run(arguments: argparse.Namespace) -> int:
    """Create a run from a zip.

    Raises:
        RunError: the file is not a zip of a run, or the name is taken or invalid.
    """
    from vit.exports import run_zip

    made = run_zip.unpack(arguments.file.expanduser(), arguments.run)
    print_result({"run": made.name, "path": str(made.path), "state": made.state}, arguments.json, str(made.path))
    return 0


def rename(arguments: argparse.Namespace) -> int:
    """Rename a run.

    Raises:
        RunError: it is active, or the name is taken or invalid.
    """
    found = runs.get_run(arguments.run)
    made = runs.rename(found, arguments.to)
    result = {"run": made.name, "path": str(made.path), "before": found.name}
    print_result(result, arguments.json, str(made.path))
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Delete a run with all its files.

    Raises:
        RunError: it is active, it came with the project and ``--yes`` is missing, or it cannot be deleted.
    """
    found = runs.get_run(arguments.run)
    if found.shipped and not arguments.yes:
        raise RunError(f"The run {found.name!r} came with the project: add --yes to delete it.")
    size = found.size_bytes
    runs.delete(found)
    result = {"run": found.name, "path": str(found.path), "size_bytes": size}
    print_result(result, arguments.json, f"Deleted {found.path}, {_megabytes(size)}.")
    return 0


def _row(run: Run, place: int | None) -> dict[str, Any]:
    status, config, measured, notes = run.status, run.config, read_dependence(run), read_notes(run)
    return {
        "run": run.name,
        "path": str(run.path),
        "state": status.state,
        "place": place,
        "message": status.message,
        "warning": status.warning,
        "verdict": verdict(status),
        "created": config.created,
        "dataset": config.data.source,
        "model": config.model.name,
        "published": config.published,
        "depth": getattr(config.model, "depth", None),
        "num_heads": getattr(config.model, "num_heads", None),
        "epoch": status.epoch,
        "epochs": config.training.epochs,
        "learn_from": config.training.learn_from,
        "val_accuracy": (run.best or {}).get("val_accuracy"),
        "attention_dependence": measured.lost_share if measured else None,
        "size_bytes": run.size_bytes,
        "tags": notes.tags,
        "note": notes.note,
    }


def _line(row: dict[str, Any]) -> str:
    state = row["state"] if row["place"] is None else f"{row['state']} {row['place']}"
    score = "-" if row["val_accuracy"] is None else f"{row['val_accuracy']:.4f}"
    epochs = f"{'published':15}" if row["published"] else f"epoch {row['epoch']:>4}/{row['epochs']:<4}"
    kind = "" if row["learn_from"] == "labels" else "  k-NN accuracy"
    remark = f"  {row['verdict'].lower()}" if row["verdict"] else ""
    remark += f"  {_tags(row['tags'])}" if row["tags"] else ""
    return f"{row['run']:32} {state:9} {epochs} {score:>6} {_megabytes(row['size_bytes']):>10}{kind}{remark}"


def _tags(tags: Iterable[str]) -> str:
    return " ".join(f"[{tag}]" for tag in tags)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"
