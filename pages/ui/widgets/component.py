"""Register the JavaScript widgets of this folder as Streamlit components."""

from pathlib import Path
from typing import Any

import streamlit as st

from vit.web import FOLDER

_FOLDER = Path(__file__).parent


def register_widget(name: str, *, html: str | None = None) -> Any:
    """Return the Streamlit component whose ``index.js`` and ``style.css`` are in the folder ``name``.

    Streamlit runs the code of a component as one module that cannot import other files, so ``shared.js`` and the other
    scripts of the folder are put in front of ``index.js``, as ``shared.css`` is in front of ``style.css``.

    Args:
        name: the folder, and the component's name.
        html: elements that are there before the code runs.
    """
    folder = FOLDER / name if (FOLDER / name).is_dir() else _FOLDER / name
    others = sorted(path for path in folder.glob("*.js") if path.name != "index.js")
    return st.components.v2.component(
        name,
        html=html,
        css="\n".join(path.read_text() for path in (FOLDER / "shared.css", folder / "style.css")),
        js="\n".join(path.read_text() for path in (FOLDER / "shared.js", *others, folder / "index.js")),
    )
