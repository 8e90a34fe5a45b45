"""The Runs page's downloads: a run as a zip, for timm and Hugging Face, as ONNX, a web page, or for TensorBoard."""

import io
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from pages import access
from pages.ui.background import background, tasks
from pages.ui.text import plain, show_error
from pages.ui.wording import size
from vit.config import TrainingConfig, words
from vit.errors import UserError
from vit.exports import formats, web_page
from vit.exports.formats import FORMS
from vit.runs import Run


def show_download(run: Run) -> None:
    """Show a menu of formats, and the download in the chosen one."""
    found = formats.forms(run)
    if st.session_state.get("download_form", found[0]) not in found:  # a CNN has one format fewer
        del st.session_state["download_form"]
    form = st.selectbox(
        "Download as", found, format_func=lambda name: FORMS[name].title, key="download_form", bind="query-params"
    )
    st.caption(plain(formats.hint(run, form)))
    try:
        formats.check(form)
        {"zip": offer_zip, "tensorboard": offer_events, "web": offer_web_page}.get(form, offer_made)(run, form)
    except UserError as error:
        show_error(error)
    if form == "hub" and access.bounds() is None:
        st.caption(
            "To upload it to the hub, sign in once with `hf auth login` and run this command, so that this page never "
            "sees your token:"
        )
        st.code(f"python -m vit export --run {run.name} --push USER/{run.name}", language="sh", wrap_lines=True)


def offer_zip(run: Run, form: str) -> None:
    """Offer the run as a zip, which is packed on the click."""
    with st.container(horizontal=True, vertical_alignment="center"):
        snapshots = st.checkbox(
            words.title(TrainingConfig, "snapshots"),
            value=True,
            key="pack_snapshots",
            help="Include the weights saved during training, for the time-lapse.",
        )
        resume = st.checkbox(
            "Resume checkpoint",
            key="pack_resume",
            help="Include what is needed to continue the training: three times the size of the weights.",
        )
    offer(run, form, lambda: packed(lambda file: access.pack(run, file, snapshots=snapshots, resume=resume)))


def offer_events(run: Run, form: str) -> None:
    """Offer the curves as TensorBoard events, which are converted on the click."""
    if not run.latest:
        st.caption(":material/info: There are no curves yet: they start with the first step.")
        return
    offer(run, form, lambda: packed(lambda file: access.write_events(run, file)))


def offer_web_page(run: Run, form: str) -> None:
    """Offer the run as a web page, with a choice of its weights and its sample images."""
    private = web_page.default_samples(run) == 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        weights = st.selectbox(
            "Weights",
            web_page.WEIGHTS,
            key="page_weights",
            help="How the weights are stored: in 4 bytes (float32), 2 (float16) or 1 (int8). Fewer bytes make the file "
            "smaller and change the outputs a little; the difference is measured before the download. The network "
            "computes in float32.",
        )
        samples = st.number_input(
            "Sample images",
            0,
            web_page.SAMPLES_MAX,
            web_page.default_samples(run),
            key=f"page_samples_{run.name}",
            help="Validation images in the page. Everyone who gets the file can see them"
            + (", so none of your own images are included unless you choose so." if private else "."),
        )
    options = {"weights": weights, "samples": samples}
    path = made(run, form, options)
    if path is not None:
        st.caption(plain(web_page.read_manifest(path)["weights"]["sentence"]))
        offer(run, form, path.read_bytes, f" ({size(path.stat().st_size)})")


def offer_made(run: Run, form: str) -> None:
    """Offer a file that takes a while."""
    path = made(run, form)
    if path is not None:
        offer(run, form, path.read_bytes, f" ({size(path.stat().st_size)})")


def made(run: Run, form: str, options: formats.Options | None = None) -> Path | None:
    """Return the file of a format that takes a while; until it is made in the background, show a button for it."""
    path = formats.find(access.see(run), form, options)
    if path is None:
        chosen = tuple(sorted((options or {}).items()))
        key = ("export", form, str(run.path), run.stamp, *map(str, run.written), *chosen)
        if background(key, access.exporting(run, form, options), label="Make the file") is None:
            return None
        path = formats.find(run, form, options)
        if path is None:  # it was deleted to make room for newer files
            tasks().forget(key)
            st.rerun()
    return path


def offer(run: Run, form: str, data: Callable[[], bytes | io.BytesIO], after: str = "") -> None:
    """Show the download button; the data are made or read on the click."""
    st.download_button(
        f"Download{after}",
        data=data,
        file_name=run.name + FORMS[form].ending,
        icon=":material/download:",
        on_click="ignore",
        key=f"download_{form}",
    )


def packed(write: Callable[[io.BytesIO], None]) -> io.BytesIO:
    """Return what ``write`` writes, as a file in memory."""
    file = io.BytesIO()
    write(file)
    file.seek(0)
    return file
