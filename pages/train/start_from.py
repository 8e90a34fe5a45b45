"""The initial weights of a new run: random, or those of an earlier run, whose network it then has."""

import streamlit as st

from pages import access
from pages.train.choices import TunedSpace
from pages.train.controls import Controls, show
from pages.ui.link_state import say_not_found, settle, stored
from pages.ui.run_words import FROM_SCRATCH
from pages.ui.text import plain
from pages.ui.wording import term
from vit.config import RunConfig, StartConfig, TransformerConfig, ViTConfig, words
from vit.data import title
from vit.runs import Run, finetune
from vit.runs.comparison import KINDS


def choose_start() -> Run | None:
    """Choose the run to start from; None is random weights."""
    found = {run.name: run for run in access.my_runs() if finetune.can_start_from(run)}
    asked = stored("start")
    if asked not in (None, FROM_SCRATCH, *found):
        said = f"There is no run **{plain(asked, 32)}** to start from. A new run starts with random weights."
        say_not_found("start", said, FROM_SCRATCH)
        settle("start", FROM_SCRATCH)
    chosen = st.selectbox(
        words.title(StartConfig, "run"),
        [FROM_SCRATCH, *found],
        key="start",
        bind="query-params",
        persist_state="session",
        disabled=not found,
        help=term("fine-tuning", here="Published models appear here after you open them."),
    )
    return found.get(chosen)


def choose_frozen(run: Run) -> StartConfig:
    """Choose whether only the head is trained."""
    frozen = st.toggle(
        words.title(StartConfig, "frozen"),
        key="frozen",
        bind="query-params",
        persist_state="session",
        help=f"{words.description(StartConfig, 'frozen')}. A step is then little more than a forward pass, which takes "
        "about a third of the time.",
    )
    return StartConfig(run=run.name, frozen=frozen)


def recipe_reason(start: StartConfig) -> str:
    """Explain why the recipe differs from the one for random weights."""
    if start.frozen:
        return (
            "The head is one linear map on fixed features: it can be trained with a high learning rate, without weight "
            "decay, in a few epochs."
        )
    return (
        "The learning rate is lower and the epochs are fewer than for random weights: large steps would destroy what "
        "the network has learned."
    )


def backbone_controls(controls: Controls) -> None:
    """Show the network of the run, and the settings that can still be changed."""
    space = controls.space
    assert isinstance(space, TunedSpace)
    show_facts(space.start.run, space.origin)
    left, right = st.columns(2, gap="large")
    with left:
        controls.slider("size", note="Only sizes that the patch size divides. Larger images take longer to train.")
    if "layer_decay" in controls.values:
        with right:
            controls.choice("layer_decay", note="0.75 is usual for large networks.")
    st.caption(" ".join(consequences(space, controls.values["size"])))
    dropouts = finetune.changeable(space.base, space.start)
    if dropouts:
        with st.expander("More about the model", icon=":material/tune:"):
            for column, name in zip(st.columns(2, gap="large"), dropouts, strict=True):
                with column:
                    controls.slider(name)


def show_facts(name: str, origin: RunConfig) -> None:
    """Show the network of the run as numbers and a sentence."""
    model = origin.model
    if isinstance(model, TransformerConfig):
        with st.grid(4, min_column_width=80):
            st.metric(
                words.title(ViTConfig, "num_heads"), model.num_heads, help=f"{words.HEAD_WIDTH[0]}: {model.head_dim}."
            )
            st.metric(words.title(ViTConfig, "depth"), model.depth)
            st.metric(words.title(ViTConfig, "embed_dim"), model.embed_dim)
            st.metric(words.title(ViTConfig, "patch_size"), f"{model.patch_size} px")
    kind = KINDS[model.architecture]
    stem = f", stem: {show('stem', model.stem).lower()}" if isinstance(model, ViTConfig) else ""
    seen = f"trained on {plain(title(origin.data.source))}"
    if origin.published:
        seen = f"published as {plain(origin.published)}"
    st.caption(f"**{plain(name)}** is a {kind}{stem}, {seen} at {model.image_size} px.")


def consequences(space: TunedSpace, size: int) -> list[str]:
    """Say what happens to the head and to the position embeddings, as sentences."""
    names = space.info.class_names
    if finetune.keeps_head(space.origin, names):
        said = ["Its head is kept, because the classes are the same."]
    else:
        said = [f"It gets a new head for {len(names)} classes, with random weights."]
    if isinstance(space.base, ViTConfig) and size != space.base.image_size:
        old, new = space.base.grid, size // space.base.patch_size
        said.append(f"Its position embeddings are interpolated from {old} × {old} to {new} × {new} patches.")
    return said
