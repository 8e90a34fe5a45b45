"""Lessons: the way into five questions that the app answers about itself."""

import streamlit as st

from pages.lessons.lesson_list import LESSONS

st.title("Lessons", anchor=False)
st.caption(
    "Five questions about Vision Transformers, a page each. Guess first; then see what was measured with this very "
    "program, train the same runs yourself, and find yours beside it. Reading one takes a "
    "few minutes, training its runs up to a quarter of an hour."
)
for number, lesson in enumerate(LESSONS, 1):
    with st.container(border=True):
        st.page_link(lesson.page, label=f"**{number}. {lesson.title}**", icon=lesson.icon)
        st.markdown(lesson.question)
st.caption(
    "The answers are measurements of small networks on small images, made with a program that comes with this one. "
    "Where they contradict the textbook, the lesson says so."
)
