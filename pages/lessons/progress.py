"""How far the visitor has come in a lesson: guess, runs, answer."""

from typing import NamedTuple

import streamlit as st

from pages import access
from pages.lessons.lesson_list import Lesson
from vit import lessons
from vit.lessons import EXPERIMENTS


class Progress(NamedTuple):
    """What the visitor has done in a lesson.

    Attributes:
        guessed: whether they chose an answer, in this session.
        runs: how many runs of the version that is most complete have ended.
        runs_total: how many runs that version has; 0 for a lesson without runs.
        seen: whether they saw the answer, in this session.
    """

    guessed: bool
    runs: int
    runs_total: int
    seen: bool


def note_guess(lesson: Lesson) -> None:
    """Remember that the visitor has guessed."""
    st.session_state[f"lesson_guessed_{lesson.name}"] = True


def note_seen(lesson: Lesson) -> None:
    """Remember that the visitor has seen the answer."""
    st.session_state[f"lesson_seen_{lesson.name}"] = True


def progress(lesson: Lesson) -> Progress:
    """Return what the visitor has done in a lesson."""
    done = [(0, 0)]
    if lesson.experiment:
        found = access.my_runs()
        done = []
        for experiment in (lessons.short_version(lesson.experiment), lesson.experiment):
            ended = lessons.own_runs(experiment, [run for run in found if not run.active and run.best])
            done.append((len(ended), len(EXPERIMENTS[experiment])))
    most, total = max(done, key=lambda one: one[0] / max(1, one[1]))
    return Progress(
        bool(st.session_state.get(f"lesson_guessed_{lesson.name}")),
        most,
        total,
        bool(st.session_state.get(f"lesson_seen_{lesson.name}")),
    )


def show_progress(lesson: Lesson) -> None:
    """Show the progress as badges in a row."""
    found = progress(lesson)
    marks = [("Guessed" if found.guessed else "No guess yet", found.guessed)]
    if found.runs_total:
        marks.append((f"Runs {found.runs} of {found.runs_total}", found.runs == found.runs_total))
    marks.append(("Answer seen" if found.seen else "Answer not seen", found.seen))
    with st.container(horizontal=True, gap="small"):
        for words, done in marks:
            icon = ":material/check_circle:" if done else ":material/radio_button_unchecked:"
            st.badge(words, icon=icon, color="green" if done else "gray")
