"""Measure activation patching and votes on the included run: times, sums and rank correlations.

    python -m benchmarks.causes [--pairs 50] [--images 200]

The rank correlation of the estimate by gradient with exact patching is also measured on a ViT-Ti of 224 pixels with
random weights, for heads; all of its tokens would take hours.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vit import data
from vit.config import ViTConfig
from vit.data.files.images import prepared_image
from vit.data.scenes.pairs import CHANGES
from vit.evaluation import model_input
from vit.explain.heads.ablation import head_importance
from vit.explain.heads.rankings import compare_rankings, votes_of_images
from vit.explain.heads.votes import votes
from vit.explain.interventions.head_changes import validation_means
from vit.explain.maps.target import Target
from vit.explain.passes.sample import sample
from vit.explain.patching.mean import mean_effect, pair_runs, scene_pairs
from vit.explain.patching.patch import (
    SITES,
    TOKEN_SITES,
    PatchRuns,
    attribute_each,
    patch_each,
    patch_together,
    rank_correlation,
    record_runs,
)
from vit.networks import build_model
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import load_checkpoint

TOKEN_PAIRS = 5
"""Pairs for the sites of tokens: each takes a thousand passes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    run = get_run(SHIPPED_RUN)
    model, info = load_checkpoint(run.path)
    config = model.config

    def prepare(image: np.ndarray) -> torch.Tensor:
        return model_input(info, prepared_image(image))

    pairs = scene_pairs("object", options.pairs, image_size=config.image_size, seed=info.config.data.seed)
    clean, corrupt, label, other = pairs[3]()
    runs = pair_runs(model, prepare(clean), prepare(corrupt), label, other)
    print(f"{run.name}: {config.depth} layers with {config.num_heads} heads, {config.num_tokens} tokens\n")
    print("| site | board, s | CPU s | estimate, s | largest effect |\n| --- | --- | --- | --- | --- |")
    for site in SITES:
        exact, seconds, cpu = timed(lambda site=site: patch_each(runs, site))
        _, estimate, _ = timed(lambda site=site: attribute_each(runs, site))
        largest = runs.effect(exact).max()
        print(f"| {site} | {seconds:.2f} | {cpu:.2f} | {estimate:.2f} | {largest:.3f} |", flush=True)
    everything = [("residual", [(0, token) for token in range(config.num_tokens)])]
    print(f"\nall tokens patched: {1 - float(runs.effect(patch_together(runs, everything))):.1e} from 1")
    print(f"nothing patched: {float(runs.effect(patch_together(runs, []))):.1e} from 0\n")
    print("Rank correlation of the estimate with exact patching, over pairs of scenes with another object:\n")
    print("| site | pairs | median | lowest | at least 0.9 |\n| --- | --- | --- | --- | --- |")
    for site in SITES:
        some = pairs[:TOKEN_PAIRS] if site in TOKEN_SITES else pairs
        say_agreement(site, mean_effect(model, some, prepare, site).agreement)
    print("\nThe same on a ViT-Ti of 224 pixels with random weights, timm's layout:\n")
    tiny = vit_tiny()
    for site in SITES:
        if site not in TOKEN_SITES:
            found = [agreement_of(images_of(tiny, seed), site) for seed in range(3)]
            say_agreement(site, np.array(found))
    print("\nMean effect of heads by kind of pair, the largest:\n")
    for change in CHANGES:
        some = scene_pairs(change, options.pairs, image_size=config.image_size, seed=info.config.data.seed)
        found, seconds, _ = timed(lambda some=some: mean_effect(model, some, prepare, "head"))
        at = np.unravel_index(found.mean.argmax(), found.mean.shape)
        print(
            f"- {change}: layer {at[0] + 1}, head {at[1] + 1}: {found.mean[at]:.3f} [{found.low[at]:.3f}, "
            f"{found.high[at]:.3f}], {found.pairs} pairs in {seconds:.0f} s"
        )
    say_votes(model, info, prepare(clean), options.images)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return a result, the seconds, and the CPU seconds; the work runs once before, to warm up."""
    work()
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - start, time.process_time() - cpu


def say_agreement(site: str, found: np.ndarray) -> None:
    share = float((found >= 0.9).mean())
    print(f"| {site} | {len(found)} | {np.median(found):.3f} | {found.min():.3f} | {share:.0%} |", flush=True)


def vit_tiny() -> torch.nn.Module:
    settings = {"image_size": 224, "patch_size": 16, "embed_dim": 192, "depth": 12, "num_heads": 3, "mlp_ratio": 4.0}
    config = ViTConfig(**settings, stem="patch", pool="cls", init_values=None, num_classes=10)
    return build_model(config, seed=0).eval().requires_grad_(False)


def images_of(model: torch.nn.Module, seed: int) -> PatchRuns:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 1, 3, 224, 224, generator=generator)
    return record_runs(model, *images, Target(1, 2))


def agreement_of(runs: PatchRuns, site: str) -> float:
    return rank_correlation(patch_each(runs, site), attribute_each(runs, site))


def say_votes(model: torch.nn.Module, info: Any, image: torch.Tensor, count: int) -> None:
    """Print the time and the sum of the votes of one image, and how well the rankings of heads agree."""
    found, seconds, _ = timed(lambda: votes(model, image, Target(3, 2)))
    error = abs(sum(value for _, value in found.parts()) - float(found.logit[0]))
    print(f"\nvotes of one image: {1000 * seconds:.0f} ms, sum {error:.1e} from the logit")
    split = data.load(info.config.data, splits=("val",)).val
    chosen = sample(model, info, split, count)
    many, seconds, _ = timed(lambda: votes_of_images(model, chosen))
    whole = model.head.weight.shape[0]
    print(f"votes of {count} images: {seconds:.1f} s, {whole} classes\n")
    importance = head_importance(model, chosen, validation_means(model, chosen))
    print("| rankings | Spearman | 95 % interval |\n| --- | --- | --- |")
    for one in compare_rankings(many, importance):
        middle = one.correlation
        print(f"| {one.one}, {one.other} | {middle.mean:.2f} | {middle.low:.2f} to {middle.high:.2f} |")


if __name__ == "__main__":
    main()
