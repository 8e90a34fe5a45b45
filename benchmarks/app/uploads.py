"""Measure what uploads leave in the server's memory, and what a demo accepts of many at the same time.

    python -m benchmarks.app.uploads [--count 10] [--megabytes 300] [--large 1000] [--only memory|parallel]

- *Memory*: one visitor uploads data sets on the Train page, one after another, and then one large zip. Printed is the
  resident size of the server: before, after each upload, at its peak during each, and after the browser has gone.
  Goals: at most 100 MB above the start after all uploads, and a peak that is far below the size of the zip.
- *Parallel*: on a demo, 30 simultaneous uploads of 95 MB, by one session, and by 30 sessions. Printed are how many were
  accepted, the bytes on the disk, and how another visitor is answered after they have gone. Goal: never more than the
  demo's 1 GB, and the other visitor is accepted at once.

The exit status is 1 if a goal is missed. At most 3 GB of temporary files exist at a time. Nothing is kept.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.app import clients
from tests.helpers.serving import serving
from tests.helpers.tabs import XSRF, tab, xsrf_token

MB = 10**6
GOAL_MEGABYTES = 100
PEAK_MEGABYTES = 250
"""Above the start, during an upload of any size."""
SIDE = 577
"""Side of the images in the zips, which are bitmaps of one megabyte."""
PARALLEL, PARALLEL_MEGABYTES, HELD_MEGABYTES = 30, 95, 1000
SETTLE_SECONDS = 12.0
"""The server collects garbage every ten seconds."""


class Server:
    """Measures the resident size of a server's process, also its peak."""

    def __init__(self, address: str) -> None:
        port = urlsplit(address).port
        self.process = next(
            one
            for one in psutil.Process().children(recursive=True)
            if any(it.laddr.port == port and it.status == psutil.CONN_LISTEN for it in one.net_connections("tcp"))
        )

    def megabytes(self) -> float:
        return self.process.memory_info().rss / MB

    @contextmanager
    def peak(self) -> Iterator[list[float]]:
        """Sample the resident size during the block; the list then holds the largest one."""
        found, done = [self.megabytes()], threading.Event()

        def sample() -> None:
            while not done.wait(0.02):
                found[0] = max(found[0], self.megabytes())

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield found
        finally:
            done.set()
            thread.join()


def write_zip(path: Path, megabytes: int, seed: int) -> None:
    """Write a data set of two classes: uncompressed bitmaps of noise, 1 MB each."""
    import io

    import numpy as np
    from PIL import Image

    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(megabytes):
            file = io.BytesIO()
            Image.fromarray(np.roll(noise, 1 + number, axis=0)).save(file, "BMP")
            archive.writestr(f"{'ab'[number % 2]}/{number}.bmp", file.getvalue())


async def _upload(address: str, server: Server, zips: Iterator[tuple[str, Path]], data: Path) -> bool:
    """Upload each zip on the Train page, print the server's memory, and return whether it meets the goals."""
    clients.PATIENCE = 600
    client = clients.Client(address)
    await client.open("train")
    with tempfile.TemporaryDirectory() as folder:  # what the first upload of an image loads is not counted
        write_zip(Path(folder) / "first.zip", 4, 99)
        await _send(client, Path(folder) / "first.zip", data)
    await asyncio.sleep(SETTLE_SECONDS)
    start = server.megabytes()
    print(f"| upload | MB | seconds | peak, MB above the start | afterwards, MB above the start |\n{'| --- ' * 5}|")
    print(f"| none (start: {start:.0f} MB) | | | | 0 |", flush=True)
    good, after = True, 0.0
    for name, path in zips:
        size, begin = path.stat().st_size / MB, time.perf_counter()
        with server.peak() as peak:
            await _send(client, path, data)
            seconds = time.perf_counter() - begin
        path.unlink()
        await asyncio.sleep(2)
        after = server.megabytes() - start
        good &= peak[0] - start < PEAK_MEGABYTES
        print(f"| {name} | {size:.0f} | {seconds:.1f} | {peak[0] - start:.0f} | {after:.0f} |", flush=True)
    await asyncio.sleep(SETTLE_SECONDS)
    after = server.megabytes() - start
    problems, _ = client.problems, await client.close()
    await asyncio.sleep(SETTLE_SECONDS)
    print(f"| all, {SETTLE_SECONDS:.0f} s later | | | | {after:.0f} |")
    print(f"| browser gone, {SETTLE_SECONDS:.0f} s later | | | | {server.megabytes() - start:.0f} |")
    for problem in problems:
        print(f"Problem on the page: {problem}")
    return good and not problems and after <= GOAL_MEGABYTES


async def _send(client: clients.Client, path: Path, data: Path) -> None:
    """Upload a zip on the Train page; the data sets before it are deleted."""
    before = set((data / "uploads").glob("*"))
    await client.upload(client.find("file_uploader"), path.name, path)
    if not {entry for entry in (data / "uploads").glob("*") if not entry.name.startswith(".")} - before:
        raise SystemExit(f"{path.name} was not stored: {client.problems}")
    for folder in before:
        shutil.rmtree(folder)


def measure_memory(count: int, megabytes: int, large: int) -> bool:
    """Upload data sets to a server of this machine's user, and return whether the goals are met."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        home = Path(folder)
        os.environ |= {"VIT_CHECKPOINTS": str(home / "checkpoints"), "VIT_DATA": str(home / "data")}

        def zips() -> Iterator[tuple[str, Path]]:
            for number, size in enumerate([megabytes] * count + [large] * (large > 0)):
                path = home / f"set{number}.zip"
                write_zip(path, size, number)
                yield f"{number + 1}", path

        with serving() as address:
            time.sleep(8)  # torch is imported after the first page
            return asyncio.run(_upload(address, Server(address), zips(), home / "data"))


async def _put(client: httpx.AsyncClient, session: str, token: str, name: str) -> int:
    """Upload :data:`PARALLEL_MEGABYTES` MB of zeros, and return the status; 0 if the server hung up."""
    head = (
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n'
        b"Content-Type: application/zip\r\n\r\n"
    )
    tail = b"\r\n--cut--\r\n"

    async def body():
        yield head
        for _ in range(PARALLEL_MEGABYTES):
            yield bytes(MB)
        yield tail

    headers = {
        "X-Xsrftoken": token,
        "Cookie": f"{XSRF}={token}",
        "Content-Type": "multipart/form-data; boundary=cut",
        "Content-Length": str(len(head) + PARALLEL_MEGABYTES * MB + len(tail)),
    }
    try:
        path = f"/_stcore/upload_file/{session}/{name}"
        return (await client.put(path, content=body(), headers=headers)).status_code
    except httpx.TransportError:
        return 0


async def _attack(address: str, sessions: list[str], token: str) -> Counter[int]:
    limits = httpx.Limits(max_connections=PARALLEL)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        jobs = [_put(client, sessions[number % len(sessions)], token, f"{number}") for number in range(PARALLEL)]
        return Counter(await asyncio.gather(*jobs))


def measure_parallel() -> bool:
    """Upload to a demo in parallel, and return whether the goals are met."""
    from contextlib import ExitStack

    good = True
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ |= {"VIT_CHECKPOINTS": str(home / "checkpoints"), "VIT_DATA": str(home / "data"), "VIT_DEMO": "1"}
        try:
            with serving() as address:
                server, token = Server(address), xsrf_token(address)
                time.sleep(8)
                print(
                    f"| {PARALLEL} uploads of {PARALLEL_MEGABYTES} MB | accepted | refused | MB on the disk "
                    "| server's peak, MB above before | another visitor, after they have gone |\n"
                    + "| --- "
                    + "| ---: " * 5
                    + "|"
                )
                for name, count in (("by one session", 1), (f"by {PARALLEL} sessions", PARALLEL)):
                    with ExitStack() as stack:
                        pages = [stack.enter_context(tab(address, "glossary", token=token)) for _ in range(count)]
                        before = server.megabytes()
                        with server.peak() as peak:
                            found = asyncio.run(_attack(address, [page.session for page in pages], token))
                        files = (home / "data" / "incoming").rglob("*")
                        held = sum(path.stat().st_size for path in files if path.is_file()) / MB
                    begin = time.perf_counter()
                    with tab(address, "glossary", token=token) as page:
                        status = asyncio.run(_attack_once(address, page.session, token))
                    seconds = time.perf_counter() - begin
                    refused = sum(found.values()) - found[204]
                    good &= held <= HELD_MEGABYTES and found[204] * PARALLEL_MEGABYTES <= HELD_MEGABYTES
                    good &= status == 204 and peak[0] - before < PEAK_MEGABYTES
                    print(
                        f"| {name} | {found[204]} | {refused} | {held:.0f} | {peak[0] - before:.0f} | "
                        f"{status} after {seconds:.1f} s |",
                        flush=True,
                    )
        finally:
            del os.environ["VIT_DEMO"]
    return good


async def _attack_once(address: str, session: str, token: str) -> int:
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        return await _put(client, session, token, "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--large", type=int, default=1000, help="megabytes of the last zip; 0 for none")
    parser.add_argument("--only", choices=("memory", "parallel"))
    options = parser.parse_args()
    os.environ.setdefault("VIT_PREPARE_SCENES", "0")
    good = True
    if options.only != "parallel":
        good &= measure_memory(options.count, options.megabytes, options.large)
        print()
    if options.only != "memory":
        good &= measure_parallel()
    print(
        f"\nGoals, at most {GOAL_MEGABYTES} MB above the start after all uploads, a peak of {PEAK_MEGABYTES} MB above "
        f"it, {HELD_MEGABYTES} MB of a demo's uploads at a time, and room for another visitor afterwards: "
        f"{'met' if good else 'missed'}."
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
