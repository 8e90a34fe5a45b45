"""Boards: codes, seats, bounds, what they show of runs, and hostile input."""

import json
import re
import threading
import time

import pytest

from tests.conftest import tiny_config
from vit import runs
from vit.errors import SettingsError
from vit.lessons import EXPERIMENTS, boards
from vit.lessons.boards import BoardError, TryLimit
from vit.paths import checkpoints_dir

TEACHER, OTHER = "a" * 32, "b" * 32


def mark(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def board(home):
    return boards.open_board("heads", TEACHER)


def trained(name: str, config, accuracy: float | None = 0.5) -> runs.Run:
    run = runs.create(name, config)
    best = None if accuracy is None else {"val_accuracy": accuracy, "epoch": 1}
    runs.update_status(run.path, state="finished", best=best, validated=best is not None)
    return run


def test_a_code_is_random_short_and_read_however_it_is_typed(home):
    codes = {boards.open_board("heads", mark(number)).code for number in range(8)}
    assert len(codes) == 8
    assert all(re.fullmatch(r"[2-9A-HJKMNP-Z]{6}", code) for code in codes)
    code = codes.pop()
    assert boards.read_board(f" {code[:3].lower()} - {code[3:]} ").code == code
    assert boards.normalised(boards.spaced(code)) == code


@pytest.mark.parametrize("code", ["", "../../x", "K7M4X", "K7M4XQQ", "OOOOOO", "K7M/XQ", "K7M4X\0", "a" * 10_000, "*"])
def test_what_is_no_code_is_refused(board, code):
    with pytest.raises(BoardError, match="not a code"):
        boards.read_board(code)


def test_students_get_seats_in_turn_and_keep_them(board):
    assert [boards.join(board.code, mark(one)).seat(mark(one)).number for one in (1, 2, 1)] == [1, 2, 1]
    boards.leave(board.code, mark(1))
    assert boards.join(board.code, mark(3)).seat(mark(3)).number == 1
    for one in range(4, 4 + boards.SEATS_MAX - 2):
        boards.join(board.code, mark(one))
    with pytest.raises(BoardError, match="All 30 seats"):
        boards.join(board.code, mark(99))
    assert (checkpoints_dir() / ".boards" / f"{board.code}.json").stat().st_size < boards.BYTES_MAX


def test_many_who_join_at_once_get_different_seats(board):
    def join(number: int) -> None:
        boards.join(board.code, mark(number))

    threads = [threading.Thread(target=join, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seat.number for seat in boards.read_board(board.code).seats) == list(range(1, 13))


def test_the_first_guess_counts(board):
    for one, guess in ((1, 0), (2, 1), (3, 1)):
        boards.join(board.code, mark(one))
        boards.note_guess(board.code, mark(one), guess)
    boards.note_guess(board.code, mark(1), 2)
    assert boards.read_board(board.code).guesses == [1, 2, 0]
    with pytest.raises(SettingsError, match="no option 7"):
        boards.note_guess(board.code, mark(1), 7)
    with pytest.raises(BoardError, match="no seat"):
        boards.note_guess(board.code, mark(9), 0)


def test_the_runs_of_a_seat_are_shown_without_its_mark_and_others_runs_are_not(board):
    short, full = EXPERIMENTS["heads-short"][2], EXPERIMENTS["heads"][0]
    boards.join(board.code, mark(1))
    theirs = full.config.model_copy(update={"owner": OTHER})
    found = [
        trained("mine", short.seeded(7), 0.4),
        trained("waiting", full.config.model_copy(update={"owner": mark(1)}), None),
        trained("theirs", theirs, 0.9),
        trained("another", tiny_config(), 0.8),
    ]
    boards.note_runs(board.code, mark(1), [run.name for run in found] + ["deleted"])
    board = boards.read_board(board.code)
    listed = boards.results(board, runs.list_runs())
    assert [(one.version, one.variant, one.seed, one.accuracy) for one in listed] == [
        ("full", full.title, 0, None),
        ("short", short.title, 7, 0.4),
    ]
    rows = boards.rows(board, listed)
    assert [row["accuracy"] for row in rows] == ["", 0.4]
    assert mark(1) not in json.dumps(rows)
    assert "mine" not in json.dumps(rows)


def test_a_seat_keeps_a_bounded_number_of_runs_with_valid_names(board):
    boards.join(board.code, mark(1))
    boards.note_runs(board.code, mark(1), [f"run-{number}" for number in range(40)])
    assert boards.read_board(board.code).seats[0].runs[-1] == "run-39"
    assert len(boards.read_board(board.code).seats[0].runs) == boards.RUNS_MAX
    with pytest.raises(SettingsError):
        boards.note_runs(board.code, mark(1), ["../x"])


def test_only_the_teacher_closes_a_board(board):
    with pytest.raises(BoardError, match="Another teacher"):
        boards.close(board.code, OTHER)
    boards.close(board.code, TEACHER)
    with pytest.raises(BoardError, match="no open board"):
        boards.read_board(board.code)
    assert boards.changed(board.code) == 0


def test_the_number_of_boards_is_bounded(home):
    for _ in range(2):
        boards.open_board("heads", TEACHER, most=2)
    with pytest.raises(BoardError, match="2 open boards"):
        boards.open_board("heads", TEACHER, most=2)
    for number in range(boards.BOARDS_MAX - 2):
        boards.open_board("depth", mark(number))
    with pytest.raises(BoardError, match="20 open boards"):
        boards.open_board("heads", OTHER)
    boards.close(boards.boards_of(TEACHER)[0].code, TEACHER)
    with pytest.raises(SettingsError):
        boards.open_board("../x", OTHER)


def test_a_board_ends_after_a_day_and_damaged_files_are_no_boards(board, monkeypatch):
    folder = checkpoints_dir() / ".boards"
    (folder / "AAAAAA.json").write_text("{")
    (folder / "BBBBBB.json").write_text((folder / f"{board.code}.json").read_text())  # another board's content
    (folder / "CCCCCC.json").write_bytes(b" " * (boards.BYTES_MAX + 1))
    for code in ("AAAAAA", "BBBBBB", "CCCCCC"):
        with pytest.raises(BoardError, match="no open board"):
            boards.read_board(code)
    assert boards.boards_of(TEACHER) == [board]
    later = time.time() + 3600 * boards.HOURS + 1
    monkeypatch.setattr(boards.time, "time", lambda: later)
    assert boards.boards_of(TEACHER) == []
    with pytest.raises(BoardError, match="no open board"):
        boards.join(board.code, mark(1))
    boards.expire()
    assert not list(folder.glob("*.json"))


def test_boards_are_no_runs(board):
    assert runs.list_runs() == []
    assert runs.broken_runs() == []
    runs.remove_abandoned()
    assert boards.read_board(board.code) == board


def test_wrong_codes_are_limited_for_one_address_and_for_all(monkeypatch):
    limit = TryLimit(each=3, together=5, seconds=60)
    for _ in range(3):
        limit.check("one")
        limit.count("one")
    with pytest.raises(BoardError, match="Too many wrong codes"):
        limit.check("one")
    limit.check("two")
    for _ in range(2):
        limit.count("two")
    with pytest.raises(BoardError, match="Too many wrong codes"):
        limit.check("three")
    later = time.monotonic() + 61
    monkeypatch.setattr(boards.time, "monotonic", lambda: later)
    limit.check("one")
