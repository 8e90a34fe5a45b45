"""Show deletion and insertion step by step on one image, and the mean curves over all measured images."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.faithfulness.help import KINDS
from pages.relevance.maps import draw
from pages.ui import cached_models, link_state
from pages.ui.cached_models import PickedImage, cached, import_captum
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import CAPTION_COLUMNS, plain
from pages.ui.wording import term
from vit.classes import class_names_of
from vit.pictures import overlays
from vit.plots.faithfulness import Curve, CurveKind, CurveRole, faithfulness_curves, image_curve
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import Faithfulness
    from vit.explain.faithfulness.measure import CurveFrames
    from vit.explain.interventions.cover import Fill

SIDE = 192  # pixels of a picture


@cached
def walked(run: Run, image: Image.Image, number: int, method: str, kind: CurveKind, fill: "Fill") -> "CurveFrames":
    """Return one curve of one image; ``number`` seeds the random order of ties, as in the table."""
    from vit.cnn import CNN
    from vit.evaluation import model_view
    from vit.explain import METHODS
    from vit.explain.faithfulness.measure import curve_frames

    model, info = cached_models.load_model(run)
    if isinstance(model, CNN) or not METHODS[method].fast:
        import_captum()
    view = model_view(info, image)
    return curve_frames(model, view, METHODS[method], mean=info.mean, std=info.std, kind=kind, fill=fill, number=number)


def choose_curve(run: Run) -> tuple[str, CurveKind, "Fill"]:
    """Choose the method, the kind of curve and the fill of covered patches, bound to the link."""
    from vit.explain import FILLS, methods_for

    titles = {name: method.title for name, method in methods_for(run.config.model).items()}
    first = next((name for name in ("chefer", "gradcam") if name in titles), next(iter(titles)))
    link_state.named("method", titles)
    link_state.among("fill", dict(FILLS.items()), "mean")
    default_kind: CurveKind = "deletion"
    default_fill: Fill = "mean"
    if link_state.stored("kind") not in KINDS:
        link_state.settle("kind", default_kind)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.selectbox(
            "Map",
            list(titles),
            index=None,
            format_func=titles.__getitem__,
            placeholder=titles[first],
            key="method",
            bind="query-params",
            width=280,
        )
        kind = st.segmented_control(
            "Curve",
            list(KINDS),
            default=default_kind,
            required=True,
            key="kind",
            bind="query-params",
            help=term("deletion", "insertion"),
        )
        fill = st.segmented_control(
            "Covered patches show",
            list(FILLS),
            default=default_fill,
            required=True,
            format_func=FILLS.__getitem__,
            key="fill",
            bind="query-params",
            persist_state="session",
        )
    # An empty value in a link gives None, although the controls are required.
    return method if method in titles else first, kind or default_kind, fill or default_fill


@st.fragment
def show_step_by_step(run: Run, picked: PickedImage, result: "Faithfulness | None") -> None:
    """Cover one image step by step, and show the mean curves of all images if they were measured."""
    from vit.explain import METHODS

    method, kind, fill = choose_curve(run)
    st.markdown(KINDS[kind])
    number = int(picked.id.removeprefix("val-")) if picked.id.startswith("val-") else 0
    seen = walked(run, picked.image, number, method, kind, fill)
    show_covered_images(run, picked, seen, METHODS[method].title, kind, signed=METHODS[method].signed)
    with st.grid(2, min_column_width=400, gap="large") as row:
        with row.cell():
            show_image_curve(run, picked, seen, kind, fill)
        with row.cell():
            show_mean_curves(run, result, kind, fill)


def show_covered_images(
    run: Run, picked: PickedImage, seen: "CurveFrames", title: str, kind: CurveKind, *, signed: bool
) -> None:
    """Show the map, then the image at each step with the probability under it."""
    label = class_names_of(run.config)[seen.label]
    verb = "covered" if kind == "deletion" else "shown"
    st.caption(f"{plain(picked.heading, CAPTION_COLUMNS)}. Under each image: the probability of {plain(label)}.")
    with st.grid("auto", min_column_width=130):
        with st.container(gap="xsmall"):
            st.image(
                draw(seen.frames[-1 if kind == "insertion" else 0], seen.heat, signed, SIDE),
                width="stretch",
                alt=f"{title} over the image",
            )
            st.markdown(f":small[**{title}**]")
        for share, frame, probability in zip(seen.shares, seen.frames, seen.probabilities, strict=True):
            with st.container(gap="xsmall"):
                st.image(
                    Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.NEAREST),
                    width="stretch",
                    alt=f"{share:.0%} of the patches {verb}: {probability:.1%} {label}",
                )
                st.markdown(f":small[{share:.0%} {verb}  \n**{probability:.1%}**]")


def show_image_curve(run: Run, picked: PickedImage, seen: "CurveFrames", kind: CurveKind, fill: "Fill") -> None:
    """Show the curve of this image and the area under it."""
    area = float(np.trapezoid(seen.probabilities, seen.shares))
    name = f"{run.name}-{picked.id}-{kind}-{fill}"
    st.markdown(f"**This image**: area under the curve {area:.3f}")
    st.plotly_chart(
        image_curve(seen.shares, seen.probabilities, kind),
        key="walk_curve",
        config=plotly_config(name),
        alt=f"Probability of the class at each step of {kind}, for this image",
    )
    steps = list(zip(seen.shares.tolist(), seen.probabilities.tolist(), strict=True))
    downloads(
        name,
        key="walk",
        picture=lambda: overlays.titled_grid(
            [Image.fromarray(it).resize((SIDE, SIDE), Image.Resampling.NEAREST) for it in seen.frames],
            [f"{share:.0%}: {probability:.1%}" for share, probability in steps],
            columns=6,
        ),
        arrays=lambda: {
            "relevance": seen.heat,
            "frames": seen.frames,
            "shares": seen.shares,
            "probabilities": seen.probabilities,
        },
        table=lambda: [{"share": share, "probability": probability} for share, probability in steps],
    )


def show_mean_curves(run: Run, result: "Faithfulness | None", kind: CurveKind, fill: "Fill") -> None:
    """Show the mean curve of every method and every control map."""
    if result is None:
        st.markdown("**All images**")
        st.caption("The mean curves of all methods and control maps appear here after the measurement above.")
        return
    st.markdown(f"**All {len(result.images)} images**: mean curves")
    curves = mean_curves(result, kind, fill)
    st.plotly_chart(
        faithfulness_curves(curves, result.counts / result.counts[-1], kind),
        key="mean_curves",
        config=plotly_config(f"{run.name}-{kind}-{fill}"),
        alt=f"Mean {kind} curves of every method and control map",
    )
    best = "lowest" if kind == "deletion" else "highest"
    st.caption(
        f"The {best} curve is best. Grey curves are control maps: a coloured curve among them explains nothing either. "
        "Hover for intervals. Click a name to hide its curve; double-click to show it alone."
    )


def mean_curves(result: "Faithfulness", kind: CurveKind, fill: "Fill") -> list[Curve]:
    """Return the mean curves in the order of the table, without the uniform map, whose curve is the random order's."""
    found = []
    for row in result.rows:
        if row.name == "uniform":
            continue
        points = result.mean_curve(row, kind, fill)
        mean, low, high = (np.array([getattr(point, name) for point in points]) for name in ("mean", "low", "high"))
        role: CurveRole = "method" if not row.chance else "untrained" if row.method else "chance"
        title = "Random order, uniform map" if row.name == "random" else row.title
        found.append(Curve(title, role, mean, low, high))
    return found
