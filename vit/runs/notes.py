"""Tags and a note of a run: what its user writes about it. Imports no torch.

They are a small JSON file in the run's folder, which may come from a stranger: every value is checked when it is read.
A job neither reads nor writes it, so it may change while the run trains, and starting the run over keeps it.
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, field_validator

from vit.config.base import Settings
from vit.errors import RunError, SettingsError
from vit.runs import failures
from vit.runs.folder import NOTES, reason
from vit.runs.run import Run
from vit.support.files import write_atomic
from vit.support.untrusted_text import shown

TAGS_MAX, TAG_LENGTH, NOTE_LENGTH = 8, 24, 1000
"""Most tags of a run, and most characters of a tag and of a note."""

BYTES_MAX = 2**14
"""Largest file that is read: a full one has less than this, whatever its characters are."""


class Notes(Settings):
    """What the user writes about a run.

    Attributes:
        tags: short names, for example to filter by; each is one line, and none is repeated.
        note: a text of several lines.
    """

    model_config = ConfigDict(extra="ignore")
    tags: Annotated[tuple[str, ...], Field(max_length=TAGS_MAX)] = ()
    note: Annotated[str, Field(max_length=NOTE_LENGTH)] = ""

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            if not 1 <= len(tag) <= TAG_LENGTH or "," in tag or shown(tag) != tag:
                raise SettingsError(
                    f"The tag {shown(tag, 40)!r} cannot be used: write 1 to {TAG_LENGTH} characters without commas."
                )
        if len(set(tags)) < len(tags):
            raise SettingsError("A tag is repeated: write each tag once.")
        return tags

    def __bool__(self) -> bool:
        """Whether there is a tag or a note."""
        return bool(self.tags or self.note)


def make_notes(tags: Iterable[str], note: str) -> Notes:
    """Return tags and a note as a user wrote them: without spaces at their ends, empty tags and repeated tags.

    Raises:
        SettingsError: there are too many tags, or a tag or the note is too long or has characters that are not allowed.
    """
    names = list(dict.fromkeys(name for name in (" ".join(tag.split()) for tag in tags) if name))
    if len(names) > TAGS_MAX:
        raise SettingsError(f"A run can have {TAGS_MAX} tags, not {len(names)}: remove some.")
    note = note.replace("\r\n", "\n").strip()
    if len(note) > NOTE_LENGTH:
        raise SettingsError(f"A note can have {NOTE_LENGTH:,} characters, not {len(note):,}: shorten it.")
    return Notes(tags=tuple(names), note=note)


def read_notes(run: Run) -> Notes:
    """Return the tags and the note of a run; they are empty if it has none or its file is damaged."""
    path = run.path / NOTES
    try:
        stat = path.stat()
        if stat.st_size > BYTES_MAX:
            return Notes()
        return _parse(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except (OSError, SettingsError):
        return Notes()


@lru_cache(maxsize=512)
def _parse(path: Path, _inode: int, _mtime_ns: int, _size: int) -> Notes:
    return Notes.from_json(path.read_bytes())


def write_notes(run: Run, notes: Notes) -> None:
    """Store the tags and the note of a run, which may be active; empty ones remove the file.

    Raises:
        RunError: the run's folder cannot be written.
    """
    path = run.path / NOTES
    try:
        if notes:
            write_atomic(path, notes.model_dump_json().encode())
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        sentence = f"The notes of {run.name!r} cannot be saved: {reason(error)}{failures.disk_advice(error)}."
        raise RunError(sentence) from error
