"""The Runs page's table: its columns, its rows, and the controls that filter it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import streamlit as st

from pages import access
from pages.runs.thumbnails import Thumbnail
from pages.ui.dependence import PART as DEPENDENCE
from pages.ui.downloads import downloads
from pages.ui.link_state import settle
from pages.ui.run_words import state_tone, state_words
from pages.ui.widgets.record_table import Cell, Choice, Column, Notes, Record, record_table
from pages.ui.wording import age, count, duration, size
from vit import plots
from vit.config import DEPARTURES, RECIPES, DataConfig, ReferenceConfig, StartConfig, ViTConfig, words
from vit.errors import UserError
from vit.pictures.colours import PALETTE
from vit.runs import Run, notes
from vit.runs.comparison import Summary
from vit.runs.dependence import MEANING

RUN = Column("Run", "Run")
HEADS, DEPTH = words.title(ViTConfig, "num_heads"), words.title(ViTConfig, "depth")
MENDED = words.title(ReferenceConfig, "mended")
NEIGHBOURS = words.accuracy(RECIPES["dino"])
START, DATA = words.title(StartConfig, "run"), words.title(DataConfig, "source")

_DRAFT, _DRAFTS = "notes_draft", "notes_drafts"


def _percent(share: float | None) -> Cell:
    return Cell() if share is None else Cell(f"{share:.1%}", share)


def _number(value: float | None, form: Callable[[float], str] = str) -> Cell:
    return Cell() if value is None else Cell(form(value), value)


def _text(value: str | None) -> Cell:
    return Cell(value, value) if value else Cell()


def _created(run: Summary) -> Cell:
    if run.created is None:
        return Cell()
    return Cell(age(run.created.isoformat(), datetime.now(UTC)) or f"{run.created:%d %b %Y}", run.created.timestamp())


_MADE: dict[str, tuple[Column, Callable[[Summary], Cell]]] = {
    column.key: (column, make)
    for column, make in (
        (Column("State", "State"), lambda run: _text(run.state)),  # see `row`: a waiting run has a place
        (Column(DATA, DATA), lambda run: _text(run.data)),
        (Column("Network", "Network"), lambda run: _text(run.kind)),
        (Column(HEADS, HEADS, numeric=True), lambda run: _number(run.heads)),
        (Column(DEPTH, DEPTH, numeric=True), lambda run: _number(run.depth)),
        (
            Column(
                MENDED,
                MENDED,
                "Number of the course network's departures from the textbook that are mended: its rung.",
                numeric=True,
            ),
            lambda run: _number(run.mended, lambda mended: f"{mended} of {len(DEPARTURES)}"),
        ),
        (Column(START, START, "Run that it was fine-tuned from."), lambda run: _text(run.start)),
        (
            Column("Parameters", "Parameters", "Number of weights that are trained.", numeric=True),
            lambda run: _number(run.parameters, count),
        ),
        (
            Column("Accuracy", "Accuracy", "Validation accuracy of the weights that the run keeps.", numeric=True),
            lambda run: _percent(run.val_accuracy),
        ),
        (
            Column(
                NEIGHBOURS,
                NEIGHBOURS,
                "Of runs that were trained without labels: accuracy of a k-nearest-neighbour classifier of their "
                "features on the validation images.",
                numeric=True,
            ),
            lambda run: _percent(run.neighbour_accuracy),
        ),
        (
            Column(
                "Training accuracy",
                "Training accuracy",
                "Mean accuracy on the training images, augmented if the recipe says so, during the same epoch.",
                numeric=True,
            ),
            lambda run: _percent(run.train_accuracy),
        ),
        (
            Column(
                DEPENDENCE, DEPENDENCE, f"{MEANING} A dash: not measured; the Heads page measures it.", numeric=True
            ),
            lambda run: _percent(run.dependence),
        ),
        (
            Column("Time", "Time", "Training time so far, validation included.", numeric=True),
            lambda run: _number(run.seconds, duration),
        ),
        (Column("Size", "Size", "Size of all its files.", numeric=True), lambda run: _number(run.size_bytes, size)),
        (Column("Started", "Started", numeric=True), _created),
    )
}

COLUMNS = tuple(_MADE)
"""The columns that can be chosen."""

DEFAULT_COLUMNS = ("State", DATA, HEADS, DEPTH, "Accuracy", NEIGHBOURS, "Time", "Started")


def row(run: Summary, place: int | None, written: notes.Notes, picture: Thumbnail, *, editable: bool) -> Record:
    """Return a run as a row of the table; ``place`` is its place in the queue if it waits."""
    state = state_words(run.state, run.verdict)
    cells = {name: make(run) for name, (_, make) in _MADE.items()}
    cells["State"] = Cell(
        state if place is None else f"{state}, number {place}", state, tone=state_tone(run.state, run.verdict)
    )
    return Record(
        run.name,
        cells,
        picture=picture.url,
        picture_alt=picture.alt,
        tags=written.tags,
        note=written.note,
        editable=editable,
    )


def show_filters(found: Sequence[Run], summaries: Mapping[str, Summary]) -> list[Run]:
    """Show the controls above the table, and return the runs that it lists."""
    written = {run.name: notes.read_notes(run) for run in found}
    tags = known_tags(written.values())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Find",
            key="find",
            bind="query-params",
            persist_state="session",
            placeholder="Name, images, tag or note",
            max_chars=64,
            width=230,
        )
        wanted: list[str] = []
        if tags:
            asked = st.session_state.get("tags", st.query_params.get_all("tags"))
            settle("tags", [tag for tag in asked if tag in tags])
            wanted = st.pills(
                "Tags",
                tags,
                selection_mode="multi",
                key="tags",
                bind="query-params",
                persist_state="session",
                help="Lists only runs that have all chosen tags.",
            )
        with st.popover("Columns", icon=":material/view_column:"):
            st.pills(
                "Columns of the table",
                COLUMNS,
                selection_mode="multi",
                default=DEFAULT_COLUMNS,
                key="columns",
                bind="query-params",
                persist_state="session",
                help="The link to this page includes them. A column without any value is left out.",
                wrap=True,
            )
    listed = [run for run in found if matches(text, wanted, summaries[run.name], written[run.name])]
    if not listed:
        st.caption("No run matches: clear the filter to see all of them.")
    elif len(listed) < len(found):
        st.caption(f"{len(listed)} of {len(found)} runs match.")
    return listed


def known_tags(written: Iterable[notes.Notes]) -> list[str]:
    """Return all tags in alphabetical order."""
    return sorted({tag for one in written for tag in one.tags}, key=str.casefold)


def matches(text: str, wanted: Sequence[str], run: Summary, written: notes.Notes) -> bool:
    """Return whether a run has all wanted tags, and each word of a text in its name, images, tags, note or network."""
    where = " ".join((run.name, run.data, run.kind, run.start or "", *written.tags, written.note)).casefold()
    return set(wanted) <= set(written.tags) and all(word in where for word in text.casefold().split())


def show_table(
    listed: Sequence[Run],
    summaries: Mapping[str, Summary],
    places: Mapping[str, int],
    pictures: Mapping[str, Thumbnail],
    known: Sequence[str],
    on_choose: Callable[[list[str]], None],
) -> None:
    """Show the runs; the marked rows are the compared runs.

    Args:
        listed: the runs.
        summaries: what they are, by name.
        places: the place in the queue of each waiting run.
        pictures: a picture of each run.
        known: the tags that are offered.
        on_choose: called with the names of the runs to compare.
    """
    if not listed:
        return
    written = {run.name: notes.read_notes(run) for run in listed}
    records = [
        row(
            summaries[run.name],
            places.get(run.name),
            written[run.name],
            pictures[run.name],
            editable=access.may_change(run),
        )
        for run in listed
    ]
    filled = {name for record in records for name, cell in record.cells.items() if cell.sort is not None}
    if HEADS not in filled:  # no network has attention, so nothing can depend on it
        filled.discard(DEPENDENCE)
    chosen = [name for name in st.session_state.get("columns", DEFAULT_COLUMNS) if name in _MADE]
    columns = [RUN, *(_MADE[name][0] for name in COLUMNS if name in chosen and name in filled)]
    by_name = {run.name: run for run in listed}
    record_table(
        columns,
        records,
        key="runs_table",
        label="All runs",
        choice=Choice(st.session_state["runs"], tuple(PALETTE.values()), plots.COMPARED_MAX, on_choose),
        notes=Notes(
            known,
            lambda name, tags, note: save_notes(by_name[name], tags, note),
            st.session_state.get(_DRAFT),
        ),
    )
    downloads("runs", key="runs_list", table=lambda: [_line(summaries[run.name], written[run.name]) for run in listed])


def save_notes(run: Run, tags: list[str], note: str) -> None:
    """Store tags and note; what cannot be stored is given back to the visitor with the reason."""
    try:
        access.write_notes(run, tags, note)
    except UserError as error:
        number = st.session_state[_DRAFTS] = st.session_state.get(_DRAFTS, 0) + 1
        problem = access.without_paths(str(error))
        st.session_state[_DRAFT] = {"name": run.name, "tags": tags, "note": note, "problem": problem, "seq": number}
    else:
        st.session_state.pop(_DRAFT, None)


def _line(run: Summary, written: notes.Notes) -> dict[str, object]:
    """Return a run as a line of the downloaded table, with plain numbers."""
    return {
        "run": run.name,
        "state": run.state,
        "images": run.data,
        "network": run.kind,
        "heads": run.heads,
        "depth": run.depth,
        "parameters": run.parameters,
        "val_accuracy": run.val_accuracy,
        "knn_accuracy": run.neighbour_accuracy,
        "train_accuracy": run.train_accuracy,
        "seconds": run.seconds,
        "size_bytes": run.size_bytes,
        "created": run.created.isoformat() if run.created else None,
        "tags": ", ".join(written.tags),
        "note": written.note,
    }
