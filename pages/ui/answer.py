"""Show a model's answer for an image."""

from collections.abc import Iterable, Sequence

import numpy as np
import streamlit as st

from pages.ui.cached_models import PickedImage
from pages.ui.text import name_badge, plain
from vit.classes import NO_CLASSES, index_of
from vit.runs import Run


def attention_link(run: Run, image_id: str, *, label: str = "See its attention", **view: int) -> None:
    """The way to the Attention page with this run and image, and with ``layer``, ``head`` and ``token`` of a view."""
    st.page_link(
        "attention/page.py",
        label=label,
        icon=":material/visibility:",
        query_params={"run": run.name, "image": image_id} | {name: str(number) for name, number in view.items()},
    )


def show_answer(
    picked: PickedImage,
    names: Sequence[str],
    probabilities: np.ndarray,
    *,
    when: str = "predicted",
    asked: Iterable[int] = (),
) -> None:
    """The image's name and class, what a network says of it, and how likely it finds the classes asked about.

    Args:
        probabilities: of the classes ``names``, ``(k,)``; none of a network without classes.
        when: what stands before the answer.
    """
    if not len(probabilities):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(plain(picked.title[:1].upper() + picked.title[1:]), width="content")
            if picked.label is not None:
                name_badge(picked.label, before="true: ")
            st.badge("features, no classes", color="gray", help=NO_CLASSES)
        return
    best = int(probabilities.argmax())
    true = None if picked.label is None else index_of(picked.label, tuple(names))
    right = None if true is None else true == best  # another data set's class may be none of the model's
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(plain(picked.title[:1].upper() + picked.title[1:]), width="content")
        if picked.label is not None:
            name_badge(picked.label, before="true: ")
        name_badge(
            names[best],
            before=f"{when}: ",
            after=f", {probabilities[best]:.1%}",
            icon={None: None, True: ":material/check:", False: ":material/close:"}[right],
            color={None: "blue", True: "green", False: "red"}[right],
        )
        for index in asked:
            if index != best:
                name_badge(names[index], after=f": {probabilities[index]:.1%}")
