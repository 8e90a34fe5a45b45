"""Download published models, and link from a model's run to the pages that show it."""

from collections.abc import Callable

import streamlit as st

from pages import access
from pages.ui.background import Progress, Task, download_tasks, show_failure
from pages.ui.run_picker import fine_tune_link
from pages.ui.text import plain, show_error
from pages.ui.wording import duration, size
from vit.errors import UserError
from vit.runs import Run

TICK = 1.0
"""Seconds between two updates of the progress."""


def offer_download(name: str, image_size: int, *, key: str, primary: bool = False) -> None:
    """Show the button that downloads and opens a model, its progress, or why it failed.

    Leaving the page does not stop the download.

    Args:
        name: timm's name of the weights.
        image_size: the image size to open the model with.
        key: the prefix of the widgets' keys.
        primary: whether the button is the main one of the page.
    """
    task_key = ("published model", access.owner(), name, image_size)
    task = download_tasks().find(task_key)
    if task is not None and not task.finished:
        st.fragment(_show_progress, run_every=TICK)(task, key)
        return
    if task is not None and task.stopped:
        st.caption(":material/info: The download was stopped. The part that was downloaded is kept for the next try.")
    elif task is not None:
        show_failure(task)
    if st.button(
        "Download and open", key=f"{key}_fetch", icon=":material/download:", type="primary" if primary else "secondary"
    ):
        try:
            work = _work(name, image_size)
        except UserError as error:
            show_error(error)
            return
        download_tasks().forget(task_key)
        download_tasks().start(task_key, work, resumes=True)
        st.rerun()


def _work(name: str, image_size: int) -> Callable[[Progress], Run]:
    """Return the work of the thread, which cannot ask who the visitor is."""
    adapt = access.adopting()

    def work(progress: Progress) -> Run:
        from vit.published.open import open_named

        return open_named(name, image_size=image_size, progress=progress, adapt=adapt)

    return work


def progress_words(task: Task[Run]) -> str:
    """Return the progress of a download in bytes, and the time left."""
    if not task.total:
        return "Connecting"
    if task.done >= task.total:
        return "Downloaded; checking the weights against timm's network"
    left = "" if task.seconds_left is None else f", about {duration(task.seconds_left)} left"
    return f"{size(task.done)} of {size(task.total)}{left}"


def _show_progress(task: Task[Run], key: str) -> None:
    if task.finished:
        st.rerun()
    st.progress(task.share, text=progress_words(task))
    st.button("Stop the download", icon=":material/stop:", on_click=task.stop, key=f"{key}_stop")


def show_run(run: Run) -> None:
    """Show the run of an open model: the remarks about it, and links to the pages that show it."""
    model, query = run.config.model, {"run": run.name}
    _, _, remarks = run.status.message.partition(". ")
    st.markdown(
        f":material/check_circle: Open as **{plain(run.name)}**, at {model.image_size} x {model.image_size} px. "
        + plain(remarks)
    )
    with st.container(horizontal=True):
        st.page_link("attention/page.py", label="Attention", icon=":material/visibility:", query_params=query)
        if model.num_classes:
            st.page_link("predict/page.py", label="Predict", icon=":material/image_search:", query_params=query)
        st.page_link("anatomy/page.py", label="Anatomy", icon=":material/schema:", query_params=query)
        fine_tune_link(run)
