"""Data sets of ``torchvision.datasets``.

A data set is looked up in ``<name>/`` of the folder of data sets and in that folder itself, in torchvision's layout.
This module downloads the archives, to report progress and clear errors; addresses, checksums, unpacking and reading are
torchvision's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vit.data.cache import Plan, Progress, Row
from vit.data.catalog.download import Archive, fetch_archive
from vit.data.catalog.entry import CatalogEntry
from vit.data.files.images import Square, fit_square, read_square
from vit.data.sampling import subset
from vit.errors import DataError, UserError
from vit.paths import data_dir
from vit.support.hardware import cpu_cores
from vit.support.threads import threaded

_READ_AS_THEY_ARE = (".mat",)
"""Endings of downloads that are not archives."""


class Opened(NamedTuple):
    """A split as torchvision reads it: ``data[row][0]`` is the image of a row, unless ``paths`` has its file."""

    class_names: Sequence[str]
    labels: Sequence[int]
    data: Any
    paths: Sequence[Path] = ()

    def image(self, row: int, square: Square) -> Row:
        """Return the image of a row, uint8 (size size c), or the reason why it cannot be decoded."""
        if not self.paths:
            image = self.data[row][0].convert("RGB")
            return fit_square(image, square.size, square.crop_pct, square.interpolation)
        try:
            return read_square(self.paths[row], square)
        except DataError as error:
            return str(error)

    def file(self, row: int) -> str:
        """Return the folder and name of a row's file; empty if it has no file."""
        return "/".join(self.paths[row].parts[-2:]) if self.paths else ""


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet(CatalogEntry):
    """A data set that torchvision unpacks and reads.

    Attributes:
        marker: a file or folder that exists if the data set is complete.
        archives: returns the archives to download.
        open: takes root, split and whether to unpack first; returns the split.
    """

    marker: str
    archives: Callable[[], list[Archive]]
    open: Callable[[Path, str, bool], Opened]

    def root(self) -> Path | None:
        """Return the folder of the data set; None if it is not on this machine."""
        places = (data_dir() / self.name, data_dir())
        return next((place for place in places if (place / self.marker).exists()), None)

    def build(self, root: Path, progress: Progress) -> None:
        """Download the archives into ``root`` and unpack them there."""
        archives, done = self.archives(), 0
        for archive in archives:
            before = done
            for done, size in fetch_archive(self.title, archive, root, before):
                # The size of later archives is known only from the published size of all archives.
                progress(done, max(before + size, self.download_bytes, done))
        progress(done, done)
        for split in self.counts:
            self.read(root, split, unpack=True)
        for archive in archives:
            if not archive.path.endswith(_READ_AS_THEY_ARE):
                (root / archive.path).unlink()

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        """Return everything that the content of the split depends on."""
        status = (self.ready_root() / self.marker).stat()
        return ("catalog", self.name, status.st_size, status.st_mtime_ns, split, count, seed if count else None)

    @contextmanager
    def plan(self, split: str, count: int | None, seed: int, square: Square) -> Iterator[Plan]:
        """Yield the plan by which :mod:`vit.data.cache` makes a split."""
        opened = self.read(self.ready_root(), split)
        labels = np.asarray(opened.labels, dtype=np.int64)
        chosen = subset(labels, count, seed)

        def decode(row: int) -> Row:
            return opened.image(chosen[row], square)

        files = [opened.file(row) for row in chosen]
        with threaded(decode, cpu_cores()) as mapped:
            yield Plan(self.class_names, labels[chosen], files, mapped)

    def read(self, root: Path, split: str, unpack: bool = False) -> Opened:
        """Return the split as torchvision reads it.

        Raises:
            DataError: files are missing or differ from the published ones.
        """
        remedy = f"{'' if unpack else f'remove {self._folder(root)} and '}download it again"
        try:
            opened = self.open(root, split, unpack)
        except UserError:  # a package is missing
            raise
        except Exception as error:  # torchvision has no errors of its own: RuntimeError, KeyError, pickle's, tarfile's
            raise DataError(f"{self.title} is damaged or incomplete: {remedy}.") from error
        if tuple(opened.class_names) != self.class_names:
            raise DataError(f"{self.title} lacks some of its {len(self.class_names)} classes: {remedy}.")
        return opened

    def _folder(self, root: Path) -> Path:
        return root / self.marker.split("/")[0]


# torchvision is imported on first use, because it imports torch, which takes seconds.


def torchvision_class(kind: str) -> Any:
    """Return a class of ``torchvision.datasets``."""
    from torchvision import datasets

    return getattr(datasets, kind)


def _one_archive(kind: str) -> list[Archive]:
    dataset = torchvision_class(kind)
    return [Archive(dataset.url, dataset.filename, dataset.tgz_md5)]


def _open_cifar(kind: str, root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class(kind)(root, train=split == "train", download=unpack)
    return Opened(data.classes, data.targets, data)


def _fashion_archives() -> list[Archive]:
    dataset = torchvision_class("FashionMNIST")
    return [Archive(dataset.mirrors[0] + name, f"FashionMNIST/raw/{name}", md5) for name, md5 in dataset.resources]


def _open_fashion(root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class("FashionMNIST")(root, train=split == "train", download=unpack)
    return Opened(data.classes, data.targets.numpy(), data)


def _open_stl(root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class("STL10")(root, split="train" if split == "train" else "test", download=unpack)
    return Opened(data.classes, data.labels, data)


def _imagenette_archives() -> list[Archive]:
    url, md5 = torchvision_class("Imagenette")._ARCHIVES["160px"]
    return [Archive(url, Path(url).name, md5)]


def _open_imagenette(root: Path, split: str, unpack: bool) -> Opened:
    # The default loader would decode the image; only the path is needed.
    data = torchvision_class("Imagenette")(root, split=split, size="160px", download=unpack, loader=Path)
    paths, labels = zip(*(data[row] for row in range(len(data))), strict=True)
    return Opened([names[0] for names in data.classes], labels, data, paths)


def _pet_archives() -> list[Archive]:
    return [
        Archive(url, f"oxford-iiit-pet/{Path(url).name}", md5)
        for url, md5 in torchvision_class("OxfordIIITPet")._RESOURCES
    ]


def _open_pet(root: Path, split: str, unpack: bool) -> Opened:
    data = torchvision_class("OxfordIIITPet")(root, split="trainval" if split == "train" else "test", download=unpack)
    return Opened(data.classes, data._labels, data, data._images)  # data[row] would decode the image for its label


_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_THINGS = (
    "apple, aquarium_fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus, butterfly, "
    "camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab, crocodile, cup, "
    "dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, keyboard, lamp, lawn_mower, "
    "leopard, lion, lizard, lobster, man, maple_tree, motorcycle, mountain, mouse, mushroom, oak_tree, orange, orchid, "
    "otter, palm_tree, pear, pickup_truck, pine_tree, plain, plate, poppy, porcupine, possum, rabbit, raccoon, ray, "
    "road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel, streetcar, "
    "sunflower, sweet_pepper, table, tank, telephone, television, tiger, tractor, train, trout, tulip, turtle, "
    "wardrobe, whale, willow_tree, wolf, woman, worm"
)
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_STL = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_NETTE = (
    "tench, English springer, cassette player, chain saw, church, French horn, garbage truck, gas pump, golf ball, "
    "parachute"
)
_PETS = (
    "Abyssinian, American Bulldog, American Pit Bull Terrier, Basset Hound, Beagle, Bengal, Birman, Bombay, Boxer, "
    "British Shorthair, Chihuahua, Egyptian Mau, English Cocker Spaniel, English Setter, German Shorthaired, "
    "Great Pyrenees, Havanese, Japanese Chin, Keeshond, Leonberger, Maine Coon, Miniature Pinscher, Newfoundland, "
    "Persian, Pomeranian, Pug, Ragdoll, Russian Blue, Saint Bernard, Samoyed, Scottish Terrier, Shiba Inu, Siamese, "
    "Sphynx, Staffordshire Bull Terrier, Wheaten Terrier, Yorkshire Terrier"
)


SETS = (
    TorchvisionSet(
        name="cifar10",
        title="CIFAR-10",
        class_names=_OBJECTS,
        counts={"train": 50_000, "val": 10_000},
        size=32,
        download_bytes=170_498_071,
        licence="None stated; cite Krizhevsky (2009)",
        marker="cifar-10-batches-py/batches.meta",
        archives=partial(_one_archive, "CIFAR10"),
        open=partial(_open_cifar, "CIFAR10"),
    ),
    TorchvisionSet(
        name="cifar100",
        title="CIFAR-100",
        class_names=tuple(_THINGS.split(", ")),
        counts={"train": 50_000, "val": 10_000},
        size=32,
        download_bytes=169_001_437,
        licence="None stated; cite Krizhevsky (2009)",
        marker="cifar-100-python/meta",
        archives=partial(_one_archive, "CIFAR100"),
        open=partial(_open_cifar, "CIFAR100"),
    ),
    TorchvisionSet(
        name="fashion-mnist",
        title="Fashion-MNIST",
        class_names=_CLOTHES,
        counts={"train": 60_000, "val": 10_000},
        size=28,
        download_bytes=30_878_645,
        licence="MIT",
        marker="FashionMNIST/raw/train-images-idx3-ubyte",
        archives=_fashion_archives,
        open=_open_fashion,
    ),
    TorchvisionSet(
        name="stl10",
        title="STL-10",
        class_names=_STL,
        counts={"train": 5_000, "val": 8_000},
        size=96,
        download_bytes=2_640_397_119,
        licence="Images of ImageNet, for research; cite Coates, Ng and Lee (2011)",
        marker="stl10_binary/train_X.bin",
        archives=partial(_one_archive, "STL10"),
        open=_open_stl,
    ),
    TorchvisionSet(
        name="imagenette",
        title="Imagenette",
        class_names=tuple(_NETTE.split(", ")),
        counts={"train": 9_469, "val": 3_925},
        size=160,
        download_bytes=99_003_388,
        licence="Apache 2.0; images of ImageNet, for research",
        marker="imagenette2-160/train",
        archives=_imagenette_archives,
        open=_open_imagenette,
    ),
    TorchvisionSet(
        name="oxford-pet",
        title="Oxford-IIIT Pet",
        class_names=tuple(_PETS.split(", ")),
        counts={"train": 3_680, "val": 3_669},
        size=375,
        download_bytes=811_092_049,
        licence="CC BY-SA 4.0",
        marker="oxford-iiit-pet/annotations/trainval.txt",
        archives=_pet_archives,
        open=_open_pet,
    ),
)
