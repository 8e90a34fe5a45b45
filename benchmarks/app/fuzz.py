"""Send thousands of broken and hostile files through the upload functions, and measure errors, time and memory.

    python -m benchmarks.app.fuzz [--count 10000] [--seed 0] [--only KIND] [--bombs-only]

- *Images*: mutated small images of every format, through ``open_image`` and ``save_picture``.
- *Zips of images*: mutated zips, and generated zips with hostile names and wrong header fields, through
  ``store_upload``.
- *Zips in place*: the same zips, and sets of unreadable files, through ``load``, as the command line reads them.
- *Zips of runs*: the included run with one file or the zip itself mutated, through ``run_zip.unpack``.
- *Weights*: a safetensors file beside the architecture of each module of timm, and beside mutated descriptions, through
  ``open_file``; without timm they are left out.
- *Requests*: mutated uploads to a demo, through the middleware that receives them.
- *Bombs*: the hostile images, zips, sets and simultaneous uploads of ``tests/helpers/hostile*.py``, each in a separate
  process.

Every batch runs in a separate process, so that crashes of decoders are counted and their memory is known. The goal for
the time is wall-clock time, so the machine should have no other work; the processor time is also printed. The exit
status is 1 if a goal is missed. Nothing is kept.
"""

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.helpers.hostile import IMAGE_BOMBS, honest_images, mutated
from tests.helpers.hostile_sets import SET_BOMBS
from tests.helpers.hostile_weights import hostile_weights, unpacked
from tests.helpers.hostile_zips import ZIP_BOMBS, generated_zip, honest_zip
from vit.errors import UserError
from vit.paths import project_root
from vit.support import optional_packages

BATCH = 250
SHARES = {
    "images": 0.5,
    "zips of images": 0.2,
    "zips in place": 0.1,
    "zips of runs": 0.1,
    "weights": 0.04,
    "requests": 0.06,
}
SECONDS_GOAL, MEGABYTES_GOAL = 5.0, 1000
BATCH_SECONDS_MAX = 600

Upload = Callable[[bytes], object]
Input = tuple[str, bytes]


def _picture(data: bytes) -> None:
    from vit.data.files.images import open_image
    from vit.data.files.pictures import save_picture

    save_picture(open_image(io.BytesIO(data), name="picture"))


def _set(data: bytes) -> None:
    from vit.data.files.uploads import store_upload

    store_upload("photos.zip", io.BytesIO(data))


def _in_place(_: bytes) -> None:
    from vit.config import DataConfig
    from vit.data import load

    load(DataConfig(source=str(_home() / "input"), image_size=32))  # where batch() has written it


def _home() -> Path:
    return Path(os.environ["VIT_CHECKPOINTS"]).parents[1]


def _run(data: bytes) -> None:
    from vit.exports import run_zip

    run_zip.unpack(io.BytesIO(data))


def _weights(data: bytes) -> None:
    from vit.published.open import open_file

    config, weights = unpacked(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(weights)
        open_file(path, title="weights.safetensors", config=config or None)


def _requests(data: bytes) -> None:
    from tests.helpers.hostile_requests import send

    send(data)


def _request_inputs(choice: random.Random, count: int) -> Iterable[Input]:
    from tests.helpers.hostile_requests import hostile_requests

    return hostile_requests(choice, count)


def _images(choice: random.Random, count: int) -> Iterator[Input]:
    honest = honest_images(choice.randrange(1000))
    for _ in range(count):
        kind = choice.choice(list(honest))
        yield kind, mutated(honest[kind], choice, list(honest.values()))


def _zips(choice: random.Random, count: int) -> Iterator[Input]:
    honest = [honest_zip(seed) for seed in range(3)]
    for _ in range(count):
        if choice.random() < 0.5:
            yield "generated zip", generated_zip(choice)
        else:
            yield "mutated zip", mutated(choice.choice(honest), choice, honest)


def _runs(choice: random.Random, count: int) -> Iterator[Input]:
    from vit import runs
    from vit.exports import run_zip

    packed = io.BytesIO()
    run_zip.pack(runs.get_run(project_root() / "checkpoints" / runs.SHIPPED_RUN), packed, snapshots=False)
    with zipfile.ZipFile(packed) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(count):
        broken = choice.choice(list(content))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, value in content.items():
                archive.writestr(name, mutated(value, choice, list(content.values())) if name == broken else value)
        data = file.getvalue()
        yield broken.rpartition("/")[2], mutated(data, choice, [data]) if choice.random() < 0.2 else data


KINDS: dict[str, tuple[Upload, Callable[[random.Random, int], Iterable[Input]]]] = {
    "images": (_picture, _images),
    "zips of images": (_set, _zips),
    "zips in place": (_in_place, _zips),
    "zips of runs": (_run, _runs),
    "weights": (_weights, hostile_weights),
    "requests": (_requests, _request_inputs),
}


def _bombs() -> dict[str, dict[str, Callable[[], bytes]]]:
    from tests.helpers.hostile_requests import REQUEST_BOMBS

    return {
        "images": IMAGE_BOMBS,
        "zips of images": ZIP_BOMBS | SET_BOMBS,
        "zips in place": SET_BOMBS,
        "requests": REQUEST_BOMBS,
    }


def _outside(home: Path) -> set[str]:
    """Return the files in the home folder that are outside the folders for uploads."""
    kept = ("input", "inner", "inner/data", "inner/data/pictures", "inner/data/uploads", "inner/data/cache")
    kept += ("inner/checkpoints", "inner/data/incoming")
    found = {path.relative_to(home).as_posix() for path in home.rglob("*")}
    return {name for name in found if name not in kept and not name.startswith(tuple(f"{it}/" for it in kept[3:]))}


def _remains(home: Path) -> set[str]:
    return {path.name for folder in ("data/pictures", "data/uploads", "checkpoints") for path in
            (home / "inner" / folder).glob(".*")}  # fmt: skip


def _peak() -> float:
    """Return the peak resident memory (MB) of this process or one of its children."""
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def batch(kind: str, inputs: Iterable[Input], home: Path) -> None:
    """Upload each input, and print a line of JSON about it."""
    upload = KINDS[kind][0]
    warnings.simplefilter("ignore")
    if kind in ("zips of runs", "weights"):
        import torch  # noqa: F401 (needed for any input, so not counted)
    if kind == "weights":
        import timm  # noqa: F401
    places = {"images": "data/pictures", "zips of images": "data/uploads", "zips in place": "data/uploads"}
    place = home / "inner" / places.get(kind, "checkpoints")
    warm = next(iter(honest_images().values())) if kind == "images" else b""
    with contextlib.suppress(UserError):  # what the first use loads is not counted either
        upload(warm)
    base = _peak()
    for name, data in inputs:
        (home / "input").write_bytes(data)  # for the parent process in case of a crash
        before = set(place.glob("*")) if place.exists() else set()
        start, processor, outcome, problem = time.perf_counter(), _processor_seconds(), "accepted", ""
        try:
            upload(data)
        except UserError as error:
            outcome = "refused" if str(error).strip() and "\n" not in str(error) else "escaped"
        except BaseException:
            outcome, problem = "escaped", traceback.format_exc(limit=-3)
        seconds, processor = time.perf_counter() - start, _processor_seconds() - processor
        (home / "input").unlink()
        left = len(_remains(home)) + (len(set(place.glob("*")) - before) if outcome != "accepted" else 0)
        line = {"name": name, "outcome": outcome, "seconds": seconds, "processor": processor, "problem": problem}
        print(
            json.dumps(line | {"outside": len(_outside(home)), "remains": left, "base": base, "peak": _peak()}),
            flush=True,
        )


def child(options: argparse.Namespace) -> None:
    """Run one batch, or create one bomb, in this child process."""
    home = _home()
    if options.make:
        (home / "bomb").write_bytes(_bombs()[options.child][options.bomb]())
    elif options.bomb:
        data = (home / "bomb").read_bytes()
        (home / "bomb").unlink()
        batch(options.child, [(options.bomb, data)], home)
    else:
        choice = random.Random(f"{options.seed} {options.child}")
        batch(options.child, KINDS[options.child][1](choice, options.count), home)


def start(kind: str, *arguments: str) -> list[dict]:
    """Run a batch in a child process, and return its lines, plus a line for a crash."""
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner"
        environment = os.environ | {"VIT_CHECKPOINTS": str(inner / "checkpoints"), "VIT_DATA": str(inner / "data")}
        environment |= {"OMP_NUM_THREADS": "1"} | ({"VIT_DEMO": "1"} if kind == "requests" else {})
        command = [sys.executable, "-m", "benchmarks.app.fuzz", "--child", kind, *arguments]
        if "--bomb" in arguments:  # created in a process whose memory is not counted
            subprocess.run([*command, "--make"], env=environment, check=True)
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BATCH_SECONDS_MAX)
            code, output, errors = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as error:
            code, output, errors = -9, (error.stdout or b"").decode(), "It took more than ten minutes."
        lines = [json.loads(line) | {"kind": kind} for line in output.splitlines() if line.startswith("{")]
        if code:
            lines.append({"kind": kind, "name": " ".join(arguments), "outcome": "crashed", "seconds": 0, "processor": 0,
                          "problem": f"exit status {code}: {errors[-600:]}", "outside": 0, "remains": 0, "base": 0,
                          "peak": 0})  # fmt: skip
        return lines


def _jobs(options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    for kind, bombs in _bombs().items():
        for name in bombs if options.only in (None, kind) else ():
            yield kind, "--bomb", name
    for kind, share in SHARES.items():
        if options.only not in (None, kind) or (kind == "weights" and optional_packages.missing("timm")):
            continue
        count = 0 if options.bombs_only else round(options.count * share)
        for number, first in enumerate(range(0, count, BATCH)):
            seed = f"{options.seed}.{number}"
            yield kind, "--seed", seed, "--count", str(min(BATCH, count - first))


def report(lines: list[dict], bombs: set[str]) -> bool:
    """Print the tables, and return whether every goal is met."""
    print("| | inputs | accepted | refused | uncaught errors | crashes | files outside | files left "
          "| slowest, s (processor) | peak, MB (above imports) |\n| --- " + "| ---: " * 9 + "|")  # fmt: skip
    groups = {kind: [line for line in lines if line["kind"] == kind and line["name"] not in bombs] for kind in SHARES}
    groups |= {"bombs": [line for line in lines if line["name"] in bombs], "all": lines}
    for name, group in groups.items():
        if not group:
            continue
        of = Counter(line["outcome"] for line in group)
        slowest = max(group, key=lambda line: line["seconds"])
        peak, processor = (max(line[key] for line in group) for key in ("peak", "processor"))
        more = max(line["peak"] - line["base"] for line in group)
        print(
            f"| {name} | {len(group):,} | {of['accepted']:,} | {of['refused']:,} | {of['escaped']} | {of['crashed']} | "
            f"{sum(line['outside'] for line in group)} | {sum(line['remains'] for line in group)} | "
            f"{slowest['seconds']:.2f} ({processor:.2f}) | {peak:.0f} ({more:.0f}) |"
        )
    print("\nMost processor time:")
    for line in sorted(lines, key=lambda line: -line["processor"])[:6]:
        print(f"- {line['name']}: {line['seconds']:.2f} s, processor {line['processor']:.2f} s, {line['peak']:.0f} MB, "
              f"{line['outcome']}")  # fmt: skip
    for line in lines:
        if line["problem"]:
            print(f"\n{line['kind']}, {line['name']}, {line['outcome']}: {line['problem']}")
    return not any(
        line["outcome"] in ("escaped", "crashed") or line["outside"] or line["remains"]
        or line["seconds"] >= SECONDS_GOAL or line["peak"] >= MEGABYTES_GOAL
        for line in lines
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", choices=SHARES, help="only the inputs of this kind")
    parser.add_argument("--bombs-only", action="store_true")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    for internal in ("--child", "--bomb"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    begin = time.perf_counter()
    lines: list[dict] = []
    with ThreadPoolExecutor(options.workers) as pool:
        for found in pool.map(lambda job: start(*job), _jobs(options)):
            lines += found
            print(f"\r{len(lines):,} inputs, {time.perf_counter() - begin:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    good = report(lines, {name for bombs in _bombs().values() for name in bombs})
    print(
        f"\n{len(lines):,} inputs in {time.perf_counter() - begin:.0f} s. Goals: no uncaught errors, crashes, "
        f"files outside or files left; under {SECONDS_GOAL:.0f} s and {MEGABYTES_GOAL} MB each: "
        f"{'met' if good else 'missed'}."
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
