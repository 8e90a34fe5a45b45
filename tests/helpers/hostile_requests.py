"""Requests that upload something else than one file, or many at the same time, for ``benchmarks.app.fuzz``.

A request is described by JSON in the first line of an input; :func:`send` acts it out on the part of the server that
receives uploads.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from pages.server import secrets, upload_store
from pages.server.limits import MB
from tests.helpers.hostile import mutated
from tests.helpers.upload_requests import FORM, HEAD, TAIL, uploads
from vit.errors import DataError

UPLOAD_MB = 20
"""Largest upload of the demo; a fifth of the usual one, so that the disk does not decide the time."""
_TYPES = (FORM, FORM, FORM, FORM, "multipart/form-data", "multipart/form-data; boundary=other", "text/plain", "")


def _request(body: bytes = b"", **plan: Any) -> bytes:
    return json.dumps(plan).encode() + b"\n" + body


def hostile_requests(choice: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield inputs: mutated forms, some with a false length, in pieces of any size."""
    for _ in range(count):
        whole = HEAD + choice.randbytes(choice.choice((0, 1, 500, 70_000))) + TAIL
        body = mutated(whole, choice, [whole, HEAD, TAIL])
        length = choice.choice((None, len(body), 0, 10**15))
        yield (
            "mutated form",
            _request(body, type=choice.choice(_TYPES), length=length, cut=choice.choice((1, 999, 65_536))),
        )


def send(data: bytes) -> None:
    """Act an input out on a demo.

    Raises:
        DataError: nothing was accepted.
        AssertionError: more was accepted than the demo has space for, or a file was left.
    """
    line, _, body = data.partition(b"\n")
    plan = json.loads(line or b'{"type": "", "length": null, "cut": 1}')
    with (
        patch.object(secrets, "table", lambda name: {"upload_mb": UPLOAD_MB} if name == "demo" else None),
        uploads() as server,
    ):
        if "count" in plan:
            statuses = asyncio.run(_together(server, **plan))
        else:
            cut = max(plan["cut"], len(body) // 5000)
            pieces = [body[start : start + cut] for start in range(0, len(body), cut)]
            statuses = [asyncio.run(server.put("s", pieces, content_type=plan["type"], length=plan["length"]))]
        assert set(statuses) <= {204, 400, 408, 413, 503}, statuses
        assert server.held() <= upload_store.HELD * UPLOAD_MB * MB, f"{server.held() / MB:.0f} MB were held"
        if plan.get("leaves"):  # then another visitor has room
            server.connected.clear()
            assert asyncio.run(server.put("other", [HEAD, b"x", TAIL], address="198.51.100.1")) == 204
        if 204 not in statuses:
            raise DataError("Nothing was accepted.")


async def _together(
    server: Any, *, count: int, size: int, sessions: int, addresses: int, declared: bool, leaves: bool = True
) -> list[int]:
    block = bytes(2**16)
    pieces = [HEAD, *[block] * (size // len(block)), block[: size % len(block)], TAIL]
    length = sum(map(len, pieces)) if declared else None
    return await asyncio.gather(
        *(
            server.put(
                f"s{number % sessions}",
                pieces,
                name=f"{number}",
                length=length,
                address=f"192.0.2.{number % addresses}",
            )
            for number in range(count)
        )
    )


def _large(sessions: int, addresses: int, *, declared: bool = True) -> Callable[[], bytes]:
    plan = {"count": 30, "size": 19 * MB, "sessions": sessions, "addresses": addresses, "declared": declared}
    return lambda: _request(**plan, leaves=True)


def _small(count: int, sessions: int) -> Callable[[], bytes]:
    plan = {"count": count, "size": 0, "sessions": sessions, "addresses": 1, "declared": True}
    return lambda: _request(**plan, leaves=True)


def _form(body: bytes, length: int | None = None) -> bytes:
    return _request(body, type=FORM, length=length, cut=2**16)


REQUEST_BOMBS: dict[str, Callable[[], bytes]] = {
    "30 uploads of 19 MB at a time by one session": _large(1, 1),
    "30 uploads of 19 MB at a time by 30 sessions": _large(30, 1),
    "30 uploads of 19 MB at a time from 30 addresses": _large(30, 30),
    "30 uploads of 19 MB at a time without a length": _large(30, 30, declared=False),
    "5000 empty uploads by one session": _small(5000, 1),
    "upload that says 1 kB and has 24 MB": lambda: _form(HEAD + bytes(24 * MB) + TAIL, 1000),
    "upload with a header of 18 MB": lambda: _form(b"--cut\r\n" + b"x" * (18 * MB)),
    "upload of a field of 18 MB": lambda: _form(
        b'--cut\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + bytes(18 * MB) + TAIL
    ),
    "upload of 100,000 parts": lambda: _form(HEAD + (b"x\r\n" + HEAD) * 100_000 + TAIL),
    "upload of 18 MB of boundaries": lambda: _form(HEAD + b"\r\n--cu" * (3 * MB) + TAIL),
}
"""What it is -> how it is made."""
