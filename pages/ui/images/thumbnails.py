"""Small squares of images, many of them in one picture."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui.cached_models import IMAGE_ID, validation_split
from pages.ui.images.photographs import PHOTOGRAPHS, open_photograph
from vit.data.files.images import fit_square
from vit.errors import DataError
from vit.pictures.data_url import data_url
from vit.runs import Run

SIDE = 96
"""Side of the largest thumbnail in pixels; smaller images keep their own size."""

COLUMNS = 8
"""Thumbnails side by side in a sheet."""


def sheet(run: Run, ids: Sequence[str]) -> str:
    """Return the thumbnails of images in one JPEG, as a data URL.

    Thumbnail k is in row k // :data:`COLUMNS` and column k % :data:`COLUMNS`; that of a missing image stays grey.

    Args:
        run: the run, whose validation images are meant.
        ids: the ids of the images.
    """
    pictures = [_thumbnail(run, image_id) for image_id in ids]
    side = max((one.width for one in pictures if one is not None), default=1)
    columns = min(COLUMNS, max(1, len(ids)))
    whole = Image.new("RGB", (side * columns, side * max(1, -(-len(ids) // columns))), (128, 128, 128))
    for place, one in enumerate(pictures):
        if one is not None:
            one = one if one.width == side else one.resize((side, side), Image.Resampling.BICUBIC)
            whole.paste(one, (place % columns * side, place // columns * side))
    return data_url(whole, "jpeg", quality=85)


def _thumbnail(run: Run, image_id: str) -> Image.Image | None:
    found = IMAGE_ID.fullmatch(image_id)
    try:
        if found is None:
            return None
        if found[2]:
            return _uploaded(found[2]) if found[2] in access.list_pictures() else None
        if found[3]:
            return _square(open_photograph(found[3])) if found[3] in PHOTOGRAPHS else None
        images = validation_split(run).images
        index = int(found[1])
        if index >= len(images):
            return None
        return _square(Image.fromarray(np.ascontiguousarray(np.moveaxis(images[index], 0, -1))))
    except DataError:  # deleted in the meantime
        return None


@st.cache_data(max_entries=512, show_spinner=False)
def _uploaded(picture: str) -> Image.Image:
    """Return the thumbnail of an uploaded image; the id names its content, so visitors can share it."""
    return _square(access.open_picture(picture))


def _square(image: Image.Image) -> Image.Image:
    return Image.fromarray(fit_square(image, min(SIDE, *image.size)))
