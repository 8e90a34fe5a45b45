"""Images for a model that came trained, whose own are not here: those of any data set that is, chosen beside the
run."""

import streamlit as st

from pages import access
from pages.ui import link_state
from vit.config import DataConfig, RunConfig
from vit.errors import DataError

KEY = "images_of"

IMAGES_MAX, BYTES_MAX = 1000, 3e8
"""So many validation images are taken of the data set, and fewer of large ones."""

NO_IMAGES = (
    "The images that this model was trained on are not here. Upload a picture, or choose a data set beside the run: "
    "its validation images take their place."
)


class NoImages(DataError):
    """None are chosen yet: nothing is wrong."""

    def __init__(self) -> None:
        super().__init__(NO_IMAGES)


def are_needed(config: RunConfig) -> bool:
    """Whether the run has no images of its own."""
    return not config.data.source


def source() -> str:
    """The chosen data set's name or path; empty where none is chosen."""
    return str(link_state.stored(KEY) or "").strip()


def taken(config: RunConfig) -> DataConfig:
    """Where the images of a run are: its own, or those that take their place, as the model looks at them.

    Raises:
        NoImages: it has none, and none are chosen.
        DataError: those that are chosen may not be.
    """
    if not are_needed(config):
        return config.data
    if not source():
        raise NoImages
    access.check_source(source())
    count = max(2, min(IMAGES_MAX, int(BYTES_MAX / (3 * config.data.image_size**2))))
    return config.data.model_copy(update={"source": source(), "class_names": (), "val_images": count})


def choose() -> None:
    """The choice, bound to ``?images_of=``; it wants the run's row."""
    from pages.access.images import offered  # it brings the Train page's choice of images

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
        help="This model's own images are not here: validation images of a data set take their place. Data sets come "
        "by way of the Train page." + (" The path of a folder or zip of images can be typed too." if own else ""),
    )
