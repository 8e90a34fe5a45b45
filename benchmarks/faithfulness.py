"""How faithful the maps of a run are, and how long it takes to find out.

    python -m benchmarks.faithfulness [--run scenes-vit] [--images 100]

The methods of one forward and at most one backward pass are timed by themselves (goal: 60 s for 100 images on two
cores), those that run the network many times for each map apart. Both times hold each method's row on untrained weights
and the rows of chance. *Processor* is the time of all cores together: on a machine with other work the better figure,
and half of it is the least that two cores can take.
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
    """Print the times, then both tables."""
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
    print("| methods | seconds | processor, seconds | goal, seconds |\n| --- | --- | --- | --- |")
    results = []
    for kind, chosen in groups.items():
        measure(chosen, 1)  # what is imported and set up at first does not count
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
