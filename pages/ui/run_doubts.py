"""Badges for a run whose maps and answers mean little: it still trains, was not validated, or guesses."""

from contextlib import suppress

import streamlit as st

from pages.ui.run_words import VERDICTS, badge
from pages.ui.text import BADGE_COLUMNS, plain
from vit import data
from vit.config import Columns
from vit.errors import UserError
from vit.runs import ACTIVE, Run
from vit.runs.chance import best_run, measured
from vit.runs.learning import verdict

AT_CHANCE = "accuracy is at chance level"
"""The badge of a run that may be guessing."""


def show_run_doubts(run: Run, *, named: bool = False) -> None:
    """Show badges if the run still trains, does not learn, was not validated or is at chance level; else nothing.

    Pages that show maps or answers of a run call this.

    Args:
        run: the run.
        named: begin with the run's name, where several runs are shown.
    """
    status, epochs = run.status, run.config.training.epochs
    doubts: list[tuple[str, str, str | None]] = []
    if status.state == "running":
        words = f"training, epoch {min(status.epoch + 1, epochs)} of {epochs}"
        doubts.append((words, badge(status)[1], "What is shown is of the weights that the run has kept so far."))
    elif status.state == "queued":
        words = f"waiting to train, after epoch {status.epoch} of {epochs}"
        doubts.append((words, badge(status)[1], "What is shown is of the weights that the run has kept so far."))
    if found := verdict(status):
        doubts.append((found.lower(), VERDICTS[found][1], plain(status.warning or status.message)))
    if not status.validated and status.state not in ACTIVE and not run.config.published:
        doubts.append(
            ("not validated", ":material/warning:", "The run ended before its first validation: it has hardly learned.")
        )
    accuracy = measured(run, count_images)
    if accuracy is not None and accuracy.at_chance:
        doubts.append((AT_CHANCE, ":material/casino:", accuracy.reason))
    if not doubts:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if named:
            st.markdown(f"**{plain(run.name, BADGE_COLUMNS)}**", width="content")
        for words, icon, reason in doubts:
            st.badge(words, icon=icon, color="orange", help=reason)


def first_run(runs: list[Run]) -> Run:
    """Return the run to open for a visitor who has not looked at any of these runs."""
    return best_run(runs, count_images)


def count_images(run: Run) -> int | None:
    """Return the number of validation images of a run; None if it is unknown."""
    images = run.config.data
    return images.val_images or _count(images.source, images.seed, images.columns)


@st.cache_data(ttl=600, max_entries=64, show_spinner=False)
def _count(source: str, seed: int, columns: Columns) -> int | None:
    with suppress(UserError):
        if source and data.is_ready(source):  # a page does not wait for an answer of the hub
            return data.describe(source, seed=seed, columns=columns).val_count
    return None
