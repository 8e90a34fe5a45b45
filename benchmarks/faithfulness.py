"""Measure the faithfulness of a run's maps, and the time that this takes.

    python -m benchmarks.faithfulness [--run scenes] [--images 100] [--methods integrated ...]

Methods with one forward and at most one backward pass are timed separately (goal: 60 s for 100 images on two cores)
from those that run the network many times per map. Both times include the same method on untrained weights and the
control maps. *Processor* is the total time of all cores: it is more reliable on a machine with other work, and two
cores need at least half of it.
"""

import argparse
import time

import numpy as np
import torch

from vit import data
from vit.cli.faithfulness import table
from vit.data import Split
from vit.data.batches import normalise
from vit.explain import Faithfulness, Method, Target, gain_over_blank, measure_faithfulness, methods_for
from vit.explain.faithfulness.verdict import summary, verdicts
from vit.networks import Network
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import CheckpointInfo, load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=SHIPPED_RUN)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--methods", nargs="+", help="only these methods")
    options = parser.parse_args()
    run = get_run(options.run)
    model, info = load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val

    def measure(methods: dict[str, Method], images: int) -> Faithfulness:
        return measure_faithfulness(model, split, mean=info.mean, std=info.std, images=images, methods=methods)

    methods = methods_for(model)
    if options.methods:
        methods = {name: methods[name] for name in options.methods}
    groups = {
        "fast": {name: method for name, method in methods.items() if method.fast},
        "slow": {name: method for name, method in methods.items() if not method.fast},
    }
    print(f"{run.name}, {options.images} validation images\n")
    print("| methods | seconds | processor time, s | goal, s |\n| --- | --- | --- | --- |")
    results = []
    for kind, chosen in ((kind, chosen) for kind, chosen in groups.items() if chosen):
        measure(chosen, 1)  # imports and first-time setup do not count
        start, processor = time.perf_counter(), time.process_time()
        results.append(measure(chosen, options.images))
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        goal = "60" if kind == "fast" else ""
        print(f"| {', '.join(chosen)} | {seconds:.1f} | {processor:.1f} | {goal} |", flush=True)
    for result in results:
        print("", table(result), "", *summary(result).values(), "", sep="\n")
        for name, found in verdicts(result).items():
            print(f"- {result.row(name).title}: {found.sentence}.")
    if "integrated" in methods:
        [result] = [result for result in results if "integrated" in {row.name for row in result.rows}]
        print_completeness(model, split, info, result)


def print_completeness(model: Network, split: Split, info: CheckpointInfo, result: Faithfulness) -> None:
    """Print the sum of each map of integrated gradients divided by the gain that it should add up to."""
    images = normalise(torch.from_numpy(np.array(split.images[result.images])), info.mean, info.std)
    gains = gain_over_blank(model, images, Target(torch.from_numpy(result.labels)))
    ratios = result.row("integrated").maps.sum(axis=(1, 2)) / gains
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    print(f"\nIntegrated gradients, sum / gain: quartiles {low:.2f}, {middle:.2f}, {high:.2f}")


if __name__ == "__main__":
    main()
