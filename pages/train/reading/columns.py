"""Which columns of a table hold the images and the classes."""

import streamlit as st

from vit.config import DataConfig, words
from vit.data.records import Offered
from vit.support.untrusted_text import in_cell

COLUMNS = ("image_column", "label_column")
"""The settings, which are also the keys of the widgets."""


def forget_columns() -> None:
    """Let the columns of another table be found anew."""
    for key in COLUMNS:
        st.session_state.pop(key, None)


def choose_columns(offered: Offered) -> None:
    """Choose the columns of a table that hold the images and the classes."""
    with st.container(horizontal=True):
        for key, names, chosen in zip(COLUMNS, (offered.images, offered.labels), offered.chosen, strict=True):
            if st.session_state.get(key) not in (None, *names):
                del st.session_state[key]
            st.selectbox(
                words.title(DataConfig, key),
                names,
                index=names.index(chosen) if chosen in names else None,
                key=key,
                format_func=in_cell,
                placeholder="Choose a column",
                bind="query-params",
                help=f"{words.description(DataConfig, key)}.",
            )
