"""Published models: download them by name or open a file; each becomes a run that works on all other pages."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages import access
from pages.published.downloads import offer_download, show_run
from pages.ui.link_state import among, one_of
from pages.ui.text import plain, show_error
from pages.ui.wording import size
from vit.config import ViTConfig
from vit.errors import UserError
from vit.runs import Run
from vit.support import optional_packages

if TYPE_CHECKING:  # timm may be missing
    from vit.published.catalogue import Entry

BY_NAME, FROM_FILE = "By name", "From a file"
GUESSED = "Guess from the weights"


@st.cache_data(show_spinner="Listing the models of timm")
def names() -> list[str]:
    """Return the names of all models in timm, Vision Transformers and related networks first."""
    from vit.published import catalogue

    return catalogue.names()


@st.cache_data(max_entries=512, show_spinner="Reading the description of the model")
def describe(name: str) -> "Entry":
    """Return what is known about a model before it is downloaded."""
    from vit.published import catalogue

    return catalogue.describe(name)


@st.cache_data(show_spinner="Listing the networks of timm")
def architectures() -> list[str]:
    """Return the names of the networks in timm."""
    from vit.published import guess_architecture

    return guess_architecture.names()


def runs_of(name: str) -> list[Run]:
    """Return the runs of this model, newest first."""
    return [run for run in access.my_runs() if run.config.published == name and run.has_weights]


def facts(entry: "Entry", model: ViTConfig) -> str:
    """Return the size, the network and the licence of a model in one line."""
    classes = f"{entry.classes:,} classes" if entry.classes else "no classes"
    return (
        f"{size(entry.download_bytes)} download · {model.depth} blocks of {model.num_heads} heads · "
        f"width {model.embed_dim} · patches of {model.patch_size} px · {classes} · "
        f"licence: {entry.licence or 'not stated'}"
    )


def show_model(name: str, line: str, *, key: str, primary: bool = False) -> None:
    """Show one model: what it is, and how to open it, or why it cannot be opened.

    Args:
        name: timm's name of the weights.
        line: a sentence about the model.
        key: the prefix of the widgets' keys.
        primary: whether its button is the main one of the page.
    """
    from vit.published.catalogue import default_size, image_sizes

    entry = describe(name)
    with st.container(border=True):
        st.markdown(f"**{plain(name)}**" + (f"  \n{line}" if line else ""))
        if entry.config is None:
            st.caption(f":material/block: It cannot be opened here: {plain(entry.reason)}.")
            return
        st.caption(plain(facts(entry, entry.config)))
        sizes = image_sizes(entry.config)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = sizes[0]
            if default_size(entry.config) != chosen:
                chosen = st.selectbox(
                    "Image size",
                    sizes,
                    index=sizes.index(default_size(entry.config)),
                    key=f"{key}_size",
                    width=160,
                    format_func=lambda side: f"{side} px" + (", as published" if side == sizes[0] else ""),
                    help="A smaller image has fewer patches: everything is faster, and maps are coarser. The position "
                    "embeddings are resampled.",
                )
            open_at = {run.config.model.image_size for run in runs_of(name)}
            if chosen not in open_at:
                offer_download(name, chosen, key=key, primary=primary)
        for run in runs_of(name)[:3]:
            show_run(run)


def show_by_name() -> None:
    """Show a search over all models of timm, and a few suggestions."""
    from vit.published.catalogue import CURATED

    known = names()
    one_of("model", known)
    chosen = st.selectbox(
        "Search the models of timm",
        known,
        index=None,
        key="model",
        bind="query-params",
        placeholder="Type part of a name, such as dinov2, deit or clip",
        help=f"All {len(known):,} models of timm, Vision Transformers first. The entry of a model says if it opens.",
    )
    if chosen:
        show_model(chosen, CURATED.get(chosen, ""), key="chosen", primary=True)
    st.subheader("Suggestions", anchor=False)
    for index, (name, line) in enumerate(CURATED.items()):
        if name != chosen and name in known:
            show_model(name, line, key=f"curated_{index}")


def show_from_file() -> None:
    """Show the form for a file: a path or an upload, the architecture, and the button."""
    st.caption(
        "The weights of a Vision Transformer with the parameter names of timm, as a safetensors file or all its parts. "
        "Pickled files "
        "(.bin, .pt, .pth) can run programs and are never opened. A config.json as timm writes it names the network "
        "and its classes; without it, the network is guessed from the shapes of the weights."
    )
    path = None
    if access.bounds() is None:
        path = st.text_input(
            "Path of the file on this machine",
            key="weights_path",
            persist_state="session",
            placeholder="/home/me/models/model.safetensors",
            help="A file, or a folder with one model. A config.json in the same folder is read too.",
        ).strip()
    uploads = st.file_uploader(
        "Or upload it, with its config.json if you have it" if path is not None else "The file, with its config.json",
        type=["safetensors", "json"],
        accept_multiple_files=True,
        key=f"weights_upload_{st.session_state.get('weights_round', 0)}",
        max_upload_size=access.upload_mb(),
    )
    candidates = st.session_state.get("weights_candidates", ())
    options = [*candidates, *(name for name in architectures() if name not in candidates)]
    architecture = st.selectbox("Architecture", options, index=None, key="weights_architecture", placeholder=GUESSED)
    if candidates and architecture is None:
        st.info(
            "These weights fit several networks, which differ in details that the weights do not show, such as the "
            f"normalisation of images: choose {', '.join(plain(name) for name in candidates[:6])}.",
            icon=":material/help:",
        )
    if st.button("Open", type="primary", icon=":material/folder_open:", key="weights_open"):
        open_weights(path or "", uploads, architecture)
    if problem := st.session_state.get("weights_problem"):
        show_error(problem)
    run = st.session_state.get("weights_run")
    if run is not None and run.has_weights:
        with st.container(border=True):
            show_run(run)


def open_weights(path: str, uploads: list[Any], architecture: str | None) -> None:
    """Make a run from the file, and keep the run or the error for the next rerun.

    Args:
        path: the path of the file, or an empty string.
        uploads: the uploaded files.
        architecture: the chosen network; None to guess it.
    """
    from vit.published.guess_architecture import Ambiguous

    st.session_state.update(weights_problem=None, weights_run=None, weights_candidates=())
    try:
        with st.spinner("Checking the weights against timm's network"):
            st.session_state["weights_run"] = opened(path, uploads, architecture)
        access.release(*uploads)
        st.session_state["weights_round"] = st.session_state.get("weights_round", 0) + 1
    except Ambiguous as error:
        st.session_state["weights_candidates"] = error.candidates
    except UserError as error:
        st.session_state["weights_problem"] = error
    st.rerun()


def opened(path: str, uploads: list[Any], architecture: str | None) -> Run:
    """Open an uploaded file, or a file on this machine, and return its run.

    Args:
        path: as in :func:`open_weights`.
        uploads: as in :func:`open_weights`.
        architecture: as in :func:`open_weights`.

    Raises:
        UserError: there is no file, or it cannot be opened.
    """
    from vit.published import parts
    from vit.published.open import open_file

    weights = [file for file in uploads if file.name.lower().endswith(".safetensors")]
    configs = [file for file in uploads if file.name.lower().endswith(".json") and not file.name.endswith(parts.INDEX)]
    joined = parts.are_one_model([file.name for file in weights])
    if (len(weights) > 1 and not joined) or len(configs) > 1:
        raise UserError(
            "These files are several models. Upload one safetensors file, or all parts of one, with its config.json."
        )
    if weights:
        with access.weights_files(weights) as file:
            title = f"{parts.stem(weights[0].name)}.safetensors" if joined else weights[0].name
            config = read(configs[0]) if configs else None
            return open_file(file, title=title, architecture=architecture, config=config, adapt=access.adopting())
    if not path or access.bounds() is not None:
        raise UserError("There is no file yet. Upload one" + ("." if access.bounds() else ", or type its path."))
    return open_file(Path(path).expanduser(), architecture=architecture, adapt=access.adopting())


def read(file: Any) -> bytes:
    """Return the content of an uploaded config.json, or a little more than its largest size, which is refused.

    Raises:
        UserError: the file is no longer on the server.
    """
    from vit.published.model_description import CONFIG_BYTES_MAX

    with access.opened(file) as stream:
        return stream.read(CONFIG_BYTES_MAX + 1)


def demo_words() -> str:
    """Return the limits of a demo; an empty string outside a demo."""
    limits = access.bounds()
    if limits is None:
        return ""
    return (
        f"This demo takes networks of at most {limits.image_size} px, depth {limits.depth} and width "
        f"{limits.embed_dim}. Nearly all published models are larger; run the program on your own machine to open them."
    )


st.title("Published models", anchor=False)
st.caption(
    "Pretrained Vision Transformers from timm. Each model becomes a run that works on every page like your own runs. "
    "Its weights are downloaded once and checked against timm's own network."
)
if words := demo_words():
    st.info(words, icon=":material/public:")
if optional_packages.missing("timm"):
    st.info(
        "This page needs the package timm, which is not installed here. "
        + (
            "Install it where this app runs, then open this page again:"
            if access.bounds() is None
            else "The operator of this server can install it."
        ),
        icon=":material/download:",
    )
    if access.bounds() is None:
        st.code(f"{shlex.quote(sys.executable)} -m pip install timm", language="sh")
    st.stop()
among("published_from", {BY_NAME: BY_NAME, FROM_FILE: FROM_FILE}, BY_NAME)
source = st.segmented_control(
    "Source", [BY_NAME, FROM_FILE], key="published_from", default=BY_NAME, required=True, bind="query-params"
)
if source == FROM_FILE:
    show_from_file()
else:
    show_by_name()
