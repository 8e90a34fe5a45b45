"""The Train page's controls: widgets over what :mod:`pages.train.choices` allows, each bound to the page's link.

Stored values (of a link, of another data set) are brought in line before a control is made.
"""

from typing import Any

import streamlit as st

from pages.train.choices import RECIPE_FIELDS, Space
from vit.config import DEPARTURES, Departure, TrainingConfig

LABELS = {
    "stem": {"conv": "Small convolutions", "patch": "One linear map"},
    "pool": {"cls": "Class token", "mean": "Mean of the patches"},
    "augment": {"standard": "Standard", "none": "None"},
    "layer_decay": {1.0: "One rate for all"},
}
"""How the choices of the settings that are words are called on the page, and in a link."""

NETWORKS = {
    "vit": "Vision Transformer",
    "reference": "Course network",
    "reference-einsum": "Course network (einsum)",
    "cnn": "CNN",
    "cnn-residual": "Residual CNN",
}
RECIPE_NAMES = {
    "standard": "Standard",
    "course": "Course report",
    "fine-tune": "Fine-tuning",
    "frozen": "The head alone",
}
OFFERED_RECIPES = ("standard", "course")
"""Those for drawn weights; the others come with what a training starts from."""
MENDS: dict[Departure, str] = {
    "projection": "Token-wise Q, K, V",
    "softmax": "Softmax over keys",
    "scaling": "Scaling first",
    "output": "Output projection",
    "mlp": "Token-wise MLP",
    "finish": "GELU and final norm",
}
"""What mending a departure of the course network gives it."""


def show(key: str, value: Any) -> str:
    """A value as the control and the link show it."""
    return LABELS.get(key, {}).get(value) or str(value)


# The choices that come before the others, since what the others offer depends on them


def choose_network() -> str:
    """The name of a network, of :data:`vit.config.MODELS`."""
    return st.pills(
        "Network",
        list(NETWORKS),
        default="vit",
        required=True,
        format_func=NETWORKS.__getitem__,
        key="network",
        bind="query-params",
        persist_state="session",
    )


def choose_recipe() -> str:
    """The name of a recipe, of :data:`vit.config.RECIPES`; a new choice sets the controls to the recipe's values."""
    return st.segmented_control(
        "Recipe",
        OFFERED_RECIPES,
        default="standard",
        required=True,
        format_func=RECIPE_NAMES.__getitem__,
        key="recipe",
        bind="query-params",
        persist_state="session",
        help="All settings of the training at once. Those below can still be changed.",
    )


def choose_mended() -> tuple[Departure, ...]:
    """The departures of the course network that are put right: a whole rung at a click, or one by one."""
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
        help="Rung k mends the first k departures from the textbook, in the order below.",
    )
    mended = st.pills(
        "Mended",
        DEPARTURES,
        selection_mode="multi",
        format_func=MENDS.__getitem__,
        key="mended",
        bind="query-params",
        persist_state="session",
        help="Each puts one departure from the textbook right, by itself.",
    )
    return tuple(name for name in DEPARTURES if name in mended)


def rung_of(mended: tuple[Departure, ...]) -> int | None:
    """How many departures are mended, where they are the first ones; None otherwise."""
    return len(mended) if set(mended) == set(DEPARTURES[: len(mended)]) else None


def _take_rung() -> None:
    if st.session_state["rung"] is not None:
        st.session_state["mended"] = list(DEPARTURES[: st.session_state["rung"]])


# The others


def stored(space: Space) -> dict[str, Any]:
    """What the controls were set to before, by this session or by the link that opened it."""
    return {key: _stored(space, key, default) for key, default in space.defaults().items()}


def _stored(space: Space, key: str, default: Any) -> Any:
    if key in st.session_state:
        return st.session_state[key]
    text = st.query_params.get(key)
    if text is None:
        return default
    if key == "seed":
        return min(int(text), int(TrainingConfig.limits("seed").high)) if text.isdecimal() else default
    return next((value for value in space.values(key) if show(key, value) == text), default)


class Controls:
    """The widgets, each bound to the page's link under its key; :attr:`values` are what they say by now."""

    def __init__(self, space: Space) -> None:
        self.space = space
        before = stored(space)
        wanted = dict(before)
        if st.session_state.get("sized_for", space.sized_for) != space.sized_for:
            wanted["size"] = space.defaults()["size"]  # other images, another natural size
        if st.session_state.get("recipe_for", space.recipe) != space.recipe:
            wanted |= {key: space.defaults()[key] for key in RECIPE_FIELDS}
        st.session_state["recipe_for"] = space.recipe
        self.values = space.clamp(wanted)
        for key, value in self.values.items():
            if value != before[key]:
                st.session_state[key] = value

    def slider(self, key: str, label: str, **options: Any) -> Any:
        """A slider over the values that are possible now; a list of one where only one is."""
        offered = self.space.allowed(key, self.values)
        return self._made(st.select_slider if len(offered) > 1 else st.selectbox, key, label, offered, **options)

    def choice(self, key: str, label: str, **options: Any) -> Any:
        """A drop-down list of the values that are possible now."""
        return self._made(st.selectbox, key, label, self.space.allowed(key, self.values), **options)

    def number(self, key: str, label: str, widget: Any, low: float, high: float, **options: Any) -> int:
        """A whole number between fixed bounds, with ``st.slider`` or ``st.number_input``."""
        self.values[key] = widget(
            label,
            int(low),
            int(high),
            self.space.defaults()[key],
            key=key,
            bind="query-params",
            persist_state="session",
            **options,
        )
        return self.values[key]

    def _made(
        self, widget: Any, key: str, label: str, offered: list, *, format_func: Any = None, **options: Any
    ) -> Any:
        default = self.space.defaults()[key]
        if default not in offered:
            default = self.values[key]
        first = {"value": default} if widget is st.select_slider else {"index": offered.index(default)}
        self.values[key] = widget(
            label,
            offered,
            key=key,
            format_func=format_func or (lambda value: show(key, value)),
            bind="query-params",
            persist_state="session",
            **first,
            **options,
        )
        if key == "size":  # noted only now: a click elsewhere may end the script before the slider has its new value
            st.session_state["sized_for"] = self.space.sized_for
        return self.values[key]
