"""The vendored ONNX Runtime Web, which runs the network in an exported page.

``make web-runtime`` fetches the npm package anew (:mod:`vit.exports.web_page.vendor`). The licence and the third-party
notices are those of the Python package onnxruntime, as the npm package does not contain them.
"""

from pathlib import Path
from typing import NamedTuple

VERSION = "1.30.0"
FOLDER = Path(__file__).with_name("runtime")

LICENCES = ("LICENSE", "ThirdPartyNotices.txt")


class Build(NamedTuple):
    """A build of the runtime.

    Attributes:
        module: its JavaScript module, which contains the loader of its WebAssembly.
        wasm: its WebAssembly.
    """

    module: str
    wasm: str


BUILDS = {
    "wasm": Build("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": Build("ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm"),
}
"""The builds by backend. That for WebGPU needs JavaScript Promise Integration, which Chromium has had since 137."""

FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.jspi.bundle.min.mjs": "07ec090355e11b342c95436db54da2d0c2bd5b1d319745bfd3337e6bdcf170ac",
    "ort-wasm-simd-threaded.jspi.wasm": "a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93",
}
"""SHA-256 of each file in ``dist/`` of the package."""


def module(backend: str) -> bytes:
    """Return the JavaScript module of a build."""
    return (FOLDER / BUILDS[backend].module).read_bytes()


def wasm(backend: str) -> bytes:
    """Return the WebAssembly of a build, gzipped."""
    return (FOLDER / f"{BUILDS[backend].wasm}.gz").read_bytes()


def licences() -> str:
    """Return the licence and the third-party notices of the runtime."""
    return "\n\n".join((FOLDER / name).read_text(encoding="utf-8") for name in LICENCES)
