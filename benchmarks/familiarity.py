"""Measure how well a run tells pictures of another kind from its own, by their distance in the last features.

    python -m benchmarks.familiarity --photos photos5.zip [--run scenes-vit] [--images 500]

A quarter of the run's validation images shows how often pictures of the same kind are flagged. Half of the others are
known, and the rest gives the threshold. AUROC is the probability that a photograph is farther away than such an image.
"""

import argparse

import numpy as np

from vit import data
from vit.classes import class_names_of
from vit.config import DataConfig
from vit.explain.familiarity import FALSE_ALARMS, grey_probabilities, last_features, learn_familiarity
from vit.explain.passes.sample import Sample, each_batch, sample
from vit.runs import SHIPPED_RUN, get_run
from vit.runs.weights import load_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=SHIPPED_RUN)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    run = get_run(options.run)
    model, info = load_checkpoint(run.path)
    names = class_names_of(run.config)

    def features(images: Sample) -> np.ndarray:
        return np.concatenate(each_batch(lambda it, _: last_features(model, it).numpy(), images))

    split = data.load(run.config.data, splits=("val",)).val
    own = sample(model, info, split)
    fresh = Sample(split, own.rows[::4], own.size, own.mean, own.std, own.device)
    rest = Sample(split, np.setdiff1d(own.rows, fresh.rows), own.size, own.mean, own.std, own.device)
    known = learn_familiarity(model, rest)
    config = DataConfig(source=options.photos, image_size=info.image_size, mean=info.mean, std=info.std)
    photos = sample(model, info, data.load(config, splits=("val",)).val, options.images)
    near, far = known.distances(features(fresh)), known.distances(features(photos))
    ranks = np.concatenate([near, far]).argsort().argsort()[len(near) :] + 1
    auroc = (ranks.sum() - len(far) * (len(far) + 1) / 2) / (len(near) * len(far))
    grey = grey_probabilities(model, info.mean, info.std)
    print(f"{run.name}: {len(known.known)} known images, threshold {known.threshold:.3f} at {FALSE_ALARMS:.0%}\n")
    print("| pictures | number | flagged |\n| --- | --- | --- |")
    print(f"| validation images of the run | {len(near)} | {(near > known.threshold).mean():.1%} |")
    print(f"| photographs | {len(far)} | {(far > known.threshold).mean():.1%} |")
    print(f"\nAUROC {auroc:.3f}")
    print(f"Answer to a grey picture: {names[int(grey.argmax())]}, {grey.max():.1%}")


if __name__ == "__main__":
    main()
