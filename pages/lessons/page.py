"""The Lessons page: a list of the five lessons."""

import streamlit as st

from pages.lessons.lesson_list import LESSONS

st.title("Lessons", anchor=False)
st.caption(
    "Five questions about Vision Transformers. Guess first, then see what was measured with this program. You can "
    "train the same runs and compare them with the measurements. Reading a lesson takes a few minutes, training its "
    "runs up to a quarter of an hour."
)
for number, lesson in enumerate(LESSONS, 1):
    with st.container(border=True):
        st.page_link(lesson.page, label=f"**{number}. {lesson.title}**", icon=lesson.icon)
        st.markdown(lesson.question)
st.caption(
    "The answers are measurements of small networks on small images; the program that makes them is included. If they "
    "contradict the textbook, the lesson says so."
)
