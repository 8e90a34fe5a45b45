"""A table of records that fits any width: rows can be chosen, sorted, and described with tags and a note."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from pages.ui.widgets.component import register_widget
from vit.runs.notes import NOTE_LENGTH, TAG_LENGTH, TAGS_MAX
from vit.support.untrusted_text import on_terminal, shown

NOTHING = "–"
"""Shown in a cell without a value."""

_EVENTS = "record_table_events"
"""The key of the number of the last event of each table, by table."""

_component = register_widget("record_table")


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: its key among the cells of a record.
        title: its heading.
        help: what it means, as a tooltip.
        numeric: whether it holds numbers, which are aligned to the right and sorted from the largest first.
    """

    key: str
    title: str
    help: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    Attributes:
        text: the text.
        sort: what it is sorted by; None is last.
        tone: name of a colour of the theme, drawn as a dot before the text.
        strip: draw values on a line instead: ``low`` and ``high`` of the line, the ``values`` and their ``mean``. The
            text is then for screen readers.
    """

    text: str = NOTHING
    sort: str | float | None = None
    tone: str = ""
    strip: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Record:
    """A row of the table.

    Attributes:
        name: what identifies it, shown in the first column.
        cells: what the other columns show, by key; a missing one is :data:`NOTHING`.
        picture: a small picture as a data URL.
        picture_alt: what it shows.
        tags, note: what the user wrote about it.
        editable: whether the visitor may change tags and note.
    """

    name: str
    cells: Mapping[str, Cell]
    picture: str = ""
    picture_alt: str = ""
    tags: Sequence[str] = ()
    note: str = ""
    editable: bool = False


@dataclass(frozen=True)
class Choice:
    """Which records are chosen, and what a click does.

    Attributes:
        names: the chosen records, in the order of their colours.
        colours: a colour for each place in that order; none draws no colours.
        most: how many can be chosen.
        on_choose: called with the chosen names after a click.
    """

    names: Sequence[str]
    colours: Sequence[str]
    most: int
    on_choose: Callable[[list[str]], None]


@dataclass(frozen=True)
class Notes:
    """How tags and notes are changed.

    Attributes:
        known: the tags that are offered.
        on_save: called with the name of a record, its tags and its note.
        draft: what could not be saved, with the reason: ``name``, ``tags``, ``note``, ``problem`` and a number ``seq``.
    """

    known: Sequence[str]
    on_save: Callable[[str, list[str], str], None]
    draft: Mapping[str, Any] | None = field(default=None)


def record_table(
    columns: Sequence[Column],
    records: Sequence[Record],
    *,
    key: str,
    label: str,
    choice: Choice | None = None,
    notes: Notes | None = None,
) -> None:
    """Draw the table; where its columns do not fit side by side, each record is a card.

    Args:
        columns: the columns; the first one shows the names.
        records: the rows, in the order in which they are shown until the visitor sorts them.
        key: the key of the widget.
        label: what the table shows, for screen readers.
        choice: lets the visitor choose rows.
        notes: lets the visitor change tags and notes.
    """
    events = st.session_state.setdefault(_EVENTS, {})
    names = {record.name for record in records}

    def take_choice() -> None:
        event = st.session_state[key].choice
        events[key] = max(events.get(key, 0), _whole(event.get("seq")))
        asked = event.get("names")
        if choice is not None and isinstance(asked, list):
            known = names | set(choice.names)
            choice.on_choose([name for name in dict.fromkeys(map(str, asked)) if name in known][: choice.most])

    def take_notes() -> None:
        event = st.session_state[key].notes
        events[key] = max(events.get(key, 0), _whole(event.get("seq")))
        name, tags, note = event.get("name"), event.get("tags"), event.get("note")
        if notes is not None and name in names and isinstance(tags, list) and isinstance(note, str):
            notes.on_save(name, [str(tag) for tag in tags], note)

    _component(
        key=key,
        data={
            "label": label,
            "sortable": choice is not None,
            "columns": [
                {"key": one.key, "title": one.title, "help": one.help, "numeric": one.numeric} for one in columns
            ],
            "rows": [_row(record, columns[1:]) for record in records],
            "pictures": any(record.picture for record in records),
            "chosen": list(choice.names) if choice else [],
            "colours": list(choice.colours) if choice else [],
            "most": choice.most if choice else 0,
            "known": list(notes.known) if notes else [],
            "draft": dict(notes.draft) if notes and notes.draft else None,
            "limits": {"tags": TAGS_MAX, "tag": TAG_LENGTH, "note": NOTE_LENGTH},
            "seq": events.get(key, 0),
        },
        on_choice_change=take_choice,
        on_notes_change=take_notes,
    )


def _row(record: Record, columns: Sequence[Column]) -> dict[str, Any]:
    cells = [record.cells.get(column.key, Cell()) for column in columns]
    return {
        "name": record.name,
        "title": shown(record.name),
        "picture": record.picture,
        "pictureAlt": record.picture_alt,
        "tags": [shown(tag) for tag in record.tags],
        "note": on_terminal(record.note),  # its lines stay, control characters and changes of direction go
        "editable": record.editable,
        "cells": [
            {
                "text": shown(cell.text),
                "sort": cell.sort,
                "empty": cell == Cell(),
                "tone": cell.tone,
                "strip": dict(cell.strip) if cell.strip else None,
            }
            for cell in cells
        ],
    }


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
