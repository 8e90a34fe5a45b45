"""Well-known data sets through ``torchvision.datasets``: downloaded when a person asks for it, or found where they lie.

A set is looked for in ``<name>/`` of the folder of data sets and in that folder itself, in torchvision's layout. The
archives are fetched here, for the sake of progress and clear errors; their addresses, checksums, unpacking and reading
are torchvision's.
"""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from vit.config import data_dir
from vit.data.cache import Plan, Progress, Row
from vit.data.images import fit_square, open_image
from vit.data.records import Skipped
from vit.data.sampling import subset
from vit.errors import DataError
from vit.hardware import cpu_cores

TIMEOUT_SECONDS = 30
_BLOCK = 2**18
_ROOM = 3
"""Free disk space a download needs, in its own size: the archive, its content, and some."""


class Opened(NamedTuple):
    """A split as torchvision reads it: ``data[row][0]`` is the image of a row, unless ``paths`` has its file."""

    class_names: Sequence[str]
    labels: Sequence[int]
    data: Any
    paths: Sequence[Path] = ()

    def image(self, row: int, size: int) -> Row:
        """Image uint8 (size size c), or why there is none."""
        if not self.paths:
            return fit_square(self.data[row][0].convert("RGB"), size)
        try:
            return fit_square(open_image(self.paths[row], name="The file", at_least=size), size)
        except DataError as error:
            return error

    def file(self, row: int) -> str:
        """Name of a row's file, its folder included; empty where it has none."""
        return "/".join(self.paths[row].parts[-2:]) if self.paths else ""


class Archive(NamedTuple):
    """A file to fetch: its address, its place below the root, and its checksum."""

    url: str
    path: str
    md5: str


@dataclass(frozen=True)
class Listed:
    """A data set of the catalog.

    Attributes:
        counts: images of ``train`` and ``val``; what others call test is ``val`` here.
        size: natural side in pixels, of photographs of many sizes a typical one.
        marker: a file or folder that is there when the set is.
        archives: what has to be fetched.
        open: root, split, whether to unpack first -> the split.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    size: int
    download_bytes: int
    licence: str
    marker: str
    archives: Callable[[], list[Archive]]
    open: Callable[[Path, str, bool], Opened]
    skipped: tuple[Skipped, ...] = ()

    def count(self, split: str, seed: int) -> int:
        return self.counts[split]

    def image_size(self) -> int:
        return self.size

    def root(self) -> Path | None:
        """Where the set lies; None where it does not."""
        places = (data_dir() / self.name, data_dir())
        return next((place for place in places if (place / self.marker).exists()), None)

    def key(self, split: str, count: int | None, seed: int) -> tuple:
        status = (self._root() / self.marker).stat()
        return ("catalog", self.name, status.st_size, status.st_mtime_ns, split, count, seed if count else None)

    @contextmanager
    def plan(self, split: str, count: int | None, seed: int, size: int) -> Iterator[Plan]:
        """How :mod:`vit.data.cache` makes a split."""
        opened = self.read(self._root(), split)
        labels = np.asarray(opened.labels, dtype=np.int64)
        chosen = subset(labels, count, seed)

        def decode(row: int) -> Row:
            return opened.image(chosen[row], size)

        files = [opened.file(row) for row in chosen]
        with ThreadPoolExecutor(cpu_cores()) as pool:
            yield Plan(self.class_names, labels[chosen], files, lambda rows: pool.map(decode, rows))

    def read(self, root: Path, split: str, unpack: bool = False) -> Opened:
        """The split as torchvision reads it.

        Raises:
            DataError: files are missing or differ from the published ones.
        """
        remedy = f"{'' if unpack else f'remove {self._folder(root)} and '}download it again"
        try:
            opened = self.open(root, split, unpack)
        except Exception as error:  # torchvision has no errors of its own: RuntimeError, KeyError, pickle's, tarfile's
            raise DataError(f"{self.title} is damaged or incomplete: {remedy}.") from error
        if tuple(opened.class_names) != self.class_names:
            raise DataError(f"{self.title} lacks some of its {len(self.class_names)} classes: {remedy}.")
        return opened

    def _folder(self, root: Path) -> Path:
        return root / self.marker.split("/")[0]

    def _root(self) -> Path:
        if (root := self.root()) is None:
            raise DataError(
                f"{self.title} is not downloaded yet: download it on the Train page, or with "
                f"`python -m vit data --dataset {self.name}`."
            )
        return root


def is_ready(name: str) -> bool:
    """Whether the set lies here."""
    return CATALOG[name].root() is not None


def download(name: str, progress: Progress | None = None) -> None:
    """Fetch and unpack a data set; nothing is done where it is already.

    Args:
        progress: called with bytes fetched and bytes in all.

    Raises:
        DataError: no such set, no connection, a broken or altered download, or too little disk space. What was fetched
            is removed then.
    """
    if name not in CATALOG:
        raise DataError(f"There is no data set {name!r} in the catalog: choose one of {', '.join(CATALOG)}.")
    listed = CATALOG[name]
    target, beside = data_dir() / name, data_dir() / f".{name}.part"
    try:
        data_dir().mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir() / f".{name}.lock"):
            if listed.root() is not None:
                return
            shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
            beside.mkdir()
            try:
                _fetch_all(listed, beside, progress)
                for split in listed.counts:
                    listed.read(beside, split, unpack=True)
                for archive in listed.archives():
                    (beside / archive.path).unlink()
                beside.rename(target)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{listed.title} cannot be kept in {target}: {error.strerror or error}.") from error


def _fetch_all(listed: Listed, root: Path, progress: Progress | None) -> None:
    done = 0
    for archive in listed.archives():
        path = root / archive.path
        path.parent.mkdir(parents=True, exist_ok=True)
        before = done
        for done, size in _fetch(listed.title, archive, path, before):
            # Several archives: those to come are known by the published size of all.
            if progress:
                progress(done, max(before + size, listed.download_bytes, done))
    if progress:
        progress(done, done)


def _fetch(title: str, archive: Archive, path: Path, before: int) -> Iterator[tuple[int, int]]:
    """Fetch one archive; yields bytes fetched so far, those ``before`` included, and the size of this archive."""
    digest = hashlib.md5(usedforsecurity=False)
    request = urllib.request.Request(archive.url, headers={"User-Agent": "vit"})
    done = 0
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response, path.open("wb") as file:
            size = int(response.headers.get("Content-Length") or 0)
            if size * _ROOM > (free := shutil.disk_usage(path.parent).free):
                raise DataError(
                    f"{title} needs {size * _ROOM / 2**30:.1f} GB of disk space and {free / 2**30:.1f} GB are free: "
                    "make room, or set VIT_DATA to another disk."
                )
            while block := response.read(_BLOCK):
                file.write(block)
                digest.update(block)
                done += len(block)
                yield before + done, size
    except urllib.error.HTTPError as error:
        raise DataError(f"{title} is not at {archive.url} any more (the server says {error.code}).") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{title} cannot be downloaded from {archive.url} ({reason}): check the connection and try again."
        ) from error
    if done < size:
        raise DataError(f"The download of {title} broke off after {done:,} of {size:,} bytes: try again.")
    if digest.hexdigest() != archive.md5:
        raise DataError(f"The download of {title} is not the published file (its checksum differs): try again later.")


# torchvision is imported where it is first needed: it brings torch along, which takes seconds.


def _dataset(kind: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, kind)


def _one_archive(kind: str) -> list[Archive]:
    dataset = _dataset(kind)
    return [Archive(dataset.url, dataset.filename, dataset.tgz_md5)]


def _open_cifar(kind: str, root: Path, split: str, unpack: bool) -> Opened:
    data = _dataset(kind)(root, train=split == "train", download=unpack)
    return Opened(data.classes, data.targets, data)


def _fashion_archives() -> list[Archive]:
    dataset = _dataset("FashionMNIST")
    return [Archive(dataset.mirrors[0] + name, f"FashionMNIST/raw/{name}", md5) for name, md5 in dataset.resources]


def _open_fashion(root: Path, split: str, unpack: bool) -> Opened:
    data = _dataset("FashionMNIST")(root, train=split == "train", download=unpack)
    return Opened(data.classes, data.targets.numpy(), data)


def _open_stl(root: Path, split: str, unpack: bool) -> Opened:
    data = _dataset("STL10")(root, split="train" if split == "train" else "test", download=unpack)
    return Opened(data.classes, data.labels, data)


def _imagenette_archives() -> list[Archive]:
    url, md5 = _dataset("Imagenette")._ARCHIVES["160px"]
    return [Archive(url, Path(url).name, md5)]


def _open_imagenette(root: Path, split: str, unpack: bool) -> Opened:
    # Its loader would decode the image; the path will do.
    data = _dataset("Imagenette")(root, split=split, size="160px", download=unpack, loader=Path)
    paths, labels = zip(*(data[row] for row in range(len(data))), strict=True)
    return Opened([names[0] for names in data.classes], labels, data, paths)


def _pet_archives() -> list[Archive]:
    return [Archive(url, f"oxford-iiit-pet/{Path(url).name}", md5) for url, md5 in _dataset("OxfordIIITPet")._RESOURCES]


def _open_pet(root: Path, split: str, unpack: bool) -> Opened:
    data = _dataset("OxfordIIITPet")(root, split="trainval" if split == "train" else "test", download=unpack)
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


_ALL = (
    Listed(
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
    Listed(
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
    Listed(
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
    Listed(
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
    Listed(
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
    Listed(
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

CATALOG = {listed.name: listed for listed in _ALL}
"""The sets by the name that ``--dataset`` takes."""
