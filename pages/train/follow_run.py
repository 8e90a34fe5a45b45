"""The Train page's view of one run: progress, live curves, log, Stop, and what comes after."""

import time
from collections.abc import Callable, Hashable
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages import access
from pages.train.controls import RECIPE_NAMES
from pages.train.recipe import step_words
from pages.ui import polling
from pages.ui.link_state import complete, stored
from pages.ui.run_words import BADGES, SHIPPED_WORDS
from pages.ui.text import plain, show_error
from pages.ui.wording import duration
from vit import plots, runs
from vit.config import ModelConfig, RunConfig, StartConfig, TrainingConfig, recipe_of
from vit.errors import UserError
from vit.jobs import queue
from vit.runs import Run

FRAGMENT = "follow"
SOON, SOON_FOR = 0.4, 20.0
"""Seconds between two looks at a run for so many seconds after its start."""
CHARTS = (
    ("Loss", plots.loss_curve, "Loss of each step, and of each epoch on training and validation images", "all"),
    ("Accuracy", plots.accuracy_curve, "Training and validation accuracy of each epoch", 1),
    ("Learning rate", plots.learning_rate_curve, "Learning rate of each step", 1),
)


def pick() -> Run | None:
    """The run to follow: of the link, or the newest active one, or the newest."""
    found = sorted(access.my_runs(), key=lambda run: not run.active)  # stable: newest first among equals
    if not found:
        st.caption("Nothing has been trained yet. Choose images and a model under New run, and press Start.")
        return None
    by_name = {run.name: run for run in found}
    asked = stored("run")
    if asked not in (None, *by_name):
        st.toast(f"There is no run {plain(asked, 32)} any more.", icon=":material/info:")
    complete("run", asked if asked in by_name else found[0].name)
    name = st.selectbox(
        "Run", list(by_name), index=None, key="run", bind="query-params", required=True, label_visibility="collapsed"
    )
    return by_name.get(name, found[0])


def follow(bar: DeltaGenerator) -> None:
    """One run, picked in ``bar``, and drawn anew while it is active, as soon as there is news of it."""
    with bar:
        run = pick()
    if run is not None:
        state = run.state
        st.fragment(show_run, key=FRAGMENT)(run, state)
        if state in runs.ACTIVE:
            polling.watch(FRAGMENT, lambda: news(run), lambda: pace(run))
        if st.session_state.get("restarting") == run.path:
            confirm_restart(run)


def news(run: Run) -> Hashable:
    """Changes with all that the page says of an active run."""
    state = run.state
    return state, run.written, queue.positions().get(run.name) if state == "queued" else None


def pace(run: Run) -> float:
    """Seconds between two looks: few while somebody waits for the first point, and no longer than that may take."""
    return SOON if time.time() - run.status.ticket / 1e9 < SOON_FOR else polling.TICK


def show_run(run: Run, shown: str) -> None:
    """Everything about one run. A full rerun once its state is no longer the one that the page was drawn for."""
    polling.shows(FRAGMENT, news(run))
    try:
        status, lines = access.see(run).status, history(run)
    except UserError as error:
        show_error(error)
        return
    if status.state != shown:
        st.rerun()
    show_state(run, status)
    config = run.config
    st.caption(plain(settings_words(config)))
    if run.has_weights and status.state not in runs.ACTIVE:
        with st.container(horizontal=True):
            for page, label, icon in next_pages(config.model):
                st.page_link(page, label=label, icon=icon, query_params={"run": run.name})
    show_numbers(config.training, status, lines)
    show_curves(run, lines)
    with st.expander("Log", icon=":material/article:"):
        st.code(access.without_paths(run.log(lines=60)) or "Nothing so far.", language=None, wrap_lines=True)


def settings_words(config: RunConfig) -> str:
    """The network and how it is trained, in one line."""
    model, training = config.model, config.training
    title = f"Vision Transformer, {model.title}" if model.architecture == "vit" else model.title
    return (
        f"{title[0].upper()}{title[1:]}. Images of {model.image_size} px. "
        f"{start_words(config.start)}"
        f"{RECIPE_NAMES[recipe_of(training, config.start)]} recipe: {training.epochs} epochs, {step_words(training)}."
    )


def start_words(start: StartConfig | None) -> str:
    """What a training began from, as a sentence with a space behind it; empty where its weights were drawn."""
    if start is None:
        return ""
    slower = f", each block at {start.layer_decay:g} of the next one's rate" if start.layer_decay != 1 else ""
    return f"Starts from {start.run}{', the head alone is trained' if start.frozen else slower}. "


def next_pages(model: ModelConfig) -> tuple[tuple[str, str, str], ...]:
    """What to do with a trained network: page, label, icon."""
    look = "See where it looks" if model.architecture == "cnn" else "Look into its heads"
    return (
        ("predict/page.py", "Predict with it", ":material/image_search:"),
        ("attention/page.py", look, ":material/visibility:"),
        ("evaluate/page.py", "Evaluate it", ":material/grid_on:"),
    )


def history(run: Run) -> dict[tuple, dict]:
    """All metrics of a run by event and step; only what is new since the last look is read."""
    cache = st.session_state.get("history")
    if cache is None or cache["run"] != run.path:
        cache = st.session_state["history"] = {"run": run.path, "offset": 0, "lines": {}}
    new, offset = run.metrics(cache["offset"])
    if offset < cache["offset"]:  # a resume has cut the file back
        cache["lines"].clear()
    cache["lines"].update({(line["event"], line["step"]): line for line in new})
    cache["offset"] = offset
    return cache["lines"]


def show_state(run: Run, status: runs.Status) -> None:
    """A badge, a sentence, the progress, and what can be done now."""
    label, icon, colour = BADGES[status.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(label, icon=icon, color=colour)
        if not status.validated and status.state not in runs.ACTIVE:
            st.badge("Not validated", icon=":material/warning:", color="orange")
        sentence = queue_sentence(run) if status.state == "queued" and not status.placed else status.message
        st.markdown(plain(access.without_paths(sentence)), width="stretch")
        show_action(run, status)
    if status.state in runs.ACTIVE:
        share = status.step / status.steps_total if status.steps_total else 0.0
        of_epochs = f"Epoch {min(status.epoch + 1, run.config.training.epochs)} of {run.config.training.epochs}"
        st.progress(
            min(share, 1.0),
            text=f"{of_epochs}, step {status.step:,} of {status.steps_total:,}" if status.step else None,
        )


def queue_sentence(run: Run) -> str:
    """The place in the queue of a run that waits."""
    words = queue.position_text(queue.positions().get(run.name, 1))
    return f"{words[0].upper()}{words[1:]}; it begins by itself, as soon as the device is free."


def show_action(run: Run, status: runs.Status) -> None:
    """Stop while it is active, Resume where it can go on, and Start over at any time."""
    reason, active = access.reason_not_changeable(run), status.state in runs.ACTIVE
    # Done in callbacks: they come before the page finds that the run's state has changed, and is drawn anew.
    button = partial(st.button, disabled=bool(reason), on_click=act)
    clicked = False
    if active:
        clicked = button("Stop", icon=":material/stop:", key="stop", help=reason or None, args=(access.stop, run))
    elif status.state != "finished" and run.can_resume and not run.at_limit:
        clicked = button(
            "Resume", icon=":material/resume:", key="resume", help=reason or None, args=(access.resume, run)
        )
    asks = status.validated or (run.shipped and run.has_weights)
    clicked |= button(
        "Start over" if active or run.has_weights else "Start again",
        icon=":material/restart_alt:",
        key="restart",
        help=reason or "From the beginning, with the same settings.",
        args=(ask_to_restart if asks else access.restart, run),
    )
    if problem := st.session_state.pop("action_problem", None):
        show_error(problem)
    elif clicked:
        st.rerun()


def act(action: Callable[[Run], None], run: Run) -> None:
    """Do what a button says; what is in the way is shown with the next drawing."""
    try:
        action(run)
    except UserError as error:
        st.session_state["action_problem"] = error


def ask_to_restart(run: Run) -> None:
    """The question comes outside of what refreshes itself."""
    st.session_state["restarting"] = run.path


def keep() -> None:
    """The question is answered, or was put aside."""
    st.session_state.pop("restarting", None)


@st.dialog("Start this run over?", icon=":material/restart_alt:", on_dismiss=keep)
def confirm_restart(run: Run) -> None:
    """Say what will be gone, and ask."""
    best = run.best or {}
    reached = f"; they reached {best['val_accuracy']:.1%} on the validation images" if "val_accuracy" in best else ""
    at_work = " It is at work, and will be stopped." if run.active else ""
    st.markdown(
        f"**{plain(run.name)}** is trained again from the beginning, with the same settings. Its curves, snapshots and "
        f"weights will be gone for good{reached}.{at_work}"
    )
    if run.shipped:
        st.warning(SHIPPED_WORDS, icon=":material/warning:")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep_run", on_click=keep):
            st.rerun()
        if st.button("Start over", type="primary", icon=":material/restart_alt:", key="restart_surely"):
            keep()
            try:
                access.restart(run)
            except UserError as error:
                show_error(error)
            else:
                st.rerun()


def show_numbers(training: TrainingConfig, status: runs.Status, lines: dict[tuple, dict]) -> None:
    """The newest numbers, one tile each."""
    step = next((line for (event, _), line in reversed(lines.items()) if event == "step"), None)
    epoch = next((line for (event, _), line in reversed(lines.items()) if event == "epoch"), None)
    best = status.best if status.validated else None
    with st.grid(5, min_column_width=130):
        st.metric("Loss of the last step", f"{step['loss']:.3f}" if step else None)
        st.metric(
            "Validation accuracy", f"{epoch['val_accuracy']:.1%}" if epoch else None, help="After the last epoch."
        )
        label = "Best so far" if training.keep == "validation" else "Of the kept weights"
        st.metric(label, f"{best['val_accuracy']:.1%}" if best else None, help=kept_words(training, best))
        st.metric("Images per second", f"{step['images_per_second']:,.0f}" if step else None)
        if status.state in runs.ACTIVE:
            st.metric("Time left", duration(time_left(status, step)) if step else None)
        else:
            st.metric("Trained for", duration(step["seconds"]) if step else None)


def kept_words(training: TrainingConfig, best: dict | None) -> str:
    """Which weights the run keeps, for the tile of their validation accuracy."""
    if best is None:
        return "Measured at the end of the first epoch."
    match training.keep:
        case "validation":
            return f"The run keeps the weights of the best validation accuracy, by now those of epoch {best['epoch']}."
        case "training_loss":
            return (
                "Validation accuracy of the weights that the run keeps: those at the lowest running training loss, by "
                f"now of step {best['step']:,}, in epoch {best['epoch']}. Another epoch may well end with a better one."
            )
    return "Validation accuracy of the weights that the run keeps, the last."


def time_left(status: runs.Status, step: dict) -> float:
    """Seconds until the end, validation included: the rest goes as fast as what is done."""
    return step["seconds"] / step["step"] * max(0, status.steps_total - step["step"])


def show_curves(run: Run, lines: dict[tuple, dict]) -> None:
    """Loss over the whole width, accuracy and learning rate below it."""
    if not lines:
        st.caption("The curves appear with the first step.")
        return
    with st.grid(2, min_column_width=300) as grid:
        for title, curve, alt, span in CHARTS:
            with grid.cell(column_span=span):
                st.markdown(f"**{title}**", help=loss_words(run.config.training) if title == "Loss" else None)
                spec = curve(lines.values())
                if spec["data"]["values"]:
                    st.vega_lite_chart(spec=spec, key=f"curve-{title}", alt=f"{alt}, run {run.name}")
                else:
                    st.caption("Appears at the end of the first epoch.")


def loss_words(training: TrainingConfig) -> str:
    """Why the training loss is not the validation loss."""
    parts = [
        "on augmented images" if training.augment != "none" else "",
        "with softened labels" if training.label_smoothing else "",
        "while the weights still move",
    ]
    taken = ", ".join(part for part in parts if part)
    return f"The training loss is taken {taken}; so it may well lie above the validation loss."
