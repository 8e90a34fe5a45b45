"""Show what a model predicts for an image."""

from collections.abc import Iterable, Sequence

import numpy as np
import streamlit as st

from pages.ui.cached_models import PickedImage
from pages.ui.text import CAPTION_COLUMNS, BadgeColor, name_badge, plain
from vit.classes import NO_CLASSES, ONE_OUTPUT, index_of
from vit.runs import Run


def attention_link(run: Run, image_id: str, *, label: str = "See its attention", **view: int) -> None:
    """Show a link to the Attention page with a run and an image.

    Args:
        run: the run.
        image_id: the image.
        label: the text of the link.
        view: ``layer``, ``head`` and ``token`` to select there.
    """
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
    output: float | None = None,
) -> None:
    """Show the image's title and true class, the predicted class, and the probability of other classes.

    Args:
        picked: the image.
        names: the classes.
        probabilities: ``(k,)``, of the classes; empty for a network without classes.
        when: the text before the predicted class.
        asked: indices of other classes whose probability is shown too.
        output: the number of a network with a single output, from :func:`pages.ui.cached_models.output_of`.
    """
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(plain(picked.heading, CAPTION_COLUMNS), width="content")
        if picked.label is not None:
            name_badge(picked.label, before="true: ")
        if output is not None:
            st.badge(f"output: {output:.4g}", color="blue", help=ONE_OUTPUT)
            return
        if not len(probabilities):
            st.badge("features, no classes", color="gray", help=NO_CLASSES)
            return
        best = int(probabilities.argmax())
        icon, color = _mark(picked.label, names, best)
        name_badge(names[best], before=f"{when}: ", after=f", {probabilities[best]:.1%}", icon=icon, color=color)
        for index in asked:
            if index != best:
                name_badge(names[index], after=f": {probabilities[index]:.1%}")


def _mark(label: str | None, names: Sequence[str], best: int) -> tuple[str | None, BadgeColor]:
    """Return the icon and colour of a prediction: right, wrong, or neither if the model does not know the label."""
    true = None if label is None else index_of(label, tuple(names))
    if true is None:
        return None, "blue"
    return (":material/check:", "green") if true == best else (":material/close:", "red")
