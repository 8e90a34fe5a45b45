"""A local server that answers as the Hugging Face hub does, with one data set."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """``repository`` is the name of the data set, ``files`` its content by path; ``asked`` are the requests."""

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository, self.files, self.asked = repository, files, []
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlparse(self.path).path).strip("/")
        self.server.asked.append(f"{self.command} {path}")
        repository, files = self.server.repository, self.server.files
        if path.startswith(f"datasets/{repository}/resolve/"):
            name = path.split("/resolve/", 1)[1].split("/", 1)[1]
            return self._file(files.get(name))
        if path.startswith(f"api/datasets/{repository}"):
            rest = path.removeprefix(f"api/datasets/{repository}").strip("/")
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            folders = sorted({str(Path(name).parent) for name in files} - {"."})
            entries += [{"type": "directory", "path": name, "size": 0, "oid": COMMIT} for name in folders]
            if rest.startswith("tree/"):
                below = rest.split("/", 2)[2] if rest.count("/") > 1 else ""
                return self._json([entry for entry in entries if entry["path"].startswith(below)])
            if rest.startswith("paths-info/"):
                wanted = json.loads(self.body)["paths"] if self.body[:1] == b"{" else []
                return self._json([entry for entry in entries if entry["path"] in wanted])
            if not rest or rest.startswith("revision/"):
                names = [{"rfilename": name} for name in files]
                card = {"license": "cc-by-4.0"}
                return self._json(
                    {"id": repository, "sha": COMMIT, "siblings": names, "cardData": card, "tags": [], "private": False}
                )
        self._send(404, b"{}", {"X-Error-Code": "RepoNotFound" if "resolve" not in path else "EntryNotFound"})
        return None

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, content: bytes | None) -> None:
        if content is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        if (wanted := self.headers.get("Range", "")).startswith("bytes="):
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            last = min(int(high or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {low}-{last}/{len(content)}"
            return self._send(206, content[int(low) : last + 1], headers)
        return self._send(200, content, headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(repository: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Run a hub during the block."""
    hub = Hub(repository, files)
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
