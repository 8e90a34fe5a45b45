"""The images of a new run: which data set, where it comes from, and what it contains."""

import os
from typing import Any

import streamlit as st

from pages import access
from pages.access.images import offered
from pages.ui.background import Progress, Task, download_tasks, show_failure
from pages.ui.demo_notice import upload_words
from pages.ui.text import CAPTION_COLUMNS, plain, show_error
from vit import data
from vit.config import DataConfig, words
from vit.data import DataInfo, Skipped
from vit.data.catalog import catalog
from vit.errors import UserError
from vit.support.untrusted_text import in_cell

ELSEWHERE = "A folder or zip on this machine"
"""Not offered on a public server, whose visitors may not read its folders."""
MORE = (
    "More well-known data sets appear here after the operator of this server has downloaded them with "
    "`python -m vit data --dataset NAME`."
)
SAMPLES = 10
READ_AT_ONCE = 3000
"""Folders and zips with up to this many images are read as soon as they are chosen, to find unreadable files."""


@st.cache_data(ttl=20, max_entries=64, show_spinner="Looking at the images")
def describe(source: str) -> DataInfo:
    """Describe a data set; cached briefly, because a folder may change."""
    return data.describe(source)


@st.cache_data(max_entries=32, show_spinner="Reading a few images")
def samples(info: DataInfo) -> list[tuple]:
    """Return a few training images, (h w c), with their classes."""
    return data.sample(info.source, SAMPLES, image_size=info.auto_image_size)


def choose_data() -> DataInfo | None:
    """Choose the data set to train on and show samples; None if it is not ready."""
    chooser = st.container()
    receive_upload()
    with chooser:
        source = choose_source()
    if not source:
        return None
    try:
        access.check_source(source)
        info = describe(source)
        if not info.ready:
            offer_download(info)
            return None
        show_counts(info)
        show_samples(info)
        show_skipped(info)
    except UserError as error:
        show_error(error)
        return None
    return info


def choose_source() -> str:
    """Choose the name or path of a data set; empty until a path is typed."""
    titles = offered(access.owner())
    choices = [*titles, *([] if access.bounds() else [ELSEWHERE])]
    if st.session_state.get("data", choices[0]) not in choices:
        del st.session_state["data"]
        st.warning("The chosen data set no longer exists: choose another.", icon=":material/folder_off:")
    source = st.selectbox(
        words.title(DataConfig, "source"),
        choices,
        key="data",
        format_func=lambda source: titles.get(source, source),
        bind="query-params",
        persist_state="session",
        help=MORE if access.bounds() else None,
    )
    if source != ELSEWHERE:
        return source
    path = st.text_input(
        "Path of the folder or zip file",
        key="folder",
        bind="query-params",
        persist_state="session",
        placeholder="/home/me/photos",
        help="It contains one folder for each class, or the folders train/ and val/ with one folder for each class.",
    )
    return path.strip()


def receive_upload() -> None:
    """Offer to upload a zip, unpack it into the data folder, and choose it."""
    round_ = st.session_state.setdefault("upload_round", 0)
    with st.expander("Upload your own images", icon=":material/upload:"):
        st.caption(
            "Upload a zip file with one folder for each class, or with the folders train/ and val/ that contain them. "
            f"Without val/, a fifth of the images is used for validation. {upload_words()}"
        )
        file = st.file_uploader("Zip file", type="zip", key=f"upload-{round_}", max_upload_size=access.upload_mb())
        if file is None:
            return
        try:
            with st.spinner("Unpacking"):
                source = access.store_upload(file)
        except UserError as error:
            show_error(error)
            return
    # A new uploader releases the bytes of the file, which is unpacked in the data folder now.
    st.session_state["upload_round"] = round_ + 1
    offered.clear()
    st.session_state["data"] = source
    st.rerun()


def offer_download(info: DataInfo) -> None:
    """Show a button that downloads a data set of the catalog, or the progress of its download."""
    key = ("data set", info.source)
    download = download_tasks().find(key)
    if download is not None and not download.finished:
        st.fragment(show_download, run_every=1)(download)
        return
    if download is not None and download.stopped:
        st.error("The download was stopped.", icon=":material/error:")
    elif download is not None:
        show_failure(download)
    size = f", {info.download_bytes / 1e6:,.0f} MB" if info.download_bytes else ""
    st.caption(
        f"{len(info.class_names)} classes, {info.train_count:,} training images, not downloaded yet. "
        f"Licence: {plain(info.licence)}"
    )
    if st.button(f"Download {info.title}{size}", icon=":material/download:", key="download"):

        def work(progress: Progress) -> None:
            catalog.download(info.source, progress=progress)

        download_tasks().forget(key)
        download_tasks().start(key, work, resumes=True)
        st.rerun()


def show_download(download: Task[Any]) -> None:
    """Show the progress of a download and its stop button; rerun the page at the end."""
    if download.finished:
        describe.clear()
        st.rerun()
    total = f" of {download.total / 1e6:,.0f} MB" if download.total else " MB"
    st.progress(download.share, text=f"Downloading: {download.done / 1e6:,.0f}{total}")
    st.button("Stop the download", icon=":material/stop:", on_click=download.stop, key="stop-download")


def show_counts(info: DataInfo) -> None:
    """Show the numbers of images and classes in one line."""
    names = ", ".join(plain(name) for name in info.class_names[:12]) + (" …" if len(info.class_names) > 12 else "")
    st.markdown(
        f"**{info.train_count:,}** training images, **{info.val_count:,}** validation images, "
        f"**{len(info.class_names)}** classes: {names}"
    )


def show_samples(info: DataInfo) -> None:
    with st.grid("auto", min_column_width=76, gap="xsmall"):
        for image, label in samples(info):
            st.image(image, caption=plain(label, CAPTION_COLUMNS), width="stretch", alt=f"Sample of the class {label}")


def show_skipped(info: DataInfo) -> None:
    """List the files that cannot be used; to find them, all images of a folder or zip are read, as in training."""
    skipped, count = info.skipped, info.train_count + info.val_count
    if os.path.isabs(info.source) and (
        count <= READ_AT_ONCE
        or info in st.session_state.get("unreadable", {})
        or st.button("Check that every image can be read", icon=":material/fact_check:")
    ):
        skipped = unreadable(info)
        if not skipped:
            st.caption(f":material/check: All {count:,} images can be read.")
    if skipped:
        title = f"{len(skipped):,} file{'' if len(skipped) == 1 else 's'} skipped"
        with st.expander(title, icon=":material/warning:"):
            rows = [{"File": in_cell(item.file), "Reason": in_cell(item.reason)} for item in skipped[:1000]]
            st.dataframe(rows, hide_index=True, alt="Skipped files, and why")


def unreadable(info: DataInfo) -> tuple[Skipped, ...]:
    """Read all images and return the files that cannot be used; the decoded images are cached for the training."""
    found = st.session_state.setdefault("unreadable", {})
    if info not in found:
        bar = st.progress(0.0, text="Reading the images")
        config = DataConfig(source=info.source, image_size=info.auto_image_size)

        def progress(done: int, total: int) -> None:
            bar.progress(done / total, f"Image {done:,} of {total:,}")

        whole = data.load(config, progress=progress)
        bar.empty()
        found.clear()
        found[info] = whole.skipped
    return found[info]
