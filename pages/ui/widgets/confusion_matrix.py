"""The confusion matrix as a table that is clicked, or walked with the arrow keys."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from vit.pictures.colours import RIGHT, WRONG
from vit.support.untrusted_text import shown

_FOLDER = Path(__file__).parent / "confusion_matrix"
_component = st.components.v2.component(
    "confusion_matrix",
    html="""<div class="matrix">
<p class="axis">Rows: the true class. Columns: what the model said.</p>
<table role="grid" aria-label="Confusion matrix"></table>
</div>""",
    css=(_FOLDER / "style.css").read_text(),
    js=(_FOLDER / "index.js").read_text(),
)


def confusion_matrix(
    counts: np.ndarray, names: Sequence[str], *, normalised: bool, true_key: str, predicted_key: str, key: str
) -> None:
    """Draw ``counts (k k)``, rows true; a click on a cell sets the class names under the two keys of session state.

    Those keys belong to the page's selectboxes, which come before this in the script and are the truth: the cell that
    they name is outlined, whether it was chosen by a click, there, or by a link.
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
