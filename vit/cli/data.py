"""``python -m vit data``: download, decode and cache a data set."""

import argparse

from vit.cli.common import count, counter, print_result, say
from vit.config import DataConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME|PATH",
        help="scenes, a name from the catalog, or a folder or zip file with one folder per class",
    )
    parser.add_argument(
        "--image-size",
        type=count,
        metavar="N",
        help="width and height in pixels (default: the data's own size, 64 at most)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prepare the data set, and print how many images it has."""
    from vit.data import describe, load
    from vit.data.catalog import catalog

    info = describe(arguments.dataset)
    if not info.ready:
        catalog.download(arguments.dataset, progress=counter("bytes"))
        info = describe(arguments.dataset)
    size = arguments.image_size or info.auto_image_size
    data = load(DataConfig(source=info.source, image_size=size), progress=counter("images"))
    assert data.train is not None
    assert data.val is not None
    for skipped in data.skipped:
        say(f"skipped {skipped.file}: {skipped.reason}")
    result = {
        "dataset": data.source,
        "class_names": list(data.class_names),
        "image_size": size,
        "train_images": len(data.train.labels),
        "val_images": len(data.val.labels),
        "skipped": len(data.skipped),
    }
    text = (
        f"{result['train_images']} training and {result['val_images']} validation images in {len(data.class_names)} "
        f"classes are ready at {size} x {size} pixels"
    )
    print_result(result, arguments.json, text)
    return 0
