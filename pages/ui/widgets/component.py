"""Register the JavaScript widgets of this folder as Streamlit components."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from vit import web

_FOLDER = Path(__file__).parent


def register_widget(name: str, *, modules: Sequence[str] = (), parts: Sequence[str] = ()) -> Any:
    """Return the Streamlit component called ``name``, whose ``index.js`` and ``style.css`` are in the folder ``name``.

    The part of a widget that exported pages use too is the component of the same name in :mod:`vit.web`. Streamlit runs
    the code of a component as one module that cannot import other files, so that part, ``streamlit.js`` and the other
    scripts of the folder are put in front of ``index.js``.

    Args:
        name: the folder, and the component's name.
        modules: further modules of :mod:`vit.web` that its code uses.
        parts: names of a script and its styles beside the folder, which several widgets use.
    """
    folder = _FOLDER / name
    shared = [name] if name in web.component_names() else []
    others = sorted(path for path in folder.glob("*.js") if path.name != "index.js")
    styles = [_FOLDER / f"{part}.css" for part in parts] + ([] if shared else [folder / "style.css"])
    return st.components.v2.component(
        name,
        css="\n".join([web.style(*shared), *(path.read_text() for path in styles)]),
        js="\n".join(
            [
                web.script("shared", *shared, *modules),
                *((_FOLDER / f"{part}.js").read_text() for part in ("streamlit", *parts)),
                *(path.read_text() for path in (*others, folder / "index.js")),
            ]
        ),
    )
