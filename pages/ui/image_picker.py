"""Choose or upload an image."""

import random
from typing import Any

import numpy as np
import streamlit as st

from pages import access
from pages.ui import stand_in_images
from pages.ui.cached_models import IMAGE_ID, PickedImage, validation, validation_split
from pages.ui.link_state import complete, say_not_found, stored
from pages.ui.text import BADGE_COLUMNS, plain, show_error
from vit.data.files.colours import Colours, window_words
from vit.data.files.images import FILE_BYTES_MAX, open_image, prepared_image
from vit.errors import DataError, UserError
from vit.runs import Run

LISTED_IMAGES = 500
"""Number of validation images in the list; for the others, type the number."""


def open_id(image_id: str, run: Run) -> PickedImage:
    """Return the image with an id.

    Raises:
        DataError: there is no such image.
    """
    found = IMAGE_ID.fullmatch(image_id)
    if found is None:
        raise DataError(f"{image_id!r} is not an image: write val-17 for validation image 17.")
    if found[2]:
        return PickedImage(image_id, "uploaded image", access.open_picture(found[2]))
    split, index = validation_split(run), int(found[1])
    if index >= len(split.labels):
        raise DataError(f"There is no validation image {index}: the last one is {len(split.labels) - 1}.")
    pixels = np.ascontiguousarray(np.moveaxis(split.images[index], 0, -1))
    return PickedImage(
        id=image_id,
        title=f"validation image {index}",
        image=prepared_image(pixels),
        label=validation(run).class_names[int(split.labels[index])],
    )


def pick_image(run: Run) -> PickedImage | None:
    """Show the controls for one image, bound to ``?image=``: a list, previous, next, random, and an upload.

    Place this in a row.

    Returns:
        The image, or None with a message if the run's data set is missing and no image was uploaded.
    """
    asked = stored("image")
    image_id = known_image(asked, run)
    try:
        validation(run)
    except DataError as error:
        if image_id is None or not isinstance(error, stand_in_images.NoImages):
            show_error(error)
    count = _count(run)
    if image_id is None:
        st.caption("Upload an image to look at:")
        _upload_button(run)
        return None
    say_missing("image", asked, image_id, run)
    complete("image", image_id)
    chosen = st.selectbox(
        "Image",
        listed_images(run, image_id),
        index=None,
        key="image",
        bind="query-params",
        accept_new_options=True,
        help=f"val-0 to val-{count - 1} are the validation images; type a number to go to one. "
        "pic-… are uploaded images.",
        width=180,
    )
    on_validation = image_id.startswith("val-")
    steps = [("Previous", "chevron_left", -1), ("Next", "chevron_right", 1), ("Random", "casino", 0)]
    for label, icon, step in steps:
        st.button(
            label,
            icon=f":material/{icon}:",
            icon_position="right" if step > 0 else "left",
            key=f"image_{label.lower()}",
            on_click=_step,
            args=(step, count),
            disabled=count < 2 or (step != 0 and not on_validation),
        )
    _upload_button(run)
    if chosen is not None and chosen != known_image(chosen, run):
        st.rerun()  # a link to a missing image; the next run corrects it before the list is made
    try:
        return open_id(chosen or image_id, run)
    except DataError as error:
        show_error(error)
        return None


def _count(run: Run) -> int:
    """Return the number of validation images of the run's data set; 0 if the data set is missing."""
    try:
        return len(validation_split(run).labels)
    except DataError:
        return 0


def _pictures() -> list[str]:
    return [f"pic-{picture}" for picture in access.list_pictures()]


def listed_images(run: Run, *chosen: str) -> list[str]:
    """Return the ids for a list of images: chosen ones, the first validation images, uploaded images.

    Args:
        run: the run.
        chosen: ids that must be in the list.
    """
    listed = [f"val-{index}" for index in range(min(_count(run), LISTED_IMAGES))] + _pictures()
    return [one for one in chosen if one not in listed] + listed


def known_image(asked: Any, run: Run) -> str | None:
    """Return the id of an existing image closest to ``asked``, or None if there are no images at all."""
    found = IMAGE_ID.fullmatch(str(asked or "").strip().lower())
    pictures, count = _pictures(), _count(run)
    if found and found[2] and found[0] in pictures:
        return found[0]
    if count:
        return f"val-{min(int(found[1]), count - 1) if found and found[1] else 0}"
    return pictures[0] if pictures else None


def say_missing(key: str, asked: Any, shown: str | None, run: Run) -> None:
    """Say above the page if the image that was asked for does not exist.

    Args:
        key: key of the widget.
        asked: what a link or the visitor asked for; None for nothing.
        shown: the image that is shown instead.
        run: the run.
    """
    text = str(asked or "").strip()
    if not text or not _count(run):
        return
    found = IMAGE_ID.fullmatch(text.lower())
    if found is None:
        reason = f"**{plain(text, BADGE_COLUMNS)}** is not an image: write val\\-17 for validation image 17."
    elif shown == (found[0] if found[2] else f"val-{int(found[1])}"):
        return
    elif found[2]:
        reason = f"There is no uploaded image **{plain(found[0])}**."
    else:
        reason = f"There is no validation image {int(found[1]):,} of this run: the last one is {_count(run) - 1:,}."
    say_not_found(key, f"{reason} Showing **{plain(shown)}** instead." if shown else reason, shown)


def next_image(image_id: str, run: Run) -> str:
    """Return the next validation image, or the first after the last; without validation images, the same image."""
    found, count = IMAGE_ID.fullmatch(image_id), _count(run)
    here = int(found[1]) if found and found[1] else -1
    return f"val-{(here + 1) % count}" if count else image_id


def _step(step: int, count: int) -> None:
    found = IMAGE_ID.fullmatch(str(st.session_state.get("image")))
    here = int(found[1]) if found and found[1] else 0
    st.session_state["image"] = f"val-{(here + step) % count if step else random.randrange(count)}"


def _upload_button(run: Run) -> None:
    with st.popover("Upload", icon=":material/upload:"):
        st.file_uploader(
            "Your own image",
            key="attention_upload",
            on_change=_take_upload,
            args=(run,),
            max_upload_size=access.upload_mb(FILE_BYTES_MAX // 2**20),
            help=access.own_words() or None,
        )
        if problem := st.session_state.get("attention_upload_problem"):
            show_error(DataError(problem))


def _take_upload(run: Run) -> None:
    file = st.session_state["attention_upload"]
    st.session_state["attention_upload_problem"] = None
    if not access.is_there(file):
        return
    try:
        with access.opened(file) as stream:
            image = open_image(stream, name=file.name, colours=Colours.of(run.config.data))
        st.session_state["image"] = f"pic-{access.save_picture(image)}"
        if window := image.info.get("window"):
            st.toast(f"This image has more than 8 bits: values from {window_words(window)} became black to white.")
    except UserError as error:
        st.session_state["attention_upload_problem"] = str(error)
