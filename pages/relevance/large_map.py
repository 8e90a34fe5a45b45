"""One method's map at full size, with its legend and its explanation."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.relevance import maps as relevance_maps
from pages.relevance.help import METHOD_HELP
from pages.ui import downloads
from pages.ui.cached_models import PickedImage
from pages.ui.text import plain
from pages.ui.widgets.map_grid import is_smooth
from vit.pictures.colours import SEQUENTIAL, SIGNED
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Method


def scientific(number: float) -> str:
    """Return a number with two significant digits, such as "0.34" or "4.9 × 10⁻⁵"."""
    if number == 0 or 1e-3 <= abs(number) < 1e4:
        return f"{number:.2g}"
    digits, power = f"{number:.1e}".split("e")
    return f"{digits} × 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def show_legend(method: "Method", heat: np.ndarray) -> None:
    """Show the colour scale of a map, with its largest number."""
    top = scientific(float(np.abs(heat).max()))
    if method.signed:
        colours, low = f"{SIGNED[0]}, transparent, {SIGNED[1]}", f"−{top}: against"
        high = f"{top}: for"
    else:
        colours, low, high = ", ".join(SEQUENTIAL), "0", top
    st.html(
        '<div style="display: flex; align-items: center; gap: 0.6rem; font-size: 0.875rem; white-space: nowrap">'
        f"<span>{low}</span>"
        f'<span style="flex: 1 1 6rem; max-width: 14rem; height: 0.7rem; border-radius: 2px; '
        f'background: linear-gradient(90deg, {colours})"></span>'
        f"<span>{high}</span>"
        f'<span style="opacity: 0.75; white-space: normal">{method.unit}</span></div>'
    )


def show_large(
    run: Run,
    picked: PickedImage,
    view: np.ndarray,
    question: relevance_maps.Question,
    name: str,
    method: "Method",
    heat: np.ndarray | None,
) -> None:
    """Show one method's map with its legend, formula, explanation and limits."""
    explained = METHOD_HELP[name]
    with st.grid(2, min_column_width=330, gap="large") as row:
        left, right = row.cell(), row.cell()
    with left:
        if heat is None:
            st.info("This map is not computed yet. Start it above.", icon=":material/hourglass:")
        else:
            st.image(
                relevance_maps.map_jpeg(view, heat, method.signed, relevance_maps.LARGE, is_smooth()),
                width="stretch",
                alt=f"{method.title} over the image, large: {question.text}",
            )
            show_legend(method, heat)
            downloads.downloads(
                f"{run.name}-{picked.id}-{name}",
                key="one_map",
                picture=lambda: relevance_maps.draw(view, heat, method.signed, relevance_maps.LARGE, is_smooth()),
                arrays=lambda: {"relevance": heat},
                table=lambda: [
                    {"row": row + 1, "column": column + 1, "relevance": float(value)}
                    for (row, column), value in np.ndenumerate(heat)
                ],
            )
    with right:
        st.subheader(method.title, anchor=False)
        asked = f"Question: **{plain(question.text)}**." if method.for_class else "It is the same for **every class**."
        st.markdown(f"{method.what} {asked}")
        st.latex(explained.formula)
        st.caption(explained.symbols)
        st.markdown(f"**How it is computed.** {explained.how}")
        st.markdown(f"**When not to trust it.** {explained.doubt}")
        if name == "integrated" and heat is not None:
            st.markdown(describe_sum(float(heat.sum()), relevance_maps.gain_over_blank(run, view, question.target)))
        st.caption(f"Source: {method.source}")
        st.page_link(
            "faithfulness/page.py",
            label="Test this map",
            icon=":material/fact_check:",
            query_params={"run": run.name},
        )


def describe_sum(total: float, gain: float) -> str:
    """Say whether the numbers of an integrated-gradients map add up to the whole score.

    Args:
        total: the sum of the map.
        gain: the score of the picture minus that of a blank one.
    """
    near = abs(total - gain) <= 0.05 * max(abs(gain), 0.1)
    verdict = "It adds up" if near else "It does not add up, so trust the places more than the amounts"
    return f"**Does it add up?** The map's sum is {total:.2f} and should be {gain:.2f}. {verdict}."
