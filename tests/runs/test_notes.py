"""Tags and notes: what may be written, where it is kept, and that a zip carries it."""

import io
import json
import zipfile

import pytest

from tests.conftest import tiny_config
from vit import runs
from vit.errors import RunError, SettingsError
from vit.exports import run_zip
from vit.runs.notes import BYTES_MAX, NOTE_LENGTH, TAG_LENGTH, TAGS_MAX, Notes, make_notes, read_notes, write_notes


@pytest.fixture
def run(home) -> runs.Run:
    made = runs.create("one", tiny_config())
    runs.update_status(made.path, state="stopped")
    return made


def test_notes_are_written_tidily_and_read_again(run):
    written = make_notes(["  to   repeat ", "", "paper", "paper"], "First line\r\nSecond line \n")
    assert written == Notes(tags=("to repeat", "paper"), note="First line\nSecond line")
    write_notes(run, written)
    assert read_notes(run) == written
    write_notes(run, make_notes([], "  "))
    assert read_notes(run) == Notes()
    assert not (run.path / runs.NOTES).exists()


@pytest.mark.parametrize(
    ("tags", "note", "sentence"),
    [
        ([f"tag {number}" for number in range(TAGS_MAX + 1)], "", f"{TAGS_MAX} tags, not {TAGS_MAX + 1}"),
        (["x" * (TAG_LENGTH + 1)], "", "cannot be used"),
        (["a\x1b[2J"], "", "cannot be used"),
        (["right\u202eleft"], "", "cannot be used"),
        ([], "x" * (NOTE_LENGTH + 1), "1,000 characters, not 1,001"),
        ([], "\ud800", "unicode"),
    ],
)
def test_what_is_too_long_or_changes_the_text_around_it_is_refused(tags, note, sentence):
    with pytest.raises(SettingsError, match=sentence):
        make_notes(tags, note)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"tags": ["a", "a"]}',
        b'{"tags": "a"}',
        json.dumps({"note": "x" * (NOTE_LENGTH + 1)}).encode(),
        b'{"note": ""}' + b" " * BYTES_MAX,
    ],
)
def test_a_damaged_file_counts_as_missing(run, content):
    (run.path / runs.NOTES).write_bytes(content)
    assert read_notes(run) == Notes()


def test_the_longest_notes_fit_into_the_largest_file_that_is_read(run):
    longest = Notes(
        tags=tuple(f"{number}" + "\U0001f600" * (TAG_LENGTH - 1) for number in range(TAGS_MAX)),
        note="\x01" * NOTE_LENGTH,
    )
    write_notes(run, longest)
    assert read_notes(run) == longest


def test_notes_may_be_written_while_the_run_trains_and_survive_starting_over(run):
    with runs.run_lock(run.path):
        write_notes(run, Notes(tags=("kept",)))
    runs.start_over(run)
    assert read_notes(run).tags == ("kept",)
    assert read_notes(runs.get_run("one")).tags == ("kept",)


def test_a_folder_that_is_gone_gives_an_error_message(run):
    gone = runs.Run(run.path.with_name("gone"))
    with pytest.raises(RunError, match="cannot be saved"):
        write_notes(gone, Notes(tags=("a",)))


def test_a_zip_carries_notes_and_a_stranger_cannot_put_in_others(run):
    write_notes(run, Notes(tags=("paper",), note="Two\nlines"))
    packed = io.BytesIO()
    run_zip.pack(run, packed)
    assert read_notes(run_zip.unpack(packed, "two")) == read_notes(run)
    (run.path / runs.NOTES).write_bytes(b"damaged")
    again = io.BytesIO()
    run_zip.pack(run, again)
    assert not any(name.endswith(runs.NOTES) for name in zipfile.ZipFile(again).namelist())
    for content in (b'{"tags": ["a,b"]}', b'{"note": "' + b"x" * 2**15 + b'"}'):
        with zipfile.ZipFile(again, "a") as archive:
            foreign = io.BytesIO()
            with zipfile.ZipFile(foreign, "w") as copy:
                for name in archive.namelist():
                    copy.writestr(name, archive.read(name))
                copy.writestr("one/notes.json", content)
        with pytest.raises(RunError):
            run_zip.unpack(foreign, "three")
