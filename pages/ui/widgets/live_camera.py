"""A camera whose frames go through the network in the browser."""

from typing import Any

import streamlit as st
from streamlit import runtime

from pages.server import live_files
from pages.ui.cached_models import load_model, load_path
from pages.ui.text import show_error
from pages.ui.widgets.component import register_widget
from vit.errors import RunError, UserError
from vit.pictures.colours import SEQUENTIAL
from vit.runs import Run

WORDS = (
    "The network runs in this browser on the frames of the camera. No frame leaves the browser, except one that you "
    "freeze. The tiles show where each head of a layer looks."
)
WEIGHTS_MAX = 30_000_000
"""Largest network for the live view, in weights: 4 bytes each are sent to the browser."""

_component = register_widget("live_camera", modules=["map_grid/values"], parts=["camera"])


def live_camera(run: Run, *, uploader: str, key: str) -> None:
    """Draw the camera, with the answer and the heads of a layer; show an error if the network is too large.

    Args:
        run: the run.
        uploader: the key of the container with the uploader that gets a frozen frame.
        key: the key of the widget.
    """
    st.caption(WORDS)
    try:
        load_model(run)  # checks that the visitor may see it
        network, manifest = _prepared(str(run.path), run.stamp)
    except UserError as error:
        show_error(error)
        return
    # As for an image or a download: the address is that of this content, and lasts as long as the widget.
    files = runtime.get_instance().media_file_mgr
    address = files.add(network, "application/octet-stream", f"live-{key}", "network.onnx")
    _component(
        key=key,
        data={
            "files": live_files.folder(),
            "network": address.lstrip("/"),
            "manifest": manifest,
            "uploader": f"st-key-{uploader}",
            "colours": list(SEQUENTIAL),
        },
    )


@st.cache_data(max_entries=4, show_spinner="Preparing the network for the browser")
def _prepared(path: str, stamp: int) -> tuple[bytes, dict[str, Any]]:
    """Return the network as ONNX, and what the browser needs to know about it.

    Raises:
        UserError: it is too large, or a package that writes ONNX is not installed.
    """
    from vit.exports.web_page import manifest
    from vit.exports.web_page import network as onnx

    model, info = load_path(path, stamp)
    weights = sum(parameter.numel() for parameter in model.parameters())
    if weights > WEIGHTS_MAX:
        raise RunError(
            f"This network has {weights / 1e6:,.0f} million weights; the live view takes {WEIGHTS_MAX / 1e6:.0f} "
            "million at most, because they are sent to the browser."
        )
    return onnx.export(model, info), manifest.network(model, info)
