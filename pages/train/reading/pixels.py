"""How the pixels of images are read: the ground of transparent ones, and the window of those with more than 8 bits."""

from dataclasses import replace
from typing import get_args

import streamlit as st

from vit import data
from vit.config import Columns, DataConfig, Ground, Window, window_around, words
from vit.data import DataInfo
from vit.data.files.colours import window_words

CENTRE, PERCENTILES = "Centre and width", "Percentiles"


def choose_ground() -> None:
    """Choose what is shown behind transparent images."""
    st.segmented_control(
        words.title(DataConfig, "ground"),
        get_args(Ground),
        default="white",
        required=True,
        format_func=str.capitalize,
        key="ground",
        bind="query-params",
        persist_state="session",
        help=f"{words.description(DataConfig, 'ground')}.",
    )


def choose_window(info: DataInfo) -> DataInfo:
    """Choose which values of greyscale with more than 8 bits become black and white."""
    assert info.window is not None
    found = f"As found: {window_words(info.window)}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.segmented_control(
            words.title(DataConfig, "window"),
            (found, CENTRE, PERCENTILES),
            default=found,
            required=True,
            key="window_by",
            help=f"{words.description(DataConfig, 'window')}. A narrow window shows more contrast, as in viewers of "
            "medical images. The run keeps it, and new images are read with it.",
        )
        if way == found:
            return info
        low, high = info.window
        if way == CENTRE:
            centre = st.number_input("Centre", value=(low + high + 1) / 2, key="window_low")
            width = st.number_input("Width", value=high - low + 1, min_value=1.1, key="window_high")
            return replace(info, window=window_around(centre, width))
        black = st.number_input("Black at (%)", 0.0, 100.0, 1.0, key="window_black")
        white = st.number_input("White at (%)", 0.0, 100.0, 99.0, key="window_white")
    window = percentile_window(info.source, black, white, info.columns)
    st.caption(f"Values from {window_words(window)} become black to white.")
    return replace(info, window=window)


@st.cache_data(max_entries=32, show_spinner="Reading a few images")
def percentile_window(source: str, low: float, high: float, columns: Columns) -> Window:
    """Return the values at two percentiles of a sample of the training images."""
    return data.percentile_window(source, low, high, columns)
