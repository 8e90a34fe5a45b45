"""Store the files of ONNX Runtime Web from its npm package: ``python -m vit.exports.web_page.vendor PACKAGE.tgz``.

Every file is checked against :data:`vit.exports.web_page.runtime.FILES`, and the WebAssembly is stored gzipped. For a
new version, empty the sums there: this program prints the new ones.
"""

import gzip
import hashlib
import sys
import tarfile
from importlib import metadata
from pathlib import Path

from vit.exports.web_page.runtime import FILES, FOLDER, LICENCES, VERSION


def vendor(package: Path) -> dict[str, str]:
    """Store the files of an npm package.

    Returns:
        The SHA-256 of each file.

    Raises:
        ValueError: a file is missing, or is not the one whose sum is in :data:`FILES`.
    """
    contents = {}
    with tarfile.open(package) as archive:
        for name in FILES:
            file = archive.extractfile(f"package/dist/{name}")
            if file is None:
                raise ValueError(f"{package} has no {name}.")
            contents[name] = file.read()
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if wrong := [name for name, found in sums.items() if FILES[name] and FILES[name] != found]:
        raise ValueError(f"{', '.join(wrong)} of {package} is not the file of version {VERSION}.")
    FOLDER.mkdir(exist_ok=True)
    for name, content in contents.items():
        if name.endswith(".wasm"):
            (FOLDER / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
        else:
            (FOLDER / name).write_bytes(content)
    for path in metadata.files("onnxruntime") or ():
        if path.name in LICENCES:
            (FOLDER / path.name).write_bytes(Path(str(path.locate())).read_bytes())
    return sums


if __name__ == "__main__":
    for name, found in vendor(Path(sys.argv[1])).items():
        print(f'    "{name}": "{found}",')
