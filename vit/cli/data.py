"""``python -m vit data``: download, decode and cache a data set."""

import argparse
from dataclasses import replace

from vit.cli.common import count, counter, print_result, say
from vit.flags import add_reading_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME|PATH",
        help="scenes, a name from the catalog, hf:OWNER/NAME of the Hugging Face hub, a folder or zip file with one "
        "folder per class, or a CSV, parquet or tar file",
    )
    parser.add_argument(
        "--image-size",
        type=count,
        metavar="N",
        help="width and height in pixels (default: the data's own size, 64 at most)",
    )
    add_reading_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prepare the data set, and print how many images it has."""
    from vit.config import Columns, Percentiles
    from vit.data import check_readable, describe, download, load, percentile_window

    columns = Columns(arguments.image_column or "", arguments.label_column or "")
    info = describe(arguments.dataset, columns=columns)
    if not info.ready:
        say(f"{info.title}, licence: {info.licence}")
        download(arguments.dataset, progress=counter("bytes"))
        info = describe(arguments.dataset, columns=columns)
    window = arguments.window
    if isinstance(window, Percentiles):
        window = percentile_window(info.source, window.low, window.high, info.columns)
    info = replace(
        info,
        ground=arguments.ground or info.ground,
        window=window or info.window,
        allow_unreadable=bool(arguments.allow_unreadable),
    )
    size = arguments.image_size or info.auto_image_size
    config = info.config(size)
    data = load(config, progress=counter("images"))
    assert data.train is not None
    assert data.val is not None
    for skipped in data.skipped:
        say(f"skipped {skipped.file}: {skipped.reason}")
    for remark in data.remarks:
        say(remark)
    check_readable(data, config)
    result = {
        "dataset": data.source,
        "class_names": list(data.class_names),
        "image_size": size,
        "train_images": len(data.train.labels),
        "val_images": len(data.val.labels),
        "columns": {"image": info.columns.image, "label": info.columns.label} if info.offered else None,
        "skipped": len(data.skipped),
        "remarks": list(data.remarks),
    }
    text = (
        f"{result['train_images']} training and {result['val_images']} validation images in {len(data.class_names)} "
        f"classes are ready at {size} x {size} pixels"
    )
    print_result(result, arguments.json, text)
    return 0
