"""The Runs page's downloads: a run for another explorer, for timm and Hugging Face, for ONNX, for TensorBoard."""

import io
from collections.abc import Callable

import streamlit as st

from pages import access
from pages.ui.background import background, tasks
from pages.ui.text import plain, show_error
from pages.ui.wording import size
from vit.errors import UserError
from vit.exports import formats
from vit.exports.formats import FORMS
from vit.runs import Run


def show_download(run: Run) -> None:
    """The forms in one menu; each says who opens it."""
    found = formats.forms(run)
    if st.session_state.get("download_form", found[0]) not in found:  # a CNN has one form less
        del st.session_state["download_form"]
    form = st.selectbox(
        "Download as", found, format_func=lambda name: FORMS[name].title, key="download_form", bind="query-params"
    )
    st.caption(plain(formats.hint(run, form)))
    try:
        formats.check(form)
        {"zip": offer_zip, "tensorboard": offer_events}.get(form, offer_made)(run, form)
    except UserError as error:
        show_error(error)
    if form == "hub" and access.bounds() is None:
        st.caption("To put it on the hub, sign in there once with `hf auth login`, so that no page sees your token:")
        st.code(f"python -m vit export --run {run.name} --push USER/{run.name}", language="sh", wrap_lines=True)


def offer_zip(run: Run, form: str) -> None:
    """Packed when it is asked for."""
    with st.container(horizontal=True, vertical_alignment="center"):
        snapshots = st.checkbox(
            "Snapshots", value=True, key="pack_snapshots", help="The weights along the way, for the time-lapse."
        )
        resume = st.checkbox(
            "For a resume", key="pack_resume", help="With what going on needs: three times the size of the weights."
        )
    offer(run, form, lambda: packed(lambda file: access.pack(run, file, snapshots=snapshots, resume=resume)))


def offer_events(run: Run, form: str) -> None:
    """Converted from the curves when they are asked for; no flag was needed in the training."""
    if not run.latest:
        st.caption(":material/info: There are no curves yet: they begin with the first step.")
        return
    offer(run, form, lambda: packed(lambda file: access.write_events(run, file)))


def offer_made(run: Run, form: str) -> None:
    """A file that takes a while: made on a click, in the background, and then offered as long as it is kept."""
    path = formats.find(access.see(run), form)
    if path is None:
        key = ("export", form, str(run.path), run.stamp, *map(str, run.written))
        if background(key, access.exporting(run, form), label="Make the file") is None:
            return
        path = formats.find(run, form)
        if path is None:  # newer files have pushed it out
            tasks().forget(key)
            st.rerun()
    offer(run, form, path.read_bytes, f" ({size(path.stat().st_size)})")


def offer(run: Run, form: str, data: Callable[[], bytes | io.BytesIO], after: str = "") -> None:
    """The button that saves it; the data are made, or read, on the click."""
    st.download_button(
        f"Download{after}",
        data=data,
        file_name=run.name + FORMS[form].ending,
        icon=":material/download:",
        on_click="ignore",
        key=f"download_{form}",
    )


def packed(write: Callable[[io.BytesIO], None]) -> io.BytesIO:
    """What ``write`` puts into a file, in memory."""
    file = io.BytesIO()
    write(file)
    file.seek(0)
    return file
