"""Portraits: every head measured over many images, its mean pattern, and the images that drive it."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.heads import help
from pages.heads.help import Before
from pages.ui import answer, cached_models, downloads, link_state, text
from pages.ui.background import background
from pages.ui.text import CAPTION_COLUMNS
from pages.ui.view_pickers import pick_token_layer_head
from pages.ui.widgets.map_grid import (
    Selection,
    TileMaps,
    forget_browsers,
    map_grid,
    scale_controls,
    tokens_before,
    words_before,
)
from pages.ui.wording import term
from vit import plots
from vit.cost import counts
from vit.errors import UserError
from vit.pictures import overlays
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.portraits import Portraits

SAMPLES = {"200": 200, "500": 500, "all": None}
DEFAULT_SAMPLE = "500"

AUTO_FLOPS = 5e11
"""Work of so many operations, a few seconds, begins without a click."""

SHOWN = 12
"""Images that drive a head."""

TABLE = "heads_table"

HELP = {
    "Entropy": "How evenly a patch spreads its attention: 100 % is everywhere alike.",
    "Distance": "Mean distance in pixels between a patch and the patches it looks at.",
    "Before": "Share of a patch's attention that goes to {before}.",
    "Own patch": "Share that goes to the patch itself.",
    "Neighbours": "Share that goes to the up to 8 patches around.",
    "Fixed place": "Share that goes to one patch, or to the patch at one step, in every image: the best there is.",
    "Same in every image": "How much of what sets the pattern apart from an even one does not depend on the image.",
    "Focus": "Share that goes to tokens that nearly all patches of an image look at.",
    "Driven by": f"The class with most of the {SHOWN} images to which the head adds most.",
}


def before_of(run: Run) -> Before:
    """How the tokens before the patches are spoken of."""
    names = run.config.model.prefix_names
    return Before(names, words_before(tokens_before(run.config.model)) if names else "")


def choose_sample(images: int) -> int:
    """How many of so many validation images are looked at, bound to ``?sample=``; no question where there are few."""
    options = [name for name, count in SAMPLES.items() if count is None or count < images]
    default = DEFAULT_SAMPLE if DEFAULT_SAMPLE in options else "all"
    if len(options) == 1:
        return images
    if link_state.stored("sample") not in (None, *options):
        link_state.settle("sample", default)
    chosen = st.segmented_control(
        "Images",
        options,
        default=default,
        required=True,
        key="sample",
        bind="query-params",
        help=f"Validation images to look at, of {images:,}, from every class. More take longer and leave less to "
        "chance.",
    )
    return SAMPLES[chosen] or images


def portraits_of(run: Run) -> "Portraits | None":
    """The measured heads, once they are there; until then the way to them.

    Raises:
        UserError: the run or its images cannot be loaded, or this network's heads cannot be measured.
    """
    from vit.explain.heads.portraits import portraits, require_rows
    from vit.explain.passes.memory import require_room

    model, info = cached_models.load_model(run)
    require_rows(model)
    require_room(run.config.model)
    images = cached_models.validation(run)
    split, names = images.val, images.class_names
    count = choose_sample(len(split))
    return background(
        ("portraits", *cached_models.measured_on(run), count),
        lambda progress: portraits(model, info, split, count=count, class_names=names, progress=progress),
        label="Measure all heads",
        auto=counts.count(run.config.model).flops * count <= AUTO_FLOPS,
    )


def show_figures(run: Run, seen: "Portraits", chosen: tuple[int, int]) -> None:
    """Distance and entropy of all heads against depth."""
    told = help.hover(seen, before_of(run))
    figures = {
        "distance": (
            "Attention distance, pixels",
            seen.distance,
            seen.even_distance,
            None,
            ".3~g",
            help.DISTANCE,
        ),
        "entropy": ("Entropy, share of the greatest", seen.entropy_share, 1.0, 1.0, ".0%", help.ENTROPY),
    }
    with st.grid(2, min_column_width=360, gap="large") as grid:
        for name, (quantity, values, even, top, number, words) in figures.items():
            with grid.cell():
                st.plotly_chart(
                    plots.heads_by_depth(
                        values,
                        seen.names,
                        quantity=quantity,
                        reference=("an even pattern", even),
                        chosen=chosen,
                        hover=told,
                        number=number,
                        top=top,
                    ),
                    key=f"heads_{name}",
                    config=downloads.plotly_config(f"{run.name}-heads-{name}"),
                    alt=f"{quantity} of every head against its layer",
                )
                st.caption(words)


def choose_names(seen: "Portraits") -> list[tuple[int, int]]:
    """The heads in the order of what they do, those of the chosen names alone."""
    order = seen.order()
    present = list(dict.fromkeys(str(seen.names[at]) for at in order))
    chosen = st.pills(
        "Show the heads that are",
        present,
        selection_mode="multi",
        format_func=lambda name: f"{name} ({int((seen.names == name).sum())})",
        key="named",
        bind="query-params",
    )
    return [at for at in order if seen.names[at] in chosen] if chosen else order


def take_row(order: list[tuple[int, int]]) -> None:
    """A click on a row of the table chooses its head."""
    picked = st.session_state[TABLE].selection.rows
    if picked:
        layer, head = order[picked[0]]
        st.session_state["layer"], st.session_state["head"] = layer + 1, head + 1


def show_table(run: Run, seen: "Portraits") -> None:
    """Every head's numbers, sorted by what the heads do."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = choose_names(seen)
        downloads.downloads(
            f"{run.name}-heads",
            key="heads",
            table=lambda: help.numbers(seen, before_of(run)),
            arrays=lambda: {
                "images": seen.images,
                "mean_attention": seen.attention,
                "strength": seen.strength,
                "focus": seen.focus,
                "grid": np.array(seen.grid),
                "prefix_tokens": np.array(seen.prefix_tokens),
                "prefix_names": np.array(run.config.model.prefix_names),
            },
        )
    before = before_of(run)
    columns = {
        before.title if name == "Before" else name: words.format(before=before.words)
        for name, words in HELP.items()
        if before.names or name != "Before"
    }
    percent = {name: "%.0f%%" for name in columns if name not in ("Distance", "Driven by")}
    st.dataframe(
        help.table_rows(seen, order, before),
        key=TABLE,
        hide_index=True,
        on_select=lambda: take_row(order),
        selection_mode="single-row",
        column_config={
            name: st.column_config.NumberColumn(format=percent.get(name, "%.1f"), help=words)
            if name != "Driven by"
            else st.column_config.TextColumn(help=words)
            for name, words in columns.items()
        },
        alt="Every head with its name and its numbers",
    )
    st.caption("Heads that do alike stand together. Tick a row to see that head below; click a heading to sort.")


def show_patterns(run: Run, seen: "Portraits", token: int, layer: int, head: int) -> None:
    """What a token looks at on average, in every head."""
    depth, heads = seen.names.shape
    rows = [f"Layer {number}" for number in range(1, depth + 1)]
    columns = [f"Head {number}" for number in range(1, heads + 1)]
    map_grid(
        TileMaps(
            maps=lambda tokens: np.stack([seen.rows(one) for one in tokens])[None],
            image=Image.fromarray(seen.picture),
            version=cached_models.version(run, "portraits", len(seen.images)),
            grid=seen.grid,
            prefix=seen.prefix_tokens,
            pool=seen.pool,
            row_names=rows,
            column_names=columns,
            title=f"Every head, mean over {len(seen.images):,} images",
            quantity="mean attention",
            before=tokens_before(run.config.model),
        ),
        Selection(token=token, row=layer, column=head),
        key="portraits",
    )
    downloads.downloads(
        f"{run.name}-mean-patterns-{token}",
        key="patterns",
        picture=lambda: overlays.attention_grid(
            seen.picture,
            seen.rows(token)[..., seen.prefix_tokens :].reshape(depth, heads, *seen.grid),
            rows,
            columns,
        ),
        arrays=lambda: {"mean_attention": seen.rows(token), "grid": np.array(seen.grid)},
    )


def show_driving(run: Run, seen: "Portraits", layer: int, head: int) -> None:
    """The images to which a head adds most, each with its way to Attention."""
    classes = seen.driving_classes(layer, head, SHOWN)
    images, mean = seen.driving(layer, head, SHOWN), float(seen.strength[:, layer, head].mean())
    strengths = np.sort(seen.strength[:, layer, head])[::-1][: len(images)]
    st.markdown(f"**The {len(images)} images that drive it most**")
    said = ", ".join(f"{text.plain(name)} {found} (by chance {chance:.1f})" for name, found, chance in classes)
    st.caption(
        f"Their classes: {said}. Below each, how long what the head adds is, relative to the mean of all images."
    )
    split = cached_models.validation(run).val
    with st.grid("auto", min_column_width=104):
        for index, strength in zip(images.tolist(), strengths.tolist(), strict=True):
            with st.container(gap="xsmall"):
                label = seen.class_names[int(split.labels[index])]
                st.image(
                    split.images[index].transpose(1, 2, 0),
                    width="stretch",
                    caption=f"{text.plain(label, CAPTION_COLUMNS)}, {strength / mean if mean else 0:.1f} ×",
                    alt=f"Validation image {index}: {label}",
                )
                answer.attention_link(run, f"val-{index}", label="Attention", layer=layer + 1, head=head + 1)


@st.fragment
def explore(run: Run, seen: "Portraits") -> None:
    """What the choice of a head changes."""
    depth, heads = seen.names.shape
    link_state.bounded("layer", 1, depth, 1)
    link_state.bounded("head", 1, heads, 1)
    show_figures(run, seen, (st.session_state["layer"] - 1, st.session_state["head"] - 1))
    show_table(run, seen)
    st.subheader("One head", anchor=False)
    st.caption(help.PATTERNS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer, head = pick_token_layer_head(depth, heads, seen.grid, others=tokens_before(run.config.model))
        scale_controls()
    show_patterns(run, seen, token, layer, head)
    name = str(seen.names[layer - 1, head - 1])
    st.markdown(f"#### Layer {layer}, head {head}: {name}")
    st.caption(help.MEANINGS[name])
    sentences = help.describe(seen, layer - 1, head - 1, before_of(run))
    with st.grid(2, min_column_width=360, gap="large") as grid:
        with grid.cell():
            st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
        with grid.cell():
            show_driving(run, seen, layer - 1, head - 1)


def show_names() -> None:
    """What the names mean."""
    from vit.explain.heads.portraits import NAMES

    with st.expander("When a head gets its name", icon=":material/label:"):
        st.markdown(help.NAMING)
        st.markdown("\n".join(f"1. **{name}**: {when}." for name, when in NAMES.items()))


def show(run: Run) -> None:
    """The part of the page."""
    st.caption(help.INTRO, help=term("entropy", "attention distance"))
    try:
        seen = portraits_of(run)
    except UserError as error:
        text.show_error(error)
        return
    if seen is None:
        return
    forget_browsers()
    explore(run, seen)
    with st.expander("What a portrait is, and what it is not", icon=":material/help:"):
        st.markdown(help.WHAT_IT_IS)
    show_names()
