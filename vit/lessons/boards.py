"""Boards: the guesses and runs of a class in one lesson, which students join with a code.

A board is a small file in ``checkpoints/.boards``, so it survives a restart of the server. It holds no names: a student
is a seat number, known by a random mark or by the mark of a demo's visitor. Results are read from the folders of the
runs that a seat has brought in; a run that is deleted leaves the board. Every value is checked when a file is read.
"""

import re
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NamedTuple

from filelock import FileLock, Timeout
from pydantic import Field

from vit.config.base import Settings
from vit.errors import SettingsError, UserError
from vit.lessons.experiments import EXPERIMENTS, full_version, is_of, short_version
from vit.lessons.texts import NAMES, text
from vit.paths import OWNER, RUN_NAME, checkpoints_dir
from vit.runs.run import Run
from vit.support.files import write_atomic

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Characters of a code: without 0, 1, I, L and O, which are easily taken for each other."""
CODE_LENGTH = 6
SEATS_MAX = 30
BOARDS_MAX = 20
"""Open boards of all teachers together."""
HOURS = 24.0
"""Hours after which a board is deleted."""
RUNS_MAX = 24
"""Runs of a seat."""
BYTES_MAX = 200_000
"""Largest file that is read; a full board is smaller."""
TRIES, TRIES_OF_ALL, TRY_SECONDS = 30, 200, 600.0
"""Wrong codes that one address and all addresses together may enter in this time, in seconds."""

_CODE = re.compile(f"[{ALPHABET}]{{{CODE_LENGTH}}}")
_LOCK_SECONDS = 10.0

Mark = Annotated[str, Field(pattern=f"^{OWNER.pattern}$")]
RunName = Annotated[str, Field(pattern=f"^{RUN_NAME.pattern}$")]


class BoardError(UserError):
    """A board cannot be opened, joined or changed."""


class Seat(Settings):
    """A student of a board.

    Attributes:
        number: number of the seat, from 1.
        mark: random mark of the student.
        guess: number of the chosen option of the lesson, from 0; None without a guess.
        runs: names of the runs that the student started.
    """

    number: Annotated[int, Field(ge=1, le=SEATS_MAX)]
    mark: Mark
    guess: Annotated[int | None, Field(ge=0, le=9)] = None
    runs: Annotated[tuple[RunName, ...], Field(max_length=RUNS_MAX)] = ()


class Board(Settings):
    """A board.

    Attributes:
        code: what students enter.
        lesson: name of the lesson.
        owner: mark of the teacher.
        opened: when it was opened, in seconds since 1970.
        seats: the students, in the order in which they joined.
    """

    code: Annotated[str, Field(pattern=f"^{_CODE.pattern}$")]
    lesson: Annotated[str, Field(pattern=f"^({'|'.join(NAMES)})$")]
    owner: Mark
    opened: float
    seats: Annotated[tuple[Seat, ...], Field(max_length=SEATS_MAX)] = ()

    def seat(self, mark: str) -> Seat | None:
        """Return the seat of a student; None if they have not joined."""
        return next((seat for seat in self.seats if seat.mark == mark), None)

    @property
    def closes(self) -> float:
        """When it is deleted, in seconds since 1970."""
        return self.opened + 3600 * HOURS

    @property
    def guesses(self) -> list[int]:
        """How many students chose each option of the lesson."""
        chosen = [seat.guess for seat in self.seats]
        return [chosen.count(option) for option in range(len(text(self.lesson).options))]


class Result(NamedTuple):
    """One run of a student.

    Attributes:
        seat: number of the seat.
        version: ``short`` or ``full``.
        variant: title of the network.
        seed: seed of the run.
        state: state of the run.
        epochs: completed epochs.
        accuracy: validation accuracy of the kept weights; None before the first validation.
    """

    seat: int
    version: str
    variant: str
    seed: int
    state: str
    epochs: int
    accuracy: float | None


class TryLimit:
    """Limit how many wrong codes are tried. A restart of the server forgets them.

    Args:
        each: wrong codes of one address.
        together: wrong codes of all addresses.
        seconds: the time in which they are counted.
    """

    def __init__(self, each: int = TRIES, together: int = TRIES_OF_ALL, seconds: float = TRY_SECONDS) -> None:
        self.each, self.seconds = each, seconds
        self._wrong: deque[tuple[float, str]] = deque(maxlen=together)

    def check(self, address: str) -> None:
        """Check that an address may try another code.

        Raises:
            BoardError: too many wrong codes were entered.
        """
        now = time.monotonic()
        while self._wrong and now - self._wrong[0][0] > self.seconds:
            self._wrong.popleft()
        mine = sum(one == address for _, one in list(self._wrong))
        if mine >= self.each or len(self._wrong) == self._wrong.maxlen:
            raise BoardError("Too many wrong codes were entered: try again later.")

    def count(self, address: str) -> None:
        """Count a wrong code."""
        self._wrong.append((time.monotonic(), address))


def normalised(code: str) -> str:
    """Return a code as it is stored: in capitals, without spaces and hyphens.

    Raises:
        BoardError: it is no code.
    """
    bare = re.sub(r"[\s-]", "", code[:40]).upper()
    if not _CODE.fullmatch(bare):
        raise BoardError(f"This is not a code: a code has {CODE_LENGTH} letters and digits, such as K7M-4XQ.")
    return bare


def spaced(code: str) -> str:
    """Return a code as it is shown, such as ``K7M-4XQ``."""
    return f"{code[:3]}-{code[3:]}"


def open_board(lesson: str, owner: str, *, most: int | None = None) -> Board:
    """Open a board.

    Args:
        lesson: name of the lesson.
        owner: mark of the teacher.
        most: how many boards the teacher may have open; None without a limit.

    Raises:
        BoardError: there are too many boards.
    """
    with _changing():
        expire()
        found = list(_boards())
        if most is not None and sum(board.owner == owner for board in found) >= most:
            raise BoardError(f"You have {most} open boards, which is the limit: close one first.")
        if len(found) >= BOARDS_MAX:
            raise BoardError(f"There are {BOARDS_MAX} open boards, which is the limit: close one, or try again later.")
        taken = {board.code for board in found}
        code = next(code for code in iter(_random_code, "") if code not in taken)
        board = Board(code=code, lesson=lesson, owner=owner, opened=time.time())
        _write(board)
        return board


def read_board(code: str) -> Board:
    """Return an open board.

    Raises:
        BoardError: there is none with this code.
    """
    board = _read(_file(normalised(code)))
    if board is None or time.time() > board.closes:
        raise BoardError("There is no open board with this code: check the code, or ask for a new one.")
    return board


def boards_of(owner: str) -> list[Board]:
    """Return the open boards of a teacher, newest first."""
    mine = [board for board in _boards() if board.owner == owner and time.time() <= board.closes]
    return sorted(mine, key=lambda board: -board.opened)


def join(code: str, mark: str) -> Board:
    """Give a student a seat; one who has a seat keeps it.

    Raises:
        BoardError: there is no such board, or it is full.
    """
    with _changing():
        board = read_board(code)
        if board.seat(mark):
            return board
        taken = {seat.number for seat in board.seats}
        free = next((number for number in range(1, SEATS_MAX + 1) if number not in taken), None)
        if free is None:
            raise BoardError(f"All {SEATS_MAX} seats of this board are taken: ask for a second board.")
        return _stored(board, (*board.seats, Seat(number=free, mark=mark)))


def leave(code: str, mark: str) -> None:
    """Delete a student's seat with the guess and the list of runs."""
    with _changing():
        board = read_board(code)
        _stored(board, tuple(seat for seat in board.seats if seat.mark != mark))


def note_guess(code: str, mark: str, guess: int) -> None:
    """Store the guess of a student; the first one counts.

    Raises:
        BoardError: there is no such board, or the student has no seat.
        SettingsError: the lesson has no such option.
    """
    with _changing():
        board, seat = _seated(code, mark)
        if not 0 <= guess < len(text(board.lesson).options):
            raise SettingsError(f"The lesson has no option {guess}: choose one of its options.")
        if seat.guess is None:
            _replace(board, seat, guess=guess)


def note_runs(code: str, mark: str, names: Iterable[str]) -> None:
    """Add runs of a student; when there are more than :data:`RUNS_MAX`, the newest stay.

    Raises:
        BoardError: there is no such board, or the student has no seat.
        SettingsError: a name is no name of a run.
    """
    with _changing():
        board, seat = _seated(code, mark)
        new = [name for name in dict.fromkeys(names) if name not in seat.runs]
        if new:
            _replace(board, seat, runs=(*seat.runs, *new)[-RUNS_MAX:])


def close(code: str, owner: str) -> None:
    """Delete a board.

    Raises:
        BoardError: there is no such board, or another teacher opened it.
    """
    with _changing():
        board = read_board(code)
        if board.owner != owner:
            raise BoardError("Another teacher opened this board: only they can close it.")
        _file(board.code).unlink(missing_ok=True)


def results(board: Board, found: Iterable[Run]) -> list[Result]:
    """Return the runs of all seats, those with settings of the lesson.

    Args:
        board: the board.
        found: all runs.
    """
    by_name = {run.name: run for run in found}
    listed = []
    for seat in board.seats:
        for name in seat.runs:
            # The name may be that of another visitor's run by now.
            if (run := by_name.get(name)) is not None and run.config.owner in ("", seat.mark):
                listed += _result(board.lesson, seat.number, run)
    return sorted(listed)


def guess_rows(board: Board) -> list[dict[str, object]]:
    """Return the guess of each seat as rows of a table."""
    options = text(board.lesson).options
    return [
        {"seat": seat.number, "guess": "" if seat.guess is None else options[seat.guess]}
        for seat in sorted(board.seats, key=lambda seat: seat.number)
    ]


def rows(board: Board, listed: Iterable[Result]) -> list[dict[str, object]]:
    """Return a table of the board: a row for each run, and one for each seat without a run."""
    by_seat: dict[object, list[Result]] = {}
    for result in listed:
        by_seat.setdefault(result.seat, []).append(result)
    columns, table = Result._fields[1:], []
    for row in guess_rows(board):
        runs_of_seat = [result._asdict() for result in by_seat.get(row["seat"], [])]
        for values in runs_of_seat or [dict.fromkeys(columns)]:
            table.append({**row, **{name: "" if values[name] is None else values[name] for name in columns}})
    return table


def expire() -> None:
    """Delete the boards whose time is over, and files that cannot be read as boards."""
    for file in _folder().glob("*.json"):
        board = _read(file)
        if board is None or time.time() > board.closes:
            file.unlink(missing_ok=True)


def changed(code: str) -> int:
    """Return a number that changes whenever a board is written; 0 if it is gone."""
    try:
        return _file(normalised(code)).stat().st_mtime_ns
    except (OSError, BoardError):
        return 0


def _result(lesson: str, seat: int, run: Run) -> list[Result]:
    for version, experiment in (("full", full_version(lesson)), ("short", short_version(lesson))):
        for variant in EXPERIMENTS.get(experiment, ()):
            if is_of(run.config, variant):
                status, best = run.status, run.best
                accuracy = None if best is None else best.get("val_accuracy")
                seed = run.config.training.seed
                return [Result(seat, version, variant.title, seed, status.state, status.epoch, accuracy)]
    return []


def _seated(code: str, mark: str) -> tuple[Board, Seat]:
    board = read_board(code)
    seat = board.seat(mark)
    if seat is None:
        raise BoardError("You have no seat on this board: join it with its code.")
    return board, seat


def _replace(board: Board, seat: Seat, **values: object) -> None:
    new = Seat(**{**seat.model_dump(), **values})
    _stored(board, tuple(new if one.mark == seat.mark else one for one in board.seats))


def _stored(board: Board, seats: tuple[Seat, ...]) -> Board:
    changed_board = board.model_copy(update={"seats": seats})
    _write(changed_board)
    return changed_board


def _random_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def _folder() -> Path:
    return checkpoints_dir() / ".boards"


def _file(code: str) -> Path:
    return _folder() / f"{code}.json"


def _boards() -> Iterator[Board]:
    for file in _folder().glob("*.json"):
        if board := _read(file):
            yield board


def _read(file: Path) -> Board | None:
    """Return the board of a file; None if there is none, or if the file is no board."""
    with suppress(OSError, SettingsError):
        if file.stat().st_size <= BYTES_MAX:
            board = Board.from_json(file.read_bytes())
            return board if file.stem == board.code else None
    return None


def _write(board: Board) -> None:
    write_atomic(_file(board.code), board.model_dump_json().encode())


@contextmanager
def _changing() -> Iterator[None]:
    """Hold the lock of all boards.

    Raises:
        BoardError: another process holds it for too long, or the disk cannot be written.
    """
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        with FileLock(_folder() / ".lock").acquire(timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise BoardError("The board is busy: try again in a moment.") from None
    except OSError:
        raise BoardError("The board cannot be written: the disk of the server may be full.") from None
