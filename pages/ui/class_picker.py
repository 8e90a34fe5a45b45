"""Choose a class."""

import streamlit as st

from pages.ui import link_state


def choose_class(class_names: tuple[str, ...], predicted: str) -> str:
    """The class of all maps, bound to ``?class=``; the predicted one until another is chosen."""
    link_state.one_of("class", class_names)
    chosen = st.selectbox(
        "Class",
        class_names,
        index=None,
        placeholder=f"{predicted} (predicted)",
        key="class",
        bind="query-params",
        width=220,
        help="The class that the maps speak for.",
    )
    return chosen or predicted
