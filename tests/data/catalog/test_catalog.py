import gzip
import hashlib
import io
import json
import pickle
import socket
import struct
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.data.helpers import image_bytes, zip_bytes
from vit.config import DataConfig
from vit.data import describe, load, sample
from vit.data.catalog import catalog, download, more_sets
from vit.data.catalog.download import Archive
from vit.errors import DataError

datasets = pytest.importorskip("torchvision.datasets")

PER_CLASS = 2


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def cifar(patch, base: str, kind: str, labels: str) -> dict[str, bytes]:
    """Archives like those of CIFAR, and torchvision told of their addresses and checksums."""
    dataset, listed = getattr(datasets, kind), catalog.CATALOG[kind.lower()]
    count = len(listed.class_names)
    batch = pickle.dumps({"data": pixels(count, 3072), labels: list(range(count))})
    meta = pickle.dumps({dataset.meta["key"]: list(listed.class_names)})
    files = {name: batch for name, _ in dataset.train_list + dataset.test_list} | {dataset.meta["filename"]: meta}
    archive = tar({f"{dataset.base_folder}/{name}": content for name, content in files.items()})
    for split in ("train_list", "test_list"):
        patch.setattr(dataset, split, [[name, md5(batch)] for name, _ in getattr(dataset, split)])
    patch.setattr(dataset, "meta", dataset.meta | {"md5": md5(meta)})
    patch.setattr(dataset, "url", f"{base}/{dataset.filename}")
    patch.setattr(dataset, "tgz_md5", md5(archive))
    return {dataset.filename: archive}


def fashion(patch, base: str) -> dict[str, bytes]:
    count = 10 * PER_CLASS
    images = struct.pack(">4I", 0x803, count, 28, 28) + pixels(count, 28, 28).tobytes()
    labels = struct.pack(">2I", 0x801, count) + bytes(label % 10 for label in range(count))
    files = {name: gzip.compress(images if "images" in name else labels) for name, _ in datasets.FashionMNIST.resources}
    patch.setattr(datasets.FashionMNIST, "resources", [(name, md5(content)) for name, content in files.items()])
    patch.setattr(datasets.FashionMNIST, "mirrors", [f"{base}/"])
    return files


def stl(patch, base: str) -> dict[str, bytes]:
    dataset, names = datasets.STL10, catalog.CATALOG["stl10"].class_names
    images, labels = (
        pixels(10 * PER_CLASS, 3, 96, 96).tobytes(),
        bytes(label % 10 + 1 for label in range(10 * PER_CLASS)),
    )
    files = {name: labels if "_y" in name else images for name, _ in dataset.train_list + dataset.test_list}
    archive = tar(
        {f"stl10_binary/{name}": content for name, content in files.items()}
        | {"stl10_binary/class_names.txt": "\n".join(names).encode(), "stl10_binary/fold_indices.txt": b"0 1"}
    )
    for split in ("train_list", "test_list"):
        patch.setattr(dataset, split, [[name, md5(files[name])] for name, _ in getattr(dataset, split)])
    patch.setattr(dataset, "url", f"{base}/{dataset.filename}")
    patch.setattr(dataset, "tgz_md5", md5(archive))
    return {dataset.filename: archive}


def imagenette(patch, base: str) -> dict[str, bytes]:
    entries = {
        f"imagenette2-160/{split}/{wnid}/{index}.JPEG": image_bytes(index, (200, 160), "JPEG")
        for split in ("train", "val")
        for wnid in datasets.Imagenette._WNID_TO_CLASS
        for index in range(PER_CLASS)
    }
    archive = tar(entries)
    archives = datasets.Imagenette._ARCHIVES | {"160px": (f"{base}/imagenette2-160.tgz", md5(archive))}
    patch.setattr(datasets.Imagenette, "_ARCHIVES", archives)
    return {"imagenette2-160.tgz": archive}


def pet(patch, base: str) -> dict[str, bytes]:
    names = [name.replace(" ", "_") for name in catalog.CATALOG["oxford-pet"].class_names]
    rows = [(f"{name}_{index}", label) for label, name in enumerate(names, 1) for index in range(PER_CLASS)]
    images = {f"images/{name}.jpg": image_bytes(label, (30, 40), "JPEG") for name, label in rows}
    images["images/Abyssinian_0.jpg"] = image_bytes(0, kind="GIF")  # as in the real set: not all are JPEG
    images["images/Bengal_1.jpg"] = b"broken"
    lists = "\n".join(f"{name} {label} 1 1" for name, label in rows).encode()
    files = {
        "images.tar.gz": tar(images),
        "annotations.tar.gz": tar({"annotations/trainval.txt": lists, "annotations/test.txt": lists}),
    }
    resources = tuple((f"{base}/{name}", md5(content)) for name, content in files.items())
    patch.setattr(datasets.OxfordIIITPet, "_RESOURCES", resources)
    return files


def photographs(folder: str, labels: list[str], kind: str = "JPEG") -> dict[str, bytes]:
    """Images in a folder of each class, ``PER_CLASS`` of each."""
    return {
        f"{folder}/{label}/{index}.{'jpg' if kind == 'JPEG' else 'ppm'}": image_bytes(index, (30, 40), kind)
        for label in labels
        for index in range(PER_CLASS)
    }


def mat(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays)
    return file.getvalue()


def flowers(patch, base: str) -> dict[str, bytes]:
    """102 classes, each with an image for training, validation and testing."""
    labels = np.tile(np.arange(1, 103), 3)
    images = {f"jpg/image_{row:05d}.jpg": image_bytes(row, (30, 40), "JPEG") for row in range(1, len(labels) + 1)}
    thirds = dict(zip(("trnid", "valid", "tstid"), np.arange(1, len(labels) + 1).reshape(3, -1), strict=True))
    files = {"102flowers.tgz": tar(images), "imagelabels.mat": mat(labels=labels), "setid.mat": mat(**thirds)}
    listed = dict(zip(("image", "label", "setid"), ((name, md5(it)) for name, it in files.items()), strict=True))
    patch.setattr(datasets.Flowers102, "_file_dict", listed)
    patch.setattr(datasets.Flowers102, "_download_url_prefix", f"{base}/")
    return files


def food(patch, base: str) -> dict[str, bytes]:
    names = list(catalog.CATALOG["food101"].class_names)
    entries = photographs("food-101/images", names)
    listed = json.dumps({name: [f"{name}/{index}" for index in range(PER_CLASS)] for name in names}).encode()
    archive = tar(entries | {"food-101/meta/train.json": listed, "food-101/meta/test.json": listed})
    patch.setattr(datasets.Food101, "_URL", f"{base}/food-101.tar.gz")
    patch.setattr(datasets.Food101, "_MD5", md5(archive))
    return {"food-101.tar.gz": archive}


def eurosat(patch, base: str) -> dict[str, bytes]:
    archive = zip_bytes(photographs("2750", list(catalog.CATALOG["eurosat"].class_names))).getvalue()
    patch.setattr(more_sets, "_EUROSAT", Archive(f"{base}/EuroSAT.zip", "eurosat/EuroSAT.zip", md5(archive)))
    trust_archives(patch, "eurosat", {"EuroSAT.zip": archive})
    return {"EuroSAT.zip": archive}


def svhn(patch, base: str) -> dict[str, bytes]:
    content = mat(X=pixels(32, 32, 3, 20), y=np.tile(np.arange(1, 11), 2)[:, None])
    files = {"train_32x32.mat": content, "test_32x32.mat": content}
    listed = {split: [f"{base}/{split}_32x32.mat", f"{split}_32x32.mat", md5(content)] for split in ("train", "test")}
    patch.setattr(datasets.SVHN, "split_list", listed)
    return files


def signs(patch, base: str) -> dict[str, bytes]:
    numbers = range(43)
    training = zip_bytes(photographs("GTSRB/Training", [f"{label:05}" for label in numbers], "PPM")).getvalue()
    images = {f"GTSRB/Final_Test/Images/{label:05}.ppm": image_bytes(label, (30, 40), "PPM") for label in numbers}
    rows = "\n".join(["Filename;ClassId", *(f"{label:05}.ppm;{label}" for label in numbers)]).encode()
    contents = (training, zip_bytes(images).getvalue(), zip_bytes({"GT-final_test.csv": rows}).getvalue())
    files = dict(zip((name for name, _ in more_sets._GTSRB_ARCHIVES), contents, strict=True))
    patch.setattr(more_sets, "_GTSRB", f"{base}/")
    patch.setattr(more_sets, "_GTSRB_ARCHIVES", tuple((name, md5(content)) for name, content in files.items()))
    trust_archives(patch, "gtsrb", files)
    return files


def trust_archives(patch, module: str, files: dict[str, bytes]) -> None:
    """Let torchvision, which has these checksums in its code, unpack the archives that are there."""
    from torchvision.datasets import utils

    def unpack(url: str, download_root: str, md5: str) -> None:
        path = Path(download_root) / Path(url).name
        assert path.read_bytes() == files[path.name], "it was downloaded and checked before"
        utils.extract_archive(str(path), download_root)

    patch.setattr(import_module(f"torchvision.datasets.{module}"), "download_and_extract_archive", unpack)


def textures(patch, base: str) -> dict[str, bytes]:
    names = list(catalog.CATALOG["dtd"].class_names)
    lists = {
        f"dtd/labels/{split}1.txt": "\n".join(f"{name}/{index}.jpg" for name in names).encode()
        for split, index in (("train", 0), ("val", 1), ("test", 1))
    }
    archive = tar(photographs("dtd/images", names) | lists)
    patch.setattr(datasets.DTD, "_URL", f"{base}/dtd-r1.0.1.tar.gz")
    patch.setattr(datasets.DTD, "_MD5", md5(archive))
    return {"dtd-r1.0.1.tar.gz": archive}


def tissue(patch, base: str) -> dict[str, bytes]:
    h5py = pytest.importorskip("h5py")
    files, listed = {}, {}
    for split, word in (("train", "train"), ("val", "valid")):
        listed[split] = {}
        for kind, key, values in (("images", "x", pixels(4, 96, 96, 3)), ("targets", "y", np.arange(4) % 2)):
            name, file = f"camelyonpatch_level_2_split_{word}_{key}.h5", io.BytesIO()
            with h5py.File(file, "w") as written:
                written[key] = values if key == "x" else values.reshape(4, 1, 1, 1)
            files[f"{name}.gz"] = gzip.compress(file.getvalue())
            listed[split][kind] = (name, "", md5(files[f"{name}.gz"]))
    patch.setattr(datasets.PCAM, "_FILES", listed)
    patch.setattr(more_sets, "_PCAM", f"{base}/")
    return files


MAKERS = {
    "cifar10": lambda patch, base: cifar(patch, base, "CIFAR10", "labels"),
    "cifar100": lambda patch, base: cifar(patch, base, "CIFAR100", "fine_labels"),
    "fashion-mnist": fashion,
    "stl10": stl,
    "imagenette": imagenette,
    "oxford-pet": pet,
    "flowers102": flowers,
    "food101": food,
    "eurosat": eurosat,
    "svhn": svhn,
    "gtsrb": signs,
    "dtd": textures,
    "pcam": tissue,
}
"""By name in the catalog; coco5 is tested in test_coco.py."""


class Web(ThreadingHTTPServer):
    """Many may connect at once; with the usual five, others would wait a second."""

    request_queue_size = 64


class Server:
    """A web server that serves ``files``, and misbehaves as told.

    Attributes:
        requests: the paths that were asked for; ``ranges``: the Range header of each.
        cut: whether every answer ends half-way.
        resumes: whether it understands Range.
        trouble: of a path, what the next requests get: a status, or ``"cut"``.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.cut = self.resumes = False
        self.trouble: dict[str, list] = {}

    @contextmanager
    def running(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                server.ranges.append(self.headers.get("Range", ""))
                trouble = next(iter(server.trouble.get(self.path, [])), None)
                server.trouble[self.path] = server.trouble.get(self.path, [])[1:]
                content = server.files.get(self.path.lstrip("/"))
                status = 404 if content is None else 200
                start = int(server.ranges[-1][len("bytes=") : -1] or 0) if server.resumes else 0
                if start and content is not None:
                    status = 206 if start < len(content) else 416
                status = trouble if isinstance(trouble, int) else status
                body = (content or b"")[start:] if status in (200, 206) else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if server.cut or trouble == "cut" else body)

            def log_message(self, *args: object) -> None:
                """Silent."""

        with Web(("127.0.0.1", 0), Handler) as http:
            self.base = f"http://127.0.0.1:{http.server_port}"
            thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            yield self
            http.shutdown()
            thread.join()


@pytest.fixture
def server():
    with Server().running() as running:
        yield running


@pytest.fixture
def served(server, monkeypatch, home):
    """Call it with a name of the catalog: tiny archives of that set are then on the server."""

    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.01)

    def serve(name: str) -> Server:
        server.files = MAKERS[name](monkeypatch, server.base)
        return server

    return serve


def left_in(home) -> set[str]:
    folder = home / "data"
    return {entry.name for entry in folder.iterdir() if entry.suffix != ".lock"} if folder.exists() else set()


@pytest.mark.parametrize("name", MAKERS)
def test_a_set_is_downloaded_with_progress_and_read(home, served, name):
    server = served(name)
    assert not describe(name).ready
    calls: list[tuple[int, int]] = []
    catalog.download(name, lambda *call: calls.append(call))
    size = sum(map(len, server.files.values()))
    assert calls == sorted(calls, key=lambda call: call[0])
    assert calls[-1] == (size, size)
    assert all(done <= total for done, total in calls)
    assert describe(name).ready
    assert left_in(home) == {name}
    assert not [path for path in (home / "data" / name).rglob("*") if path.suffix in (".gz", ".tgz", ".zip")]

    data = load(DataConfig(source=name, image_size=32))
    assert data.class_names == describe(name).class_names == catalog.CATALOG[name].class_names
    for split in (data.train, data.val):
        assert split.images.shape[1:] == (3, 32, 32)
        assert set(split.labels) == set(range(len(data.class_names)))
    assert len(sample(name, 4)) == 4


def test_pixels_and_labels_are_those_of_the_archive(home, served):
    served("cifar10")
    catalog.download("cifar10")
    data = load(DataConfig(source="cifar10", image_size=32, train_images=20))
    expected = pixels(10, 3072).reshape(10, 3, 32, 32)
    assert np.array_equal(data.val.images, expected)
    assert data.val.labels.tolist() == list(range(10))
    assert np.bincount(data.train.labels).tolist() == [2] * 10
    assert all(
        np.array_equal(image, expected[label])
        for image, label in zip(data.train.images, data.train.labels, strict=True)
    )


def test_stl_is_the_right_way_up(home, served):
    served("stl10")
    catalog.download("stl10")
    columns_first = pixels(10 * PER_CLASS, 3, 96, 96)
    train = load(DataConfig(source="stl10", image_size=96)).train
    assert np.array_equal(train.images, columns_first.transpose(0, 1, 3, 2))


def test_an_unreadable_photograph_of_a_set_is_skipped_and_listed(home, served):
    served("oxford-pet")
    catalog.download("oxford-pet")
    data = load(DataConfig(source="oxford-pet", image_size=32))
    assert {entry.file for entry in data.skipped} == {"images/Bengal_1.jpg"}
    assert len(data.train) == 37 * PER_CLASS - 1
    assert data.train.files[0] == "images/Abyssinian_0.jpg"


@pytest.mark.parametrize("below", ["", "fashion-mnist"])
def test_a_set_that_lies_there_already_is_found(home, served, monkeypatch, below):
    server = served("fashion-mnist")
    raw = home / "data" / below / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in server.files.items():
        (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert describe("fashion-mnist").ready
    catalog.download("fashion-mnist")
    assert len(load(DataConfig(source="fashion-mnist", image_size=32)).train) == 20
    assert server.requests == []


def test_a_second_download_fetches_nothing(home, served):
    server = served("cifar10")
    catalog.download("cifar10")
    catalog.download("cifar10")
    assert len(server.requests) == 1


def test_a_set_that_is_not_there_says_how_to_get_it(home):
    with pytest.raises(DataError, match=r"CIFAR-100 is not downloaded yet.*data --dataset cifar100"):
        load(DataConfig(source="cifar100", image_size=32))


def test_an_unknown_name_lists_the_catalog(home):
    with pytest.raises(DataError, match="choose one of cifar10, cifar100"):
        catalog.download("imagenet")


def broken_off(server: Server) -> None:
    server.cut = True


def altered(server: Server) -> None:
    server.files = {name: content[:-1] + b"!" for name, content in server.files.items()}


def moved(server: Server) -> None:
    server.files = {}


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [(broken_off, "broke off after"), (altered, "not the published file"), (moved, "no longer at .*404")],
)
@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_a_download_that_fails_is_a_sentence_and_leaves_nothing(home, served, name, harm, sentence):
    server = served(name)
    whole = dict(server.files)
    harm(server)
    with pytest.raises(DataError, match=sentence) as caught:
        catalog.download(name)
    assert "\n" not in str(caught.value)
    assert left_in(home) == set()
    server.cut, server.files = False, whole
    catalog.download(name)  # and the next try works
    assert catalog.is_ready(name)


def test_no_connection_is_a_sentence(home, served, monkeypatch):
    served("cifar10")
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(DataError, match="check the connection"):
        catalog.download("cifar10")
    assert left_in(home) == set()


def test_a_server_that_falls_silent_is_given_up(home, monkeypatch, served):
    served("cifar10")
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/x.tar.gz")
        with pytest.raises(DataError, match="timed out"):
            catalog.download("cifar10")


def test_a_download_that_is_cancelled_leaves_nothing(home, served):
    served("cifar10")

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.download("cifar10", cancel)
    assert left_in(home) == set()


def test_a_connection_that_breaks_is_taken_up_where_it_broke(home, served):
    server = served("cifar10")
    (path,) = (f"/{name}" for name in server.files)
    size = len(server.files[path[1:]])
    server.resumes, server.trouble = True, {path: ["cut", 503]}
    catalog.download("cifar10")
    assert server.ranges == ["", f"bytes={size // 2}-", f"bytes={size // 2}-"]
    assert catalog.is_ready("cifar10")


def test_too_little_disk_space_is_said_before_the_download(home, served, monkeypatch):
    served("cifar10")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match=r"needs .* of disk space"):
        catalog.download("cifar10")
    assert left_in(home) == set()


def test_an_archive_of_other_content_is_no_data_set(home, served, monkeypatch):
    server = served("imagenette")
    archive = tar({"imagenette2-160/train/n01440764/1.JPEG": image_bytes(0, kind="JPEG")})
    server.files = {"imagenette2-160.tgz": archive}
    url, _ = datasets.Imagenette._ARCHIVES["160px"]
    monkeypatch.setitem(datasets.Imagenette._ARCHIVES, "160px", (url, md5(archive)))
    with pytest.raises(DataError, match="lacks some of its 10 classes"):
        catalog.download("imagenette")
    assert left_in(home) == set()


def test_a_set_that_was_damaged_later_says_what_to_do(home, served):
    served("cifar10")
    catalog.download("cifar10")
    (home / "data" / "cifar10" / "cifar-10-batches-py" / "test_batch").write_bytes(b"cosmic ray")
    with pytest.raises(DataError, match=r"CIFAR-10 is damaged.*remove .*cifar-10-batches-py"):
        load(DataConfig(source="cifar10", image_size=32))


def test_class_names_are_torchvisions_where_it_knows_them():
    assert catalog.CATALOG["fashion-mnist"].class_names == tuple(datasets.FashionMNIST.classes)
    nette = tuple(names[0] for _, names in sorted(datasets.Imagenette._WNID_TO_CLASS.items()))
    assert catalog.CATALOG["imagenette"].class_names == nette
    assert {name: len(listed.class_names) for name, listed in catalog.CATALOG.items()} == {
        "cifar10": 10, "cifar100": 100, "fashion-mnist": 10, "stl10": 10, "imagenette": 10, "oxford-pet": 37,
        "flowers102": 102, "food101": 101, "eurosat": 10, "svhn": 10, "gtsrb": 43, "dtd": 47, "pcam": 2, "coco5": 5,
    }  # fmt: skip
    for listed in catalog.CATALOG.values():
        assert len(set(listed.class_names)) == len(listed.class_names)
    things = catalog.CATALOG["cifar100"].class_names
    assert things == tuple(sorted(things))


def test_the_addresses_are_torchvisions_own():
    for name in MAKERS:
        for archive in catalog.CATALOG[name].archives():
            assert archive.url.startswith("http")
            assert len(archive.md5) == 32
