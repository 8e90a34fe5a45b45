"""The Train page's controls: widgets over what :mod:`pages.train.choices` allows, each bound to the page's link.

A stored value, from a link or from another data set, is adjusted before its control is drawn.
"""

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st

from pages.train.choices import Space
from pages.ui.wording import term
from vit.config import (
    AUGMENTATIONS,
    DEPARTURES,
    STRONGER,
    DataConfig,
    Departure,
    LearnFrom,
    ModelConfig,
    ReferenceConfig,
    StartConfig,
    TrainingConfig,
    ViTConfig,
    words,
)
from vit.config.base import Settings

SETTINGS: dict[str, tuple[type[Settings], str]] = {
    "size": (DataConfig, "image_size"),
    "heads": (ViTConfig, "num_heads"),
    "depth": (ViTConfig, "depth"),
    "patch": (ViTConfig, "patch_size"),
    "stem": (ViTConfig, "stem"),
    "pool": (ViTConfig, "pool"),
    "mlp_ratio": (ViTConfig, "mlp_ratio"),
    "dropout": (ViTConfig, "dropout"),
    "drop_path": (ViTConfig, "drop_path"),
    "course_heads": (ReferenceConfig, "num_heads"),
    "course_depth": (ReferenceConfig, "depth"),
    "learn_from": (TrainingConfig, "learn_from"),
    "local_crops": (TrainingConfig, "local_crops"),
    "swap_backgrounds": (TrainingConfig, "swap_backgrounds"),
    "mask_ratio": (TrainingConfig, "mask_ratio"),
    "epochs": (TrainingConfig, "epochs"),
    "batch": (TrainingConfig, "batch_size"),
    "lr": (TrainingConfig, "lr"),
    "device": (TrainingConfig, "device"),
    "precision": (TrainingConfig, "precision"),
    "processes": (TrainingConfig, "processes"),
    "seed": (TrainingConfig, "seed"),
    "layer_decay": (StartConfig, "layer_decay"),
}
SETTINGS |= {name: (TrainingConfig, name) for name in (*AUGMENTATIONS, *STRONGER, "teacher")}
"""The setting behind each control, from which its label and its help come."""
DERIVED = {
    "head_dim": words.HEAD_WIDTH,
    "course_head_dim": words.HEAD_WIDTH,
    "course_grid": ("Patches along one side", "Number of rows and of columns that the image is cut into"),
}
"""Label and help of the controls that set a number from which settings are computed."""
TERMS = {
    "heads": ("head",),
    "course_heads": ("head",),
    "depth": ("depth", "block"),
    "course_depth": ("depth", "block"),
    "head_dim": ("head_dim",),
    "course_head_dim": ("head_dim",),
    "patch": ("patch",),
    "stem": ("stem",),
    "pool": ("summary token",),
    "mlp_ratio": ("MLP",),
    "dropout": ("dropout",),
    "drop_path": ("stochastic depth",),
    "learn_from": ("DINO", "masked autoencoding"),
    "swap_backgrounds": ("swapped backgrounds",),
    "epochs": ("epoch",),
    "batch": ("batch",),
    "lr": ("learning rate", "warm-up"),
    "seed": ("seed",),
    "layer_decay": ("layer-wise decay",),
    "mixup": ("mixup",),
    "cutmix": ("CutMix",),
    "average": ("average of the weights",),
    "teacher": ("distillation",),
}
"""The glossary terms that the help of a control explains."""

RECIPE_NAMES = {
    "standard": "Standard",
    "strong": "Stronger",
    "course": "Course report",
    "fine-tune": "Fine-tuning",
    "frozen": "Head only",
    "dino": "DINO",
    "mae": "MAE",
}
OFFERED_RECIPES = ("standard", "strong", "course")
"""Recipes for random initial weights; for fine-tuning and without labels, the recipe follows from what is trained."""
MENDS: dict[Departure, str] = {
    "projection": "Token-wise Q, K, V",
    "softmax": "Softmax over keys",
    "scaling": "Scaling first",
    "output": "Output projection",
    "mlp": "Token-wise MLP",
    "finish": "GELU and final norm",
}
"""The course network's departures, named after what replaces them when they are mended."""


def label(key: str) -> str:
    return DERIVED[key][0] if key in DERIVED else words.label(*SETTINGS[key])


def help_text(key: str, note: str = "") -> str:
    """Return the help of a control: what its setting does, ``note``, and the meaning of its glossary terms."""
    said = DERIVED[key][1] if key in DERIVED else words.description(*SETTINGS[key])
    return term(*TERMS.get(key, ()), here=f"{said}. {note}".strip())


def show(key: str, value: Any) -> str:
    return words.choice(*SETTINGS[key], value) if key in SETTINGS else str(value)


# Drawn first, because they determine what the other controls offer


def choose_network() -> str:
    """Choose a network of :data:`vit.config.MODELS` by its name."""
    return st.pills(
        words.title(ModelConfig, "architecture"),
        list(words.NETWORKS),
        default="vit",
        required=True,
        format_func=words.NETWORKS.__getitem__,
        key="network",
        bind="query-params",
        persist_state="session",
    )


def choose_learn_from() -> str:
    """Choose what the training learns from: labels, or images alone with one of two methods."""
    return st.segmented_control(
        label("learn_from"),
        get_args(LearnFrom),
        default="labels",
        required=True,
        format_func=lambda value: show("learn_from", value),
        key="learn_from",
        bind="query-params",
        persist_state="session",
        help=help_text("learn_from"),
    )


def choose_recipe() -> str:
    """Choose a recipe of :data:`vit.config.RECIPES` by its name; a new choice sets the controls to its values."""
    return st.segmented_control(
        "Recipe",
        OFFERED_RECIPES,
        default="standard",
        required=True,
        format_func=RECIPE_NAMES.__getitem__,
        key="recipe",
        bind="query-params",
        persist_state="session",
        help="Sets all training settings at once. The settings below can still be changed.",
    )


def choose_mended() -> tuple[Departure, ...]:
    """Choose the departures of the course network to mend: a whole rung, or one by one."""
    chosen = st.session_state.get("mended")
    if chosen is None:
        chosen = [name for name in DEPARTURES if MENDS[name] in st.query_params.get_all("mended")]
    st.session_state["rung"] = rung_of(tuple(chosen))
    st.segmented_control(
        "Rung of the ladder",
        range(len(DEPARTURES) + 1),
        format_func=lambda rung: {0: "0, course", len(DEPARTURES): f"{rung}, textbook"}.get(rung, str(rung)),
        key="rung",
        on_change=_take_rung,
        help="Rung k replaces the first k departures by the textbook's version, in the order below.",
    )
    mended = st.pills(
        words.title(ReferenceConfig, "mended"),
        DEPARTURES,
        selection_mode="multi",
        format_func=MENDS.__getitem__,
        key="mended",
        bind="query-params",
        persist_state="session",
        help="Each one replaces one departure by the textbook's version, independently of the others.",
    )
    return tuple(name for name in DEPARTURES if name in mended)


def rung_of(mended: tuple[Departure, ...]) -> int | None:
    """Return the rung that these departures make, or None if they are not the first ones."""
    return len(mended) if set(mended) == set(DEPARTURES[: len(mended)]) else None


def _take_rung() -> None:
    if st.session_state["rung"] is not None:
        st.session_state["mended"] = list(DEPARTURES[: st.session_state["rung"]])


# The other controls


def stored(space: Space) -> dict[str, Any]:
    """Return what the controls were set to before, by this session or by its link."""
    return {key: _stored(space, key, default) for key, default in space.defaults().items()}


def _stored(space: Space, key: str, default: Any) -> Any:
    if key in st.session_state:
        return st.session_state[key]
    text = st.query_params.get(key)
    if text is None:
        return default
    if key == "seed":
        return min(int(text), int(TrainingConfig.limits("seed").high or 0)) if text.isdecimal() else default
    if isinstance(default, bool):  # in a link "true" or "false"
        return {"true": True, "false": False}.get(text, default)
    return next((value for value in space.values(key) if show(key, value) == text), default)


class Controls:
    """The widgets, each bound to the page's link under its key; :attr:`values` holds their present values."""

    def __init__(self, space: Space, only: Sequence[str] | None = None) -> None:
        """Adjust what is stored to what is possible.

        Args:
            space: the values that are offered.
            only: the controls that are shown; all others keep their defaults, whatever is stored. None for all.
        """
        self.space = space
        before = stored(space)
        if only is not None:
            self.values = space.clamp(space.defaults() | {key: before[key] for key in only})
            for key in only:
                if self.values[key] != before[key]:
                    st.session_state[key] = self.values[key]
            return
        wanted = dict(before)
        if st.session_state.get("sized_for", space.sized_for) != space.sized_for:
            usual = space.defaults()  # other images have another default size, and with it another patch size
            wanted |= {key: usual[key] for key in ("size", "patch") if key in usual}
        if st.session_state.get("recipe_for", space.recipe) != space.recipe:
            wanted |= {key: space.defaults()[key] for key in space.recipe_fields}
        st.session_state["recipe_for"] = space.recipe
        self.values = space.clamp(wanted)
        for key, value in self.values.items():
            if value != before[key]:
                st.session_state[key] = value

    def slider(self, key: str, note: str = "") -> Any:
        """Show a slider over the possible values, or a list if there is only one; ``note`` is further help."""
        offered = self.space.allowed(key, self.values)
        widget = st.select_slider if len(offered) > 1 else st.selectbox
        return self._made(widget, key, offered, help_text(key, note))

    def choice(self, key: str, note: str = "") -> Any:
        """Show a drop-down list of the possible values; ``note`` is further help."""
        return self._made(st.selectbox, key, self.space.allowed(key, self.values), help_text(key, note))

    def switches(self, title: str, keys: Sequence[str], text: str) -> None:
        """Show a group of switches for settings that are on or off; ``text`` is the help of the whole group."""
        st.markdown(f":small[{title}]", help=text)
        with st.container(horizontal=True, gap="small"):
            for key in keys:
                self.values[key] = st.checkbox(
                    label(key),
                    self.space.defaults()[key],
                    key=key,
                    bind="query-params",
                    persist_state="session",
                    help=help_text(key),
                )

    def number(self, key: str, *, widget: Any, low: float, high: float) -> int:
        """Show a whole number between fixed bounds, with ``st.slider`` or ``st.number_input``."""
        self.values[key] = widget(
            label(key),
            int(low),
            int(high),
            self.space.defaults()[key],
            key=key,
            bind="query-params",
            persist_state="session",
            help=help_text(key),
        )
        return self.values[key]

    def _made(self, widget: Any, key: str, offered: list, text: str) -> Any:
        default = self.space.defaults()[key]
        if default not in offered:
            default = self.values[key]
        first = {"value": default} if widget is st.select_slider else {"index": offered.index(default)}
        self.values[key] = widget(
            label(key),
            offered,
            key=key,
            format_func=lambda value: show(key, value),
            bind="query-params",
            persist_state="session",
            help=text,
            **first,
        )
        if key == "size":  # stored only now: a click elsewhere may end the script before the slider has its new value
            st.session_state["sized_for"] = self.space.sized_for
        return self.values[key]
