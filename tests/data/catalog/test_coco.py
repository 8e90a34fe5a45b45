import dataclasses
import io
import itertools
import json
import random
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.catalog.test_catalog import Server, md5
from vit.cli.main import main
from vit.config import DataConfig
from vit.data import describe, load, sample
from vit.data.catalog import catalog, coco, download
from vit.errors import DataError

SIZE = (160, 120)
BOX = (20, 30, 80, 70)
"""Left, top, width, height, as COCO has it."""
COLOURS = {"airplane": "red", "bus": "yellow", "cat": "blue", "dog": "lime", "pizza": "magenta"}
PER_CLASS = 3
"""Two images to train on and one to validate with."""


class Coco:
    """A small COCO on the server: photographs, in which each object is a rectangle of its class's colour."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.categories = [{"id": number, "name": name} for name, number in {**coco.CATEGORIES, "person": 1}.items()]
        self._ids = itertools.count(1)

    def add(self, *objects: tuple, size: tuple[int, int] = SIZE) -> int:
        """A photograph with objects (class, box[, iscrowd]); returns its id."""
        image_id = next(self._ids) * 7
        picture = Image.new("RGB", size, "grey")
        for name, box, *crowd in objects:
            x, y, width, height = box
            picture.paste(COLOURS.get(name, "black"), (round(x), round(y), round(x + width), round(y + height)))
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": next(entry["id"] for entry in self.categories if entry["name"] == name),
                    "bbox": list(box),
                    "area": width * height / 2,
                    "iscrowd": int(bool(crowd)),
                    "segmentation": [[0.5] * 8],
                }
            )
        name = f"{image_id:012d}.jpg"
        self.images.append({"id": image_id, "file_name": name, "width": size[0], "height": size[1]})
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=95)
        self.server.files[f"train2017/{name}"] = content.getvalue()
        return image_id

    def text(self) -> str:
        lists = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        return json.dumps({"info": {"year": 2017}, "licenses": []} | lists)

    def archive(self) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("annotations/captions_train2017.json", "{}")
            archive.writestr("annotations/instances_train2017.json", self.text())
        return file.getvalue()

    def publish(self, content: bytes | None = None) -> None:
        """Put the annotations on the server, and its addresses into the catalog."""
        content = self.archive() if content is None else content
        self.server.files["annotations.zip"] = content
        archive = coco.COCO5.archive._replace(url=f"{self.server.base}/annotations.zip", md5=md5(content))
        catalog.CATALOG["coco5"] = dataclasses.replace(
            coco.COCO5,
            archive=archive,
            images=f"{self.server.base}/train2017",
            counts={"train": 10, "val": 5},
        )


@pytest.fixture
def world(home, monkeypatch) -> Iterator[Coco]:
    """Five images of each class, of which a set takes three; not yet published."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setitem(catalog.CATALOG, "coco5", coco.COCO5)
    with Server().running() as server:
        made = Coco(server)
        for name in [*coco.CATEGORIES] * 5:
            made.add((name, BOX))
        yield made


def part(home) -> Path:
    return home / "data" / ".coco5.part"


def built(home) -> dict[str, bytes]:
    """Content of each image of the finished set, by split/class/file."""
    root = home / "data" / "coco5"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/*/*"))}


def ids(names, prefix: str = "") -> list[int]:
    return sorted(int(Path(name).stem) for name in names if name.startswith(prefix))


def candidates_of(path: Path) -> dict[str, list[int]]:
    found = coco.read_annotations(path, lambda: None)
    return {name: sorted(candidate.image_id for candidate in entries) for name, entries in found.items()}


@pytest.fixture
def annotated(tmp_path):
    """Call it with a world: its annotations as a JSON file."""

    def write(world: Coco) -> Path:
        path = tmp_path / "instances.json"
        path.write_text(world.text())
        return path

    return write


# What is picked


def test_what_is_known_before_the_download_is_what_the_course_had(home):
    info = describe("coco5")
    assert not info.ready
    assert info.class_names == ("airplane", "bus", "cat", "dog", "pizza")
    assert (info.train_count, info.val_count, info.auto_image_size) == (7_500, 2_500, 64)
    assert 1.8e9 < info.download_bytes < 2e9
    assert "Flickr" in info.licence
    assert coco.COCO5.images == "https://s3.amazonaws.com/images.cocodataset.org/train2017"
    assert coco.COCO5.archive.url.startswith("https://")


def test_an_image_with_two_of_the_classes_is_left_out(world, annotated):
    both = world.add(("cat", BOX), ("dog", (0, 0, 10, 10)))
    beside_a_crowd = world.add(("cat", BOX), ("dog", BOX, "crowd"))
    with_another = world.add(("cat", BOX), ("person", (0, 0, 150, 100)))
    cats = candidates_of(annotated(world))["cat"]
    assert with_another in cats
    assert not {both, beside_a_crowd} & set(cats)


def test_a_crowd_is_never_the_object(world, annotated):
    alone = world.add(("bus", BOX, "crowd"))
    beside = world.add(("bus", (0, 0, 160, 120), "crowd"), ("bus", BOX))
    path = annotated(world)
    assert alone not in candidates_of(path)["bus"]
    chosen = next(item for item in coco.read_annotations(path, lambda: None)["bus"] if item.image_id == beside)
    assert chosen.box == (20, 30, 100, 100)


def test_objects_that_would_have_to_be_enlarged_are_left_out(world, annotated):
    just = world.add(("dog", (0, 0, 64, 5)))
    small = world.add(("dog", (0, 0, 63, 63)))
    within = world.add(("dog", (130, 0, 90, 30)))  # 30 x 30 of it within the image
    flat = world.add(("dog", (0, 0, 100, 40)), size=(160, 60))
    dogs = candidates_of(annotated(world))["dog"]
    assert just in dogs
    assert not {small, within, flat} & set(dogs)


@pytest.mark.parametrize(
    ("box", "size", "square"),
    [
        ((20, 30, 100, 100), (160, 120), (20, 25, 100, 105)),  # grows round its centre
        ((0, 0, 80, 20), (160, 120), (0, 0, 80, 80)),  # moved into the image
        ((140, 10, 160, 120), (160, 120), (50, 10, 160, 120)),
        ((0, 50, 160, 120), (160, 120), (20, 0, 140, 120)),  # no larger than the image
        ((10.4, 20.6, 90.9, 60.2), (160, 120), (11, 0, 91, 80)),
    ],
)
def test_the_crop_is_a_square_within_the_image(box, size, square):
    assert coco.Candidate(1, size, box).square() == square


def test_the_largest_object_is_what_the_image_shows(home, world):
    world.annotations = [entry for entry in world.annotations if entry["category_id"] != coco.CATEGORIES["cat"]]
    for _ in range(PER_CLASS):
        world.add(("cat", (0, 0, 64, 20)), ("cat", (90, 40, 66, 66)))
    world.publish()
    catalog.download("coco5")
    for name, content in built(home).items():
        image = Image.open(io.BytesIO(content))
        assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")
        centre = np.asarray(image)[20:44, 4:60].reshape(-1, 3).mean(0)
        expected = np.asarray(Image.new("RGB", (1, 1), COLOURS[name.split("/")[1]]))[0, 0]
        assert np.abs(centre - expected).max() < 12, name
        if "/cat/" in name:
            assert np.abs(np.asarray(image).reshape(-1, 3).mean(0) - expected).max() < 12  # the box is a square already


# Fetching


def test_the_set_is_built_with_progress_and_read_like_a_folder(home, world):
    world.publish()
    calls: list[tuple[int, int]] = []
    catalog.download("coco5", lambda *call: calls.append(call))
    total = coco.COCO5.download_bytes
    assert calls == sorted(calls)
    assert calls[-1] == (total, total)
    assert {limit for _, limit in calls} == {total}
    assert {entry.name for entry in (home / "data").iterdir()} == {"coco5", ".coco5.lock"}
    names = built(home)
    assert Counter(tuple(name.split("/")[:2]) for name in names) == {
        (split, name): count for split, count in {"train": 2, "val": 1}.items() for name in coco.CATEGORIES
    }
    assert len(set(ids(names))) == len(names) == 15
    asked = world.server.requests
    assert len(asked) == 16, "only the picked images, and the annotations"
    assert len(set(asked)) == 16

    info = describe("coco5")
    assert (info.ready, info.train_count, info.val_count) == (True, 10, 5)
    data = load(DataConfig(source="coco5", image_size=64))
    assert data.train.images.shape == (10, 3, 64, 64)
    assert np.bincount(data.val.labels).tolist() == [1] * 5
    assert data.skipped == ()
    assert len(sample("coco5", 5)) == 5
    catalog.download("coco5")
    assert len(asked) == 16, "a second download fetches nothing"


def test_the_same_images_are_picked_whatever_their_order_in_the_file(home, world, tmp_path, monkeypatch):
    world.publish()
    catalog.download("coco5")
    first = built(home)
    random.Random(3).shuffle(world.images)
    random.Random(4).shuffle(world.annotations)
    world.publish()
    monkeypatch.setenv("VIT_DATA", str(tmp_path / "again" / "data"))
    catalog.download("coco5")
    assert built(tmp_path / "again") == first


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def other_size(content: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).transpose(Image.Transpose.ROTATE_90).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (None, "404"),
        (cut_off, "truncated"),
        (other_size, "other dimensions"),
        (lambda content: b"<html>", "not an image"),
        (lambda content: b"", "empty"),
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_that_cannot_be_had_is_replaced_and_named(home, world, tmp_path, monkeypatch, harm, reason, split):
    world.publish()
    catalog.download("coco5")
    whole = built(home)
    lost = ids(whole, f"{split}/dog")[0]
    name = f"train2017/{lost:012d}.jpg"
    content = world.server.files.pop(name)
    if harm:
        world.server.files[name] = harm(content)
    monkeypatch.setenv("VIT_DATA", str(tmp_path / "again" / "data"))
    catalog.download("coco5")
    replaced = built(tmp_path / "again")
    (gone,), (stand_in,) = set(whole) - set(replaced), set(replaced) - set(whole)
    assert Path(gone).parent == Path(stand_in).parent == Path(split) / "dog"
    assert ids([gone]) == [lost]
    assert describe("coco5").skipped == load(DataConfig(source="coco5")).skipped
    (skipped,) = describe("coco5").skipped
    assert skipped.file == f"{lost:012d}.jpg"
    assert reason in skipped.reason


@pytest.mark.parametrize("trouble", [[503], ["cut"], [500, "cut", 429]])
def test_trouble_that_passes_costs_a_retry_and_no_image(home, world, trouble):
    world.publish()
    paths = [f"/{name}" for name in world.server.files]
    world.server.trouble = {path: list(trouble) for path in paths}
    catalog.download("coco5")
    assert describe("coco5").skipped == ()
    assert set(Counter(world.server.requests).values()) == {len(trouble) + 1}


def test_trouble_that_stays_ends_in_a_sentence(home, world):
    world.publish()
    broken = [name for name in world.server.files if name.startswith("train2017")]
    world.server.trouble = {f"/{name}": [503] * 100 for name in broken}
    with pytest.raises(
        DataError, match=r"Too many images of the class '\w+' cannot be downloaded, the last one is .*503.*try again"
    ):
        catalog.download("coco5")
    assert not catalog.is_ready("coco5")
    world.server.trouble = {}
    catalog.download("coco5")
    assert len(built(home)) == 15
    assert describe("coco5").skipped == ()


def test_a_server_that_lost_all_images_is_not_asked_for_each(home, world, monkeypatch):
    monkeypatch.setattr(coco, "SKIPPED_MAX", 3)
    monkeypatch.setattr(coco, "THREADS", 1)
    world.publish()
    world.server.files = {"annotations.zip": world.server.files["annotations.zip"]}
    with pytest.raises(
        DataError, match=r"More than 3 images of COCO \(five classes\) cannot be downloaded, the last one is .*404"
    ):
        catalog.download("coco5")
    assert len(world.server.requests) < 10


def interrupt(home, after: int) -> None:
    """A download that is stopped after a number of images."""

    def stop(done: int, total: int) -> None:
        if len(list(part(home).glob("*/*/*.png"))) >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.download("coco5", stop)
    assert not catalog.is_ready("coco5")
    assert not describe("coco5").ready


def test_a_download_that_was_stopped_goes_on_without_fetching_anything_again(home, world, monkeypatch):
    monkeypatch.setattr(coco, "THREADS", 1)
    world.publish()
    interrupt(home, after=6)
    there = {path.name for path in part(home).glob("*/*/*.png")}
    assert 6 <= len(there) < 15
    catalog.download("coco5")
    assert set(Counter(world.server.requests).values()) == {1}
    assert len(world.server.requests) == 16
    assert len(built(home)) == 15
    assert not part(home).exists()


def test_a_stand_in_gives_way_when_the_lost_image_is_back(home, world, monkeypatch):
    monkeypatch.setattr(coco, "THREADS", 1)
    world.publish()
    catalog.download("coco5")
    whole = built(home)
    (home / "data" / "coco5").rename(home / "whole")
    lost = f"train2017/{ids(whole, 'train/airplane')[0]:012d}.jpg"
    content = world.server.files.pop(lost)
    interrupt(home, after=15)  # the stand-in is there
    world.server.files[lost] = content
    catalog.download("coco5")
    assert built(home) == whole
    assert describe("coco5").skipped == ()


def test_annotations_that_broke_off_are_gone_on_with(home, world):
    world.publish()
    world.server.resumes = True
    size = len(world.server.files["annotations.zip"])
    world.server.trouble = {"/annotations.zip": ["cut", *[500] * 3]}
    with pytest.raises(DataError, match="HTTP status 500"):
        catalog.download("coco5")
    assert (part(home) / "annotations_trainval2017.zip").stat().st_size == size // 2
    catalog.download("coco5")
    assert world.server.ranges[:5] == ["", *[f"bytes={size // 2}-"] * 4]
    assert len(built(home)) == 15


def test_a_download_can_be_stopped_between_two_attempts(home, world):
    world.publish()
    world.server.trouble = {"/annotations.zip": [503] * 10}

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.download("coco5", stop)
    assert world.server.requests == ["/annotations.zip"]


@pytest.mark.parametrize("length", [40, 1_000_000])
@pytest.mark.parametrize("resumes", [True, False])
def test_annotations_that_are_not_what_was_begun_are_fetched_anew(home, world, length, resumes):
    world.publish()
    world.server.resumes = resumes
    part(home).mkdir(parents=True)
    (part(home) / "annotations_trainval2017.zip").write_bytes(b"?" * length)
    if resumes and length == 40:  # they are completed, found out by their checksum, and given up
        with pytest.raises(DataError, match="not the published file"):
            catalog.download("coco5")
    catalog.download("coco5")
    assert len(built(home)) == 15


def test_no_connection_is_a_sentence_and_keeps_what_is_there(home, world, monkeypatch):
    monkeypatch.setattr(coco, "THREADS", 1)
    world.publish()
    interrupt(home, after=4)
    there = sorted(path.name for path in part(home).glob("*/*/*.png"))
    listed = catalog.CATALOG["coco5"]
    catalog.CATALOG["coco5"] = dataclasses.replace(listed, images="http://127.0.0.1:9/train2017")
    with pytest.raises(DataError, match="check the connection"):
        catalog.download("coco5")
    assert sorted(path.name for path in part(home).glob("*/*/*.png")) == there


def test_what_a_person_has_of_coco_is_not_fetched(home, world):
    world.publish()
    own = home / "data" / "coco"
    (own / "annotations").mkdir(parents=True)
    (own / "annotations" / "instances_train2017.json").write_text(world.text())
    (own / "train2017").mkdir()
    images = [name for name in world.server.files if name.startswith("train2017")]
    for name in images[:20]:
        (own / name).write_bytes(world.server.files[name])
    catalog.download("coco5")
    assert len(built(home)) == 15
    assert not {"/annotations.zip", *(f"/{name}" for name in images[:20])} & set(world.server.requests)


# Annotations that are none


def test_too_few_images_of_a_class_says_how_many_there_are(home, world):
    world.annotations = [entry for entry in world.annotations if entry["category_id"] != coco.CATEGORIES["pizza"]]
    world.add(("pizza", BOX))
    world.publish()
    with pytest.raises(DataError, match="have 1 suitable images of the class 'pizza', and 3 are needed"):
        catalog.download("coco5")
    assert world.server.requests == ["/annotations.zip"]


@pytest.mark.parametrize(
    "name", ["../../evil.jpg", "/etc/passwd", "000000000008.jpg", "http://evil/000000000007.jpg", 7]
)
def test_a_file_name_that_is_not_cocos_is_refused(home, world, name):
    world.images[0]["file_name"] = name
    world.publish()
    with pytest.raises(DataError, match="not a file name of COCO's"):
        catalog.download("coco5")
    assert world.server.requests == ["/annotations.zip"]


def without_annotations(world: Coco) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("annotations/captions_train2017.json", "{}")
    return file.getvalue()


def cut_json(world: Coco) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(coco.ANNOTATIONS, world.text()[:-200])
    return file.getvalue()


def damaged_member(world: Coco) -> bytes:
    content = bytearray(world.archive())
    at = content.find(b"instances_train2017.json") + 60
    content[at : at + 40] = bytes(40)
    return bytes(content)


@pytest.mark.parametrize("make", [without_annotations, cut_json, damaged_member, lambda world: b"no zip"])
def test_a_damaged_zip_is_a_sentence(home, world, make):
    world.publish(make(world))
    with pytest.raises(DataError, match="is damaged or does not contain COCO's instance annotations") as caught:
        catalog.download("coco5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.annotations[0].pop("bbox"),
        lambda world: world.annotations[0].update(bbox=[1, 2, 3]),
        lambda world: world.annotations[0].update(bbox=[0, 0, float("nan"), 80]),
        lambda world: world.annotations[0].update(bbox=[0, 0, -5, 80]),
        lambda world: world.annotations[0].update(category_id=[5]),
        lambda world: world.annotations[0].update(image_id=999),
        lambda world: world.annotations.append(3),
        lambda world: world.images[0].update(width=float("inf")),
        lambda world: world.categories[0].update(id=17),
        lambda world: world.categories.clear(),
    ],
)
def test_annotations_of_another_shape_are_a_sentence(world, annotated, change):
    change(world)
    path = annotated(world)
    with pytest.raises(DataError, match="is damaged or does not contain COCO's instance annotations: remove it"):
        coco.read_annotations(path, lambda: None)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"images": [1', '{"images": {}', "nonsense", "[" * 100_000, "\x80"])
def test_json_of_another_kind_is_a_sentence(tmp_path, text):
    path = tmp_path / "instances.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="does not contain COCO's instance annotations"):
        coco.read_annotations(path, lambda: None)


class Endless(io.RawIOBase):
    """A file that begins with one text and repeats another, ``times`` times or without end."""

    def __init__(self, begin: bytes, repeat: bytes, times: int | None = None, end: bytes = b"") -> None:
        repeats = itertools.repeat(repeat) if times is None else itertools.repeat(repeat, times)
        self._pieces, self._left = itertools.chain([begin], repeats, [end]), b""

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, None)) is not None:
            self._left += piece
        content, self._left = self._left[:size], self._left[size:]
        return content


@pytest.mark.parametrize(
    ("begin", "repeat"),
    [(b'{"annotations": ["', b"x" * 1_000), (b'{"annotations": [[', b"1," * 1_000), (b"", b"[" * 1_000)],
)
def test_an_item_without_end_is_not_read_into_memory(monkeypatch, begin, repeat):
    monkeypatch.setattr(coco, "ITEM_BYTES_MAX", 100_000)
    with pytest.raises(ValueError, match="too long"):
        coco._candidates(Endless(begin, repeat), lambda: None)


def test_memory_does_not_grow_with_the_annotations(world):
    entry = json.dumps(world.annotations[0] | {"category_id": 1, "segmentation": [[0.5] * 60]}).encode() + b","
    times = 8_000_000 // len(entry)
    end = b'{"category_id": 1}], "categories": ' + json.dumps(world.categories).encode() + b"}"
    tracemalloc.start()
    try:
        found = coco._candidates(Endless(b'{"annotations": [', entry, times, end), lambda: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == {name: [] for name in coco.CATEGORIES}
    assert peak < 5_000_000


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_annotations_are_the_same_wherever_the_file_is_cut(world, annotated, monkeypatch, size):
    path = annotated(world)
    whole = coco.read_annotations(path, lambda: None)
    monkeypatch.setattr(coco, "_READ_BYTES", size)
    assert coco.read_annotations(path, lambda: None) == whole
    assert all(whole.values())


def test_the_command_line_fetches_it(home, world, capsys):
    world.publish()
    assert main(["data", "--dataset", "coco5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["train_images"], result["val_images"], result["image_size"]) == (10, 5, 64)
