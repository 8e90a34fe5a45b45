"""The Lessons page: a list of the five lessons."""

import streamlit as st

from pages.lessons.frame import seconds
from pages.lessons.lesson_list import LESSONS
from pages.ui.wording import duration
from vit.lessons import EXPERIMENTS

st.title("Lessons", anchor=False)
st.caption(
    "Five questions about Vision Transformers. Guess first, then see what was measured with this program. You can "
    "train the same runs and compare them with the measurements."
)
for number, lesson in enumerate(LESSONS, 1):
    with st.container(border=True):
        st.page_link(lesson.page, label=f"**{number}. {lesson.title}**", icon=lesson.icon)
        st.markdown(lesson.question)
        variants = EXPERIMENTS.get(lesson.experiment, ())
        if variants and (time := seconds(variants)) is not None:
            st.caption(f"Training its {len(variants)} runs takes about {duration(time)} on this machine.")
st.caption(
    "The answers are measurements of small networks on small images; the program that makes them is included. If they "
    "contradict the textbook, the lesson says so."
)
