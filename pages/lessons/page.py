"""The Lessons page: a list of the five lessons with the visitor's progress."""

import streamlit as st

from pages.lessons.board_link import BOARD_PAGE
from pages.lessons.experiment import expected_words
from pages.lessons.lesson_list import LESSONS
from pages.lessons.picture import panels
from pages.lessons.progress import show_progress
from vit.lessons.boards import SEATS_MAX

COVER = 96  # side of the picture beside a lesson, in pixels
# Which panel of a lesson's picture stands for it.
COVERS = {"heads": 2, "depth": 2, "patches": 2, "little": 0, "evidence": 2}

st.title("Lessons", anchor=False)
st.caption(
    "Five questions about Vision Transformers. Guess first, train the runs in a short version or in full, then "
    "compare with what was measured."
)
for number, lesson in enumerate(LESSONS, 1):
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if found := panels(lesson):
            with st.container(width=COVER):
                cover = found[COVERS[lesson.name]]
                st.image(cover.image, width=COVER, alt=cover.alt)
        with st.container(width="stretch", gap="xsmall"):
            st.page_link(lesson.page, label=f"**{number}. {lesson.title}**", icon=lesson.icon)
            st.markdown(lesson.question)
            show_progress(lesson)
            if lesson.experiment and (words := expected_words(lesson)):
                st.caption(words)
with st.container(horizontal=True, vertical_alignment="center"):
    st.page_link(BOARD_PAGE, label="Open or join a board", icon=":material/groups:")
    st.caption(
        f"For a class: guesses and runs of up to {SEATS_MAX} students on one screen, without names.", width="stretch"
    )
st.caption(
    "The answers are measurements of small networks on small images; the program that makes them is included. If they "
    "contradict the textbook, the lesson says so."
)
