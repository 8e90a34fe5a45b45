"""Measure the faithfulness of a run's maps, and the time that this takes.

    python -m benchmarks.faithfulness [--run scenes] [--images 100]

Methods with one forward and at most one backward pass are timed separately (goal: 60 s for 100 images on two cores)
from those that run the network many times per map. Both times include the same method on untrained weights and the
control maps. *Processor* is the total time of all cores: it is more reliable on a machine with other work, and two
cores need at least half of it.
"""

import argparse
import time

from vit import data
from vit.cli.faithfulness import table
from vit.explain import Faithfulness, Method, measure_faithfulness, methods_for
from vit.explain.faithfulness.verdict import summary, verdicts
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=SHIPPED_RUN)
    parser.add_argument("--images", type=int, default=100)
    options = parser.parse_args()
    run = get_run(options.run)
    model, info = load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val

    def measure(methods: dict[str, Method], images: int) -> Faithfulness:
        return measure_faithfulness(model, split, mean=info.mean, std=info.std, images=images, methods=methods)

    methods = methods_for(model)
    groups = {
        "fast": {name: method for name, method in methods.items() if method.fast},
        "slow": {name: method for name, method in methods.items() if not method.fast},
    }
    print(f"{run.name}, {options.images} validation images\n")
    print("| methods | seconds | processor time, s | goal, s |\n| --- | --- | --- | --- |")
    results = []
    for kind, chosen in groups.items():
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


if __name__ == "__main__":
    main()
