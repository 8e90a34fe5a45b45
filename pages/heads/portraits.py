"""Portraits: each head's statistics over many images, its mean pattern, and the images that drive it."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.heads import help
from pages.heads.help import PrefixTokens
from pages.ui import answer, cached_models, downloads, link_state, text
from pages.ui.background import background, finished_result
from pages.ui.text import CAPTION_COLUMNS
from pages.ui.view_pickers import pick_token_layer_head
from pages.ui.widgets.map_grid import Selection, TileMaps, forget_browsers, is_smooth, map_grid, scale_controls
from pages.ui.wording import term
from vit import plots
from vit.config import TransformerConfig, ViTConfig
from vit.config.words import summary_name, tokens_before, words_before
from vit.cost import counts
from vit.data import Split
from vit.errors import UserError
from vit.pictures import overlays
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.circuits import Role
    from vit.explain.heads.portrait_result import Portraits
    from vit.results.stored import StoredResult

SAMPLES = {"200": 200, "500": 500, "all": None}
DEFAULT_SAMPLE = "500"

AUTO_FLOPS = 5e11
"""Work below this many operations, which takes a few seconds, starts without a click."""

SHOWN = 12
"""The number of images that drive a head."""

TABLE = "heads_table"

HELP = {
    "Entropy": "How evenly a patch spreads its attention: 100 % is uniform attention.",
    "Distance": "Mean distance in pixels between a patch and the patches it attends to.",
    "Before": "Share of a patch's attention that goes to {before}.",
    "Own patch": "Share that goes to the patch itself.",
    "Neighbours": "Share that goes to the up to 8 patches around it.",
    "Fixed place": "Largest share that goes to one patch, or to the patch at one step, in every image.",
    "Same in every image": "How much of the difference from uniform attention is the same in every image.",
    "Focus": "Share that goes to tokens that nearly all patches of an image attend to.",
    "Driven by": f"The most frequent class among the {SHOWN} images to which the head adds most.",
}


def prefix_tokens_of(config: TransformerConfig) -> PrefixTokens:
    """Return the names of the tokens before the patches."""
    names = config.prefix_names
    return PrefixTokens(names, words_before(tokens_before(config)) if names else "")


def validation_split(run: Run) -> Split:
    """Return the images that the run is validated on.

    Raises:
        DataError: they cannot be loaded.
    """
    split = cached_models.validation(run).val
    assert split is not None  # validation() loads this split
    return split


def choose_sample(images: int) -> int:
    """Show how many of the validation images to use, bound to ``?sample=``; without a control if there are few."""
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
        help=f"How many of the {images:,} validation images to use, from every class. More images take longer and give "
        "more precise numbers.",
    )
    return SAMPLES[chosen] or images


def portraits_of(run: Run) -> "Portraits | None":
    """Return the portraits of all heads; until they are computed, show the start button or the progress.

    Raises:
        UserError: the run or its images cannot be loaded, or this network's heads cannot be measured.
    """
    count = choose_sample(len(validation_split(run)))
    auto = counts.count(run.config.model).flops * count <= AUTO_FLOPS
    return measure_portraits(run, count, label="Measure all heads", auto=auto)


def measure_portraits(run: Run, count: int, *, label: str, auto: bool = False) -> "Portraits | None":
    """Return the portraits from a number of images; until they are computed, show the start button or the progress.

    Args:
        run: the run.
        count: the number of validation images.
        label: the label of the start button.
        auto: start without a click.

    Raises:
        UserError: the run or its images cannot be loaded, or this network's heads cannot be measured.
    """
    from vit.explain.heads.portraits import portraits, require_attention_rows
    from vit.explain.passes.memory import require_room

    model, info = cached_models.load_model(run)
    require_attention_rows(model)
    require_room(run.config.model)
    split, names = validation_split(run), cached_models.validation(run).class_names
    return background(
        portraits_key(run, count),
        lambda progress: portraits(model, info, split, count=count, class_names=names, progress=progress),
        label=label,
        auto=auto,
        stored=_place(run, split, count),
    )


def _place(run: Run, split: Split, count: int) -> "StoredResult[Portraits]":
    from vit.explain.heads.stored import PORTRAITS

    return cached_models.place_of(run, PORTRAITS, split, {"images": count})


def portraits_key(run: Run, count: int) -> tuple[Hashable, ...]:
    """Return the key of the task that measures the portraits from a number of images."""
    return ("portraits", *cached_models.measured_on(run), count)


def default_count(images: int) -> int:
    """Return from how many of the validation images portraits are measured unless the visitor chooses otherwise."""
    return min(images, SAMPLES[DEFAULT_SAMPLE] or images)


def measured_portraits(run: Run) -> "Portraits | None":
    """Return the portraits from most images that were measured, on any page, or that are stored; else None.

    Raises:
        UserError: the images cannot be loaded.
    """
    split = validation_split(run)
    images = len(split)
    for count in sorted({min(images, one or images) for one in SAMPLES.values()}, reverse=True):
        found = finished_result(portraits_key(run, count), _place(run, split, count))
        if found is not None:
            return found
    return None


def show_figures(run: Run, portraits: "Portraits", prefix: PrefixTokens, chosen: tuple[int, int]) -> None:
    """Show the distance and entropy of all heads against depth."""
    hover = help.hover_texts(portraits, prefix)
    figures = {
        "distance": (
            "Attention distance, pixels",
            portraits.distance,
            portraits.even_distance,
            None,
            ".3~g",
            help.DISTANCE,
        ),
        "entropy": ("Entropy, share of the maximum", portraits.entropy_share, 1.0, 1.0, ".0%", help.ENTROPY),
    }
    with st.grid(2, min_column_width=360, gap="large") as grid:
        for name, (quantity, values, even, top, number, words) in figures.items():
            with grid.cell():
                st.plotly_chart(
                    plots.heads_by_depth(
                        values,
                        portraits.names,
                        quantity=quantity,
                        reference=("uniform attention", even),
                        chosen=chosen,
                        hover=hover,
                        number=number,
                        top=top,
                    ),
                    key=f"heads_{name}",
                    config=downloads.plotly_config(f"{run.name}-heads-{name}"),
                    alt=f"{quantity} of every head against its layer",
                )
                st.caption(words)


def choose_names(portraits: "Portraits") -> list[tuple[int, int]]:
    """Show the choice of names, and return the heads with these names, similar heads together."""
    order = portraits.order()
    present = list(dict.fromkeys(str(portraits.names[at]) for at in order))
    chosen = st.pills(
        "Filter by name",
        present,
        selection_mode="multi",
        format_func=lambda name: f"{name} ({int((portraits.names == name).sum())})",
        key="named",
        bind="query-params",
    )
    return [at for at in order if portraits.names[at] in chosen] if chosen else order


def choose_selected_row(order: list[tuple[int, int]]) -> None:
    """Choose the head of the selected row of the table."""
    picked = st.session_state[TABLE].selection.rows
    if picked:
        layer, head = order[picked[0]]
        st.session_state["layer"], st.session_state["head"] = layer + 1, head + 1


def show_head_table(run: Run, portraits: "Portraits", prefix: PrefixTokens) -> None:
    """Show the numbers of every head, similar heads together."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = choose_names(portraits)
        downloads.downloads(
            f"{run.name}-heads",
            key="heads",
            table=lambda: help.file_rows(portraits, prefix),
            arrays=lambda: {
                "images": portraits.images,
                "mean_attention": portraits.attention,
                "strength": portraits.strength,
                "focus": portraits.focus,
                "grid": np.array(portraits.grid),
                "prefix_tokens": np.array(portraits.prefix_tokens),
                "prefix_names": np.array(prefix.names),
            },
        )
    columns = {
        prefix.title if name == "Before" else name: words.format(before=prefix.words)
        for name, words in HELP.items()
        if prefix.names or name != "Before"
    }
    percent = {name: "%.0f%%" for name in columns if name not in ("Distance", "Driven by")}
    st.dataframe(
        help.table_rows(portraits, order, prefix),
        key=TABLE,
        hide_index=True,
        on_select=lambda: choose_selected_row(order),
        selection_mode="single-row",
        column_config={
            name: st.column_config.NumberColumn(format=percent.get(name, "%.1f"), help=words)
            if name != "Driven by"
            else st.column_config.TextColumn(help=words)
            for name, words in columns.items()
        },
        alt="Every head with its name and its numbers",
    )
    st.caption("Similar heads are grouped. Select a row to see the head below. Click a heading to sort.")


def show_patterns(run: Run, portraits: "Portraits", token: int, layer: int, head: int, before: Sequence[str]) -> None:
    """Show what a token attends to on average, in every head."""
    depth, heads = portraits.names.shape
    rows = [f"Layer {number}" for number in range(1, depth + 1)]
    columns = [f"Head {number}" for number in range(1, heads + 1)]
    map_grid(
        TileMaps(
            maps=lambda tokens: np.stack([portraits.rows(one) for one in tokens])[None],
            image=Image.fromarray(portraits.picture),
            version=cached_models.version(run, "portraits", len(portraits.images)),
            grid=portraits.grid,
            prefix=portraits.prefix_tokens,
            pool=portraits.pool,
            row_names=rows,
            column_names=columns,
            title=f"Every head, mean over {len(portraits.images):,} images",
            quantity="mean attention",
            before=before,
        ),
        Selection(token=token, row=layer, column=head),
        key="portraits",
    )
    downloads.downloads(
        f"{run.name}-mean-patterns-{token}",
        key="patterns",
        picture=lambda: overlays.attention_grid(
            portraits.picture,
            portraits.rows(token)[..., portraits.prefix_tokens :].reshape(depth, heads, *portraits.grid),
            rows,
            columns,
            smooth=is_smooth(),
        ),
        arrays=lambda: {"mean_attention": portraits.rows(token), "grid": np.array(portraits.grid)},
    )


def show_driving(run: Run, portraits: "Portraits", layer: int, head: int) -> None:
    """Show the images to which a head adds most, each with a link to the Attention page."""
    classes = portraits.driving_classes(layer, head, SHOWN)
    images, mean = portraits.driving(layer, head, SHOWN), float(portraits.strength[:, layer, head].mean())
    strengths = np.sort(portraits.strength[:, layer, head])[::-1][: len(images)]
    st.markdown(f"**The {len(images)} images that drive it most**")
    said = ", ".join(f"{text.plain(name)} {found} (by chance {chance:.1f})" for name, found, chance in classes)
    st.caption(
        f"Their classes: {said}. The number below each image is the length of what the head adds, relative to the mean "
        "over all images."
    )
    split = validation_split(run)
    with st.grid("auto", min_column_width=104):
        for index, strength in zip(images.tolist(), strengths.tolist(), strict=True):
            with st.container(gap="xsmall"):
                label = portraits.class_names[int(split.labels[index])]
                st.image(
                    split.images[index].transpose(1, 2, 0),
                    width="stretch",
                    caption=f"{text.plain(label, CAPTION_COLUMNS)}, {strength / mean if mean else 0:.1f} ×",
                    alt=f"Validation image {index}: {label}",
                )
                answer.attention_link(run, f"val-{index}", label="Attention", layer=layer + 1, head=head + 1)


ROLE_IMAGES = 6
"""Validation images over which the role of a head's weights is averaged."""


def head_role(run: Run, layer: int, head: int) -> "Role":
    """Return what the QK circuit of a head says about where it looks."""
    return _role(*cached_models.measured_on(run), layer, head, _run=run)


@st.cache_data(max_entries=256, show_spinner=False)
def _role(path: str, stamp: int, images: str, layer: int, head: int, _run: Run) -> "Role":
    import torch

    from vit.explain.heads.circuits import role
    from vit.explain.passes.sample import sample

    model, info = cached_models.load_path(path, stamp)
    split = validation_split(_run)
    chosen = sample(model, info, split, min(ROLE_IMAGES, len(split)))
    return role(model, torch.cat([chosen.batch(step)[0] for step in range(len(chosen))]), layer, head)


@st.fragment
def show_portraits(run: Run, config: TransformerConfig, portraits: "Portraits") -> None:
    """Show the figures, the table and one head; the choice of a head reruns this part alone."""
    depth, heads = portraits.names.shape
    link_state.bounded("layer", 1, depth, 1)
    link_state.bounded("head", 1, heads, 1)
    prefix = prefix_tokens_of(config)
    show_figures(run, portraits, prefix, (st.session_state["layer"] - 1, st.session_state["head"] - 1))
    show_head_table(run, portraits, prefix)
    st.subheader("One head", anchor=False)
    st.caption(help.PATTERNS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scale_controls()
        token, layer, head = pick_token_layer_head(
            depth, heads, portraits.grid, zero=summary_name(config), others=tokens_before(config)
        )
    show_patterns(run, portraits, token, layer, head, tokens_before(config))
    name = str(portraits.names[layer - 1, head - 1])
    st.markdown(f"#### Layer {layer}, head {head}: {name}")
    st.caption(help.MEANINGS[name])
    sentences = help.describe_head(portraits, layer - 1, head - 1, prefix)
    if isinstance(config, ViTConfig):
        sentences += help.describe_role(head_role(run, layer - 1, head - 1))
    with st.grid(2, min_column_width=360, gap="large") as grid:
        with grid.cell():
            st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
        with grid.cell():
            show_driving(run, portraits, layer - 1, head - 1)


def show_names() -> None:
    """Show the thresholds of the names."""
    from vit.explain.heads.portrait_result import NAMES

    with st.expander("How heads get their names", icon=":material/label:"):
        st.markdown(help.NAMING)
        st.markdown("\n".join(f"1. **{name}**: {when}." for name, when in NAMES.items()))


def show(run: Run) -> None:
    """Show the Portraits part of the page."""
    st.caption(help.INTRO, help=term("entropy", "attention distance"))
    try:
        portraits = portraits_of(run)
    except UserError as error:
        text.show_error(error)
        return
    config = run.config.model
    if portraits is None or not isinstance(config, TransformerConfig):
        return
    forget_browsers()
    show_portraits(run, config, portraits)
    with st.expander("How to read a portrait, and its limits", icon=":material/help:"):
        st.markdown(help.WHAT_IT_IS)
    show_names()
