"""Choose or upload an image."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from pages import access
from pages.ui.cached_models import IMAGE_ID, UPLOADED, PickedImage, validation, validation_split
from pages.ui.images import gallery, upload
from pages.ui.images.photographs import PHOTOGRAPHS, open_photograph
from pages.ui.link_state import complete, say_not_found, stored
from pages.ui.stand_in_images import NoImages
from pages.ui.text import BADGE_COLUMNS, plain, show_error
from vit.data.files.images import prepared_image
from vit.errors import DataError
from vit.runs import Run


def open_id(image_id: str, run: Run) -> PickedImage:
    """Return the image with an id.

    Raises:
        DataError: there is no such image.
    """
    found = IMAGE_ID.fullmatch(image_id)
    if found is None:
        raise DataError(f"{image_id!r} is not an image: write val-17 for validation image 17.")
    if found[2]:
        picture = access.open_picture(found[2])
        return PickedImage(image_id, access.picture_name(found[2]) or UPLOADED, picture)
    if found[3]:
        photograph = open_photograph(found[3])
        return PickedImage(image_id, PHOTOGRAPHS[found[3]].title, photograph)
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


def pick_image(run: Run, start: Callable[[Run], str | None] | None = None) -> PickedImage | None:
    """Show the controls for one image, bound to ``?image=``.

    These are a gallery, the image's id as text, previous, next, random, an upload and the link of the page. Place this
    in a row.

    Args:
        run: the run.
        start: a function that returns the id of the image to start with; by default the first one.

    Returns:
        The image, or None with a message if it cannot be opened.
    """
    asked = stored("image")
    image_id = known_image(asked or (start(run) if start else None), run)
    try:
        validation(run)
    except DataError as error:
        if not isinstance(error, NoImages) or image_id.startswith("sample-"):
            show_error(error)
    say_missing("image", asked, image_id, run)
    complete("image", image_id)
    try:
        picked = open_id(image_id, run)
    except DataError as error:
        show_error(error)
        return None
    gallery.show_gallery(run, picked, key="image_gallery", label="Image", on_pick=partial(_pick, "image"))
    count = gallery.count(run)
    known = f"val-0 to val-{count - 1} are the validation images; type a number to go to one. " if count else ""
    chosen = st.text_input(
        "Image",
        value=None,
        key="image",
        bind="query-params",
        help=f"{known}sample-… are photographs, pic-… uploaded images.",
        width=110,
    )
    with st.container(horizontal=True, gap="xsmall", width="content"):  # they stay together in a narrow window
        _step_buttons(image_id, run)
    upload.show_upload(run, "image")
    if chosen is not None and chosen != known_image(chosen, run):
        st.rerun()  # a link to a missing image; the next run corrects it before the field is made
    return picked


def pick_second_image(run: Run, placeholder: str) -> str | None:
    """Show the controls for another image of the same run, bound to ``?image2=``, and return its id if there is one.

    Args:
        run: the run.
        placeholder: what is shown without a choice.
    """
    asked = str(stored("image2") or "").strip()
    picked = None
    if asked:
        known = known_image(asked, run)
        if known != asked:
            say_missing("image2", asked, known, run)
            st.session_state["image2"] = known
        try:
            picked = open_id(known, run)
        except DataError as error:
            show_error(error)
    gallery.show_gallery(run, picked, key="image2_gallery", label="Second image", on_pick=partial(_pick, "image2"))
    image_id = st.text_input(
        "Second image",
        value=None,
        key="image2",
        bind="query-params",
        placeholder=placeholder,
        help="Type a number, or choose in the gallery; leave the field empty for the default.",
        width=150,
    )
    if image_id and image_id != known_image(image_id, run):
        st.rerun()
    return image_id or None


def _pick(key: str, ids: list[str]) -> None:
    st.session_state[key] = ids[0]


def known_image(asked: Any, run: Run) -> str:
    """Return the id of an existing image closest to ``asked``; without any other image, that of a photograph."""
    found = IMAGE_ID.fullmatch(str(asked or "").strip().lower())
    own, count = gallery.own_images(), gallery.count(run)
    if found and (found[0] in own if found[2] else found[3] in PHOTOGRAPHS):
        return found[0]
    if count:
        return f"val-{min(int(found[1]), count - 1) if found and found[1] else 0}"
    return own[0] if own else next(iter(PHOTOGRAPHS.values())).id


def say_missing(key: str, asked: Any, shown: str, run: Run) -> None:
    """Say above the page if the image that was asked for does not exist.

    Args:
        key: key of the widget.
        asked: what a link or the visitor asked for; None for nothing.
        shown: the image that is shown instead.
        run: the run.
    """
    text, count = str(asked or "").strip(), gallery.count(run)
    if not text or not count:
        return
    found = IMAGE_ID.fullmatch(text.lower())
    if found is None:
        reason = f"**{plain(text, BADGE_COLUMNS)}** is not an image: write val\\-17 for validation image 17."
    elif shown == (f"val-{int(found[1])}" if found[1] else found[0]):
        return
    elif found[2]:
        reason = f"There is no uploaded image **{plain(found[0])}**."
    elif found[3]:
        reason = f"There is no sample photograph **{plain(found[0])}**."
    else:
        reason = f"There is no validation image {int(found[1]):,} of this run: the last one is {count - 1:,}."
    say_not_found(key, f"{reason} Showing **{plain(shown)}** instead.", shown)


def next_image(image_id: str, run: Run, step: int = 1) -> str:
    """Return the image ``step`` places after this one, among those of the same kind; the first follows the last."""
    found = IMAGE_ID.fullmatch(image_id)
    if found and found[1]:
        return f"val-{(int(found[1]) + step) % max(1, gallery.count(run))}"
    kin = _kin(image_id)
    return kin[(kin.index(image_id) + step) % len(kin)] if image_id in kin else image_id


def _kin(image_id: str) -> list[str]:
    """Return the uploaded images, or the photographs, whichever this one belongs to."""
    return gallery.own_images() if image_id.startswith("pic-") else [one.id for one in PHOTOGRAPHS.values()]


def _step_buttons(image_id: str, run: Run) -> None:
    count = gallery.count(run)
    alone = (count if image_id.startswith("val-") else len(_kin(image_id))) < 2
    for label, icon, step in [("Previous", "chevron_left", -1), ("Next", "chevron_right", 1), ("Random", "casino", 0)]:
        st.button(
            label,
            icon=f":material/{icon}:",
            key=f"image_{label.lower()}",
            help=f"{label} image" if step else "Random validation image",
            on_click=_step,
            args=(step, run),
            disabled=alone if step else count < 2,
        )


def _step(step: int, run: Run) -> None:
    here = str(st.session_state.get("image"))
    st.session_state["image"] = next_image(here, run, step) if step else f"val-{random.randrange(gallery.count(run))}"
