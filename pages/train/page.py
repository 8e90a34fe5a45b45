"""Train: choose images, a network and a recipe, start the training, and follow it."""

import streamlit as st

from pages import access
from pages.train.basic import FIELDS, OTHER_VIEWS, basic_controls, choose_budget, choose_form, needs_all
from pages.train.choices import Space, make_space, make_tuned_space
from pages.train.controls import Controls, choose_learn_from, choose_mended, choose_network, choose_recipe
from pages.train.cost import cost_of, show_cost
from pages.train.course_ladder import offer_ladder
from pages.train.drawing import show_network
from pages.train.follow_run import follow
from pages.train.follow_sweep import follow_sweep
from pages.train.images import choose_data
from pages.train.minute import offer_minute
from pages.train.network import SENTENCES, model_controls, show_departures
from pages.train.recipe import METHODS, training_controls
from pages.train.recording.record import record_classes
from pages.train.start_from import backbone_controls, choose_frozen, choose_start, recipe_reason
from pages.train.stronger import find_teachers
from pages.train.summary import summary_words
from pages.train.sweep_form import offer_sweep
from pages.ui.demo_notice import show_notice, train_words
from pages.ui.navigation import has_arrived
from pages.ui.run_words import ALL_SETTINGS, BASIC, FOLLOW, RECORD, SET_UP
from pages.ui.text import show_error
from vit import runs
from vit.config import MODELS, ModelConfig, RunConfig
from vit.data import DataInfo
from vit.errors import UserError
from vit.support import hardware

FOLLOW_SWEEP = "Follow a sweep"


def set_up() -> None:
    """Show the form for a new run, and above it the button that needs no form."""
    offer_minute()
    form = choose_form()
    with st.container(border=True):
        st.subheader("Images", anchor=False)
        info = choose_data()
    if info is not None:
        choose_run(info, form)


@st.fragment
def choose_run(info: DataInfo, form: str) -> None:
    """Show the form below the images: the part that is drawn again when a slider moves."""
    try:
        (show_basic_form if form == BASIC else show_form)(info)
    except UserError as error:  # the router does not catch errors in a rerun of a fragment
        show_error(error)


def show_basic_form(info: DataInfo) -> None:
    """Show heads, depth and a time budget, and the Start button."""
    space = make_space(MODELS["vit"], info, machine(), "standard", access.bounds(), {})
    controls = Controls(space, only=FIELDS)
    summary_box = st.container(border=True)
    with st.container(border=True), st.grid(2, min_column_width=300, gap="large") as grid:
        with grid.cell():
            basic_controls(controls)
            per_epoch = cost_of(space.config(controls.values), info).seconds
            choose_budget(controls, None if per_epoch is None else per_epoch / controls.values["epochs"])
        with grid.cell():
            config = space.config(controls.values)
            show_network(config.model)
    with summary_box:
        show_summary(config, info)
    with st.container(border=True):
        show_limits(config, info)
        offer_start(config, fits=space.fits(controls.values))


def show_summary(config: RunConfig, info: DataInfo) -> None:
    """Say in one sentence what will be trained."""
    st.markdown(summary_words(config, info, cost_of(config, info)))


def show_limits(config: RunConfig, info: DataInfo) -> None:
    """Show the cost of the run, and on a demo its bounds."""
    if bounds := train_words():
        st.caption(f":material/straighten: {bounds}")
    limits = access.bounds()
    show_cost(config, info, limits.seconds if limits else None)


def show_form(info: DataInfo) -> None:
    """Show the model, the training, and the cost with the Start button."""
    summary_box = st.container(border=True)
    model_box, training_box = st.container(border=True), st.container(border=True)
    # First the choices in both boxes that the sliders depend on.
    with model_box:
        st.subheader("Model", anchor=False)
        origin = choose_start()
        start = choose_frozen(origin) if origin else None
        base: ModelConfig = origin.config.model if origin else choose_model()
    teachers = find_teachers(info)
    with training_box:
        st.subheader("Training", anchor=False)
        if origin and start:
            st.caption(recipe_reason(start))
            space: Space = make_tuned_space(origin.config, start, info, machine(), access.bounds(), teachers)
        else:
            space = make_space(base, info, machine(), choose_training(base), access.bounds(), teachers)
    controls = Controls(space)
    with model_box, st.grid(2, min_column_width=330, gap="large") as grid:
        with grid.cell():
            if start:
                backbone_controls(controls)
            else:
                model_controls(controls)
        drawing_box = grid.cell()
    with training_box:
        training_controls(controls, machine())
    with st.container(border=True):
        config = space.config(controls.values)
        show_limits(config, info)
        name = offer_start(config, fits=space.fits(controls.values))
        if base.architecture == "reference" and start is None:
            offer_ladder(space, controls.values, name)
        offer_sweep(config, info, machine())
    with drawing_box:
        show_network(config.model)
    with summary_box:
        show_summary(config, info)


def choose_training(base: ModelConfig) -> str:
    """Choose what to learn from, and with labels a recipe; return the recipe's name."""
    learn_from = choose_learn_from() if base.architecture == "vit" else "labels"
    if learn_from == "labels":
        return choose_recipe()
    st.caption(METHODS[learn_from])
    return learn_from


def choose_model() -> ModelConfig:
    """Choose the network, and for the course network the departures to mend."""
    network = choose_network()
    st.caption(SENTENCES[network])
    base = MODELS[network]
    if base.architecture == "reference":
        base = base.model_copy(update={"mended": choose_mended()})
        show_departures()
    return base


def offer_start(config: RunConfig, *, fits: bool) -> str | None:
    """Show the run's name, Start, and the command that does the same.

    Returns:
        The name, if one was typed.
    """
    name_column, button_column = st.columns([3, 2], vertical_alignment="bottom")
    typed = name_column.text_input(
        "Name of the run",
        key="name",
        placeholder=runs.suggest_name(config),
        help="If this is empty, the run is named after its settings.",
    )
    name = typed.strip() or None
    pressed = button_column.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not fits,
        key="start_training",
    )
    if not fits:
        st.warning(too_large_message(config))
    with st.expander("Command for a terminal", icon=":material/terminal:"):
        st.code(access.command(config, name), language="bash", wrap_lines=True)
    if pressed:
        try:
            run = access.start(config, name)
        except UserError as error:
            show_error(error)
        else:
            st.session_state["started"] = run.name
            st.rerun()
    return name


def too_large_message(config: RunConfig) -> str:
    """Say why even the smallest network of this kind cannot be trained."""
    limits = access.bounds()
    if limits is not None:
        try:
            limits.check(config)
        except UserError as error:
            return f"This network is too large for this demo, even at its smallest. {error}"
    return "Even the smallest network does not fit the memory of this device: choose another device or other images."


@st.cache_data(ttl=300, max_entries=1, show_spinner=False)
def machine() -> tuple[hardware.Device, ...]:
    """Return the devices of this machine, the fastest first."""
    return tuple(hardware.devices())


def first_view() -> str:
    """Return the view to open: the one that the link is about, a run that is training, or the form for a new run."""
    if "sweep" in st.query_params:
        return FOLLOW_SWEEP
    if "run" in st.query_params:
        return FOLLOW
    if names_settings():
        return SET_UP
    return FOLLOW if any(run.active for run in access.my_runs()) else SET_UP


def names_settings() -> bool:
    """Return whether the address has settings of the form: every parameter except those of the other views."""
    return bool(set(st.query_params) - OTHER_VIEWS)


st.title("Train", anchor=False)
st.caption(
    "Choose images, a network and a recipe, then watch the loss fall step by step. "
    "Training continues if you close this page."
)
show_notice()
followed = st.session_state.pop("started", None) or st.query_params.get("follow")  # Start, or a link of the sidebar
if followed:
    st.session_state["show"], st.session_state["run"] = FOLLOW, followed
    st.query_params.pop("follow", None)
if tuned := st.query_params.get("tune"):  # a link of another page
    st.session_state["show"], st.session_state["start"] = SET_UP, tuned
    st.session_state["form"] = ALL_SETTINGS
    st.query_params.pop("tune", None)
if sweep := st.session_state.pop("started_sweep", None):
    st.session_state["show"], st.session_state["sweep"] = FOLLOW_SWEEP, sweep
if has_arrived() and "show" not in st.query_params and not {"run", "sweep"} & set(st.query_params) and names_settings():
    st.session_state["show"] = SET_UP  # the session may remember another view
if has_arrived() and "form" not in st.query_params and needs_all(st.query_params):
    st.session_state["form"] = ALL_SETTINGS  # or the settings of the link would be ignored
bar = st.container(horizontal=True, vertical_alignment="center")
with bar:
    view = st.segmented_control(
        "View",
        (SET_UP, RECORD, FOLLOW, FOLLOW_SWEEP),
        default=first_view(),
        required=True,
        key="show",
        label_visibility="collapsed",
        bind="query-params",
        persist_state="session",
    )
if view == FOLLOW:
    follow(bar)
elif view == FOLLOW_SWEEP:
    follow_sweep(bar)
elif view == RECORD:
    record_classes()
else:
    set_up()
