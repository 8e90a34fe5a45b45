"""What the weights of one head do with an image: QK and OV, split into content and positions."""

import numpy as np
import streamlit as st

from pages.ui import cached_models, link_state
from pages.ui.downloads import downloads
from pages.ui.text import plain
from pages.ui.wording import term
from vit.classes import class_names_of
from vit.config import TransformerConfig, ViTConfig
from vit.explain.heads.circuits import (
    NO_CIRCUITS,
    PARTS,
    ScoreParts,
    SingularVectors,
    score_parts,
    singular_vectors,
    written_classes,
)
from vit.pictures import overlays
from vit.runs import Run

CIRCUITS = {"QK": "QK: where it looks", "OV": "OV: what it writes"}
SHOWN = 3
"""Singular vectors that are shown."""


def show_circuits(
    run: Run, config: TransformerConfig, picked: cached_models.PickedImage, label: str, layer: int, head: int
) -> None:
    """Show the circuits of one head for an image, for a layer and head from 1."""
    st.subheader(f"The weights of layer {layer}, head {head}", anchor=False, help=term("circuits"))
    if not isinstance(config, ViTConfig):
        st.info(NO_CIRCUITS, icon=":material/info:")
        return
    model, info = cached_models.load_model(run)
    images, record = cached_models.model_input(info, picked.image), cached_models.look(run, picked).record
    link_state.among("circuit", CIRCUITS, "QK")
    circuit = st.segmented_control(
        "Circuit",
        list(CIRCUITS),
        default="QK",
        required=True,
        format_func=CIRCUITS.__getitem__,
        key="circuit",
        bind="query-params",
        label_visibility="collapsed",
    )
    view = cached_models.view_of(run, picked.image)
    vectors = singular_vectors(
        model, images, record, layer - 1, head - 1, circuit="QK" if circuit == "QK" else "OV", count=SHOWN
    )
    if circuit == "QK":
        parts = score_parts(model, images, record, layer - 1, head - 1)
        show_shares(parts, layer, head)
        sides = ("looks from", "looks at")
    else:
        names = class_names_of(run.config)
        written = written_classes(model, record, layer - 1, head - 1)
        show_written(config, view, written[:, names.index(label)], label, layer, head)
        sides = ("reads", "writes like")
    show_vectors(config, view, vectors, sides)
    downloads(
        f"{run.name}-{picked.id}-layer-{layer}-head-{head}-{circuit}",
        key="circuits",
        arrays=lambda: {
            "singular_values": vectors.values,
            "left": vectors.left,
            "right": vectors.right,
            "left_positions": vectors.left_positions,
            "right_positions": vectors.right_positions,
        },
    )


def show_shares(found: ScoreParts, layer: int, head: int) -> None:
    """Say which parts of the tokens decide where the head looks in this image."""
    shares = found.shares
    order = np.argsort(-shares, axis=None)[:3]
    told = []
    for place in order:
        query, key = np.unravel_index(place, shares.shape)
        told.append(f"{PARTS[query]} of the query × {PARTS[key]} of the key **{shares[query, key]:.0%}**")
    st.markdown(f"What decides where layer {layer}, head {head} looks in this image: {'; '.join(told)}.")
    rows = [
        {"Query": PARTS[query]} | {PARTS[key]: 100 * float(shares[query, key]) for key in range(len(PARTS))}
        for query in range(len(PARTS))
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config=dict.fromkeys(PARTS, st.column_config.NumberColumn(format="%.0f%%")),
        alt="Share of each pair of parts in the scores",
        key="score_shares",
    )
    st.caption(
        "Share of the differences between the scores of a query, by the part of the query's token (rows) and of the "
        "key's token (columns). They sum to 100%; a negative share works against the others. What is the same for all "
        "keys, such as the bias of the key, moves nothing."
    )


def show_written(
    config: TransformerConfig, view: np.ndarray, written: np.ndarray, label: str, layer: int, head: int
) -> None:
    """Show what the head would write to a class from each patch."""
    patches = written[-(config.grid**2) :].reshape(config.grid, config.grid)
    st.image(
        overlays.signed_overlay(view, patches, top=overlays.shared_top(np.abs(patches)), side=240),
        width=240,
        alt=f"What layer {layer}, head {head} writes from each patch",
    )
    st.caption(
        f"What this head adds to the logit of {plain(label)}, compared with the mean of all classes, if it attends to "
        f"one patch alone: {patches.min():+.2f} (blue) to {patches.max():+.2f} (orange).".replace("-", "−")
    )


def show_vectors(config: TransformerConfig, view: np.ndarray, found: SingularVectors, sides: tuple[str, str]) -> None:
    """Show the patches and positions that excite each singular vector most."""
    pictures, titles = [], []
    shape = (config.grid, config.grid)
    blank = np.full_like(view, 235)
    for index in range(len(found.values)):
        for side, own, positions in zip(
            sides, (found.left, found.right), (found.left_positions, found.right_positions), strict=True
        ):
            for kind, values, below in (("patches", own, view), ("positions", positions, blank)):
                tile = values[index, -(config.grid**2) :].reshape(shape)
                top = overlays.shared_top(np.abs(tile))
                pictures.append(overlays.signed_overlay(below, tile, top=top, side=150))
                titles.append(f"{index + 1} {side}" if kind == "patches" else f"{index + 1} by position")
    st.image(overlays.titled_grid(pictures, titles, columns=4), alt="Singular vectors as maps over the image")
    shares = ", ".join(f"{index + 1}: {share:.0%}" for index, share in enumerate(found.share))
    st.caption(
        f"The strongest singular vectors and their share of the squared weights ({shares}). Patches and positions with "
        "the strongest colours excite a vector most; orange on one side goes with orange on the other."
    )
