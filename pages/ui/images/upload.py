"""Take an image that a visitor uploads, drops or pastes."""

from typing import Any

import streamlit as st

from pages import access
from pages.ui.text import plain, show_error
from pages.ui.widgets.image_tools import image_tools
from vit.data.files.colours import Colours, window_words
from vit.data.files.images import FILE_BYTES_MAX, open_image
from vit.errors import DataError, UserError
from vit.runs import Run

_BOX = "image_upload"
_PROBLEM, _ROUND = "image_upload_problem", "image_upload_round"


def upload_mb() -> int | None:
    """Return the largest image file in MB; None for the limit of the server."""
    return access.upload_mb(FILE_BYTES_MAX // 2**20)


def save_upload(file: Any, run: Run, name: str = "") -> str:
    """Store an uploaded image, and return its id; say how an image with more than 8 bits was reduced.

    Args:
        file: the uploaded file.
        run: the run, whose settings say how transparent and deep images are read.
        name: a name that replaces the file name.

    Raises:
        UserError: the file is not an image, or it cannot be stored.
    """
    with access.opened(file) as stream:
        image = open_image(stream, name=file.name, colours=Colours.of(run.config.data))
    image_id = f"pic-{access.save_picture(image, name or file.name)}"
    if window := image.info.get("window"):
        st.toast(f"{plain(file.name)} has more than 8 bits: {window_words(window)} became black to white.")
    return image_id


def show_upload(run: Run, target: str) -> None:
    """Show the buttons to upload an image and to copy the link; the page also takes dropped and pasted images.

    The uploader itself is hidden (by ``theme.css``) until it has a file, whose progress or error it shows.

    Args:
        run: the run, whose settings say how transparent and deep images are read.
        target: the key of the widget that gets the id of the image.
    """
    most = upload_mb()
    limit = f" of {most} MB at most" if most else ""
    words = f"Upload an image{limit}, drop it anywhere on this page, or paste it. {access.own_words()}"
    image_tools(_BOX, key="image_tools", words=words.strip())
    key = f"image_file_{st.session_state.get(_ROUND, 0)}"  # a new key after each file empties the uploader
    with st.container(key=_BOX):
        st.file_uploader("Your own image", key=key, on_change=_take, args=(run, key, target), max_upload_size=most)
    problem, then = st.session_state.get(_PROBLEM, ("", None))
    if problem and then == st.session_state.get(target):  # until another image is chosen
        show_error(DataError(problem))


def _take(run: Run, key: str, target: str) -> None:
    file = st.session_state[key]
    st.session_state.pop(_PROBLEM, None)
    if not access.is_there(file):
        return
    try:
        st.session_state[target] = save_upload(file, run)
    except UserError as error:
        st.session_state[_PROBLEM] = (str(error), st.session_state.get(target))
    access.release(file)
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
