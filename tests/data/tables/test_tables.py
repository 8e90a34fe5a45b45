"""Tables of paths, parquet and Arrow files, and WebDataset shards, written by the libraries that people use."""

import io
import json
import pickle
import tarfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.data.helpers import image_bytes
from vit import data
from vit.config import Columns, DataConfig
from vit.errors import DataError

NAMES = ("cat", "dog")


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("VIT_DATA", str(tmp_path / "data"))


def picture(seed: int) -> Image.Image:
    return Image.open(io.BytesIO(image_bytes(seed, (8, 8))))


def loaded(source, **settings):
    """The images of both splits by their pixels, as {split: {bytes: class name}}."""
    info = data.describe(str(source), columns=Columns(settings.pop("image", ""), settings.pop("label", "")))
    found = data.load(info.config(8))
    return info, {
        split: {image.tobytes(): found.class_names[label] for image, label in zip(one.images, one.labels, strict=True)}
        for split, one in (("train", found.train), ("val", found.val))
    }


def expected(seeds):
    """The same for images of these seeds, whose class is their seed modulo 2."""
    return {np.asarray(picture(seed)).transpose(2, 0, 1).tobytes(): NAMES[seed % 2] for seed in seeds}


def write_images(folder, seeds):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed}.png").write_bytes(image_bytes(seed, (8, 8)))


# Tables of paths


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "semicolons", "no header"])
def test_a_table_of_paths_written_by_pandas(tmp_path, kind):
    write_images(tmp_path / "pictures", range(10))
    frame = pd.DataFrame(
        {
            "number": range(10),
            "filename": [f"pictures/{seed}.png" for seed in range(10)],
            "breed": [NAMES[seed % 2] for seed in range(10)],
            "split": ["train"] * 6 + ["validation"] * 4,
        }
    )
    path = tmp_path / f"table.{kind if kind in ('csv', 'tsv', 'parquet') else 'csv'}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "no header":
        frame[["filename", "breed"]].to_csv(path, header=False, index=False)
    else:
        frame.to_csv(path, sep={"tsv": "\t", "semicolons": ";"}.get(kind, ","), index=False, encoding="utf-8-sig")
    label = "column 2" if kind == "no header" else "breed"
    info, splits = loaded(path, label=label)
    assert info.class_names == NAMES
    assert info.columns == ("column 1" if kind == "no header" else "filename", label)
    if kind == "no header":
        assert splits["train"] | splits["val"] == expected(range(10))
        assert len(splits["val"]) == 2
    else:
        assert splits == {"train": expected(range(6)), "val": expected(range(6, 10))}


def test_what_a_table_of_paths_lacks_is_told_and_the_rest_is_used(tmp_path):
    write_images(tmp_path, range(6))
    rows = [f"{seed}.png,{NAMES[seed % 2]}" for seed in range(6)] + ["gone.png,cat", ",dog", "5.png,"]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["image,label", *rows]))
    path.write_text("\n".join(["image,label", *rows, "5.png,cat"]))
    with pytest.raises(DataError, match=r"gives '5\.png' two classes, 'dog' and 'cat'"):
        data.describe(str(path))
    path.write_text("\n".join(["image,label", *rows]))
    info = data.describe(str(path))
    assert [(it.file, it.reason) for it in info.skipped] == [
        ("gone.png", "The file does not exist."),
        ("row 8", "The row names no image."),
    ]
    assert info.remarks == ("1 image has no class and is left out.",)
    assert info.train_count + info.val_count == 6


@pytest.mark.parametrize(
    "hostile",
    [
        "../secret.png",
        "/etc/hostname",
        "a/../../secret.png",
        "C:\\secret.png",
        "~/secret.png",
        "http://host/a.png",
        "x\0.png",
    ],
)
def test_a_path_out_of_the_folder_is_refused(tmp_path, hostile):
    folder = tmp_path / "set"
    write_images(folder, range(4))
    write_images(tmp_path, [7])
    (tmp_path / "7.png").rename(tmp_path / "secret.png")
    rows = [f"{seed}.png,{NAMES[seed % 2]}" for seed in range(4)]
    (folder / "table.csv").write_bytes("\n".join(["image,label", *rows, f"{hostile},cat"]).encode())
    with pytest.raises(DataError, match=r"not below the folder of the table|is damaged"):
        data.describe(str(folder / "table.csv"))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / "set"
    write_images(folder, range(4))
    write_images(tmp_path / "outside", [7])
    rows = [f"{seed}.png,{NAMES[seed % 2]}" for seed in range(4)]
    (folder / "table.csv").write_text("\n".join(["image,label", *rows, "inner/7.png,dog"]))
    (folder / "inner").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="not below the folder"):
        data.describe(str(folder / "table.csv"))


def test_columns_can_be_chosen_and_unclear_ones_are_asked_for(tmp_path):
    write_images(tmp_path, range(8))
    frame = pd.DataFrame(
        {
            "a": [f"{seed}.png" for seed in range(8)],
            "b": [NAMES[seed % 2] for seed in range(8)],
            "c": [["x", "y"][seed // 4] for seed in range(8)],
        }
    )
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"which column holds the classes: choose one of 'b', 'c' \(--label-column\)"):
        data.describe(str(path))
    info = data.describe(str(path), columns=Columns(label="c"))
    assert info.class_names == ("x", "y")
    assert info.offered.labels == ("c", "b")
    with pytest.raises(DataError, match="has no column 'd': choose one of 'a', 'b', 'c'"):
        data.describe(str(path), columns=Columns(label="d"))
    other = data.load(DataConfig(source=str(path), image_size=8, label_column="b"))
    assert other.class_names == NAMES
    with pytest.raises(DataError, match="is no table"):
        data.describe(str(tmp_path), columns=Columns(label="c"))


def test_a_column_of_texts_is_no_column_of_classes(tmp_path):
    write_images(tmp_path, range(2))
    rows = [f"{seed % 2}.png,caption {seed}" for seed in range(2)]
    more = [f"{seed}.jpg,caption {seed}" for seed in range(300)]
    for seed in range(300):
        (tmp_path / f"{seed}.jpg").write_bytes(b"")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["image,label", *rows, *more]))
    with pytest.raises(DataError, match="have 300 different values for 302 images: choose a column of classes"):
        data.describe(str(path))


# Parquet and Arrow


def frame_of(seeds, **columns):
    images = [{"bytes": image_bytes(seed, (8, 8)), "path": f"{seed}.png"} for seed in seeds]
    return pd.DataFrame({"image": images, "label": [NAMES[seed % 2] for seed in seeds], **columns})


def test_a_folder_of_parquet_files_with_splits_in_their_names(tmp_path):
    folder = tmp_path / "pets" / "data"
    folder.mkdir(parents=True)
    frame_of(range(6)).to_parquet(folder / "train-00000-of-00002.parquet", row_group_size=2)
    frame_of(range(6, 70)).to_parquet(folder / "train-00001-of-00002.parquet", row_group_size=50)
    frame_of(range(70, 80)).to_parquet(folder / "test-00000-of-00001.parquet")
    info, splits = loaded(tmp_path / "pets")
    assert splits == {"train": expected(range(70)), "val": expected(range(70, 80))}
    assert info.remarks == ("There is no split for validation, so the test images are used.",)
    assert data.own_splits(str(tmp_path / "pets")) == ("train", "val", "test")
    [(image, name)] = data.sample(str(tmp_path / "pets"), 1, image_size=8)
    assert expected(range(70))[image.transpose(2, 0, 1).tobytes()] == name


def test_the_bytes_of_a_column_are_read_as_an_image(tmp_path):
    path = tmp_path / "plain.parquet"
    frame = pd.DataFrame(
        {"x": [image_bytes(seed, (8, 8)) for seed in range(10)], "y": [seed % 2 for seed in range(10)]}
    )
    frame.to_parquet(path)
    info, splits = loaded(path)
    assert info.columns == ("x", "y")
    assert info.class_names == ("0", "1")
    assert set(splits["train"] | splits["val"]) == set(expected(range(10)))


def test_a_data_set_saved_by_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"picture": datasets.Image(), "species": datasets.ClassLabel(names=list(NAMES)), "id": datasets.Value("int64")}
    )

    def made(seeds, label=lambda seed: seed % 2):
        rows = {
            "picture": [picture(seed) for seed in seeds],
            "species": [label(seed) for seed in seeds],
            "id": list(seeds),
        }
        return datasets.Dataset.from_dict(rows, features=features)

    parts = {"train": made(range(8)), "validation": made(range(8, 12)), "test": made(range(12, 14), lambda _: -1)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    info, splits = loaded(tmp_path / "saved")
    assert info.class_names == NAMES
    assert info.columns == ("picture", "species")
    assert info.remarks == ("2 images have no class and are left out.",)
    assert splits == {"train": expected(range(8)), "val": expected(range(8, 12))}
    made(range(10)).save_to_disk(str(tmp_path / "one"))
    _, splits = loaded(tmp_path / "one")
    assert splits["train"] | splits["val"] == expected(range(10))
    made(range(10)).to_parquet(str(tmp_path / "written.parquet"))
    info, splits = loaded(tmp_path / "written.parquet")
    assert (info.class_names, splits["train"] | splits["val"]) == (NAMES, expected(range(10)))


def test_a_row_that_names_a_file_elsewhere_does_not_open_it(tmp_path):
    """The package datasets would open any path or address in such a row."""
    images = [{"bytes": image_bytes(seed, (8, 8)), "path": None} for seed in range(8)]
    images += [{"bytes": None, "path": str(tmp_path / "secret.png")}] * 2
    write_images(tmp_path, [3])
    (tmp_path / "3.png").rename(tmp_path / "secret.png")
    path = tmp_path / "set.parquet"
    pd.DataFrame({"image": images, "label": list(NAMES) * 5}).to_parquet(path)
    found = data.load(data.describe(str(path)).config(8))
    assert len(found.train) + len(found.val) == 8
    assert {entry.reason for entry in found.skipped} == {"The row holds no image, or only the path of one."}


def test_damaged_and_hostile_tables_are_refused_with_a_sentence(tmp_path):
    frame_of(range(8)).to_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[:-50])
    (tmp_path / "text.parquet").write_bytes(b"not parquet")
    (tmp_path / "text.csv").write_bytes(b"\0\1\2\3" * 100)
    (tmp_path / "one.csv").write_bytes(b"image\na.png\n")
    (tmp_path / "quote.csv").write_bytes(b'image,label\n"a.png,cat\n')
    for name in ("cut.parquet", "text.parquet", "text.csv", "one.csv", "quote.csv"):
        with pytest.raises(DataError) as caught:
            data.describe(str(tmp_path / name))
        assert name in str(caught.value)
    bomb = pa.table({"image": pa.array([b"\0" * 1000] * 600_000), "label": pa.array([0, 1] * 300_000)})
    pq.write_table(bomb, tmp_path / "bomb.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match="expands to over 100 times its size"):
        data.describe(str(tmp_path / "bomb.parquet"))
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "dataset_info.json").write_text("{}")
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../whole.arrow"}]}))
    with pytest.raises(DataError, match="is no file of the folder"):
        data.describe(str(saved))


# WebDataset


def shard(path, seeds, **extra):
    """Write a shard with the library webdataset."""
    wds = pytest.importorskip("webdataset")
    with wds.TarWriter(str(path)) as sink:
        for seed in seeds:
            sample = {"__key__": f"{seed:04}", "png": image_bytes(seed, (8, 8))}
            sink.write(sample | {kind: make(seed) for kind, make in extra.items()})


def test_shards_written_by_webdataset(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    shard(folder / "train-000000.tar", range(4), cls=lambda seed: seed % 2)
    shard(folder / "train-000001.tar", range(4, 8), cls=lambda seed: seed % 2)
    shard(folder / "val-000000.tar", range(8, 12), cls=lambda seed: seed % 2)
    (folder / "classnames.txt").write_text("cat\ndog\n")
    info, splits = loaded(folder)
    assert info.columns == ("png", "cls")
    assert splits == {"train": expected(range(8)), "val": expected(range(8, 12))}


def test_a_shard_with_labels_in_json_and_one_with_two_formats(tmp_path):
    shard(tmp_path / "a.tar", range(10), json=lambda seed: {"label": NAMES[seed % 2], "width": 8})
    info, splits = loaded(tmp_path / "a.tar")
    assert info.columns == ("png", "json.label")
    assert splits["train"] | splits["val"] == expected(range(10))
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for seed in range(10):
            add(archive, f"dir.x/{seed}.{'png' if seed % 3 else 'webp'}", image_bytes(seed, (8, 8)))
            add(archive, f"dir.x/{seed}.cls", NAMES[seed % 2].encode())
    info, splits = loaded(tmp_path / "b.tar")
    assert info.columns == ("", "cls")
    assert splits["train"] | splits["val"] == expected(range(10))


def add(archive, name, content, **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


class Bomb:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


def test_pickles_in_a_shard_are_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for seed in range(10):
            add(archive, f"{seed}.png", image_bytes(seed, (8, 8)))
            add(archive, f"{seed}.cls", str(seed % 2).encode())
            for kind in ("pkl", "pyd", "pth"):
                add(archive, f"{seed}.{kind}", pickle.dumps(Bomb()))
    info, _ = loaded(tmp_path / "a.tar")
    assert info.remarks == ("Members of the type pkl, pth, pyd are not read: they can hold programs.",)
    assert not (tmp_path / "unpickled").exists()
    with pytest.raises(DataError, match="has no column 'pyd'"):
        data.describe(str(tmp_path / "a.tar"), columns=Columns(label="pyd"))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_are_read_and_links_are_passed_over(tmp_path, form):
    long = "folder/" * 20 + "x" * 90
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for seed in range(10):
            add(archive, f"{long}{seed}.png", image_bytes(seed, (8, 8)))
            add(archive, f"{long}{seed}.cls", NAMES[seed % 2].encode())
        add(archive, "link.png", b"", type=tarfile.SYMTYPE, linkname="/etc/hostname")
        add(archive, "link.cls", b"cat")
    _, splits = loaded(tmp_path / "a.tar")
    assert splits["train"] | splits["val"] == expected(range(10))


def test_hostile_and_damaged_shards_are_refused_with_a_sentence(tmp_path):
    with tarfile.open(tmp_path / "good.tar", "w") as archive:
        for seed in range(10):
            add(archive, f"{seed}.png", image_bytes(seed, (8, 8)))
            add(archive, f"{seed}.cls", NAMES[seed % 2].encode())
    content = (tmp_path / "good.tar").read_bytes()
    huge = bytearray(content)
    huge[124:136] = b"77777777777\0"
    header = huge[:148] + b" " * 8 + huge[156:512]
    huge[148:156] = b"%06o\0 " % sum(header)
    cases = {
        "cut.tar": (content[:700], "is truncated"),
        "huge.tar": (bytes(huge), "is truncated"),
        "text.tar": (b"words" * 500, "is damaged, or is no tar file"),
        "empty.tar": (b"", "is damaged, or is no tar file"),
        "packed.tar": (b"\x1f\x8b" + b"\0" * 600, "is compressed"),
        "packed.tar.gz": (b"\x1f\x8b", "is compressed"),
        "nothing.tar": (b"\0" * 1024, "is empty, or"),
    }
    for name, (written, said) in cases.items():
        (tmp_path / name).write_bytes(written)
        with pytest.raises(DataError, match=said):
            data.describe(str(tmp_path / name))
    with tarfile.open(tmp_path / "long.tar", "w") as archive:
        add(archive, "a", b"x" * 2**17, type=b"x")
    with pytest.raises(DataError, match="has an entry with a header of 131,072 bytes"):
        data.describe(str(tmp_path / "long.tar"))
