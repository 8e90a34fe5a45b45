"""The script that runs for every page: page config, sign-in, navigation and the shared sidebar."""

from pathlib import Path

import streamlit as st

from pages import access, sign_in
from pages.lessons.lesson_list import LESSONS
from pages.ui import navigation, page_set, polling
from pages.ui.link_state import place_not_found, stored
from pages.ui.run_words import FOLLOW
from pages.ui.text import show_error
from pages.ui.waiting import wait_words
from vit import runs
from vit.errors import UserError
from vit.jobs import queue
from vit.support import hardware

APP = "Attention explorer"
UI = Path(__file__).parent / "ui"
# As a text, the icon reaches the browser inside the page. For an icon of Material, the browser would ask a font host.
st.set_page_config(page_title=APP, page_icon=(UI / "favicon.svg").read_text(), layout="wide")
WAITING_SHOWN = 4  # queued runs that are listed; the rest is counted
barrier = sign_in.barrier()


def page_of(name: str, title: str, icon: str) -> st.Page:
    """Return the page in the folder ``name``, which the sidebar lists if it is in the chosen set or open."""
    shown = page_set.visibility(name)
    return st.Page(f"{name}/page.py", title=title, icon=f":material/{icon}:", url_path=name, visibility=shown)


groups = {
    "": [
        st.Page("overview/page.py", title="Overview", icon=":material/home:", default=True),
        page_of("train", "Train", "model_training"),
        page_of("runs", "Runs", "table_chart"),
    ],
    "Use": [
        page_of("published", "Published models", "cloud_download"),
        page_of("predict", "Predict", "image_search"),
        page_of("evaluate", "Evaluate", "grid_on"),
    ],
    "Look": [
        page_of("attention", "Attention", "visibility"),
        page_of("relevance", "Relevance", "blur_on"),
        page_of("tokens", "Tokens", "apps"),
        page_of("heads", "Heads", "hub"),
        page_of("compare", "Side by side", "compare"),
    ],
    "Question": [
        page_of("intervene", "Intervene", "tune"),
        page_of("timelapse", "Time-lapse", "timelapse"),
        page_of("faithfulness", "Faithfulness", "fact_check"),
    ],
    "Learn": [
        page_of("lessons", "Lessons", "school"),
        *(
            st.Page(one.page, title=one.title, icon=one.icon, url_path=one.url_path, visibility="hidden")
            for one in LESSONS
        ),
        st.Page("lessons/board.py", title="Board", icon=":material/groups:", url_path="board", visibility="hidden"),
        page_of("anatomy", "Anatomy", "schema"),
        page_of("glossary", "Glossary", "menu_book"),
    ],
}
# Declared (but hidden) before the sign-in, too, so that a link still leads to its page afterwards.
page = st.navigation(
    groups if page_set.lists_all() else {"": [page for group in groups.values() for page in group]},
    expanded=True,
    position="hidden" if barrier else "sidebar",
)
if barrier:
    barrier()
    st.stop()
navigation.arrive(page.url_path)
st.set_page_config(
    page_title=f"{page.title} · {APP}"
)  # so that tabs, bookmarks and screen readers can tell pages apart
st.html(UI / "theme.css")
access.tidy()


@st.cache_data(ttl=300, max_entries=1, show_spinner=False)
def device_titles() -> list[str]:
    """Return the names of the devices; cached, because asking calls the driver."""
    return [device.title for device in hardware.devices()]


JOBS, JOBS_EVERY = "jobs", 5.0  # name of the fragment; seconds between two checks, on every open page


def active_runs() -> list[runs.Run]:
    """Return the active and queued runs, newest first."""
    return [run for run in access.my_runs() if run.active]


def job_news() -> tuple:
    """Return a value that changes when the list of active runs has to be drawn again."""
    places = queue.positions()
    return followed(), *(
        (run.name, wait_words(run.name, places[run.name]) if run.name in places else how_far(run.status))
        for run in active_runs()
    )


def followed() -> str | None:
    """Return the name of the run that the Train page follows; None on other pages and in its other views."""
    if page.url_path != "train":
        return None
    return st.query_params.get("follow") or (stored("run") if stored("show") in (None, FOLLOW) else None)


def how_far(status: runs.Status) -> tuple[float, str]:
    """Return the completed share of a training, and a text about it."""
    share = min(1.0, status.step / status.steps_total) if status.steps_total else 0.0
    return round(share, 2), f"epoch {status.epoch + 1}, {share:.0%}" if status.step else "preparing"


def show_jobs(shown: list[str]) -> None:
    """Show the active runs with their progress, then the queue; rerun the page when runs come or go."""
    polling.shows(JOBS, job_news())
    access.tidy()
    active = active_runs()
    if [run.name for run in active] != shown:
        st.rerun()
    places = queue.positions()
    active.sort(key=lambda run: places.get(run.name, 0))
    working, current = sum(run.name not in places for run in active), followed()
    for number, run in enumerate(active[: working + WAITING_SHOWN]):
        # Streamlit marks every link to the current page as the current one; theme.css takes the mark from the others.
        with st.container(key=f"job_{'followed' if run.name == current else 'other'}_{number}"):
            # Not ?run=: if the current page has a run picker, Streamlit assigns that parameter to it.
            st.page_link(
                "train/page.py", label=run.name, icon=":material/show_chart:", query_params={"follow": run.name}
            )
        if run.name in places:
            st.caption(f":material/hourglass_empty: {wait_words(run.name, places[run.name])}")
            continue
        share, words = how_far(run.status)
        st.progress(share, text=words)
    if (more := len(active) - working - WAITING_SHOWN) > 0:
        st.caption(f"and {more} more in the queue")


active = active_runs()
with st.sidebar:
    page_set.show_switch()
    sign_in.show_account()
    if active:
        st.caption("Training now")
        st.fragment(show_jobs, key=JOBS)([run.name for run in active])
        polling.watch(JOBS, job_news, JOBS_EVERY)
    st.caption("  \n".join(f":material/memory: {title}" for title in device_titles()))

place_not_found()
try:
    page.run()
except UserError as error:
    show_error(error)
