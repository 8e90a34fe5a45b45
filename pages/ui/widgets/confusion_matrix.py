"""The confusion matrix as a table; a click or the keyboard chooses a cell."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.ui.widgets.component import register_widget
from vit.pictures.colours import RIGHT, WRONG
from vit.support.untrusted_text import shown

_component = register_widget("confusion_matrix")


def confusion_matrix(
    counts: np.ndarray, names: Sequence[str], *, normalised: bool, true_key: str, predicted_key: str, key: str
) -> None:
    """Draw ``counts (k k)``, rows true; a click on a cell writes its two classes to the session state.

    The two keys belong to select boxes of the page, which come before this in the script. The cell that they name is
    outlined, whether it was chosen by a click, in the boxes, or by a link.

    Args:
        counts: the number of images of each true and predicted class.
        names: the classes.
        normalised: show the percentage of each row instead of the counts.
        true_key: the key of the true class in the session state.
        predicted_key: the key of the predicted class.
        key: the key of the widget.
    """

    def choose() -> None:
        true, predicted = st.session_state[key]["cell"]
        st.session_state[true_key], st.session_state[predicted_key] = names[true], names[predicted]

    chosen = [names.index(st.session_state[true_key]), names.index(st.session_state[predicted_key])]
    _component(
        data={
            "counts": counts.tolist(),
            "names": [shown(name) for name in names],
            "normalised": normalised,
            "chosen": chosen,
            "colours": [RIGHT, WRONG],
        },
        key=key,
        on_cell_change=choose,
    )
