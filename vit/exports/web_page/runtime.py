"""The vendored ONNX Runtime Web, which runs the network in an exported page.

``make web-runtime`` fetches the npm package anew and calls this module, which checks every file against :data:`FILES`
and stores the WebAssembly gzipped. After a change of :data:`VERSION` it prints the new sums. The licence and the
third-party notices are those of the Python package onnxruntime, as the npm package does not contain them.
"""

import gzip
import hashlib
import sys
import tarfile
from importlib import metadata
from pathlib import Path

VERSION = "1.30.0"
FOLDER = Path(__file__).with_name("runtime")

LICENCES = ("LICENSE", "ThirdPartyNotices.txt")
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of each file in ``dist/`` of the package."""


def module() -> bytes:
    """Return the JavaScript module of the runtime."""
    return (FOLDER / "ort.wasm.bundle.min.mjs").read_bytes()


def wasm() -> bytes:
    """Return the WebAssembly of the runtime, gzipped."""
    return (FOLDER / "ort-wasm-simd-threaded.wasm.gz").read_bytes()


def licences() -> str:
    """Return the licence and the third-party notices of the runtime."""
    return "\n\n".join((FOLDER / name).read_text(encoding="utf-8") for name in LICENCES)


def vendor(package: Path) -> dict[str, str]:
    """Store the files of an npm package (``.tgz``) in :data:`FOLDER`.

    Returns:
        The SHA-256 of each file.

    Raises:
        ValueError: a file is not the one whose sum is in :data:`FILES`.
    """
    FOLDER.mkdir(exist_ok=True)
    contents = {}
    with tarfile.open(package) as archive:
        for name in FILES:
            file = archive.extractfile(f"package/dist/{name}")
            assert file is not None, name
            contents[name] = file.read()
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    wrong = [name for name, found in sums.items() if FILES[name] and FILES[name] != found]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} of {package} is not the file of version {VERSION}: {sums}")
    for name, content in contents.items():
        if name.endswith(".wasm"):
            (FOLDER / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
        else:
            (FOLDER / name).write_bytes(content)
    for path in metadata.files("onnxruntime") or ():
        if path.name in LICENCES:
            (FOLDER / path.name).write_bytes(path.locate().read_bytes())
    return sums


if __name__ == "__main__":
    for name, found in vendor(Path(sys.argv[1])).items():
        print(f'    "{name}": "{found}",')
