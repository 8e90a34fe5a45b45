"""Train: choose images and a model, start, and watch it learn."""

import streamlit as st

from pages.components import show_error
from pages.train_controls import Controls, Space
from pages.train_data import choose_data
from pages.train_follow import follow
from pages.wording import count, duration, size
from vit import estimate, hardware, jobs, runs
from vit.config import EPOCHS, RunConfig, TrainingConfig
from vit.data import DataInfo
from vit.errors import UserError

SET_UP, FOLLOW = "New run", "Follow a run"


def set_up() -> None:
    """The form for a new run: images, model, recipe, what it will cost, Start."""
    with st.container(border=True):
        st.subheader("Images", anchor=False)
        info = choose_data()
    if info is None:
        return
    space = Space(info, machine())
    controls = Controls(space)
    with st.container(border=True):
        st.subheader("Model", anchor=False)
        model_controls(controls)
    with st.container(border=True):
        st.subheader("Training", anchor=False)
        training_controls(controls)
    with st.container(border=True):
        config = space.config(controls.values)
        show_cost(config, info)
        offer_start(config, fits=space.fits(controls.values))


def model_controls(controls: Controls) -> None:
    """Heads and depth first; the rest in an expander."""
    left, right = st.columns(2, gap="large")
    with left:
        heads = controls.slider(
            "heads", "Attention heads", help="Each head of a block looks at the image in its own way."
        )
        controls.slider("depth", "Encoder depth", help="Blocks of attention and MLP, one after the other.")
    with right:
        width = controls.slider(
            "head_dim",
            "Width of a head",
            help="Numbers in a head's query, key and value. The model's width is heads times this.",
        )
        controls.slider(
            "patch",
            "Patch size",
            help="Side of the squares that the image is cut into. Small patches see more and cost more.",
        )
    values = controls.values
    grid = values["size"] // values["patch"]
    st.caption(
        f"A token is embed_dim = {heads} heads × {width} = {heads * width} numbers wide; "
        f"an image of {values['size']} px is cut into {grid} × {grid} patches."
    )
    with st.expander("More about the model", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            controls.slider("size", "Image size in pixels", help="Every image is brought to this square.")
            controls.choice("stem", "From patches to tokens", help="Small convolutions learn faster from few images.")
            controls.choice("pool", "The classifier reads", help="What the last layer gets to see.")
        with right:
            controls.slider("mlp_ratio", "MLP ratio", help="Width of a block's MLP over the model's width.")
            controls.slider(
                "dropout", "Dropout", help="Share of the numbers that are left out at random while training."
            )


def training_controls(controls: Controls) -> None:
    """Epochs first; the rest in an expander."""
    controls.number(
        "epochs", "Epochs", st.slider, EPOCHS[0], EPOCHS[-1], help="How often the training sees every image."
    )
    with st.expander("More about the training", icon=":material/tune:"):
        left, right = st.columns(2, gap="large")
        with left:
            controls.slider("batch", "Batch size", help="Images in one step.")
            controls.slider("lr", "Learning rate", help="At its peak; it warms up and then falls along a cosine.")
            controls.choice(
                "augment", "Augmentation", help="Flips, shifted crops, colours and erased squares, anew each epoch."
            )
        with right:
            titles = {device.name: device.title for device in machine()}
            fastest = titles[machine()[0].name]
            controls.choice("device", "Device", help=f"auto takes the fastest: {fastest}.")
            low, high, _ = TrainingConfig.limits("seed")
            controls.number(
                "seed", "Seed", st.number_input, low, high, help="The same seed and settings give the same model."
            )


def show_cost(config: RunConfig, info: DataInfo) -> None:
    """Tokens, parameters, memory and time of the run as it is set now."""
    device = hardware.resolve(config.training.device)
    cost = estimate.estimate(config, train_count=info.train_count, val_count=info.val_count, speeds=speeds(device))
    with st.grid(4, min_column_width=105):
        st.metric("Tokens", f"{cost.tokens:,}", help="Patches of one image, and the class token.")
        st.metric("Parameters", count(cost.parameters), help="Numbers that the training adjusts.")
        st.metric("Memory", size(cost.memory_bytes), help="On the device, while training.")
        st.metric(
            "Expected time",
            duration(cost.seconds),
            help="From the speed of an earlier run on this machine."
            if cost.measured
            else "A guess, until a run on this machine tells.",
        )


def offer_start(config: RunConfig, *, fits: bool) -> None:
    """The run's name, Start, and the same as a command."""
    name_column, button_column = st.columns([3, 2], vertical_alignment="bottom")
    name = name_column.text_input(
        "Name of the run",
        key="name",
        placeholder=runs.suggest_name(config),
        help="Left empty, it is named after its settings.",
    )
    pressed = button_column.button(
        "Start training", type="primary", icon=":material/play_arrow:", width="stretch", disabled=not fits, key="start"
    )
    if not fits:
        st.warning("Even the smallest model does not fit this device's memory; choose another device or other images.")
    with st.expander("The same from a terminal", icon=":material/terminal:"):
        st.code(jobs.command_line(config, name or None), language="bash", wrap_lines=True)
    if pressed:
        try:
            run = jobs.start(config, name.strip() or None)
        except UserError as error:
            show_error(error)
        else:
            st.session_state["started"] = run.name
            st.rerun()


@st.cache_data(ttl=300, max_entries=1, show_spinner=False)
def machine() -> tuple[hardware.Device, ...]:
    """The devices of this machine, the fastest first."""
    return tuple(hardware.devices())


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def speeds(device: str) -> tuple[tuple[float, float], ...]:
    """How fast earlier runs were on this machine."""
    return estimate.measured_speeds(device)


def first_view() -> str:
    """Follow a run when the link names one or one is training; set up a new one otherwise."""
    following = "run" in st.query_params or any(run.active for run in runs.list_runs())
    return FOLLOW if following else SET_UP


st.title("Train", anchor=False)
st.caption(
    "Choose images, and how many heads and blocks the Vision Transformer has; then watch its loss fall, step by step. "
    "A training goes on when this page is closed."
)
followed = st.session_state.pop("started", None) or st.query_params.get("follow")  # Start, or a link of the sidebar
if followed:
    st.session_state["show"], st.session_state["run"] = FOLLOW, followed
    st.query_params.pop("follow", None)
bar = st.container(horizontal=True, vertical_alignment="center")
with bar:
    view = st.segmented_control(
        "View",
        (SET_UP, FOLLOW),
        default=first_view(),
        required=True,
        key="show",
        label_visibility="collapsed",
        bind="query-params",
        persist_state="session",
    )
if view == FOLLOW:
    follow(bar)
else:
    set_up()
