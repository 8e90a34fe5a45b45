"""Encode images as data URLs, for pages and figures that contain their images."""

import base64
import io
from typing import Any

from PIL import Image


def data_url(image: Image.Image, kind: str = "png", **options: Any) -> str:
    """Return an image as a data URL.

    Args:
        image: the image.
        kind: file format, ``png`` or ``webp``.
        options: passed to Pillow's ``save``, for example ``quality``.
    """
    content = io.BytesIO()
    image.save(content, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
