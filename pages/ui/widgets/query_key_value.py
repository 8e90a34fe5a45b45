"""How a head computes the attention of one token, step by step: query, keys, scores, softmax, values, output."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import streamlit as st
from PIL import Image

from pages.ui.widgets.component import register_widget
from vit.data.files.images import fit_square
from vit.pictures.colours import SEQUENTIAL, SIGNED
from vit.pictures.data_url import data_url
from vit.support.untrusted_text import shown

if TYPE_CHECKING:  # it would import torch
    from vit.explain.anatomy.head_vectors import HeadVectors

DISPLAY_SIZE = 256
"""Larger images are shown at this side."""

_component = register_widget("query_key_value")


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The image and the tokens that the vectors belong to.

    Attributes:
        image: the part of the image that the network sees.
        grid: rows and columns of patches.
        before: the names of the tokens before the patches.
    """

    image: Image.Image
    grid: tuple[int, int]
    before: tuple[str, ...]


def query_key_value(vectors: "HeadVectors", tokens: Tokens, *, token: int, title: str, version: str, key: str) -> None:
    """Draw the computation as an animation that the browser computes from the vectors.

    Args:
        vectors: of the head, as recorded.
        tokens: the image, and what its tokens are called.
        token: whose attention it is, from 0, in the network's order.
        title: which head it is, such as "Layer 2, head 1".
        version: a name for everything that the vectors depend on, except the token.
        key: the key of the widget.
    """
    picture = Image.fromarray(fit_square(tokens.image, min(DISPLAY_SIZE, *tokens.image.size)))
    with st.container(key=f"qkv_{key}"):  # theme.css reserves its height
        _component(
            key=key,
            data={name: _column(value) for name, value in vars(vectors).items()}
            | {
                "width": len(vectors.query),
                "rows": tokens.grid[0],
                "columns": tokens.grid[1],
                "before": [shown(name) for name in tokens.before],
                "token": token,
                "image": data_url(picture),
                "title": shown(title),
                "signed": list(SIGNED),
                "amounts": list(SEQUENTIAL),
                "version": f"{version}/{token}",
            },
        )


def _column(values: np.ndarray) -> pa.Table:
    return pa.table({"value": np.ascontiguousarray(values, dtype=np.float32).ravel()})
