"""The Runs page's tools: rename, delete, download, report, and add a run from a zip."""

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


def show_manager(found: list[Run]) -> None:
    """Choose a run, and show what can be done with it."""
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
            st.caption(
                ":material/info: This run is training or waiting; stop it on the Train page to rename or delete it."
            )
        elif reason := access.reason_not_changeable(run):
            st.caption(f":material/lock: {reason}")


def show_rename(run: Run) -> None:
    """Show a field with the present name, and a button."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    key = f"rename_{run.name}"
    left.text_input(
        "Name",
        value=run.name,
        key=key,
        max_chars=64,
        disabled=fixed(run),
        help="Lowercase letters, digits, dots, hyphens and underscores.",
    )
    right.button("Rename", key="rename", on_click=rename, args=(run, key), disabled=fixed(run), width="stretch")
    if problem := st.session_state.pop("rename_problem", None):
        show_error(problem)
    elif run.shipped and access.may_change(run):
        st.caption("This run came with the project; under another name, the pages no longer treat it as included.")


def fixed(run: Run) -> bool:
    """Whether it cannot be changed: it is active, or it does not belong to the visitor."""
    return run.active or not access.may_change(run)


def rename(run: Run, key: str) -> None:
    """Rename the run, and keep it chosen under its new name."""
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
    """Show a button that writes the report as an HTML file, and then one that downloads it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Write a report", icon=":material/description:", key="report"):
            with st.spinner("Running the model on the validation images"):
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
    st.caption(
        "One HTML file with sample images, layers, settings, curves, confusion matrix and the attention of every head."
    )


def show_delete(run: Run) -> None:
    st.button(
        "Delete", icon=":material/delete:", key="delete", on_click=ask_to_delete, args=(run,), disabled=fixed(run)
    )
    if st.session_state.get("to_delete") == run.path:
        confirm_delete(run)


def ask_to_delete(run: Run) -> None:
    """Close the popover, which would cover the question, and open the question."""
    st.session_state.update(manager=False, to_delete=run.path)


def cancel_delete() -> None:
    st.session_state.pop("to_delete", None)


@st.dialog("Delete this run?", icon=":material/delete:", on_dismiss=cancel_delete)
def confirm_delete(run: Run) -> None:
    """Say what will be deleted, and ask."""
    count = len(run.snapshots)
    parts = "settings, curves, weights" + (f" and {count} snapshot{'s' if count > 1 else ''}" if count else "")
    st.markdown(f"This permanently deletes **{plain(run.name)}**: {parts}. It frees {size(run.size_bytes)}.")
    if run.shipped:
        st.warning(SHIPPED_WORDS, icon=":material/warning:")
    offer_delete(run)


def offer_delete(run: Run) -> None:
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep", on_click=cancel_delete):
            st.rerun()
        if st.button("Delete it", type="primary", icon=":material/delete:", key="delete_surely"):
            cancel_delete()
            try:
                access.delete(run)
            except UserError as error:
                show_error(error)
            else:
                st.session_state["runs_said"] = f"{run.name} was deleted."
                st.rerun()


def show_broken(broken: list[tuple[str, str]]) -> None:
    """List folders that look like runs but cannot be read, and offer to delete them."""
    for name, reason in broken:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/warning: The folder {plain(name)} looks like a run but cannot be read: {plain(reason)}",
                width="stretch",
            )
            st.button(
                "Delete it", icon=":material/delete:", key=f"delete_{name}", on_click=ask_to_delete_folder, args=(name,)
            )
    if st.session_state.get("to_delete") in [name for name, _ in broken]:
        confirm_delete_folder(Run(checkpoints_dir() / st.session_state["to_delete"]))


def ask_to_delete_folder(name: str) -> None:
    """Open the question about a folder that cannot be read."""
    st.session_state["to_delete"] = name


@st.dialog("Delete this folder?", icon=":material/delete:", on_dismiss=cancel_delete)
def confirm_delete_folder(run: Run) -> None:
    """Say what will be deleted, and ask."""
    weights = ", including its weights, which may be intact" if run.has_weights else ""
    st.markdown(f"This permanently deletes **{plain(run.name)}**{weights}. It frees {size(run.size_bytes)}.")
    offer_delete(run)


def show_uploader() -> None:
    """Offer to upload a zip, and add it as a run under a free name."""
    turn = st.session_state.setdefault("runs_turn", 0)
    file = st.file_uploader(
        "Zip file downloaded from a Runs page",
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
