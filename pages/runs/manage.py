"""The Runs page's tools: rename, delete, download, report, and runs that arrive as a zip."""

import streamlit as st

from pages import access
from pages.runs.download import show_download
from pages.ui.run_picker import fine_tune_link
from pages.ui.run_words import SHIPPED_WORDS
from pages.ui.text import plain, show_error
from pages.ui.wording import size
from vit.errors import UserError
from vit.paths import checkpoints_dir
from vit.runs import Run

NAME_HELP = "Small letters, digits, dots, hyphens and underscores."


def show_manager(found: list[Run]) -> None:
    """One run, picked here, and what can be done with it."""
    names = [run.name for run in found]
    with st.popover("Rename, download or delete", icon=":material/folder_managed:", key="manager", on_change="rerun"):
        if st.session_state.get("managed") not in names:
            st.session_state.pop("managed", None)
        run = found[names.index(st.selectbox("Run", names, key="managed"))]
        fine_tune_link(run)
        show_rename(run)
        show_download(run)
        show_report(run)
        show_delete(run)
        if run.active:
            st.caption(":material/info: It is at work; stop it on the Train page to rename or delete it.")
        elif reason := access.reason_not_changeable(run):
            st.caption(f":material/lock: {reason}")


def show_rename(run: Run) -> None:
    """A field with the present name, and a button."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    key = f"rename_{run.name}"
    left.text_input(
        "Name",
        value=run.name,
        key=key,
        max_chars=64,
        disabled=fixed(run),
        help="Small letters, digits, dots, hyphens and underscores.",
    )
    right.button("Rename", key="rename", on_click=rename, args=(run, key), disabled=fixed(run), width="stretch")
    if problem := st.session_state.pop("rename_problem", None):
        show_error(problem)
    elif run.shipped and access.may_change(run):
        st.caption("It came with the project; under another name, Overview no longer shows it first.")


def fixed(run: Run) -> bool:
    """Whether it cannot be changed now: a job works on it, or it is not the visitor's."""
    return run.active or not access.may_change(run)


def rename(run: Run, key: str) -> None:
    """Take the new name, and let it stay chosen under it."""
    name = st.session_state[key].strip()
    if name == run.name:
        return
    try:
        access.rename(run, name)
    except UserError as error:
        st.session_state["rename_problem"] = error
        return
    st.session_state["runs"] = [name if one == run.name else one for one in st.session_state.get("runs", [])]
    st.session_state["managed"] = name
    st.session_state["runs_said"] = f"{run.name} is now called {name}."


def show_report(run: Run) -> None:
    """The report as one HTML file: written on the first click, downloaded with the second."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Write a report", icon=":material/description:", key="report"):
            with st.spinner("Showing the validation images to the model"):
                try:
                    st.session_state["report_made"] = run.path, access.report(run)
                except UserError as error:
                    show_error(error)
        path, page = st.session_state.get("report_made", (None, ""))
        if path == run.path:
            st.download_button(
                "Download the report",
                data=page,
                file_name=f"{run.name}.html",
                mime="text/html",
                icon=":material/download:",
                on_click="ignore",
                key="report_download",
            )
    st.caption("One HTML file: sample images, layers, settings, curves, confusion matrix, attention of every head.")


def show_delete(run: Run) -> None:
    """The way to the question."""
    st.button(
        "Delete", icon=":material/delete:", key="delete", on_click=ask_to_delete, args=(run,), disabled=fixed(run)
    )
    if st.session_state.get("doomed") == run.path:
        confirm_delete(run)


def ask_to_delete(run: Run) -> None:
    """Close the popover, which would lie over the question, and ask."""
    st.session_state.update(manager=False, doomed=run.path)


def spare() -> None:
    """The question is answered, or was put aside."""
    st.session_state.pop("doomed", None)


@st.dialog("Delete this run?", icon=":material/delete:", on_dismiss=spare)
def confirm_delete(run: Run) -> None:
    """Say what will be gone, and ask."""
    count = len(run.snapshots)
    parts = "settings, curves, weights" + (f" and {count} snapshot{'s' if count > 1 else ''}" if count else "")
    st.markdown(f"**{plain(run.name)}** will be gone for good: {parts}. That frees {size(run.size_bytes)}.")
    if run.shipped:
        st.warning(SHIPPED_WORDS, icon=":material/warning:")
    offer_delete(run)


def offer_delete(run: Run) -> None:
    """The two answers."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep", on_click=spare):
            st.rerun()
        if st.button("Delete it", type="primary", icon=":material/delete:", key="delete_surely"):
            spare()
            try:
                access.delete(run)
            except UserError as error:
                show_error(error)
            else:
                st.session_state["runs_said"] = f"{run.name} is deleted."
                st.rerun()


def show_broken(broken: list[tuple[str, str]]) -> None:
    """Folders that look like runs and cannot be read: why, and a way to be rid of them."""
    for name, reason in broken:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/warning: The folder {plain(name)} looks like a run but cannot be read: {plain(reason)}",
                width="stretch",
            )
            st.button("Delete it", icon=":material/delete:", key=f"delete_{name}", on_click=doom, args=(name,))
    if st.session_state.get("doomed") in [name for name, _ in broken]:
        confirm_delete_folder(Run(checkpoints_dir() / st.session_state["doomed"]))


def doom(name: str) -> None:
    """Ask about a folder that cannot be read."""
    st.session_state["doomed"] = name


@st.dialog("Delete this folder?", icon=":material/delete:", on_dismiss=spare)
def confirm_delete_folder(run: Run) -> None:
    """Say what will be gone, and ask."""
    weights = ", with the weights in it, which may be whole" if run.has_weights else ""
    st.markdown(f"**{plain(run.name)}** will be gone for good{weights}. That frees {size(run.size_bytes)}.")
    offer_delete(run)


def show_uploader() -> None:
    """A zip becomes a run at once, under a free name; the uploader is then a new one."""
    turn = st.session_state.setdefault("runs_turn", 0)
    file = st.file_uploader(
        "A run that was downloaded from a Runs page",
        type="zip",
        key=f"runs_zip_{turn}",
        max_upload_size=access.upload_mb(),
    )
    if file is None:
        return
    try:
        with st.spinner("Unpacking and checking"):
            run = access.unpack(file)
    except UserError as error:
        show_error(error)
        return
    st.session_state["runs"] = [run.name, *st.session_state.get("runs", [])]
    st.session_state.update(runs_turn=turn + 1, runs_said=f"Added as {run.name}.")
    st.rerun()
