"""Reconstructions of a few validation images while a run learns by masked autoencoding."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.ui import cached_models
from pages.ui.text import show_error
from pages.ui.wording import term
from vit.errors import UserError
from vit.runs import Run
from vit.runs.folder import LAST

if TYPE_CHECKING:  # torch comes with the first reconstruction
    from vit.trainer.reconstruction import Reconstructions

SHOWN = 5
SIDE = 112
"""Side of a picture on the page in pixels."""


def show_reconstructions(run: Run) -> None:
    """Show the masked image, the reconstruction and the original of a few validation images."""
    st.markdown("**Reconstructions**", help=term("masked autoencoding"))
    if not run.can_resume:
        st.caption("This run has no resume checkpoint, which holds the decoder, so it cannot reconstruct images.")
        return
    try:
        found = _made(run, (run.path / LAST).stat().st_mtime_ns)
    except (UserError, OSError) as error:
        show_error(error if isinstance(error, UserError) else UserError(str(error)))
        return
    for title, images in (
        ("What the encoder sees", found.masked),
        ("Reconstruction", found.reconstructed),
        ("Original", found.originals),
    ):
        st.caption(title)
        with st.container(horizontal=True):
            for number, image in enumerate(images, start=1):
                st.image(image, width=SIDE, alt=f"{title}, validation image {number}")
    st.caption(
        f"Validation images with the weights after {found.time}; the same patches are hidden each time. The "
        "network predicts each hidden patch with mean 0 and variance 1, so its mean colour and contrast are taken from "
        "the original."
    )


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs={Run: lambda run: str(run.path)})
def _made(run: Run, written: int) -> "Reconstructions":
    from vit.trainer.reconstruction import reconstructions

    split = cached_models.validation_split(run)
    rows = np.arange(min(SHOWN, len(split)))
    return reconstructions(run, np.asarray(split.images[rows]))
