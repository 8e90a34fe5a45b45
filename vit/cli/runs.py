"""``python -m vit runs``: the runs, their places in the queue, and their disk space."""

import argparse
from typing import Any

from vit import runs
from vit.cli.common import print_result, say
from vit.jobs import queue
from vit.paths import checkpoints_dir
from vit.runs import Run
from vit.runs.dependence import read_dependence
from vit.support.files import free_bytes


def run(arguments: argparse.Namespace) -> int:
    """List all runs, newest first."""
    found, places = runs.list_runs(), queue.positions()
    rows = [_row(each, places.get(each.name)) for each in found]
    broken = [{"run": name, "error": sentence} for name, sentence in runs.broken_runs()]
    total, free = sum(row["size_bytes"] for row in rows), free_bytes(checkpoints_dir())
    lines = [_line(row) for row in rows]
    lines.append(f"{len(rows)} run{'s' if len(rows) != 1 else ''}, {_megabytes(total)}; {_megabytes(free)} free")
    for item in broken:
        say(f"vit runs: {item['error']}")
    result = {"runs": rows, "broken": broken, "size_bytes": total, "free_bytes": free}
    print_result(result, arguments.json, "\n".join(lines) if rows else "No runs yet: train one.")
    return 0


def _row(run: Run, place: int | None) -> dict[str, Any]:
    status, config, measured = run.status, run.config, read_dependence(run)
    return {
        "run": run.name,
        "path": str(run.path),
        "state": status.state,
        "place": place,
        "message": status.message,
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
    }


def _line(row: dict[str, Any]) -> str:
    state = row["state"] if row["place"] is None else f"{row['state']} {row['place']}"
    score = "-" if row["val_accuracy"] is None else f"{row['val_accuracy']:.4f}"
    epochs = f"{'published':15}" if row["published"] else f"epoch {row['epoch']:>4}/{row['epochs']:<4}"
    kind = "" if row["learn_from"] == "labels" else "  k-NN accuracy"
    return f"{row['run']:32} {state:9} {epochs} {score:>6} {_megabytes(row['size_bytes']):>10}{kind}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"
