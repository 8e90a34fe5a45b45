"""More data sets of ``torchvision.datasets``: flowers, food, land, house numbers, signs, textures and tissue."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vit.data.catalog import class_names
from vit.data.catalog.download import Archive
from vit.data.catalog.torchvision_sets import Opened, TorchvisionSet, torchvision_class
from vit.data.sampling import split_off
from vit.support import optional_packages

_PCAM = "https://zenodo.org/records/2546921/files/"
"""The publisher's address; torchvision's, with the same checksums, needs a browser's consent for such large files."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


def _flower_archives() -> list[Archive]:
    dataset = torchvision_class("Flowers102")
    files = dataset._file_dict.values()
    return [Archive(f"{dataset._download_url_prefix}{name}", f"flowers-102/{name}", md5) for name, md5 in files]


def _open_flowers(root: Path, split: str, unpack: bool) -> Opened:
    parts = ("train", "val") if split == "train" else ("test",)
    data = [torchvision_class("Flowers102")(root, split=part, download=unpack) for part in parts]
    paths = [path for part in data for path in part._image_files]
    return Opened(data[0].classes, [label for part in data for label in part._labels], data[0], paths)


def _food_archives() -> list[Archive]:
    dataset = torchvision_class("Food101")
    return [Archive(dataset._URL, Path(dataset._URL).name, dataset._MD5)]


def _open_food(root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class("Food101")(root, split="train" if split == "train" else "test", download=unpack)
    return Opened(data.classes, data._labels, data, data._image_files)


_EUROSAT = Archive(
    "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
    "eurosat/EuroSAT.zip",
    "c8fa014336c82ac7804f0398fcb19387",
)


def _eurosat_archives() -> list[Archive]:
    return [_EUROSAT]


def _open_eurosat(root: Path, split: str, unpack: bool) -> Opened:
    """Open EuroSAT, which has no splits: one in five of each class is always used for validation."""
    data = torchvision_class("EuroSAT")(root, download=unpack)
    labels = np.array([label for _, label in data.samples])
    rows = split_off(labels, tuple(data.classes), 0)[split != "train"]
    return Opened(data.classes, labels[rows], data, [Path(data.samples[row][0]) for row in rows])


def _svhn_archives() -> list[Archive]:
    files = torchvision_class("SVHN").split_list
    return [Archive(url, name, md5) for url, name, md5 in (files["train"], files["test"])]


def _open_svhn(root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class("SVHN")(root, split="train" if split == "train" else "test", download=unpack)
    return Opened([str(digit) for digit in range(10)], data.labels, data)


_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
_GTSRB_ARCHIVES = (
    ("GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478"),
    ("GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185"),
    ("GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5"),
)


def _sign_archives() -> list[Archive]:
    return [Archive(f"{_GTSRB}{name}", f"gtsrb/{name}", md5) for name, md5 in _GTSRB_ARCHIVES]


def _open_signs(root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class("GTSRB")(root, split="train" if split == "train" else "test", download=unpack)
    paths, labels = zip(*data._samples, strict=True)
    return Opened(_names(class_names.SIGNS), labels, data, [Path(path) for path in paths])


def _texture_archives() -> list[Archive]:
    dataset = torchvision_class("DTD")
    return [Archive(dataset._URL, f"dtd/{Path(dataset._URL).name}", dataset._MD5)]


def _open_textures(root: Path, split: str, unpack: bool) -> Opened:
    parts = ("train", "val") if split == "train" else ("test",)
    data = [torchvision_class("DTD")(root, split=part, download=unpack) for part in parts]
    paths = [path for part in data for path in part._image_files]
    return Opened(data[0].classes, [label for part in data for label in part._labels], data[0], paths)


def _tissue_archives() -> list[Archive]:
    files = torchvision_class("PCAM")._FILES
    listed = [file for split in ("train", "val") for file in files[split].values()]
    return [Archive(f"{_PCAM}{name}.gz", f"pcam/{name}.gz", md5) for name, _, md5 in listed]


class _Tissue:
    """The images of a split of PatchCamelyon, read from an HDF5 file row by row."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __getitem__(self, row: int) -> tuple[Image.Image]:
        return (Image.fromarray(self.images[int(row)]),)


def _open_tissue(root: Path, split: str, unpack: bool) -> Opened:
    h5py = optional_packages.require("Reading PatchCamelyon", "h5py")
    images, targets = (root / "pcam" / file[0] for file in torchvision_class("PCAM")._FILES[split].values())
    if unpack:
        for path in (images, targets):
            with gzip.open(path.with_name(f"{path.name}.gz")) as packed, path.open("wb") as file:
                shutil.copyfileobj(packed, file, 2**20)
    with h5py.File(targets) as file:
        labels = np.asarray(file["y"]).reshape(-1)
    return Opened(("normal", "tumour"), labels.tolist(), _Tissue(h5py.File(images)["x"]))


MORE = (
    TorchvisionSet(
        name="flowers102",
        title="Oxford Flowers 102",
        class_names=_names(class_names.FLOWERS),
        counts={"train": 2_040, "val": 6_149},
        size=500,
        download_bytes=344_878_000,
        licence="None stated; cite Nilsback and Zisserman (2008)",
        marker="flowers-102/jpg",
        archives=_flower_archives,
        open=_open_flowers,
    ),
    TorchvisionSet(
        name="food101",
        title="Food-101",
        class_names=_names(class_names.FOODS),
        counts={"train": 75_750, "val": 25_250},
        size=384,
        download_bytes=4_996_278_331,
        licence="Images of Foodspotting, for research only; cite Bossard et al. (2014)",
        marker="food-101/meta",
        archives=_food_archives,
        open=_open_food,
    ),
    TorchvisionSet(
        name="eurosat",
        title="EuroSAT",
        class_names=_names(class_names.LAND),
        counts={"train": 21_600, "val": 5_400},
        size=64,
        download_bytes=94_280_567,
        licence="MIT; Copernicus Sentinel data",
        marker="eurosat/2750",
        archives=_eurosat_archives,
        open=_open_eurosat,
    ),
    TorchvisionSet(
        name="svhn",
        title="SVHN (house numbers)",
        class_names=tuple(str(digit) for digit in range(10)),
        counts={"train": 73_257, "val": 26_032},
        size=32,
        download_bytes=246_316_178,
        licence="Non-commercial use only; cite Netzer et al. (2011)",
        marker="train_32x32.mat",
        archives=_svhn_archives,
        open=_open_svhn,
    ),
    TorchvisionSet(
        name="gtsrb",
        title="GTSRB (traffic signs)",
        class_names=_names(class_names.SIGNS),
        counts={"train": 26_640, "val": 12_630},
        size=43,
        download_bytes=276_568_468,
        licence="None stated; cite Stallkamp et al. (2012)",
        marker="gtsrb/GTSRB/Training",
        archives=_sign_archives,
        open=_open_signs,
    ),
    TorchvisionSet(
        name="dtd",
        title="Describable Textures (DTD)",
        class_names=_names(class_names.TEXTURES),
        counts={"train": 3_760, "val": 1_880},
        size=300,
        download_bytes=625_239_812,
        licence="For research only; cite Cimpoi et al. (2014)",
        marker="dtd/dtd/labels",
        archives=_texture_archives,
        open=_open_textures,
    ),
    TorchvisionSet(
        name="pcam",
        title="PatchCamelyon",
        class_names=("normal", "tumour"),
        counts={"train": 262_144, "val": 32_768},
        size=96,
        download_bytes=7_227_348_018,
        licence="CC0 1.0",
        marker="pcam/camelyonpatch_level_2_split_train_x.h5",
        archives=_tissue_archives,
        open=_open_tissue,
    ),
)
