"""Measure the time from "Train your own" to 90 % validation accuracy.

    python -m benchmarks.app.minute [--runs 5] [--preset minute] [--cold] [--json]

Each run is started like in the app (:func:`vit.jobs.start`: a separate process, which imports torch, waits for its
device and trains), with a different seed and an empty folder of runs. The images are drawn before the first run, as the
app does when it starts; with ``--cold`` every run draws them itself. Times are read from the run's files, from the
ticket of the click to the line of the first epoch that reaches the bar, with a precision of a quarter of a second. Run
it on an idle machine.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from vit import data, jobs
from vit.config import RunConfig
from vit.config.presets import PRESETS
from vit.flags import configure
from vit.runs import ACTIVE, Run

BAR = 0.9
LOOK_EVERY = 0.25


def timed(run: Run) -> dict[str, float | int | str | None]:
    """Follow a run that was just started until it ends."""
    begun, reached, best, offset = run.status.ticket / 1e9, None, 0.0, 0
    while True:
        active = run.state in ACTIVE  # asked first, so that the last lines are read in any case
        lines, offset = run.metrics(offset)
        for line in lines:
            if line["event"] == "epoch":
                best = max(best, line["val_accuracy"])
                if best >= BAR and reached is None:
                    reached = time.time() - begun
        if not active:
            break
        time.sleep(LOOK_EVERY)
    return {
        "state": run.state,
        "seed": run.config.training.seed,
        "seconds_to_bar": reached and round(reached, 2),
        "accuracy": best,
        "seconds": round(time.time() - begun, 2),
    }


def measure(config: RunConfig, runs: int, *, cold: bool) -> list[dict]:
    """Train ``runs`` runs, each in its own folder."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(runs):
            os.environ["VIT_CHECKPOINTS"] = str(Path(folder) / f"checkpoints-{seed}")
            os.environ["VIT_DATA"] = str(Path(folder) / (f"data-{seed}" if cold else "data"))
            if not cold:
                data.load(config.data)
            seeded = config.training.model_copy(update={"seed": seed})
            found.append(timed(jobs.start(config.model_copy(update={"training": seeded}))))
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--preset", choices=PRESETS, default="minute")
    options.add_argument("--cold", action="store_true", help="draw the images in every run")
    options.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    chosen = options.parse_args()
    found = measure(configure(preset=chosen.preset), chosen.runs, cold=chosen.cold)
    if chosen.json:
        print(json.dumps({"preset": chosen.preset, "bar": BAR, "cold": chosen.cold, "runs": found}))
        return
    print(f"| seed | state | seconds to {BAR:.0%} | best accuracy | seconds in total |\n|---|---|---|---|---|")
    for one in found:
        to_bar = "never" if one["seconds_to_bar"] is None else f"{one['seconds_to_bar']:.1f}"
        print(f"| {one['seed']} | {one['state']} | {to_bar} | {one['accuracy']:.1%} | {one['seconds']:.1f} |")
    reached = [one["seconds_to_bar"] for one in found if one["seconds_to_bar"] is not None]
    if reached:
        print(f"\n{len(reached)} of {len(found)} runs reached it, after {statistics.median(reached):.1f} s (median).")


if __name__ == "__main__":
    main()
