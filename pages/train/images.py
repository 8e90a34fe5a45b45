"""The images of a new run: which data set, where it comes from, and what it contains."""

import os
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from pages import access
from pages.access.images import offered
from pages.train.reading.columns import COLUMNS, choose_columns, forget_columns
from pages.train.reading.pixels import choose_ground, choose_window
from pages.ui.background import Progress, Task, download_tasks, show_failure
from pages.ui.demo_notice import upload_words
from pages.ui.text import CAPTION_COLUMNS, plain, show_error
from pages.ui.wording import size
from vit import data
from vit.config import FOUND_COLUMNS, Columns, DataConfig, words
from vit.data import DataInfo, Skipped
from vit.data.tables.columns import UnclearColumns
from vit.data.tables.hub import PREFIX
from vit.errors import UserError
from vit.support.durations import TimeLeft
from vit.support.untrusted_text import in_cell

ELSEWHERE = "Files on this machine"
HUB = "A data set of the Hugging Face hub"
"""Neither is offered on a public server, whose visitors may not read its folders, nor fill its disk."""
KINDS = """
- a **folder** or **zip** with one folder for each class, or with train/ and val/ that contain such folders
- a **CSV** or **parquet** file with a column of paths, relative to the file, and a column of classes
- a **parquet** file, or a folder of them, with a column of images and one of classes
- a folder that Hugging Face **datasets** saved with `save_to_disk`
- **WebDataset** shards: a .tar file, or a folder of them
"""
MORE = (
    "More well-known data sets appear here after the operator of this server has downloaded them with "
    "`python -m vit data --dataset NAME`."
)
SAMPLES = 10
READ_AT_ONCE = 3000
"""Folders and zips with up to this many images are read as soon as they are chosen, to find unreadable files."""


@st.cache_data(ttl=20, max_entries=64, show_spinner="Looking at the images")
def describe(source: str, columns: Columns = FOUND_COLUMNS) -> DataInfo:
    """Describe a data set; cached briefly, because a folder may change."""
    return data.describe(source, columns=columns)


@st.cache_data(max_entries=32, show_spinner="Reading a few images")
def samples(info: DataInfo) -> list[tuple]:
    """Return a few training images, (h w c), with their classes."""
    return data.sample(
        info.source,
        SAMPLES,
        image_size=info.auto_image_size,
        ground=info.ground,
        window=info.window,
        columns=info.columns,
    )


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
        info = describe_chosen(source)
        if info is not None and not info.ready:
            offer_download(info)
            return None
        return None if info is None else show_images(info)
    except UserError as error:
        show_error(error)
        return None


def show_images(info: DataInfo) -> DataInfo | None:
    """Show what a data set contains and what is unusual about it; return it with the choices that this offers.

    Returns:
        None if most of its files cannot be read, unless the visitor chooses to use the rest.

    Raises:
        UserError: it cannot be read.
    """
    info = replace(info, ground=st.session_state.get("ground") or "white")
    counts, samples_row, rest = st.container(), st.container(), st.container()
    with rest:
        if info.window is not None:
            info = choose_window(info)
        whole = read_all(info)
    with counts:
        show_counts(info, whole)
        if info.licence:
            st.caption(f"Licence: {plain(info.licence)}")
    with samples_row:
        show_samples(info)
    with rest:
        for remark in info.remarks if whole is None else whole.remarks:
            st.caption(f":material/info: {plain(remark)}")
        show_listed("skipped", [*(info.skipped if whole is None else whole.skipped)])
        plain_images = [Skipped(file, "All pixels have the same colour.") for file in whole.one_colour] if whole else []
        show_listed("of one colour", plain_images)
        if plain_images or info.ground != "white":
            choose_ground()
        if whole and whole.mostly_unreadable:
            st.warning(whole.mostly_unreadable, icon=":material/broken_image:")
            if not st.toggle(words.title(DataConfig, "allow_unreadable"), key="allow_unreadable"):
                return None
            info = replace(info, allow_unreadable=True)
    return info


def choose_source() -> str:
    """Choose the name or path of a data set; empty until a path is typed."""
    titles = offered(access.owner())
    choices = [*titles, *([] if access.bounds() else [HUB, ELSEWHERE])]
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
        on_change=forget_columns,
        help=MORE if access.bounds() else None,
    )
    if source == HUB:
        name = st.text_input(
            "Name of the data set",
            key="hub",
            bind="query-params",
            persist_state="session",
            placeholder="owner/name",
            on_change=forget_columns,
            help="As in its address, huggingface.co/datasets/**owner/name**. If it has several configurations, add "
            "one: owner/name/configuration. It needs a column of images and a column of classes, and the package "
            "`datasets`. Nothing is downloaded before you press the button.",
        )
        return f"{PREFIX}{name.strip()}" if name.strip() else ""
    if source != ELSEWHERE:
        return source
    path = st.text_input(
        "Path of the folder or file",
        key="folder",
        bind="query-params",
        persist_state="session",
        placeholder="/home/me/photos, or /home/me/photos.csv",
        on_change=forget_columns,
        help=f"One of these:\n{KINDS}",
    )
    if not path.strip():
        st.markdown(f"The path of one of these:\n{KINDS}")
    return path.strip()


def describe_chosen(source: str) -> DataInfo | None:
    """Describe a data set with the chosen columns, and show these choices if it is a table.

    Returns:
        None if it is not clear which columns hold the images and the classes.

    Raises:
        UserError: it cannot be read.
    """
    wanted = Columns(*(st.session_state.get(key) or "" for key in COLUMNS))
    try:
        info = describe(source, wanted)
    except UnclearColumns as error:
        if any(wanted) and not any(error.offered.chosen):  # of an earlier table
            forget_columns()
            st.rerun()
        choose_columns(error.offered)
        st.info(plain(f"{str(error).partition(' (--')[0].rstrip('.')}."), icon=":material/table:")
        return None
    if info.offered is not None:
        choose_columns(info.offered)
    return info


def receive_upload() -> None:
    """Offer to upload a zip, unpack it into the data folder, and choose it."""
    round_ = st.session_state.setdefault("upload_round", 0)
    with st.expander("Upload your own images", icon=":material/upload:"):
        st.caption(
            "Upload a zip file with one folder for each class, or with the folders train/ and val/ that contain them. "
            f"Without val/, a fifth of the images is used for validation. {upload_words()}"
        )
        file = st.file_uploader("Zip file", type="zip", key=f"upload-{round_}", max_upload_size=access.upload_mb())
        source = unpack(file) if file is not None else None
        show_uploads()
        if source is None:
            return
    # A new uploader: the file is unpacked in the data folder now, and deleted.
    st.session_state["upload_round"] = round_ + 1
    offered.clear()
    st.session_state["data"] = source
    st.rerun()


def unpack(file: Any) -> str | None:
    """Unpack an uploaded zip and return its source; show an error and return None if it cannot be used."""
    try:
        with st.spinner("Unpacking"):
            return access.store_upload(file)
    except UserError as error:
        show_error(error)
        return None


def show_uploads() -> None:
    """List the visitor's uploads with their sizes, each with a button that deletes it."""
    stored = access.stored_uploads()
    if not stored:
        return
    st.markdown(f"**Your uploads**, {size(sum(upload.size for upload in stored))} in all")
    for index, upload in enumerate(stored):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(upload.title)}, {size(upload.size)}")
            with st.popover("Delete", icon=":material/delete:", key=f"delete-upload-{index}"):
                users = len(access.runs_with(upload.source))
                st.write(
                    f"Delete these images? {users} of your runs {'was' if users == 1 else 'were'} trained on them and "
                    f"{'loses its' if users == 1 else 'lose their'} validation images."
                    if users
                    else "Delete these images? No run uses them."
                )
                if st.button("Delete the images", key=f"really-delete-upload-{index}"):
                    delete_upload(upload.source)


def delete_upload(source: str) -> None:
    """Delete an upload, and choose another data set if it was chosen."""
    try:
        access.delete_upload(source)
    except UserError as error:
        show_error(error)
        return
    describe.clear()
    if st.session_state.get("data") == source:
        st.session_state["data"] = data.SCENES
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
    classes = f"{len(info.class_names):,} classes, " if info.class_names else ""
    images = f"{info.train_count:,} training images, " if info.train_count else ""
    st.caption(f"{classes}{images}not downloaded yet. Licence: {plain(info.licence)}")
    if info.offered is not None and st.toggle("Preview a few images", key="preview"):
        show_samples(info)
    if st.button(f"Download {info.title}{size}", icon=":material/download:", key="download"):

        def work(progress: Progress) -> None:
            data.download(info.source, progress=progress)

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


def show_counts(info: DataInfo, whole: "Reading | None") -> None:
    """Show the numbers of images and classes in one line; of the readable images, if all were read."""
    names = ", ".join(plain(name) for name in info.class_names[:12]) + (" …" if len(info.class_names) > 12 else "")
    train, val = (info.train_count, info.val_count) if whole is None else (whole.train_count, whole.val_count)
    st.markdown(
        f"**{train:,}** training images, **{val:,}** validation images, **{len(info.class_names)}** classes: {names}"
    )


def show_samples(info: DataInfo) -> None:
    with st.grid("auto", min_column_width=76, gap="xsmall"):
        for image, label in samples(info):
            st.image(image, caption=plain(label, CAPTION_COLUMNS), width="stretch", alt=f"Sample of the class {label}")


def show_listed(what: str, files: list[Skipped]) -> None:
    """List files, each with what is wrong with it."""
    if not files:
        return
    title = f"{len(files):,} {'file' if len(files) == 1 else 'files'} {what}"
    with st.expander(title, icon=":material/warning:"):
        rows = [{"File": in_cell(item.file), "Reason": in_cell(item.reason)} for item in files[:1000]]
        st.dataframe(rows, hide_index=True, alt=f"Files {what}, and why")


@dataclass(frozen=True)
class Reading:
    """What was found when all images were read.

    Attributes:
        train_count, val_count: images that can be read.
        one_colour: files all of whose pixels have the same colour.
        mostly_unreadable: a sentence if most of the files cannot be read; empty otherwise.
    """

    train_count: int
    val_count: int
    skipped: tuple[Skipped, ...]
    one_colour: tuple[str, ...]
    remarks: tuple[str, ...]
    mostly_unreadable: str


def read_all(info: DataInfo) -> Reading | None:
    """Read all images of a folder or zip, as in training; None if it is large and the visitor has not asked for it."""
    count = info.train_count + info.val_count
    if not os.path.isabs(info.source) or not (
        count <= READ_AT_ONCE
        or info in st.session_state.get("read_images", {})
        or st.button("Check that every image can be read", icon=":material/fact_check:")
    ):
        return None
    whole = _read(info)
    if not whole.skipped:
        st.caption(f":material/check: All {count:,} images can be read.")
    return whole


def _read(info: DataInfo) -> Reading:
    """Read all images, or return what was found before; the decoded images are cached for the training."""
    found: dict[DataInfo, Reading] = st.session_state.setdefault("read_images", {})
    if info not in found:
        bar, left = st.progress(0.0, text="Reading the images"), TimeLeft()
        config = info.config(info.auto_image_size)

        def progress(done: int, total: int) -> None:
            bar.progress(done / total, f"Image {done:,} of {total:,}{left.words(done, total)}")

        whole = data.load(config, progress=progress)
        bar.empty()
        train, val = whole.splits()
        mostly_unreadable = ""
        try:
            data.check_readable(whole, config)
        except UserError as error:
            mostly_unreadable = str(error)
        found.clear()
        found[info] = Reading(
            len(train),
            len(val),
            whole.skipped,
            (*train.one_colour, *val.one_colour),
            whole.remarks,
            mostly_unreadable,
        )
    return found[info]
