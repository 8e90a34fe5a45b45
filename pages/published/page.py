"""Published models: fetched by name or opened from a file, each becomes a run that all other pages look into."""

import shlex
import sys
from pathlib import Path

import streamlit as st

from pages import access
from pages.published.downloads import offer_download, show_run
from pages.ui.link_state import among, one_of
from pages.ui.text import plain, show_error
from pages.ui.wording import size
from vit.errors import UserError
from vit.runs import Run
from vit.support import optional_packages

BY_NAME, FROM_FILE = "By name", "From a file"
ALIKE = "Found by its weights"


@st.cache_data(show_spinner="Asking timm which models there are")
def names() -> list[str]:
    """All weights that timm knows of plain Vision Transformers and their relatives."""
    from vit.published import catalogue

    return catalogue.names()


@st.cache_data(max_entries=512, show_spinner="Looking at the network")
def describe(name: str):
    """What is known of a model before it is fetched."""
    from vit.published import catalogue

    return catalogue.describe(name)


@st.cache_data(show_spinner="Asking timm which networks there are")
def architectures() -> list[str]:
    """Names of timm's networks."""
    from vit.published import guess_architecture

    return guess_architecture.names()


def runs_of(name: str) -> list[Run]:
    """The runs that this model is open as, newest first."""
    return [run for run in access.my_runs() if run.config.published == name and run.has_weights]


def facts(entry) -> str:
    """Size, network and licence, in a line."""
    model = entry.config
    classes = f"{entry.classes:,} classes" if entry.classes else "no classes"
    return (
        f"{size(entry.download_bytes)} to fetch · {model.depth} blocks of {model.num_heads} heads · "
        f"{model.embed_dim} wide · patches of {model.patch_size} px · {classes} · "
        f"licence: {entry.licence or 'not stated'}"
    )


def show_model(name: str, line: str, *, key: str, primary: bool = False) -> None:
    """One model: what it is, whether it opens, and the way to it."""
    from vit.published.catalogue import default_size, image_sizes

    entry = describe(name)
    with st.container(border=True):
        st.markdown(f"**{plain(name)}**" + (f"  \n{line}" if line else ""))
        if entry.reason:
            st.caption(f":material/block: It cannot be opened here: {plain(entry.reason)}.")
            return
        st.caption(plain(facts(entry)))
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
                    help="Fewer pixels are fewer patches: everything is quicker, and maps are coarser. Positions are "
                    "resampled.",
                )
            open_at = {run.config.model.image_size for run in runs_of(name)}
            if chosen not in open_at:
                offer_download(name, chosen, key=key, primary=primary)
        for run in runs_of(name)[:3]:
            show_run(run)


def show_by_name() -> None:
    """A few to begin with, then all of timm's."""
    from vit.published.catalogue import CURATED

    known = names()
    one_of("model", known)
    chosen = st.selectbox(
        "Search timm's models",
        known,
        index=None,
        key="model",
        bind="query-params",
        placeholder="Type a part of a name, such as dinov2, deit or clip",
        help=f"{len(known)} weights of Vision Transformers. What cannot be opened says what is different in it.",
    )
    if chosen:
        show_model(chosen, CURATED.get(chosen, ""), key="chosen", primary=True)
    st.subheader("To begin with", anchor=False)
    for index, (name, line) in enumerate(CURATED.items()):
        if name != chosen and name in known:
            show_model(name, line, key=f"curated_{index}")


def show_from_file() -> None:
    """A path or an upload, what network it is of, and the button."""
    st.caption(
        "The weights of a plain Vision Transformer of timm's layout, as a safetensors file. Pickled files (.bin, .pt, "
        ".pth) can run programs and are never opened. A config.json as timm writes it says what the network and its "
        "classes are; without one the network is found by the shapes of the weights."
    )
    path = None
    if access.bounds() is None:
        path = st.text_input(
            "Path of the file on this machine",
            key="weights_path",
            persist_state="session",
            placeholder="/home/me/models/model.safetensors",
            help="A config.json in the same folder is read, too.",
        ).strip()
    uploads = st.file_uploader(
        "Or upload it, with its config.json if there is one" if path is not None else "The file, with its config.json",
        type=["safetensors", "json"],
        accept_multiple_files=True,
        key=f"weights_upload_{st.session_state.get('weights_round', 0)}",
        max_upload_size=access.upload_mb(),
    )
    candidates = st.session_state.get("weights_candidates", ())
    options = [*candidates, *(name for name in architectures() if name not in candidates)]
    architecture = st.selectbox("Architecture", options, index=None, key="weights_architecture", placeholder=ALIKE)
    if candidates and architecture is None:
        st.info(
            "These weights fit several networks, which differ in what cannot be seen in them, such as how images are "
            f"normalised: choose {', '.join(plain(name) for name in candidates[:6])}.",
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


def open_weights(path: str, uploads: list, architecture: str | None) -> None:
    """Make a run of the file; what is in the way is kept to be shown."""
    from vit.published.guess_architecture import Ambiguous

    st.session_state.update(weights_problem=None, weights_run=None, weights_candidates=())
    try:
        with st.spinner("Checking the weights, and holding them against timm's network"):
            st.session_state["weights_run"] = opened(path, uploads, architecture)
        st.session_state["weights_round"] = st.session_state.get("weights_round", 0) + 1  # lets go of the bytes
    except Ambiguous as error:
        st.session_state["weights_candidates"] = error.candidates
    except UserError as error:
        st.session_state["weights_problem"] = error
    st.rerun()


def opened(path: str, uploads: list, architecture: str | None) -> Run:
    """The run of an uploaded file, or else of one on this machine.

    Raises:
        UserError: there is none, or it cannot be opened.
    """
    from vit.published.open import open_file

    weights = [file for file in uploads if file.name.lower().endswith(".safetensors")]
    configs = [file for file in uploads if file.name.lower().endswith(".json")]
    if len(weights) > 1 or len(configs) > 1:
        raise UserError("These are several models: upload one safetensors file, with its config.json.")
    if weights:
        with access.weights_file(weights[0]) as file:
            config = configs[0].getvalue() if configs else None
            return open_file(
                file, title=weights[0].name, architecture=architecture, config=config, adapt=access.adopting()
            )
    if not path or access.bounds() is not None:
        raise UserError("There is no file yet: upload one" + ("." if access.bounds() else ", or name its path."))
    return open_file(Path(path).expanduser(), architecture=architecture, adapt=access.adopting())


def demo_words() -> str:
    """What a demo takes of this; empty on an own machine."""
    limits = access.bounds()
    if limits is None:
        return ""
    return (
        f"This demo takes networks of {limits.image_size} px, depth {limits.depth} and width {limits.embed_dim} at "
        "most, and nearly all published models are larger: they open where the program runs on a machine of your own."
    )


st.title("Published models", anchor=False)
st.caption(
    "Vision Transformers that others trained, from timm's collection: each becomes a run, and every page looks into it "
    "as into one of your own. Its weights are fetched once, checked, and held against timm's own network."
)
if words := demo_words():
    st.info(words, icon=":material/public:")
if optional_packages.missing("timm"):
    st.info(
        "They are known to timm, which is not installed here. "
        + (
            "Install it where this app runs, then open this page again:"
            if access.bounds() is None
            else "Whoever runs this server can install it."
        ),
        icon=":material/download:",
    )
    if access.bounds() is None:
        st.code(f"{shlex.quote(sys.executable)} -m pip install timm", language="sh")
    st.stop()
among("published_from", {BY_NAME: BY_NAME, FROM_FILE: FROM_FILE}, BY_NAME)
source = st.segmented_control(
    "Where from", [BY_NAME, FROM_FILE], key="published_from", default=BY_NAME, required=True, bind="query-params"
)
if source == FROM_FILE:
    show_from_file()
else:
    show_by_name()
