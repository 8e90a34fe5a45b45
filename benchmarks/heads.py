"""Time the analysis of all heads on 500 validation images: portraits, importance, pruning curve.

    python -m benchmarks.heads [--images 500]

It uses the included run, and an untrained network of 4 layers with 4 heads, which takes as long as a trained one.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from vit import data
from vit.config import ViTConfig
from vit.explain.heads.ablation import RANKING, head_importance
from vit.explain.heads.portraits import portraits
from vit.explain.heads.pruning import pruning
from vit.explain.interventions.head_changes import validation_means
from vit.explain.passes.sample import MEASURED, RANKED, sample
from vit.networks import build_model
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    run = get_run(SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    split = data.load(run.config.data, splits=("val",)).val
    untrained = build_model(ViTConfig(depth=4), seed=0).eval().requires_grad_(False)
    print(f"{options.images} images\n\n| network | analysis | seconds | goal |\n| --- | --- | --- | --- |")

    def timed(network: str, name: str, work: Callable[[], Any], goal: str = "") -> Any:
        start = time.perf_counter()
        result = work()
        print(f"| {network} | {name} | {time.perf_counter() - start:.1f} | {goal} |", flush=True)
        return result

    for network, one in ((f"{run.name}, 2 x 4 heads", model), ("untrained, 4 x 4 heads", untrained)):
        every, ranked, measured = (
            sample(one, info, split, options.images, *part) for part in ((), (RANKED,), (MEASURED,))
        )
        timed(network, "portraits", lambda one=one: portraits(one, info, split, count=options.images))
        means = timed(network, "means", lambda one=one, ranked=ranked: validation_means(one, ranked))
        found = timed(
            network,
            "importance of all heads (zero, mean, gradient)",
            lambda one=one, every=every, means=means: head_importance(one, every, means),
            "30",
        )
        orders = {name: found.of(RANKED).order(name) for name in RANKING}
        timed(
            network,
            "pruning curves, ranked on one half of the images, measured on the other",
            lambda one=one, measured=measured, orders=orders: pruning(one, measured, orders),
        )


if __name__ == "__main__":
    main()
