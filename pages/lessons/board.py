"""The Board page: a teacher opens a board of a lesson, students join it with its code, and both see it fill."""

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from pages import access
from pages.lessons.board_link import keep_in_address
from pages.lessons.experiment import FULL, GUESSING, SHORT
from pages.lessons.lesson_list import LESSONS, Lesson
from pages.ui import polling
from pages.ui.downloads import downloads
from pages.ui.text import plain, show_error
from pages.ui.wording import duration
from vit import lessons, plots
from vit.errors import UserError
from vit.lessons import EXPERIMENTS
from vit.lessons.boards import CODE_LENGTH, HOURS, SEATS_MAX, Board, Result, rows, spaced
from vit.lessons.texts import text
from vit.plots.lessons import Reached
from vit.runs import ACTIVE

FRAGMENT = "board"
POLL = 3.0  # seconds between two updates
VERSIONS = {"short": SHORT, "full": FULL}


def lesson_of(board: Board) -> Lesson:
    """Return the lesson of a board."""
    return next(lesson for lesson in LESSONS if lesson.name == board.lesson)


def show_entrance() -> None:
    """Show the two ways to a board: open one, or join one."""
    with st.grid(2, min_column_width=300, gap="large") as grid:
        with grid.cell(), st.form("join_board", border=True):
            st.markdown("**Join a board**")
            code = st.text_input(
                "Code",
                st.query_params.get("board", "")[: 2 * CODE_LENGTH],
                max_chars=2 * CODE_LENGTH,
                placeholder="K7M-4XQ",
                key="join_code",
            )
            st.caption("You get a seat number. The board shows your guess and your runs without your name.")
            if st.form_submit_button("Join", icon=":material/login:", type="primary"):
                act(lambda: access.join_board(code))
        with grid.cell(), st.container(border=True):
            st.markdown("**Open a board** (for teachers)")
            titles = {lesson.name: lesson.title for lesson in LESSONS}
            asked = st.query_params.get("for")
            names = list(titles)
            name = st.selectbox(
                "Lesson",
                names,
                index=names.index(asked) if asked in names else 0,
                format_func=titles.__getitem__,
                key="board_lesson",
            )
            st.caption(
                f"Up to {SEATS_MAX} students join with a code of {CODE_LENGTH} characters. The board is deleted after "
                f"{HOURS:.0f} hours, or when you close it."
            )
            if st.button("Open a board", icon=":material/add:", key="open_board"):
                act(lambda: access.open_board(name))


def act(action: Callable[[], object]) -> None:
    """Do what a button says, and rerun the page; an error is shown instead."""
    try:
        action()
    except UserError as error:
        show_error(error)
    else:
        st.rerun()


def show_board(board: Board, *, teaches: bool) -> None:
    """Show a board; while the page is open it follows the guesses and the runs."""
    seat = access.own_seat(board)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"## {spaced(board.code)}", width="content")
            st.badge(f"Lesson: {plain(lesson_of(board).title)}", icon=":material/school:", color="blue")
            if seat:
                st.badge(f"Your seat: {seat.number}", icon=":material/person:", color="green")
            left = board.closes - datetime.now(UTC).timestamp()
            st.caption(f"Closes in {duration(left)}.", width="content")
        if teaches:
            st.caption("Students open **Lessons**, then **Open or join a board**, and enter this code.")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(lesson_of(board).page, label="Go to the lesson", icon=":material/arrow_forward:")
            if teaches:
                confirm_close(board)
            if seat and st.button("Leave", icon=":material/logout:", type="tertiary", key="leave_board"):
                act(lambda: access.leave_board(board))
        st.fragment(show_content, key=f"{FRAGMENT}_{board.code}")(board.code, teaches)
        polling.watch(f"{FRAGMENT}_{board.code}", lambda: access.board_news(board.code), POLL)


def confirm_close(board: Board) -> None:
    """Say what closing deletes, and ask."""
    with st.popover("Close the board", icon=":material/delete:"):
        st.markdown(
            "All seats and guesses are deleted. The students keep their runs. Download the table first if you want to "
            "keep it."
        )
        if st.button("Close it", type="primary", key=f"close_{board.code}"):
            act(lambda: access.close_board(board))


def show_content(code: str, teaches: bool) -> None:
    """Show guesses, runs and the table of a board."""
    polling.shows(f"{FRAGMENT}_{code}", access.board_news(code))
    board = access.find_board(code)
    if board is None:
        st.caption("This board was closed.")
        return
    found = access.board_results(board)
    guessed = sum(board.guesses)
    st.markdown(f"**{len(board.seats)} of {SEATS_MAX} seats taken, {guessed} guessed, {len(found)} runs**")
    seat = access.own_seat(board)
    with st.grid(2, min_column_width=300, gap="large") as grid:
        with grid.cell():
            st.markdown(f"**Guesses.** {text(board.lesson).ask}")
            if teaches or (seat and seat.guess is not None):
                show_guesses(board)
            else:
                st.caption(":material/lock: Guess on the lesson's page to see what the others guessed.")
        with grid.cell():
            st.markdown("**Accuracy of the runs**")
            show_results(board, found)
    if teaches:
        downloads(f"board-{code}", key=f"board_{code}", table=lambda: rows(board, found))


def show_guesses(board: Board) -> None:
    """Show how many students chose each option."""
    total = sum(board.guesses)
    if not board.seats:
        st.caption("Guesses appear here when students have joined.")
    for option, number in zip(text(board.lesson).options, board.guesses, strict=True):
        st.progress(number / max(1, total), text=f"{plain(option)}: {number} of {total}")


def show_results(board: Board, found: list[Result]) -> None:
    """Show each run as a dot in the row of its network, one chart per version."""
    if not lesson_of(board).experiment:
        st.caption("This lesson trains no runs.")
        return
    reached = [result for result in found if result.accuracy is not None]
    if not reached:
        st.caption("Runs appear here after their first epoch, when students queue them on the lesson's page.")
        return
    for version, title in VERSIONS.items():
        mine = [result for result in reached if result.version == version]
        if not mine:
            continue
        name = lessons.short_version(board.lesson) if version == "short" else board.lesson
        points = [
            Reached(
                result.variant,
                f"Seat {result.seat}, seed {result.seed}",
                accuracy := result.accuracy or 0.0,
                accuracy,
                accuracy,
                result.state in ACTIVE,
                place=result.seat / (SEATS_MAX + 1),
            )
            for result in mine
        ]
        st.caption(f"{title}: one dot per run; hollow dots still train.")
        spec = plots.accuracy_strip(points, [one.title for one in EXPERIMENTS[name]], guessing=GUESSING)
        alt = f"Accuracy of the class's runs, {title.lower()}"
        st.vega_lite_chart(spec=spec, key=f"board_strip_{board.code}_{version}", alt=alt)


st.title("Board", anchor=False)
st.caption("Take a lesson with a class: a board shows the guesses and runs of all students, without names.")
try:
    joined, mine = access.joined_board(), access.own_boards()
except UserError as error:
    show_error(error)
    st.stop()
keep_in_address()
for board in mine:
    show_board(board, teaches=True)
if joined and all(joined.code != board.code for board in mine):
    show_board(joined, teaches=False)
if not joined and not mine:
    show_entrance()
elif joined is None:
    with st.expander("Open another board, or join one", icon=":material/add:"):
        show_entrance()
