"""Compare the speed of training with other libraries; the sides of each comparison take turns.

    python -m benchmarks.speed [--only step,limit,loop,course,startup,memory,growth] [--seconds 60]
                               [--photos PHOTOS.zip]
                               [--device auto] [--threads N] [--plot FILE.html] [--json]

- *step*: forward, backward and optimiser on a batch in memory, uncompiled, without augmentation: ours (``Stepper``),
  timm's ``VisionTransformer``, torchvision's and vit-pytorch's with ``torch.optim.AdamW(fused=True)``. If the head
  reads the class token, our last block computes only that token and timm's computes all; logits and gradients
  are the same, and are compared first. If the head reads the mean of the patches, both compute all tokens. SimpleViT
  has no class token, so one token less than the others (of 17 or 65).
- *limit*: a step's share of the machine's rate for large float32 matrix products, in float32 and in bfloat16.
- *loop*: whole epochs with files, augmentation and validation, compared with a usual training script (ImageFolder,
  transforms on each image, DataLoader with two workers) and with timm's model and the data in memory. An epoch has as
  many images as leave time for three rounds, at most all.
- *course*: twenty epochs of 7,500 images of 64 px on a GPU; on the CPU, only if requested by name, one epoch.
- *startup*: seconds from the start of a process to its first step.
- *memory*: peak memory of a training step, each network in a separate process.
- *growth*: the cost of a step by tokens, depth, width and heads, as a table, and with ``--plot`` as a figure.

Each part takes about ``--seconds``, or as long as three rounds. Ratios are medians over the rounds' ratios, with
quartiles.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import first_step, growth, limit, loops, peaks
from benchmarks.speed.rivals import BATCH, SHAPES, OurSteps, Shape, agreement, plain_steps, random_batch, rivals
from benchmarks.speed.rounds import in_turns, quartiles, ratios, spread
from vit.errors import UserError
from vit.jobs import environment
from vit.support import hardware

PARTS = ("step", "limit", "loop", "course", "startup", "memory", "growth")
COMPARED = ("loop", "startup", "memory")
"""Parts that need timm."""
LIBRARIES = ("torch", "torchvision", "timm", "vit-pytorch")
POOLS = {"cls": "class token", "mean": "mean of the patches"}


def step(shapes: list[Shape], device: torch.device, seconds: float) -> list[dict[str, Any]]:
    """Return, for each shape, the difference between our network and timm's, and the time of a step of each network."""
    others = rivals(device)
    images, labels = random_batch(device)
    found = []
    for shape in shapes:
        ours = {pool: OurSteps(shape.config(pool), images, labels) for pool in POOLS}
        sides = {_our_name(pool): steps for pool, steps in ours.items()}
        sides |= {it.name: plain_steps(it.build(shape), images, labels, bf16=it.bf16) for it in others}
        near = {pool: agreement(shape, pool, device) for pool in POOLS} if _version("timm") else {}
        times = in_turns(sides, seconds / len(shapes))
        pools = {_our_name(pool): pool for pool in POOLS} | {it.name: it.pool for it in others}
        rows = []
        for name, values in times.items():
            row = {"network": name, "head_reads": pools[name], "ms": _thousandfold(values)}
            row["images_per_second"] = BATCH / quartiles(values).median
            if name not in map(_our_name, POOLS):
                row["ours_is_faster"] = ratios(values, times[_our_name(pools[name])])._asdict()
            rows.append(row)
        captured = all(steps.captured for steps in ours.values())
        why = next((steps.stepper.eager for steps in ours.values() if not steps.captured), "")
        found.append(
            {
                "shape": str(shape),
                "rounds": len(values),
                "apart_from_timm": near,
                "captured": captured,
                "why_eager": why,
                "rows": rows,
            }
        )
    return found


def step_table(found: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    parts = []
    for it in found:
        lines = [f"Step, {it['shape']}, batches of {BATCH}, {it['rounds']} rounds in turns.\n"]
        for pool, near in it["apart_from_timm"].items():
            lines.append(
                f"With the same weights, our network and timm's, which read the {POOLS[pool]}, differ by at most "
                f"{near['logits']:.1e} in the logits (largest: {near['largest_logit']:.2f}) and "
                f"{near['gradients']:.1e} in the gradients (largest: {near['largest_gradient']:.2f})."
            )
        graph = "Our steps are a CUDA graph." if it["captured"] else f"Our steps are eager: {it['why_eager']}."
        lines.append(f"{graph}\n")
        lines.append("| network | head reads | ms per step | images/s | ours is faster by a factor of |")
        lines.append("| --- | --- | --- | --- | --- |")
        for row in sorted(it["rows"], key=lambda row: row["head_reads"]):
            ratio = row.get("ours_is_faster")
            told = spread(ratio, ".3f") if ratio else ""
            lines.append(
                f"| {row['network']} | {POOLS[row['head_reads']]} | {spread(row['ms'], '.1f')} "
                f"| {row['images_per_second']:,.0f} | {told} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def machine(device: torch.device) -> dict[str, Any]:
    """Return the machine and the versions of the libraries."""
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "processor": hardware.processor(),
        "cores": hardware.cpu_cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def _our_name(pool: str) -> str:
    return f"this project, {pool}"


def _thousandfold(seconds: list[float]) -> dict[str, float]:
    return {name: 1e3 * value for name, value in quartiles(seconds)._asdict().items()}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"comma-separated parts (default: {','.join(PARTS)})")
    parser.add_argument("--seconds", type=float, default=60, help="approximate time of each part (default 60)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--threads", type=int, help="CPU threads of all sides (default: torch's default)")
    parser.add_argument(
        "--photos", help="images of loop and course: a folder or zip with train/ and val/ (default: scenes)"
    )
    parser.add_argument("--images", type=int, help="training images per epoch of loop (default: as fit into --seconds)")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="networks of step and memory (default: small,large)")
    parser.add_argument(
        "--plot", type=Path, help="write the figure of growth as .html, or as an image if kaleido is installed"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    options = parser.parse_args()
    options.parts = options.only.split(",") if options.only else list(PARTS)
    for named, known in ((options.parts, PARTS), (options.shapes.split(","), SHAPES)):
        if unknown := [name for name in named if name not in known]:
            parser.error(f"{unknown[0]!r} is not one of {', '.join(known)}")
    return options


def main() -> None:
    """Measure, and print the tables or JSON."""
    options = _options()
    try:
        device = torch.device(hardware.resolve(options.device))
    except UserError as error:
        raise SystemExit(f"{error}") from None
    if not _version("timm") and (lacking := [part for part in options.parts if part in COMPARED]):
        raise SystemExit(f"{', '.join(lacking)} need timm, which is not installed: pip install timm.")
    environment.set_threads(options.threads, None)
    if device.type == "cpu" and not options.only:
        options.parts.remove("course")
    shapes = [SHAPES[name] for name in options.shapes.split(",")]
    result: dict[str, Any] = {"machine": machine(device)}
    texts = [", ".join(f"{name} {told}" for name, told in _flat(result["machine"]).items())]

    def told(part: str, measure: Callable[[], Any], table: Callable[[Any], str]) -> None:
        if part not in options.parts:
            return
        print(f"{part} ...", file=sys.stderr, flush=True)
        result[part] = measure()
        texts.append(f"## {part}\n\n{table(result[part])}")

    seconds = options.seconds
    precisions = limit.PRECISIONS if device.type == "cuda" or hardware.has_bfloat16() else limit.PRECISIONS[:1]
    with tempfile.TemporaryDirectory() as beside:
        told("step", lambda: step(shapes, device, seconds), step_table)
        told("limit", lambda: limit.limit(device, seconds, precisions), limit.limit_table)
        if not {"loop", "course", "startup"}.isdisjoint(options.parts):
            photos = loops.photographs(options.photos, Path(beside))
            told("loop", lambda: loops.loop(photos, device, seconds, options.images), loops.loop_table)
            told("course", lambda: loops.course(photos, device, seconds), loops.course_table)
            told(
                "startup",
                lambda: first_step.start_up(photos.folder, device.type, seconds),
                first_step.start_up_table,
            )
        told("memory", lambda: peaks.peaks(shapes, device.type), peaks.peaks_table)
        told("growth", lambda: growth.growth(device, seconds), growth.growth_table)
    if options.plot and "growth" in result:
        told_device = result["machine"]["device"]
        plot = growth.growth_figure(result["growth"], told_device if device.type == "cuda" else hardware.processor())
        growth.save(plot, options.plot)
        print(f"{options.plot} written", file=sys.stderr)
    print(json.dumps(result) if options.json else "\n\n".join(texts))


def _flat(nested: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in nested.items() if key != "versions"} | nested["versions"]


if __name__ == "__main__":
    main()
