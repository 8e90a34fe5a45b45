import contextlib
import io
import resource
import stat
import struct
import zipfile

import numpy as np
import pytest

from tests.data.helpers import image_bytes, pets, zip_bytes
from tests.helpers import hostile_zips
from vit.config import DataConfig
from vit.data import describe, load, sources, store_upload
from vit.data.files import zips
from vit.errors import DataError


def left_behind(home) -> list[str]:
    folder = home / "data" / "uploads"
    return [entry.name for entry in folder.iterdir()] if folder.exists() else []


def refused(home, file: io.BytesIO, sentence: str, name: str = "photos.zip") -> None:
    """The upload is refused with this sentence, and leaves nothing, inside the folder of uploads or out of it."""
    before = {path for path in home.rglob("*") if "uploads" not in path.parts}
    with pytest.raises(DataError, match=sentence) as caught:
        store_upload(name, file)
    assert "\n" not in str(caught.value)
    assert left_behind(home) == []
    after = {path for path in home.rglob("*") if "uploads" not in path.parts}
    assert after - before <= {home / "data"}


def test_an_upload_is_unpacked_and_can_be_used(home):
    source = store_upload("My Photos (1).zip", zip_bytes(pets("holiday/")))
    assert source.startswith(str(home / "data" / "uploads" / "my-photos-1-"))
    info = describe(source)
    assert (info.title, info.train_count, info.val_count) == ("my-photos-1", 6, 6)
    assert len(load(DataConfig(source=source, image_size=8)).train) == 6


def test_the_same_upload_is_stored_once_and_another_beside_it(home):
    file = zip_bytes(pets())  # once: a zip holds the time at which it was written
    first, again = (store_upload("photos.zip", file) for _ in range(2))
    other = store_upload("photos.zip", zip_bytes(pets(count=4)))
    assert first == again != other
    assert sorted(left_behind(home)) == sorted(source.rsplit("/", 1)[1] for source in (first, other))


def test_uploads_are_among_the_sources_and_broken_ones_are_not(home):
    source = store_upload("photos.zip", zip_bytes(pets()))
    (home / "data" / "uploads" / "emptied").mkdir()
    assert [info.source for info in sources()][-1] == source
    assert sources()[0].source == "scenes"


@pytest.mark.parametrize("name", ["../../evil.zip", "/etc/passwd", "..\\..\\x.zip", "...", "", "\x00.zip", "ü" * 300])
def test_a_name_never_leads_out_of_the_folder_of_uploads(home, name):
    source = store_upload(name, zip_bytes(pets()))
    assert source.rsplit("/", 1)[0] == str(home / "data" / "uploads")
    assert left_behind(home) == [source.rsplit("/", 1)[1]]


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_a_climbing_or_absolute_path_is_refused(home, name):
    refused(home, zip_bytes(pets() | {name: image_bytes()}), "outside its folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_a_device_is_refused(home, kind):
    info = zipfile.ZipInfo("train/cat/link.png")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    refused(home, zip_bytes({**pets(), info: b"/etc/passwd"}), "link or a special file")


def test_an_encrypted_zip_is_refused(home):
    data = bytearray(zip_bytes({"a/1.png": image_bytes()}).getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1
    refused(home, io.BytesIO(data), "encrypted")


@pytest.mark.parametrize("name", ["train/cat/more.zip", "train/cat/more.tar.gz", "train/cat/harmless.png"])
def test_an_archive_within_the_archive_is_refused(home, name):
    inner = zip_bytes({"x.png": image_bytes()}).getvalue()
    refused(home, zip_bytes(pets() | {name: inner}), "another archive")


def test_a_bomb_is_refused_while_it_expands(home, monkeypatch):
    monkeypatch.setattr(zips, "RATIO_FREE_BYTES", 2**20)
    bomb = zip_bytes(pets() | {"train/cat/flat.bmp": bytes(30 * 2**20)})
    refused(home, bomb, "expands to over 100 times its size")


def test_more_bytes_than_allowed_are_refused(home, monkeypatch):
    monkeypatch.setattr(zips, "BYTES_MAX", 2**20)
    refused(home, zip_bytes(pets() | {"train/cat/big.bmp": bytes(2 * 2**20)}), "expands to more than")


def test_declared_sizes_are_not_believed(home, monkeypatch):
    monkeypatch.setattr(zips, "BYTES_MAX", 2**20)
    data = bytearray(zip_bytes(pets() | {"train/dog/big.bmp": bytes(3 * 2**20)}).getvalue())
    at = data.find(struct.pack("<L", 3 * 2**20))
    while at >= 0:  # in the file's own header and in the table of contents
        data[at : at + 4] = struct.pack("<L", 100)
        at = data.find(struct.pack("<L", 3 * 2**20))
    refused(home, io.BytesIO(data), "expands to more than|damaged")


def test_too_many_files_are_refused(home, monkeypatch):
    monkeypatch.setattr(zips, "ENTRIES_MAX", 10)
    refused(home, zip_bytes(pets()), "12 files, but at most 10 are allowed")


def test_a_table_of_contents_that_would_fill_the_memory_is_refused(home, monkeypatch):
    monkeypatch.setattr(zips, "DIRECTORY_BYTES_MAX", 100)
    refused(home, zip_bytes(pets()), "too many files")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(home):
    file = zip_bytes(pets())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("train/cat/0.png", image_bytes(99))
    refused(home, file, "two files of the same name")


def test_a_name_that_is_a_file_and_a_folder_is_refused(home):
    refused(home, zip_bytes(pets() | {"train/cat": b"x"}), "cannot be unpacked|same name")


def test_a_name_that_is_too_long_is_refused(home):
    refused(home, zip_bytes(pets() | {f"train/cat/{'x' * 300}.png": b"x"}), "too long")


@pytest.mark.parametrize("content", [b"", b"not a zip", image_bytes(), zip_bytes(pets()).getvalue()[:-30]])
def test_what_is_no_whole_zip_is_refused(home, content):
    refused(home, io.BytesIO(content), r"photos\.zip is not a zip file")


def test_a_damaged_member_is_refused(home):
    data = bytearray(zip_bytes(pets()).getvalue())
    data[60] ^= 0xFF
    refused(home, io.BytesIO(data), r"photos\.zip: '0\.png' is damaged")


def test_no_damage_leads_to_anything_but_a_sentence(home):
    whole, random = zip_bytes(pets()).getvalue(), np.random.default_rng(0)
    for _ in range(150):
        data = np.frombuffer(whole, np.uint8).copy()
        data[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
        with contextlib.suppress(DataError):
            store_upload("photos.zip", io.BytesIO(data.tobytes()))
    assert not [name for name in left_behind(home) if name.startswith(".")]


def test_a_zip_without_classes_is_refused_with_its_own_name(home):
    refused(home, zip_bytes({"a/1.png": image_bytes()}), r"^photos\.zip has 1 class")


def test_strange_names_become_harmless_ones(home):
    entries = {f'a<b>:"|?*\x07/{index}\n.png': image_bytes(index) for index in range(2)}
    source = store_upload("x.zip", zip_bytes(entries | {f"b/{index}.png": image_bytes(index) for index in range(2)}))
    assert describe(source).class_names == ("a_b_______", "b")


def test_hidden_members_are_not_unpacked(home):
    source = store_upload("x.zip", zip_bytes(pets() | {"__MACOSX/._x": b"x", "train/.DS_Store": b"x"}))
    assert {path.name for path in (home / "data" / "uploads").rglob("*")}.isdisjoint({"__MACOSX", ".DS_Store"})
    assert describe(source).train_count == 6


@pytest.mark.parametrize("attack", ["../evil.png", "/evil.png"])
def test_a_zip_that_is_read_in_place_is_judged_as_well(home, attack):
    path = home / "photos.zip"
    path.write_bytes(zip_bytes(pets() | {attack: image_bytes()}).getvalue())
    with pytest.raises(DataError, match="outside its folder"):
        describe(str(path))


def test_what_a_killed_process_left_half_unpacked_is_cleared_away_and_what_is_being_unpacked_stays(home):
    folder = home / "data" / "uploads"
    remains = folder / ".0123.unpacking"
    remains.mkdir(parents=True)
    (folder / ".0123.unpacking.lock").touch()
    with zips.temporary_folder(folder) as busy:
        store_upload("x.zip", zip_bytes(pets()))
        assert busy.exists()
        assert not remains.exists()
    assert not busy.exists()
    assert [name for name in left_behind(home) if name.startswith(".")] == []


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: hostile_zips.overlapping_zip(30, 2**20),
        lambda: hostile_zips.raw_zip([(b"a/%d" % index, b"", {}) for index in range(200)]),
        lambda: hostile_zips.raw_zip([(b"a", b"", {})] * 200, count=2),
        hostile_zips.ZIP_BOMBS["zip with a dictionary of 4 GB (LZMA)"],
        hostile_zips.ZIP_BOMBS["zip of an unknown method"],
        hostile_zips.zip64_that_lies,
        hostile_zips.ZIP_BOMBS["zip whose table is the whole of it"],
    ],
)
def test_a_zip_made_to_fill_memory_or_disk_is_refused_before_it_is_expanded(home, bomb, monkeypatch):
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    monkeypatch.setattr(zips, "ENTRIES_MAX", 100)
    refused(home, io.BytesIO(bomb()), "overlap|are allowed|too many files|compression method|not a zip file")


def test_thousands_of_empty_files_are_refused_early(home):
    members = [(b"%d/%d.png" % (index % 2, index), b"", {}) for index in range(5000)]
    refused(home, io.BytesIO(hostile_zips.raw_zip(members)), "over 1,000 empty files")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("train/cat/x.png", "train/CAT/y.png"),
        ("train/cat/x.png", "train/cat/X.PNG"),
        ("train/cat/e\u0301.png", "train/cat/\u00e9.png"),
        ("train/cat/a:b.png", "train/cat/a?b.png"),
        ("train/cat/stra\u00dfe.png", "train/cat/STRASSE.png"),
        ("train/cat/x", "train/cat/x/y.png"),
        ("train/cat/y ", "train/cat/y_"),
    ],
)
def test_names_that_are_one_on_some_system_are_refused(home, one, other):
    refused(home, zip_bytes(pets() | {one: image_bytes(), other: image_bytes()}), "two files of the same name")


@pytest.mark.parametrize("name", ["con.png", "AUX", "nul.tar.png", "lpt1.png", "x.", "y "])
def test_a_name_that_another_system_cannot_have_is_changed(home, name):
    source = store_upload("x.zip", zip_bytes(pets() | {f"train/cat/{name}": image_bytes()}))
    stored = {path.name for path in (home / "data" / "uploads").rglob("*")}
    assert name not in stored
    assert stored & {f"_{name}", f"{name[:-1]}_"}
    assert describe(source).train_count == 7


def test_a_disk_that_fills_up_while_expanding_is_a_sentence(home):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = zip_bytes(pets() | {"train/cat/big.bmp": np.random.default_rng(0).bytes(2**20)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, hard))
    try:
        refused(home, file, r"photos\.zip cannot be unpacked: File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_zip_read_in_place_is_judged_like_an_upload(home):
    for bomb in (hostile_zips.overlapping_zip(30, 2**20), hostile_zips.ZIP_BOMBS["zip of an unknown method"]()):
        path = home / "photos.zip"
        path.write_bytes(bomb)
        with pytest.raises(DataError, match=r"overlap|compression method"):
            describe(str(path))
