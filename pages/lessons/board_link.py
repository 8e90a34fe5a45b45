"""The parts of a lesson's page for class: the visitor's seat on a board, the sheet to print, and the way to boards."""

import streamlit as st

from pages import access
from pages.lessons.experiment import chosen_experiment
from pages.lessons.lesson_list import Lesson
from pages.lessons.picture import panels
from pages.ui.text import show_error
from vit.errors import UserError
from vit.lessons.boards import spaced

BOARD_PAGE = "lessons/board.py"


def keep_in_address() -> None:
    """Write into the address what a reload of the page needs to find the visitor's boards."""
    for name, value in access.board_address().items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value


def show_seat(lesson: Lesson) -> None:
    """Say that guess and runs go to a board, if the visitor has joined one of this lesson."""
    board = access.joined_board()
    if board is None or board.lesson != lesson.name or (seat := access.own_seat(board)) is None:
        return
    keep_in_address()
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(
            f":material/groups: **Seat {seat.number}** on board **{spaced(board.code)}**. Your guess and the runs "
            "that you queue on this page appear there without your name."
        )
        st.page_link(BOARD_PAGE, label="See the board", icon=":material/leaderboard:")
        if st.button("Leave", icon=":material/logout:", type="tertiary", key="leave_board"):
            try:
                access.leave_board(board)
            except UserError as error:
                show_error(error)
            else:
                st.rerun()


def show_class(lesson: Lesson) -> None:
    """Offer the sheet to print, and the boards."""
    st.subheader("In class", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Sheet to print",
            lambda: sheet_of(lesson),
            file_name=f"lesson-{lesson.name}.html",
            mime="text/html",
            icon=":material/print:",
            on_click="ignore",
            key="lesson_sheet",
            help="One page (A4) for the chosen version, with the picture, tables to fill in and questions: "
            "open it in a browser and print it.",
        )
        st.page_link(
            BOARD_PAGE, label="Open or join a board", icon=":material/groups:", query_params={"for": lesson.name}
        )


def sheet_of(lesson: Lesson) -> str:
    """Return the sheet of a lesson and the chosen version of its experiment as HTML."""
    from vit.lessons.sheet import sheet

    experiment = chosen_experiment(lesson) if lesson.experiment else ""
    return sheet(
        lesson.name, title=lesson.title, question=lesson.question, panels=panels(lesson), experiment=experiment
    )
