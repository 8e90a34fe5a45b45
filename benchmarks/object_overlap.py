"""Measure how well attention outlines objects: trained with labels, without labels, and with random weights.

    python -m benchmarks.object_overlap RUN... [--images 500]

For each head, the patches that hold 60 % of the class token's attention are compared with the object's mask (Jaccard
index, mean over validation images of data with masks, such as scenes). The table has a row for each run and for its
network before training, and the mean over the runs of each kind. "Bound" is the largest value that whole patches can
have, "whole image" that of a map without any choice.
"""

import argparse
from collections import defaultdict

import numpy as np

from vit import data
from vit.explain.heads.object_overlap import ObjectOverlap, object_overlap
from vit.runs import get_run, snapshots
from vit.runs.weights import load_checkpoint

KINDS = {"labels": "labels", "dino": "no labels (DINO)", "mae": "no labels (MAE)"}


def main() -> None:
    """Measure the runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    print(
        "| learned from | run | seed | best head | its layer and head | best head of the last layer for each image | "
        "mean of all heads | bound | whole image |\n" + "| --- " * 9 + "|",
        flush=True,
    )
    found: dict[str, list[ObjectOverlap]] = defaultdict(list)
    untrained: set[str] = set()
    for name in options.runs:
        run = get_run(name)
        model, info = load_checkpoint(run.path)
        split = data.load(run.config.data, splits=("val",)).val
        assert split is not None, "the split is loaded"
        training = run.config.training
        kind = KINDS[training.learn_from]
        found[kind].append(measured := object_overlap(model, info, split, options.images))
        print(row(kind, run.name, training.seed, measured), flush=True)
        network = f"{run.config.model.model_dump_json(exclude={'num_classes'})} {training.seed}"
        if network not in untrained:
            untrained.add(network)
            random = object_overlap(snapshots.initial(run.config), info, split, options.images)
            found["random weights"].append(random)
            print(row("random weights", f"{run.name} before training", training.seed, random), flush=True)
    for kind, several in found.items():
        best = [float(one.heads.max()) for one in several]
        each = np.mean([one.best for one in several])
        mean = np.mean([one.heads.mean() for one in several])
        print(
            f"| **{kind}** | mean of {len(several)} | | {np.mean(best):.3f} ({min(best):.3f} to {max(best):.3f}) | | "
            f"{each:.3f} | {mean:.3f} | | |"
        )


def row(kind: str, name: str, seed: int, found: ObjectOverlap) -> str:
    """Return the line of one network."""
    layer, head = found.best_head
    return (
        f"| {kind} | {name} | {seed} | {found.heads.max():.3f} | {layer + 1}, {head + 1} | {found.best:.3f} | "
        f"{found.heads.mean():.3f} | {found.bound:.3f} | {found.whole:.3f} |"
    )


if __name__ == "__main__":
    main()
