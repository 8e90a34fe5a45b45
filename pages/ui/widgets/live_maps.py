"""The attention of one image while a network trains: every head of every layer, drawn by the browser."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import streamlit as st
from PIL import Image

from pages.ui.widgets.component import register_widget
from vit.config import TransformerConfig, words
from vit.pictures.colours import SEQUENTIAL
from vit.pictures.data_url import data_url
from vit.runs.live_maps import LiveMaps
from vit.support.untrusted_text import shown

_component = register_widget("live_maps")


def live_maps(maps: LiveMaps, network: TransformerConfig, names: Sequence[str], *, key: str, chosen: str) -> None:
    """Draw the watched images, and the maps of the chosen one.

    A patch is chosen in the browser, by hovering, clicks or the arrow keys.

    Args:
        maps: the attention.
        network: the settings of the network, to which it must belong.
        names: the classes.
        key: the key of the widget.
        chosen: the key in session state with the place of the chosen image, which a click writes.
    """
    image = st.session_state[chosen]
    levels, tops = maps.levels[image], maps.tops[image]

    def take() -> None:
        picked = st.session_state[key].image
        if isinstance(picked, int) and 0 <= picked < len(maps.rows):
            st.session_state[chosen] = picked

    _component(
        key=key,
        data={
            "levels": pa.table({"value": np.ascontiguousarray(levels).ravel()}),
            "tops": pa.table({"value": np.ascontiguousarray(tops).ravel()}),
            "layers": levels.shape[0],
            "heads": levels.shape[1],
            "queries": levels.shape[2],
            "grid": [network.grid, network.grid],
            "prefix": network.num_prefix_tokens,
            "summary": words.summary_name(network),
            "images": [data_url(Image.fromarray(pixels)) for pixels in maps.pixels],
            "alts": [shown(names[label]) for label in maps.labels],
            "image": image,
            "colours": list(SEQUENTIAL),
            "answer": answer(maps, image, names),
        },
        on_image_change=take,
    )


def answer(maps: LiveMaps, image: int, names: Sequence[str]) -> str:
    """Say what an image shows and, for a network with classes, what it is classified as and how surely."""
    truth, probabilities = shown(names[maps.labels[image]]), maps.probabilities[image]
    if not len(probabilities):
        return f"Validation image {maps.rows[image]}, class {truth}."
    best = int(probabilities.argmax())
    right = "correct" if best == maps.labels[image] else f"in fact {truth}"
    return f"Classified as {shown(names[best])} with {probabilities[best]:.0%}: {right}."
