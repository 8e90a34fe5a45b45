"""Measure what it costs to record attention while a network trains.

    python -m benchmarks.live_maps [--seconds 60]

Each network is trained on scenes for about this many seconds, as a job trains it: with records when they are due, each
written to a file. A row has the records, the longest time between two of them, the milliseconds of a record, and their
share of the training time, which ``vit.trainer.live_maps`` bounds.
"""

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from vit import configure, trainer
from vit.config import RunConfig
from vit.data import load
from vit.runs.live_maps import write_live_maps
from vit.trainer.live_maps import ADVANCE, EVERY, SHARE

NETWORKS = {
    "default": {},
    "6 layers of 6 heads": {"depth": 6, "num_heads": 6, "embed_dim": 192},
    "6 layers of 6 heads, 257 tokens": {"depth": 6, "num_heads": 6, "embed_dim": 192, "patch_size": 4},
}


def measure(config: RunConfig, seconds: float) -> tuple[int, float, float, float]:
    """Train for about ``seconds``; return the records, the longest gap, the seconds of a record, and their share."""
    data = load(config.data)
    watch = trainer.Watch(trainer.watched_rows(data.splits()[1], config.model))
    end, times, trained = time.monotonic() + seconds, [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for event in trainer.fit(config, data, watch=watch, stop=lambda: time.monotonic() > end):
            if isinstance(event, trainer.Maps):
                write_live_maps(Path(folder), event.maps)
                times.append(event.maps.seconds)
            elif isinstance(event, trainer.Step):
                trained = event.seconds
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return len(times), max(gaps, default=0.0), watch.spent / max(1, len(times)), watch.spent / max(trained, 1e-9)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    print(f"A record every {EVERY:g} s, for at most {SHARE:.1%} of the time and {ADVANCE:g} s; always one at the end.")
    print(f"{'network':36}{'records':>8}{'longest gap':>13}{'a record':>11}{'share':>8}")
    for name, model in NETWORKS.items():
        config = configure(dataset="scenes", **model)
        count, gap, each, share = measure(config, seconds)
        print(f"{name:36}{count:8}{gap:11.1f} s{1000 * each:8.1f} ms{share:8.2%}")


if __name__ == "__main__":
    main()
