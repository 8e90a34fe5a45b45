"""Files that survive a crash, and what one leaves behind."""

import json
import os
import signal
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vit.support.files import json_lines, remove_temporary_files, safetensors_metadata, tail, write_atomic


def test_a_file_is_replaced_whole_and_readable_by_all(tmp_path):
    path = tmp_path / "status.json"
    for content in (b"first", b"second, and longer", b""):
        write_atomic(path, content)
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_a_writing_that_fails_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_a_process_killed_while_it_writes_leaves_the_old_file_and_remains_that_are_swept(tmp_path, moment):
    path = tmp_path / "last.safetensors"
    write_atomic(path, b"old")
    if (child := os.fork()) == 0:
        setattr(os, moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        write_atomic(path, b"new" * 100_000)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / ".lock").touch()
    remove_temporary_files(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "last.safetensors"]


def test_contents_are_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *it, name=name, real=real: (order.append(name), real(*it)))
    write_atomic(tmp_path / "x.json", b"1")
    assert order == ["fsync", "replace", "fsync"]  # the file, its name, its folder


LINES = b'{"step":1}\n{"step":2}\n{"step":3,"loss":0.25}\n'


@given(cut=st.integers(0, len(LINES)))
def test_lines_cut_short_anywhere_give_the_whole_ones(cut):
    whole = LINES[:cut].count(b"\n") + (LINES[cut : cut + 1] == b"\n")  # the last one may lack its end alone
    assert list(json_lines(LINES[:cut])) == [json.loads(line) for line in LINES.splitlines()[:whole]]


def test_lines_that_are_no_objects_are_left_out():
    assert list(json_lines(b'\xff\xfe\n[1]\nnull\n{"a":1}\n\x00\x00\x00')) == [{"a": 1}]


def test_the_tail_of_a_file_is_its_last_bytes(tmp_path):
    (tmp_path / "log").write_bytes(b"0123456789")
    assert (tail(tmp_path / "log", 3), tail(tmp_path / "log", 99)) == (b"789", b"0123456789")
    assert tail(tmp_path / "none", 3) == b""


def header(value: object) -> bytes:
    text = json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text


def test_metadata_are_read_from_the_header_alone(tmp_path):
    from safetensors.numpy import save_file

    save_file({}, tmp_path / "x", metadata={"epoch": "3", "val_accuracy": "0.5"})
    assert safetensors_metadata(tmp_path / "x") == {"epoch": "3", "val_accuracy": "0.5"}
    with (tmp_path / "x").open("r+b") as file:  # as large as a model, and not read
        file.truncate(2**33)
    assert safetensors_metadata(tmp_path / "x")["epoch"] == "3"
    assert safetensors_metadata(tmp_path / "none") == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        b"\xff" * 20,
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        header([1]),
        header({"__metadata__": [1]}),
        header({"__metadata__": None}),
        header({}),
        header({"__metadata__": {"epoch": 3}}),
    ],
)
def test_a_header_that_is_none_has_no_metadata(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert safetensors_metadata(tmp_path / "x") == {}


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_metadata(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    for data in (content, struct.pack("<Q", len(content)) + content):
        path.write_bytes(data)
        assert isinstance(safetensors_metadata(path), dict)
