"""Boards of lessons for the visitor: who they are on a board, and which of their runs it gets.

On a demo, the visitor's own mark identifies them. On the user's own machine browsers have no marks, so the session gets
a random one; the address keeps it for a reload (``?me=``).
"""

import secrets
from collections.abc import Iterable

import streamlit as st

from pages.access import cleanup
from pages.access.identity import address, bounds, require_visitor
from pages.access.runs import may_change
from vit import runs
from vit.errors import UserError
from vit.lessons import boards
from vit.lessons.boards import Board, BoardError, Result, Seat
from vit.paths import OWNER
from vit.runs import Run

BOARDS_OF_VISITOR = 2
"""Boards that a visitor of a demo may have open."""

_CODE, _MARK = "board_code", "board_mark"
_tries = boards.TryLimit()


def board_mark() -> str:
    """Return the mark by which boards know the visitor.

    Raises:
        RunError: the visitor of a demo cannot be identified.
    """
    if bounds() is not None:
        return require_visitor()
    mark = st.session_state.get(_MARK) or st.query_params.get("me", "")
    if not OWNER.fullmatch(mark):
        mark = secrets.token_hex(16)
    st.session_state[_MARK] = mark
    return mark


def open_board(lesson: str) -> Board:
    """Open a board of a lesson for the visitor.

    Raises:
        UserError: there are too many boards, or the disk of the demo is full.
    """
    limits = bounds()
    if limits is not None:
        cleanup.check_disk(limits, boards.BYTES_MAX)
    return boards.open_board(lesson, board_mark(), most=None if limits is None else BOARDS_OF_VISITOR)


def join_board(code: str) -> Board:
    """Take a seat on a board.

    Raises:
        UserError: there is no such board, it is full, or too many wrong codes were entered.
    """
    _tries.check(address())
    mark = board_mark()
    if find_board(code) is None:  # only a wrong code counts, not a full board
        _tries.count(address())
    board = boards.join(code, mark)
    st.session_state[_CODE] = board.code
    return board


def joined_board() -> Board | None:
    """Return the board on which the visitor has a seat; None if there is none, or if it was closed."""
    board = _known_board()
    return board if board and board.seat(board_mark()) else None


def find_board(code: str) -> Board | None:
    """Return an open board by its code; None if it was closed."""
    try:
        return boards.read_board(code)
    except BoardError:
        return None


def own_boards() -> list[Board]:
    """Return the open boards of the visitor, newest first."""
    return boards.boards_of(board_mark()) if bounds() is None or _is_known() else []


def own_seat(board: Board) -> Seat | None:
    """Return the visitor's seat on a board."""
    return board.seat(board_mark())


def seat_in(lesson: str) -> Seat | None:
    """Return the visitor's seat on the board that they have joined; None if there is none for this lesson."""
    board = joined_board()
    return own_seat(board) if board and board.lesson == lesson else None


def board_address() -> dict[str, str]:
    """Return the query parameters with which a reload finds the visitor's boards again; empty without a board."""
    joined = joined_board()
    found = {} if joined is None else {"board": joined.code}
    if bounds() is None and (joined or own_boards()):
        found["me"] = board_mark()
    return found


def leave_board(board: Board) -> None:
    """Give up the visitor's seat, with its guess and its list of runs."""
    boards.leave(board.code, board_mark())
    st.session_state.pop(_CODE, None)


def close_board(board: Board) -> None:
    """Delete a board of the visitor.

    Raises:
        BoardError: another visitor opened it.
    """
    boards.close(board.code, board_mark())


def send_guess(lesson: str, guess: int) -> None:
    """Send a guess to the board that the visitor has joined; without effect if it belongs to another lesson."""
    board = joined_board()
    if board is None or board.lesson != lesson:
        return
    seat = own_seat(board)
    if seat is not None and seat.guess is None:
        boards.note_guess(board.code, board_mark(), guess)


def send_runs(lesson: str, started: Iterable[Run]) -> None:
    """Bring runs that the visitor has started to the board that they have joined, if it belongs to the lesson."""
    board = joined_board()
    if board is None or board.lesson != lesson or (seat := own_seat(board)) is None:
        return
    new = [run.name for run in started if run.name not in seat.runs and may_change(run)]
    if new:
        boards.note_runs(board.code, seat.mark, new)


def board_results(board: Board) -> list[Result]:
    """Return the runs on a board. Of other visitors' runs it tells only the settings and the accuracy."""
    return boards.results(board, runs.list_runs())


def board_news(code: str) -> tuple:
    """Return a value that changes with everything that a board shows; the board is read each time."""
    board = find_board(code)
    return boards.changed(code), () if board is None else tuple(board_results(board))


def _known_board() -> Board | None:
    """Return the board of the session or of the address; None if there is none."""
    code = st.session_state.get(_CODE) or st.query_params.get("board")
    if not code or not _is_known():
        return None
    try:
        board = boards.read_board(code)
    except BoardError:
        st.session_state.pop(_CODE, None)
        return None
    if st.session_state.get(_CODE) != board.code and board.seat(board_mark()):
        st.session_state[_CODE] = board.code
    return board


def _is_known() -> bool:
    try:
        return bool(board_mark())
    except UserError:
        return False
