"""Names that strangers give to classes and runs: markup, paths, formulas, tricks of writing direction, length."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from vit import jobs, runs
from vit.config import DataConfig, RunConfig, TrainingConfig, ViTConfig
from vit.paths import checkpoints_dir

FOLDER_NAMES = (
    "<img src=x onerror=window.__pwned=1>",
    "<a href='javascript:window.__pwned=2'>click",
    "<script>window.__pwned=3<script> &lt;i&gt;",
    "[a](javascript:window.__pwned=4)",
    "![a](x.png) <b>bold<b>",
    "# heading **bold** _it_ ~~no~~ `code`",
    ":red[red] :smile: :material-delete: <br>",
    "$\\frac{1}{2}$ $x$ %{x} %{customdata} {label} {0} %s",
    "=cmd|' \\C calc'!A0",
    "x\\..\\y",
    "%2e%2e%2fx",
    "CON",
    "aux.",
    "-rf ",
    "www.evil.example a@evil.example https:",
    "\U0001f431\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "a\u202egnp.exe",
    "\u2067x\u2066",
    "\u05d7\u05ea\u05d5\u05dc",
    "zero\u200bwidth\ufeff",
    "\x1b[31mred\x07",
    "two\nlines\r\n- item",
    "z" + "\u0315\u0300\u0301\u0302" * 20,
    "w" * 190,
    "\u718a" * 66,
)
"""What a folder can be called where nothing but the slash and the zero byte is forbidden."""

ANY_NAMES = (
    *FOLDER_NAMES,
    "../../x",
    "/etc/passwd",
    "C:\\x",
    ".",
    "nul\x00.txt",
    "</script><script>window.__pwned=5</script>",
    "<a href=javascript:window.__pwned=6>click</a>",
    "https://evil.example/?a=1&b=2 http://evil.example",
    "<extra>secret</extra>",
    ":material/delete:",
    "w" * 300,
    "\U0001f431" * 255,
)
"""What the settings of a run can say of its classes."""

RUN_NAMES = (
    "../x",
    "..\\x",
    "C:\\x",
    "/etc/x",
    "a/b",
    ".",
    "..",
    ".hidden",
    "",
    "con",
    "nul.txt",
    "com1",
    "COM1",
    "lpt9.log",
    "aux.",
    "x.",
    "x ",
    " x",
    "a\x00b",
    "a\nb",
    "x\n",
    "w" * 65,
    "w" * 300,
    "\U0001f431",
    "\u202ex",
    "\u0430",
    "-rf",
    "--run",
    "%2e%2e",
    "<img src=x onerror=window.__pwned=9>",
    "[a](javascript:window.__pwned=10)",
)
"""What no run can be called."""

SOURCE = "/gone/<img src=x onerror=window.__pwned=7>[a](javascript:alert(1)) $x$"
MESSAGE = "<img src=x onerror=window.__pwned=8> [a](javascript:alert(1)) **done** :material/delete: \x1b[2J"
"""The data set and the last words of a run, as a stranger's zip has them."""


def write_folder(path: Path, count: int = 2) -> Path:
    """A data set whose classes are :data:`FOLDER_NAMES`, ``count`` images of each to train on and one to validate."""
    random = np.random.default_rng(0)
    for split, images in {"train": count, "val": 1}.items():
        for label, name in enumerate(FOLDER_NAMES):
            folder = path / split / name
            folder.mkdir(parents=True)
            for index in range(images):
                pixels = random.integers(0, 60, (32, 32, 3), dtype=np.uint8) + np.uint8(7 * label)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return path


def make_runs(checkpoints: Path, photos: Path) -> None:
    """The run "named", trained on :func:`write_folder`, and "uploaded", of whose classes the settings alone speak.

    Each finds the classes the likelier the earlier they stand in the lists above.
    """
    classes = tuple(sorted(FOLDER_NAMES))
    config = RunConfig(
        model=ViTConfig(image_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=len(classes)),
        data=DataConfig(source=str(photos), image_size=32, class_names=classes),
        training=TrainingConfig(epochs=2, batch_size=25, device="cpu"),
    )
    jobs.execute(runs.create("named", config))
    run, target = runs.get_run("named"), checkpoints / "uploaded"
    assert run.state == "finished", run.status.message
    shutil.copytree(run.path, target)
    model = config.model.model_copy(update={"num_classes": len(ANY_NAMES)})
    data = config.data.model_copy(update={"source": SOURCE, "class_names": ANY_NAMES})
    runs.write_config(target, config.model_copy(update={"model": model, "data": data}))
    runs.update_status(target, message=MESSAGE)
    _prefer(run.path, [FOLDER_NAMES.index(name) for name in classes])
    _prefer(target, list(range(len(ANY_NAMES))))


@contextmanager
def house(folder: Path, images: str = "<b>photos & [x](y)") -> Iterator[Path]:
    """Folders with these runs, in force for the while, and the data set that one of them was trained on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        photos = write_folder(folder / "data" / images)
        make_runs(folder / "checkpoints", photos)
        yield photos


def add_broken(name: str) -> None:
    """A run in a folder whose name no run can have."""
    path = checkpoints_dir() / name
    path.mkdir()
    runs.write_config(path, runs.get_run("named").config)


def _prefer(path: Path, places: list[int]) -> None:
    """Give the weights of a run as many classes as there are places, the likelier the earlier its place."""
    for file in (path / runs.MODEL, *(path / runs.SNAPSHOTS).iterdir()):
        with safe_open(file, "numpy") as weights:
            metadata, tensors = weights.metadata(), {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
        head = tensors["head.weight"]
        tensors["head.weight"] = np.resize(head, (len(places), head.shape[1]))
        tensors["head.bias"] = -0.3 * np.array(places, dtype=head.dtype)
        save_file(tensors, file, metadata)


def written_outside(home: Path) -> list[Path]:
    """Files outside the folders of runs and data sets, which no name may reach."""
    return [path for path in home.iterdir() if path.name not in ("checkpoints", "data")]
