"""Votes: what each head and MLP adds to a logit, for one image and as a mean over many."""

import shlex
from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.heads.circuits import show_circuits
from pages.heads.importance import AUTO_FLOPS, NO_HEADS, importance_of, operations
from pages.intervene.head_controls import WIDE_BUTTON_HEADS_MAX
from pages.ui import cached_models, link_state, run_picker
from pages.ui.background import background
from pages.ui.downloads import downloads, plotly_config
from pages.ui.images import image_picker
from pages.ui.text import plain, show_error
from pages.ui.view_pickers import pick_against, pick_class, pick_head, pick_layer, pick_segment
from pages.ui.widgets.boards import head_board
from pages.ui.wording import term
from vit import plots
from vit.classes import class_names_of
from vit.config import TransformerConfig
from vit.cost.counts import count
from vit.errors import UserError
from vit.explain.heads.rankings import VotesOfImages, compare_rankings, votes_of_images
from vit.explain.heads.votes import Votes, votes
from vit.explain.maps.target import Target
from vit.explain.passes.memory import require_room
from vit.explain.passes.sample import sample
from vit.pictures import overlays
from vit.runs import Run

INTRO = (
    "The logit of a class is a sum: the embedding, every head and every MLP each add a part, its vote. Votes show who "
    "spoke for the class and who against it."
)
NO_VOTES = (
    "This network gives features and no classes, so there is no logit to split into votes. Fine-tune it, which gives "
    "it classes."
)
OVER = {"one": "One image", "mean": "Mean over images"}
COUNTS = {"200": "200", "500": "500"}

WHAT_IT_IS = """
**What it is.** Every block adds to the tokens and replaces nothing, so the last tokens are the sum of the embedding and
of what all heads and MLPs wrote. The final norm and the classification head are linear, if the scale of the norm is
held at its value for this image. Then each part has a vote, and the votes add up to the logit (Elhage et al. 2021,
Gandelsman et al. 2024). Where patches are pooled, a part votes through every patch, and its vote is the sum.

**Class against class.** All logits can rise together without changing the answer. The vote for one class against
another shows what decides between them.

**Source patches.** A head's vote splits by the token that it copied from: its attention, times the value of that token
through the output projection to the class. A patch that gets attention may vote for the class, against it, or not at
all.

**Limits.** A vote is the direct effect only. A head may also write something that later heads and MLPs read, and this
counts as their vote. So a head without votes can be needed: compare with ablation in the ranking below. A network with
a class token reads it alone, so what early layers do to the patches has no vote.

**Rankings.** Votes, ablation and gradient answer different questions: what a head adds directly, what is lost without
it after the others have compensated, and how steep the loss is. Where they agree, the choice of method does not matter.
"""


def show(run: Run) -> None:
    """Show the part of the page."""
    st.caption(INTRO, help=term("vote", "logit difference"))
    config = run.config.model
    if not isinstance(config, TransformerConfig):
        st.info(NO_HEADS, icon=":material/info:")
        return
    if config.num_classes < 2:
        run_picker.show_no_classes(run, NO_VOTES)
        return
    try:
        require_room(config)
        cached_models.load_model(run)
        show_votes(run, config)
    except UserError as error:
        show_error(error)
    with st.expander("How to read votes, and their limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


@st.fragment
def show_votes(run: Run, config: TransformerConfig) -> None:
    """Show the votes of one image or the mean over many; the controls rerun this part alone."""
    over = pick_segment("Votes of", "over", OVER, "one")
    try:
        if over == "one":
            show_one_image(run, config)
        else:
            show_mean(run, config)
    except UserError as error:
        show_error(error)


# One image


def show_one_image(run: Run, config: TransformerConfig) -> None:
    """Show the waterfall of one image, the votes of every head, and the patches that they come from."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = image_picker.pick_image(run)
    if picked is None:
        return
    names = class_names_of(run.config)
    look = cached_models.look(run, picked)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = pick_class(names, names[int(look.probabilities.argmax())], help="The class that is voted for.")
        against = pick_against(names, label)
    found = votes_of(run, picked, names.index(label), None if against is None else names.index(against))
    score = f"logit of {label}" + (f" minus {against}" if against else "")
    values = found.by_head()[0]
    first = [int(place) + 1 for place in np.unravel_index(np.abs(values).argmax(), values.shape)]
    link_state.bounded("layer", 1, config.depth, first[0])
    link_state.bounded("head", 1, config.num_heads, first[1])
    with st.grid(2, min_column_width=380, gap="large") as row:
        left, right = row.cell(), row.cell()
    with left:
        show_waterfall(run, found, score, f"{run.name}-{picked.id}-votes")
    with right:
        show_board(values, "Vote of every head, one row per layer; click a head to see where its vote comes from")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            layer, head = pick_layer(config.depth, default=first[0]), pick_head(config.num_heads, default=first[1])
        if found.sources is not None:
            show_sources(run, config, picked, found, layer, head)
        else:
            try:
                found.require_sources()
            except UserError as error:
                st.info(plain(str(error)), icon=":material/info:")
    show_circuits(run, config, picked, label, layer, head)
    command = f"python -m vit votes --run {shlex.quote(run.name)} image.png --class {shlex.quote(label)}"
    with st.expander("On the command line", icon=":material/terminal:"):
        compared = f" --against {shlex.quote(against)}" if against else ""
        st.code(f"{command}{compared} --json", language="bash", wrap_lines=True)


def votes_of(run: Run, picked: cached_models.PickedImage, label: int, against: int | None) -> Votes:
    """Return the votes of one image."""
    model, info = cached_models.load_model(run)
    record = cached_models.look(run, picked).record
    return votes(model, cached_models.model_input(info, picked.image), Target(label, against), record)


def by_layer(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the parts with the heads of each layer, and the bias of their projection, as one part."""
    found: dict[str, float] = {}
    for name, value in parts:
        words = name.split(" ")
        attention = words[0] == "layer" and words[2] in ("head", "attention")
        short = f"layer {words[1]} attention" if attention else name
        found[short] = found.get(short, 0.0) + value
    return list(found.items())


def show_waterfall(run: Run, found: Votes, score: str, name: str) -> None:
    """Show the votes by layer, or by head, as bars that add up to the logit."""
    parts = found.parts()
    every = st.toggle("Every head", key="every_head", bind="query-params", help="Show one bar for each head.")
    shown = parts if every else by_layer(parts)
    st.plotly_chart(
        plots.waterfall([part for part, _ in shown], np.array([value for _, value in shown]), total="sum: the logit"),
        key="votes_waterfall",
        config=plotly_config(name),
        alt="Votes of all parts, which add up to the logit",
    )
    logit = float(found.logit[0])
    error = abs(sum(value for _, value in parts) - logit)
    st.caption(f"The {plain(score)} is {logit:+.3f}; the votes sum to it (error {error:.0e}).".replace("-", "−"))
    downloads(
        name,
        key="votes",
        arrays=lambda: {
            "heads": found.heads[0],
            "mlps": found.mlps[0],
            "content": found.content[0],
            "positions": found.positions[0],
            "attention_bias": found.attention_bias[0],
            "bias": found.bias[0],
            "logit": found.logit[0],
            **({} if found.sources is None else {"sources": found.sources[0]}),
        },
        table=lambda: [{"part": part, "vote": value} for part, value in parts],
    )


def show_board(values: np.ndarray, label: str, sure: np.ndarray | None = None) -> None:
    """Show the vote of every head ``(l h)``; a vote that could be 0 is in brackets."""
    depth, heads = values.shape
    sure = np.ones(values.shape, dtype=bool) if sure is None else sure
    texts = [
        [_text(values[layer, head], sure=bool(sure[layer, head])) for head in range(heads)] for layer in range(depth)
    ]
    says = [
        [f"Layer {layer + 1}, head {head + 1}: vote {values[layer, head]:+.3f}" for head in range(heads)]
        for layer in range(depth)
    ]
    with st.container(width=min(940, 110 + (96 if heads <= WIDE_BUTTON_HEADS_MAX else 60) * heads)):
        head_board(
            texts,
            values / (np.abs(values).max() or 1) * np.where(sure, 1, 0.35),
            says,
            key="vote_board",
            label=label,
            pressed=[(st.session_state.get("layer", 1), st.session_state.get("head", 1))],
            on_pick=_choose_head,
        )


def _choose_head(layer: int, head: int) -> None:
    st.session_state["layer"], st.session_state["head"] = layer, head


def _text(value: float, *, sure: bool = True) -> str:
    text = f"{value:+.2f}".replace("-", "−")
    return text if sure else f"({text})"


def show_sources(
    run: Run, config: TransformerConfig, picked: cached_models.PickedImage, found: Votes, layer: int, head: int
) -> None:
    """Show the patches that a head's vote comes from."""
    sources = found.require_sources()[0, layer - 1, head - 1]
    patches, prefix = sources[-(config.grid**2) :], sources[: -(config.grid**2)]
    maps = found.require_sources()[0, :, :, -(config.grid**2) :]
    st.image(
        overlays.signed_overlay(
            cached_models.view_of(run, picked.image),
            patches.reshape(config.grid, config.grid),
            top=overlays.shared_top(np.abs(maps)),
            side=280,
        ),
        width=280,
        alt=f"Votes of layer {layer}, head {head} by source patch",
    )
    before = "; ".join(f"{name} {value:+.3f}" for name, value in zip(config.prefix_names, prefix, strict=True))
    st.caption(
        f"Layer {layer}, head {head}: orange patches vote for the class, blue ones against it. From the patches "
        f"{patches.sum():+.3f}{f'; {before}' if before else ''}. One colour scale for all heads.".replace("-", "−")
    )


# The mean over images


def show_mean(run: Run, config: TransformerConfig) -> None:
    """Show the mean votes over validation images with intervals, and compare three rankings of the heads."""
    split, names = cached_models.labelled_for(run), class_names_of(run.config)
    model, info = cached_models.load_model(run)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        counted = pick_segment("Images", "voters", COUNTS, "200")
        link_state.one_of("class", names)
        label = st.selectbox(
            "True class", names, index=None, placeholder="all classes", key="class", bind="query-params", width=200
        )
    images = min(int(counted), len(split))
    chosen = sample(model, info, split, images)
    found = background(
        ("votes", *cached_models.measured_on(run), images),
        lambda progress: votes_of_images(model, chosen, progress),
        label=f"Count the votes on {images} images",
        auto=3 * count(config).flops * images < AUTO_FLOPS,
    )
    if found is None:
        return
    index = None if label is None else names.index(label)
    if index is not None and not (found.labels == index).any():
        st.info("There is no image of this class among them.", icon=":material/info:")
        return
    show_mean_votes(run, config, found, index)
    st.subheader("Three rankings of the heads", anchor=False)
    measured = importance_of(run, config, split, images)
    if measured is not None:
        rows = [
            {
                "Rankings": f"{one.one} and {one.other}",
                "Rank correlation": one.correlation.mean,
                "From": one.correlation.low,
                "To": one.correlation.high,
            }
            for one in compare_rankings(found, measured[0])
        ]
        number = st.column_config.NumberColumn(format="%.2f")
        st.dataframe(
            rows,
            hide_index=True,
            column_config=dict.fromkeys(("Rank correlation", "From", "To"), number),
            alt="Agreement of three rankings of the heads",
            key="rankings",
        )
        st.caption(
            "Spearman's rank correlation of all heads, with its 95% interval over images (bootstrap). Votes: the mean "
            "vote for the true class; ablation: the loss gained without the head; gradient: |dL/dξ|."
        )
    elif operations(config, images) < AUTO_FLOPS:
        st.caption("Ablation and gradient are being measured.")


def show_mean_votes(run: Run, config: TransformerConfig, found: VotesOfImages, label: int | None) -> None:
    """Show the mean votes by part with intervals."""
    means = found.means(label)
    mean, low, high = (np.array([getattr(one, name) for one in means]) for name in ("mean", "low", "high"))
    rows = slice(None) if label is None else found.labels == label
    is_head = np.array([" head " in name for name in found.names])
    sure = ((low > 0) | (high < 0))[is_head].reshape(config.depth, config.num_heads)
    images = len(found.labels) if label is None else int((found.labels == label).sum())
    with st.grid(2, min_column_width=380, gap="large") as row:
        left, right = row.cell(), row.cell()
    with left:
        st.plotly_chart(
            plots.waterfall(found.names, mean, total="sum: LD", intervals=np.stack([low, high], axis=1)),
            key="mean_votes",
            config=plotly_config(f"{run.name}-mean-votes"),
            alt="Mean votes of all parts with their intervals",
        )
        downloads(
            f"{run.name}-mean-votes",
            key="mean_votes",
            arrays=lambda: {"values": found.values, "names": np.array(found.names), "labels": found.labels},
            table=lambda: [
                {"part": name, "mean": one.mean, "low": one.low, "high": one.high}
                for name, one in zip(found.names, means, strict=True)
            ],
        )
    with right:
        show_board(found.heads[..., rows].mean(axis=-1), "Mean vote of every head, one row per layer", sure)
        st.caption(
            f"Mean over {images} images of the vote for the true class against the most probable other class. In "
            "brackets: the 95% interval (bootstrap over images) contains 0."
        )
