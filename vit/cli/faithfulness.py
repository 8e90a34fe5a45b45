"""``python -m vit faithfulness``: how faithful the maps of a run are, as a table in Markdown."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vit import runs
from vit.errors import SettingsError

if TYPE_CHECKING:
    from vit.explain.faithfulness.result import Faithfulness
    from vit.explain.maps.methods import Method

IMAGES = 100


def add_arguments(parser: argparse.ArgumentParser, count: Callable[[str], int]) -> None:
    """The command's arguments; ``count`` reads a number from 1 up."""
    parser.add_argument(
        "--images", type=count, default=IMAGES, metavar="N", help=f"how many validation images (default {IMAGES})"
    )
    parser.add_argument(
        "--methods",
        metavar="A,B",
        help="methods, with commas between, or all (default: those of one forward and at most one backward pass)",
    )


def measured(
    arguments: argparse.Namespace, loading: Callable[[int, int], None], judging: Callable[[int, int], None]
) -> tuple[dict[str, Any], str]:
    """The result as a JSON object, and as Markdown; the two functions are told how far things are.

    Raises:
        UserError: no such run or method, no validation images, or a network that can give none of the methods.
    """
    from vit.data import load
    from vit.explain.faithfulness.measure import measure_faithfulness
    from vit.explain.faithfulness.verdict import summary, verdicts
    from vit.runs import weights

    model, info = weights.load_checkpoint(arguments.run)
    methods = _methods(arguments.methods)
    split = load(info.config.data, splits=("val",), progress=loading).val
    result = measure_faithfulness(
        model, split, mean=info.mean, std=info.std, images=arguments.images, methods=methods, progress=judging
    )
    run, found = runs.get_run(arguments.run).name, verdicts(result)
    as_json = {"run": run, "dataset": info.dataset} | result.to_dict()
    as_json |= {"verdicts": {name: it.sentence for name, it in found.items()}, "summary": summary(result)}
    lines = [f"{run}: {len(result.images)} validation images of {info.dataset}", "", table(result), ""]
    lines += [
        *summary(result).values(),
        "",
        *(f"- {result.row(name).title}: {it.sentence}." for name, it in found.items()),
    ]
    lines += [f"- Left out: {name}. {reason}" for name, reason in result.refused.items()]
    return as_json, "\n".join(lines)


def _methods(asked: str | None) -> "dict[str, Method] | None":
    from vit.explain.maps.methods import METHODS

    if asked is None:
        return None
    names = list(METHODS) if asked == "all" else [name.strip() for name in asked.split(",") if name.strip()]
    if unknown := [name for name in names if name not in METHODS] or ([] if names else [asked]):
        raise SettingsError(f"--methods {', '.join(unknown)} is unknown: choose of {', '.join(METHODS)}, or all.")
    return {name: METHODS[name] for name in names}


def table(result: "Faithfulness") -> str:
    """Rows and measures as a table in Markdown; in bold what is better than chance."""
    measures = result.measures
    heads = [f"{it.title} {'↑' if it.sign > 0 else '↓'}" for it in measures.values()]
    lines = ["| " + " | ".join(["", *heads]) + " |", "|" + " --- |" * (1 + len(heads))]
    for row in result.rows:
        cells = []
        for measure in measures:
            score, advantage = result.scores[row.name][measure], result.advantages.get(row.name, {}).get(measure)
            mean = f"**{score.mean:.3f}**" if advantage is not None and advantage.better else f"{score.mean:.3f}"
            cells.append(f"{mean} [{score.low:.3f}, {score.high:.3f}]")
        lines.append("| " + " | ".join([f"_{row.title}_" if row.chance else row.title, *cells]) + " |")
    lines += ["", "↓ less is better, ↑ more is better; mean [95 % interval over images]; _rows of chance_; "]
    lines[-1] += "**bold**: better than the best of them, by the interval of the paired differences."
    return "\n".join(lines)
