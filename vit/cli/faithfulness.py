"""``python -m vit faithfulness``: how faithful the maps of a run are, as a Markdown table."""

import argparse
from typing import TYPE_CHECKING

from vit import runs
from vit.cli.common import count, counter, print_result
from vit.errors import SettingsError

if TYPE_CHECKING:
    from vit.explain.faithfulness.result import Faithfulness
    from vit.explain.maps.methods import Method

IMAGES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--images", type=count, default=IMAGES, metavar="N", help=f"number of validation images (default {IMAGES})"
    )
    parser.add_argument(
        "--methods",
        metavar="A,B",
        help="methods to compare, separated by commas, or all (default: the fast ones, which need one forward and "
        "at most one backward pass)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure the maps, and print the table.

    Raises:
        UserError: there is no such run or method, there are no validation images, or the network has none of the maps.
    """
    from vit.data import load
    from vit.explain.faithfulness.measure import measure_faithfulness
    from vit.explain.faithfulness.verdict import summary, verdicts
    from vit.runs import weights

    model, info = weights.load_checkpoint(arguments.run)
    methods = _methods(arguments.methods)
    split = load(info.config.data, splits=("val",), progress=counter("images")).val
    assert split is not None
    result = measure_faithfulness(
        model,
        split,
        mean=info.mean,
        std=info.std,
        images=arguments.images,
        methods=methods,
        progress=counter("forward passes, about"),
    )
    name, found = runs.get_run(arguments.run).name, verdicts(result)
    as_json = {"run": name, "dataset": info.dataset} | result.to_dict()
    as_json |= {"verdicts": {method: it.sentence for method, it in found.items()}, "summary": summary(result)}
    lines = [f"{name}: {len(result.images)} validation images of {info.dataset}", "", table(result), ""]
    lines += [
        *summary(result).values(),
        "",
        *(f"- {result.row(method).title}: {it.sentence}." for method, it in found.items()),
    ]
    lines += [f"- Left out: {method}. {reason}" for method, reason in result.refused.items()]
    print_result(as_json, arguments.json, "\n".join(lines))
    return 0


def _methods(asked: str | None) -> "dict[str, Method] | None":
    from vit.explain.maps.methods import METHODS

    if asked is None:
        return None
    names = list(METHODS) if asked == "all" else [name.strip() for name in asked.split(",") if name.strip()]
    if unknown := [name for name in names if name not in METHODS] or ([] if names else [asked]):
        raise SettingsError(f"--methods {', '.join(unknown)} is unknown: choose from {', '.join(METHODS)}, or all.")
    return {name: METHODS[name] for name in names}


def table(result: "Faithfulness") -> str:
    """Return rows and measures as a Markdown table, with values better than chance in bold."""
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
    lines += [
        "",
        "↓ lower is better, ↑ higher is better; mean [95 % interval over images]; _control maps_ in italics; ",
    ]
    lines[-1] += "**bold**: better than the best control map, by the interval of the paired differences."
    return "\n".join(lines)
