"""How processes that train together learn that one of them is gone: a connection of each to the first.

A process that dies, however it dies, closes its connections; so whoever is left knows at once, while a collective of
NCCL would wait without end. Over the same connection it says why, where it still can. One JSON object a line.
"""

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TOKEN = 16
GREETING = 10.0
"""Seconds in which whoever connects has to say who it is."""
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}
"""A machine that vanishes from the network closes nothing: it is given up after so many seconds and questions."""


class Listener:
    """The first process's end.

    Args:
        size: how many processes there are.
        local: whether all of them are on this machine.
        greeting: what each is told when it has connected.
        gone: called with the rank of a process that is gone and has not said that it would be, and with what it last
            said of itself: ``failed``, a sentence, and ``trace``, where it said anything.
    """

    def __init__(self, size: int, *, local: bool, greeting: dict[str, Any], gone: Callable[[int, dict], None]) -> None:
        self._size, self._greeting, self._gone = size, greeting, gone
        self._links: list[socket.socket] = []
        self._over = False
        self._server = _serve(local)
        self._token = secrets.token_hex(TOKEN)
        self.address = f"{self._server.getsockname()[1]} {self._token}"
        """What the others have to know to connect: port and password."""
        threading.Thread(target=self._accept, name="lifelines", daemon=True).start()

    @property
    def connected(self) -> int:
        """How many of the others have been there."""
        return len(self._links)

    def end(self, code: int) -> None:
        """Tell all that it is over, and with which exit status; those who go now are not missed."""
        self._over = True
        for link in list(self._links):
            with suppress(OSError):
                _send(link, {"end": code})
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while len(self._links) < self._size - 1:
                link, _ = self._server.accept()
                threading.Thread(target=self._listen, args=(link,), name="lifeline", daemon=True).start()

    def _listen(self, link: socket.socket) -> None:
        _keep_alive(link)
        link.settimeout(GREETING)
        lines = link.makefile("r", encoding="utf-8")
        with suppress(OSError, ValueError, KeyError, TypeError):
            hello = json.loads(lines.readline(4 * TOKEN + 100))
            if secrets.compare_digest(str(hello["token"]), self._token):
                link.settimeout(None)
                self._links.append(link)
                _send(link, self._greeting)
                self._follow(int(hello["rank"]), lines)
        link.close()

    def _follow(self, rank: int, lines: Any) -> None:
        said: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            for line in lines:
                said = json.loads(line)
                if "failed" in said:
                    break  # it goes at once, or waits to be let go
        if not self._over and "bye" not in said:
            self._gone(rank, said)


class Lifeline:
    """The end of another process than the first.

    Args:
        rank: its own.
        host, address: where the first one listens, by :attr:`Listener.address`.
        ended: called in a thread when the first one says that it is over, with the exit status.
        gone: called in a thread when the first one is gone and has not said that it would be, with its greeting.
    """

    def __init__(
        self, rank: int, host: str, address: str, *, ended: Callable[[int], None], gone: Callable[[dict], None]
    ) -> None:
        port, token = address.split()
        self._link = socket.create_connection((host, int(port)), timeout=60)
        self._link.settimeout(None)
        _keep_alive(self._link)
        self._ended, self._gone, self._over = ended, gone, False
        _send(self._link, {"rank": rank, "token": token})
        threading.Thread(target=self._follow, name="lifeline", daemon=True).start()

    def fail(self, sentence: str, trace: str) -> None:
        """Say why this process ends."""
        with suppress(OSError):
            _send(self._link, {"failed": sentence, "trace": trace})

    def bye(self) -> None:
        """This process ends in order."""
        self._over = True
        with suppress(OSError):
            _send(self._link, {"bye": True})

    def _follow(self) -> None:
        greeting: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            for line in self._link.makefile("r", encoding="utf-8"):
                said = json.loads(line)
                if "end" in said:
                    self._ended(int(said["end"]))
                    return
                greeting = said
        if not self._over:
            self._gone(greeting)


def _serve(local: bool) -> socket.socket:
    if local:
        return socket.create_server(("127.0.0.1", 0))
    with suppress(OSError):
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _send(link: socket.socket, message: dict[str, Any]) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def _keep_alive(link: socket.socket) -> None:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        with suppress(OSError, AttributeError):  # not every system has them
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def host_of_first(local: bool) -> str:
    """Where the first process is, as the environment says it."""
    return "127.0.0.1" if local else os.environ["MASTER_ADDR"]
