"""Ask the Hugging Face hub about a data set, with the package ``datasets``, in a process of its own.

It is a program::

    python -P hub_process.py describe REPOSITORY CONFIGURATION
    python -P hub_process.py sample REPOSITORY CONFIGURATION SPLIT IMAGES LABELS COUNT FOLDER
    python -P hub_process.py download REPOSITORY CONFIGURATION FOLDER

It prints one line of JSON; ``error`` in it says what is wrong. Images are passed on as the bytes that the data set
holds and are not decoded here, so nothing of a hostile image reaches a decoder without the checks of the caller.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ["HF_DATASETS_TRUST_REMOTE_CODE"] = "0"

import datasets

TRAIN_FIRST = ("train", "training")
KNOWN = (*TRAIN_FIRST, "val", "valid", "validation", "dev", "test", "testing")
IMAGE_BYTES_MAX = 64 * 2**20
SHUFFLED = 64
"""Rows among which the samples are drawn: many data sets are sorted by class, and each row is a download."""
SHARD = "500MB"


def describe(repository: str, configuration: str) -> dict[str, Any]:
    """Return the columns, splits, licence and size of a data set."""
    name = chosen(repository, configuration)
    builder = datasets.load_dataset_builder(repository, name)
    info = builder.info
    features, splits = info.features, {name: split.num_examples for name, split in (info.splits or {}).items()}
    if features is None or not splits:  # its card does not say: a stream shows them
        stream = datasets.load_dataset(repository, name, streaming=True)
        splits = {name: splits.get(name) for name in stream}
        features = features or next(iter(stream.values()))._resolve_features().features
    return {
        "columns": {name: column(feature) for name, feature in (features or {}).items()},
        "splits": splits,
        "licence": licence(repository, info),
        "download_bytes": info.download_size,
    }


def column(feature: Any) -> dict[str, Any]:
    """Return what a column may hold, and the names of its classes."""
    if isinstance(feature, datasets.Image):
        return {"kind": "image", "names": []}
    if isinstance(feature, datasets.ClassLabel):
        return {"kind": "classes", "names": list(feature.names or ())}
    kind = getattr(feature, "dtype", "")
    if kind in ("binary", "large_binary"):
        return {"kind": "image", "names": []}
    if kind in ("string", "large_string"):
        return {"kind": "text", "names": []}
    return {"kind": "whole" if str(kind).startswith(("int", "uint", "bool")) else "other", "names": []}


def chosen(repository: str, configuration: str) -> str | None:
    """Return the configuration to use; None for the default one."""
    if configuration:
        return configuration
    names = datasets.get_dataset_config_names(repository)
    if len(names) > 1 and "default" not in names:
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise ValueError(f"it has several configurations, so write hf:{repository}/NAME with one of {shown}.")
    return None


def licence(repository: str, info: Any) -> str:
    """Return the licence of a data set, of its description or its card."""
    if info.license:
        return str(info.license)
    if os.path.isdir(repository):
        return ""
    from huggingface_hub import HfApi

    card = HfApi().dataset_info(repository).card_data
    found = getattr(card, "license", None) or ""
    return ", ".join(found) if isinstance(found, list) else str(found)


def sample(
    repository: str, configuration: str, split: str, image: str, label: str, count: str, folder: str
) -> dict[str, Any]:
    """Write the first images of a shuffled stream into a folder, and return their labels."""
    stream = datasets.load_dataset(repository, chosen(repository, configuration), split=split, streaming=True)
    if isinstance((stream.features or {}).get(image), datasets.Image):
        stream = stream.cast_column(image, datasets.Image(decode=False))
    labels: list[Any] = []
    for row in stream.shuffle(seed=0, buffer_size=SHUFFLED).take(int(count)):
        content = content_of(row[image])
        if content is not None and len(content) <= IMAGE_BYTES_MAX:
            (Path(folder) / str(len(labels))).write_bytes(content)
            labels.append(row[label] if isinstance(row[label], int | str) else str(row[label]))
    return {"labels": labels}


def content_of(value: Any) -> bytes | None:
    """Return the bytes of an image; a path is followed only if it leads to the hub."""
    if isinstance(value, dict):
        path = value.get("path") or ""
        if value.get("bytes") is None and path.split("::")[-1].startswith("hf://"):
            with datasets.utils.file_utils.xopen(path, "rb") as file:
                return file.read(IMAGE_BYTES_MAX + 1)
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None


def download(repository: str, configuration: str, folder: str) -> dict[str, Any]:
    """Write the splits of a data set as parquet files into ``folder/data/SPLIT``, with what the hub says about it."""
    root, made = Path(folder), Path(folder) / "made"
    about = describe(repository, configuration)
    builder = datasets.load_dataset_builder(
        repository, chosen(repository, configuration), cache_dir=str(root / "cache")
    )
    builder.download_and_prepare(str(made), file_format="parquet", max_shard_size=SHARD)
    splits = [name for name in builder.info.splits if name.lower() in KNOWN] or list(builder.info.splits)[:1]
    for number, split in enumerate(splits):
        target = root / "data" / (split if split.lower() in KNOWN else TRAIN_FIRST[0])
        target.mkdir(parents=True)
        for part, file in enumerate(sorted(made.glob(f"*-{split}*.parquet"))):
            if file.stem.split("-of-")[0].removesuffix(f"-{part:05}").endswith(f"-{split}"):
                shutil.move(file, target / f"{number}-{part:05}.parquet")
    (root / "data" / "about.json").write_text(json.dumps(about), "utf-8")
    return {"splits": splits}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {"describe": describe, "sample": sample, "download": download}


def main(command: str, *arguments: str) -> None:
    """Run one command and print its answer."""
    try:
        answer = COMMANDS[command](*arguments)
    except Exception as error:  # of datasets, huggingface_hub, pyarrow and the connection
        text = str(error) or type(error).__name__
        answer = {"error": text.split("\n")[0]}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
