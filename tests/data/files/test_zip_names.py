import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.data.helpers import image_bytes
from tests.helpers.hostile_zips import raw_zip
from vit.data import describe, store_upload
from vit.data.files.folders import scan
from vit.data.files.zip_names import read_names
from vit.errors import DataError


def zip_of(path: Path, names: list[bytes], extra: dict[bytes, bytes] | None = None) -> Path:
    """A zip whose names are these bytes, without the UTF-8 flag."""
    path.write_bytes(raw_zip([(name, image_bytes(seed), {}) for seed, name in enumerate(names)], extra=extra))
    return path


def names_of(classes: tuple[str, ...], encoding: str) -> list[bytes]:
    return [f"set/{name}/{index}.png".encode(encoding) for name in classes for index in range(2)]


def test_names_in_utf_8_need_no_flag(tmp_path):
    index = scan(zip_of(tmp_path / "linux.zip", names_of(("Äpfel", "猫"), "utf-8")))
    assert index.class_names == ("Äpfel", "猫")
    assert index.remarks == ()


@pytest.mark.parametrize(
    ("encoding", "classes"),
    [
        ("cp932", ("猫", "犬")),
        ("cp932", ("ねこ", "いぬ")),
        ("cp932", ("ソース", "表")),  # the second byte of both is a backslash
        ("gbk", ("苹果", "香蕉")),
        ("cp949", ("고양이", "개")),
        ("big5", ("蘋果", "貓")),
        ("cp866", ("кошка", "собака")),
        ("cp1251", ("кошка", "собака")),
        ("cp1253", ("γάτα", "σκύλος")),
        ("cp1252", ("Äpfel", "Möhren")),
    ],
)
def test_another_code_page_is_guessed_and_told(tmp_path, encoding, classes):
    index = scan(zip_of(tmp_path / "old.zip", names_of(classes, encoding)))
    assert set(index.class_names) == set(classes)
    assert len(index.remarks) == 1
    assert "does not say how its names are written" in index.remarks[0]
    assert any(name in index.remarks[0] for name in classes)


def test_names_of_dos_are_no_guess(tmp_path):
    index = scan(zip_of(tmp_path / "dos.zip", names_of(("Äpfel", "café"), "cp437")))
    assert (set(index.class_names), index.remarks) == ({"Äpfel", "café"}, ())


def test_the_unicode_path_counts_if_it_belongs_to_the_name(tmp_path):
    raw = [b"a/1.png", b"a/2.png", b"b/1.png", b"b/2.png"]
    field = {}
    for name, own in zip(raw, ["ä/1.png", "ä/2.png", "ё/1.png", "wrong/2.png"], strict=True):
        crc = zlib.crc32(name if own[0] != "w" else b"another name")
        body = b"\x01" + struct.pack("<L", crc) + own.encode()
        field[name] = struct.pack("<HH", 0x7075, len(body)) + body
    path = zip_of(tmp_path / "info.zip", raw, field)
    with zipfile.ZipFile(path) as archive:
        assert read_names(archive.infolist()).names == ["ä/1.png", "ä/2.png", "ё/1.png", "b/2.png"]


def test_a_unicode_path_out_of_the_folder_is_refused(tmp_path):
    raw, own = b"a/1.png", "../../1.png"
    body = b"\x01" + struct.pack("<L", zlib.crc32(raw)) + own.encode()
    path = zip_of(tmp_path / "out.zip", [raw, b"b/1.png"], {raw: struct.pack("<HH", 0x7075, len(body)) + body})
    with pytest.raises(DataError, match="outside its folder"):
        scan(path)


def test_an_upload_still_tells_the_guess(home):
    path = zip_of(home / "old.zip", names_of(("кошка", "собака"), "cp866"))
    with path.open("rb") as file:
        info = describe(store_upload("old.zip", file))
    assert info.class_names == ("кошка", "собака")
    assert "cp866" in info.remarks[0]
