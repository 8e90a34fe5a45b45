"""Choose another data set's images for a published model, whose own images are not on this machine."""

import streamlit as st

from pages import access
from pages.ui import link_state
from vit.config import DataConfig, RunConfig
from vit.errors import DataError

KEY = "images_of"

IMAGES_MAX, BYTES_MAX = 1000, 3e8
"""Maximum number of validation images that are used, and of their bytes in memory."""

NO_IMAGES = (
    "The images that this model was trained on are not on this machine. Upload an image, or choose a data set next to "
    "the run: its validation images are used instead."
)


class NoImages(DataError):
    """No data set has been chosen yet; this is not a failure."""

    def __init__(self) -> None:
        super().__init__(NO_IMAGES)


def are_needed(config: RunConfig) -> bool:
    """Return whether the run has no images."""
    return not config.data.source


def source() -> str:
    """Return the name or path of the chosen data set, or an empty string."""
    return str(link_state.stored(KEY) or "").strip()


def taken(config: RunConfig) -> DataConfig:
    """Return the data of a run, or that of the chosen data set, with the image size that the model needs.

    Raises:
        NoImages: the run has no images, and no data set is chosen.
        DataError: the chosen data set is not allowed.
    """
    if not are_needed(config):
        return config.data
    if not source():
        raise NoImages
    access.check_source(source())
    count = max(2, min(IMAGES_MAX, int(BYTES_MAX / (3 * config.data.image_size**2))))
    return config.data.model_copy(update={"source": source(), "class_names": (), "val_images": count})


def choose() -> None:
    """Show the choice of the data set, bound to ``?images_of=``; place this in the row of the run."""
    from pages.access.images import offered  # imports the Train page's choice of images

    titles = offered(access.owner())
    here, asked = [name for name in titles if access.is_ready(name)], source()
    own = access.bounds() is None
    if asked and asked not in here and not own:
        st.session_state[KEY] = None
    elif asked and asked not in here:
        here.append(asked)
    st.selectbox(
        "Data set",
        here,
        index=None,
        format_func=lambda name: titles.get(name, name),
        key=KEY,
        bind="query-params",
        persist_state="session",
        placeholder="Choose a data set",
        accept_new_options=own,
        width=220,
        help="The images of this model are not on this machine; the validation images of this data set are used "
        "instead. You can add data sets on the Train page."
        + (" You can also type the path of a folder or zip of images." if own else ""),
    )
