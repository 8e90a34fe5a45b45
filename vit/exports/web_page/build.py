"""Put an exported page together: one HTML file with styles, modules, manifest, network and runtime.

The modules are given to the browser by an import map of data URLs, so that they import each other by bare names. The
Content-Security-Policy allows no connection at all. Scripts are allowed by their hash, or as a data URL, which only
the import map and the scripts themselves can name: text of a run never becomes markup.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from vit import web
from vit.exports.web_page import runtime

ASSETS = Path(__file__).with_name("assets")
ENTRY = 'import "app"'
"""The only script in the page itself; it starts the module ``app``."""

POLICY = (
    "default-src 'none'; connect-src 'none'; base-uri 'none'; form-action 'none'; "
    "script-src data: 'wasm-unsafe-eval' {hashes}; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data: blob: mediastream:"
)


def build(manifest: Mapping[str, Any], network: bytes, *, webgpu: bool = False) -> bytes:
    """Return the page.

    Args:
        manifest: what the page shows, as values that JSON can hold.
        network: the ONNX file.
        webgpu: include the runtime for WebGPU, too. It adds 5.6 MB.
    """
    backends = ["wasm", *(["webgpu"] if webgpu else [])]
    runtimes = {f"onnxruntime-{backend}": runtime.module(backend) for backend in backends}
    import_map = _json({"imports": {name: _module(content) for name, content in (modules() | runtimes).items()}})
    scripts = {"importmap": import_map, "module": ENTRY}
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in scripts.values())
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY.format(hashes=hashes)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(str(manifest['title']))}</title>",
        f'<script type="application/json" id="manifest">{_json(manifest)}</script>',
        f"<style>{_styles()}</style>",
        f'<script type="importmap">{import_map}</script>',
        "</head>",
        "<body>",
        (ASSETS / "page.html").read_text(encoding="utf-8").strip(),
        _packed("network", gzip.compress(network, 9, mtime=0)),
        *(_packed(f"runtime-{backend}", runtime.wasm(backend)) for backend in backends),
        _packed("licences", gzip.compress(runtime.licences().encode(), 9, mtime=0)),
        f'<script type="module">{ENTRY}</script>',
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(parts).encode()


def modules() -> dict[str, bytes]:
    """Return the modules, without the runtime, by the names under which they import each other."""
    own = {path.stem: path.read_bytes() for path in sorted(ASSETS.rglob("*.js"))}
    shared = {name: source.encode() for name, source in web.modules().items()}
    return own | shared


def read_manifest(page: Path) -> dict[str, Any]:
    """Return the manifest of an exported page, without reading the network and the runtime.

    Raises:
        ValueError: the file is not an exported page.
    """
    with page.open(encoding="utf-8") as file:
        for line in file:
            if found := re.match(r'<script type="application/json" id="manifest">(.*)</script>$', line):
                return json.loads(found[1])
    raise ValueError(f"{page} is not an exported page.")


def _styles() -> str:
    own = [path.read_text(encoding="utf-8").strip() for path in sorted(ASSETS.rglob("*.css"))]
    return "\n".join([web.theme_css(), *own])


def _module(content: bytes) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(content).decode()}"


def _packed(name: str, content: bytes) -> str:
    return f'<script type="application/octet-stream" id="{name}">{base64.b64encode(content).decode()}</script>'


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element around it, nor begin a comment in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: other characters are escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
