"""The Train page's choice of what a training starts from: drawn weights, or a run, which brings its network."""

import streamlit as st

from pages import access
from pages.train.choices import TunedSpace
from pages.train.controls import Controls, show
from pages.ui.link_state import settle, stored
from pages.ui.run_words import FROM_SCRATCH
from pages.ui.text import plain
from pages.ui.wording import term
from vit.config import RunConfig, StartConfig, TransformerConfig, ViTConfig
from vit.data import title
from vit.runs import Run, finetune
from vit.runs.comparison import KINDS

DROPOUT_WORDS = {
    "dropout": ("Dropout", term("dropout")),
    "drop_path": (
        "Stochastic depth",
        term("stochastic depth", here="Share of images that skip the last block; the first skips none."),
    ),
}
"""Label and help of the settings that :data:`vit.runs.finetune.CHANGEABLE` names."""


def choose_start() -> Run | None:
    """The run that a training is to start from; None is drawn weights."""
    found = {run.name: run for run in access.my_runs() if finetune.can_start_from(run)}
    asked = stored("start")
    if asked not in (None, FROM_SCRATCH, *found):
        st.toast(f"There is no run {plain(asked, 32)} to start from.", icon=":material/info:")
        settle("start", FROM_SCRATCH)
    chosen = st.selectbox(
        "Start from",
        [FROM_SCRATCH, *found],
        key="start",
        bind="query-params",
        persist_state="session",
        disabled=not found,
        help=term("fine-tuning", here="A published model counts as a run once it is opened."),
    )
    return found.get(chosen)


def choose_frozen(run: Run) -> StartConfig:
    """Whether the head alone is trained."""
    frozen = st.toggle(
        "Train the head alone",
        key="frozen",
        bind="query-params",
        persist_state="session",
        help="The network stays as it is (frozen), without dropout, and only the last linear map learns to read it. "
        "A step is then a forward pass, about a third of the work.",
    )
    return StartConfig(run=run.name, frozen=frozen)


def recipe_reason(start: StartConfig) -> str:
    """Why the recipe is another one than for drawn weights."""
    if start.frozen:
        return (
            "A head alone is one linear map on features that stay as they are: it bears a high learning rate, needs no "
            "weight decay, and is there after a few epochs."
        )
    return (
        "A lower learning rate and fewer epochs than for drawn weights: the network is to be adjusted to other images, "
        "and large steps would wipe out what it knows."
    )


def backbone_controls(controls: Controls) -> None:
    """What the network brings, and what of it can still be chosen."""
    space: TunedSpace = controls.space
    show_facts(space.start.run, space.origin)
    left, right = st.columns(2, gap="large")
    with left:
        controls.slider("size", "Image size in pixels", help="Those that its patches divide. Larger ones cost more.")
    if "layer_decay" in controls.values:
        with right:
            controls.choice(
                "layer_decay",
                "Layer-wise decay of the learning rate",
                help=term("layer-wise decay", here="0.75 is usual for large networks."),
            )
    st.caption(" ".join(consequences(space, controls.values["size"])))
    dropouts = finetune.changeable(space.base, space.start)
    if dropouts:
        with st.expander("More about the model", icon=":material/tune:"):
            for column, name in zip(st.columns(2, gap="large"), dropouts, strict=True):
                with column:
                    label, words = DROPOUT_WORDS[name]
                    controls.slider(name, label, help=words)


def show_facts(name: str, origin: RunConfig) -> None:
    """The network of the run, as numbers and a sentence."""
    model = origin.model
    if isinstance(model, TransformerConfig):
        with st.grid(4, min_column_width=80):
            st.metric("Heads", model.num_heads, help=f"Of {model.head_dim} numbers each.")
            st.metric("Depth", model.depth)
            st.metric("Token width", model.embed_dim)
            st.metric("Patch", f"{model.patch_size} px")
    kind = KINDS[model.architecture]
    stem = f", stem: {show('stem', model.stem).lower()}" if isinstance(model, ViTConfig) else ""
    seen = f"trained on {plain(title(origin.data.source))}"
    if origin.published:
        seen = f"published as {plain(origin.published)}"
    st.caption(f"**{plain(name)}** is a {kind}{stem}, {seen} at {model.image_size} px.")


def consequences(space: TunedSpace, size: int) -> list[str]:
    """What happens to the head, and to the positions, as sentences."""
    names = space.info.class_names
    if finetune.keeps_head(space.origin, names):
        said = ["Its head is kept, since the classes are the same."]
    else:
        said = [f"Its head is drawn anew, for {len(names)} classes."]
    if isinstance(space.base, ViTConfig) and size != space.base.image_size:
        old, new = space.base.grid, size // space.base.patch_size
        said.append(f"Its position embeddings are interpolated from {old} × {old} to {new} × {new} patches.")
    return said
