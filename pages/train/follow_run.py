"""The Train page's view of one run: progress, live curves, log, and buttons to stop, resume and restart."""

import time
from collections.abc import Callable, Hashable
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages import access
from pages.train.controls import RECIPE_NAMES
from pages.train.curves import show_curves
from pages.train.live_maps import show_live_maps
from pages.train.recipe import step_words
from pages.train.reconstructions import show_reconstructions
from pages.ui import polling
from pages.ui.cached_models import history
from pages.ui.link_state import complete, say_not_found, stored
from pages.ui.run_picker import fine_tune_link
from pages.ui.run_words import SHIPPED_WORDS, badge
from pages.ui.text import plain, show_error
from pages.ui.waiting import wait_words
from pages.ui.wording import duration
from vit import runs
from vit.config import ModelConfig, RunConfig, StartConfig, TrainingConfig, recipe_of, words
from vit.errors import UserError
from vit.jobs import queue
from vit.runs import Run
from vit.runs.live_maps import live_stamp
from vit.runs.speeds import left_at_own_pace

FRAGMENT = "follow"
SOON, SOON_FOR = 0.4, 20.0
"""Seconds between two updates, and for how many seconds after the start of a run."""


def pick() -> Run | None:
    """Choose the run to follow: the one in the link, else the newest active one, else the newest."""
    found = sorted(access.my_runs(), key=lambda run: not run.active)  # stable: newest first among equals
    if not found:
        st.caption("Nothing has been trained yet. Choose images and a model under New run, then press Start training.")
        return None
    by_name: dict[str | None, Run] = {run.name: run for run in found}
    asked = stored("run")
    name = asked if asked in by_name else found[0].name
    if (linked := st.query_params.get("run")) not in (None, *by_name):
        say_not_found("run", f"There is no run **{plain(linked, 32)}**. Showing **{plain(name, 32)}** instead.", name)
    complete("run", name)
    chosen = st.selectbox(
        "Run", list(by_name), index=None, key="run", bind="query-params", required=True, label_visibility="collapsed"
    )
    return by_name.get(chosen, by_name[name])


def follow(bar: DeltaGenerator) -> None:
    """Show the run that is chosen in ``bar``; while it is active, update when something changes."""
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
    """Return a value that changes with everything that the page shows of an active run."""
    state = run.state
    return (
        state,
        run.written,
        live_stamp(run),
        wait_words(run.name, queue.positions().get(run.name, 1)) if state == "queued" else None,
    )


def pace(run: Run) -> float:
    """Return the seconds between two updates: few shortly after the start, while the first point is awaited."""
    return SOON if time.time() - run.status.ticket / 1e9 < SOON_FOR else polling.TICK


def show_run(run: Run, shown: str) -> None:
    """Show everything about one run; rerun the page once the state differs from ``shown``."""
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
            if config.model.num_classes:
                live = {"run": run.name, "live": "true"}
                st.page_link("predict/page.py", label="Try it live", icon=":material/videocam:", query_params=live)
            if not config.model.num_classes:
                fine_tune_link(run)
    show_numbers(config.training, status, lines)
    with st.grid(2, min_column_width=380, gap="large") as grid:
        with grid.cell():
            show_curves(run, status, lines)
        with grid.cell():
            show_live_maps(run, status)
    if config.training.learn_from == "mae" and (status.epoch or run.can_resume):
        show_reconstructions(run)
    with st.expander("Log", icon=":material/article:"):
        st.code(access.without_paths(run.log(lines=60)) or "The log is empty.", language=None, wrap_lines=True)


def settings_words(config: RunConfig) -> str:
    """Describe the network and its training in one line."""
    model, training = config.model, config.training
    title = f"Vision Transformer, {model.title}" if model.architecture == "vit" else model.title
    return (
        f"{title[0].upper()}{title[1:]}. Images of {model.image_size} px. "
        f"{start_words(config.start)}"
        f"{RECIPE_NAMES[recipe_of(training, config.start)]} recipe: {training.epochs} epochs, {step_words(training)}."
    )


def start_words(start: StartConfig | None) -> str:
    """Say what a training started from, with a space at the end; empty for random weights."""
    if start is None:
        return ""
    decay = f", layer-wise decay {start.layer_decay:g}" if start.layer_decay != 1 else ""
    return f"Starts from {start.run}{'; only the head is trained' if start.frozen else decay}. "


def next_pages(model: ModelConfig) -> tuple[tuple[str, str, str], ...]:
    """Return links for a trained network: page, label, icon."""
    look = "See where it looks" if model.architecture == "cnn" else "Look into its heads"
    if not model.num_classes:
        return (
            ("attention/page.py", look, ":material/visibility:"),
            ("tokens/page.py", "See its tokens", ":material/apps:"),
            ("timelapse/page.py", "Watch its maps form", ":material/movie:"),
        )
    return (
        ("predict/page.py", "Predict with it", ":material/image_search:"),
        ("attention/page.py", look, ":material/visibility:"),
        ("evaluate/page.py", "Evaluate it", ":material/grid_on:"),
    )


def show_state(run: Run, status: runs.Status) -> None:
    """Show the state as a badge and a sentence, the progress, and the buttons."""
    label, icon, colour = badge(status)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(label, icon=icon, color=colour)
        if not status.validated and status.state not in runs.ACTIVE:
            st.badge("Not validated", icon=":material/warning:", color="orange")
        waits = status.state == "queued" and not status.placed
        sentence = queue_sentence(run) if waits else plain(access.without_paths(status.message))
        st.markdown(sentence, width="stretch")
        show_action(run, status)
    if status.warning not in status.message:
        st.warning(plain(status.warning), icon=":material/trending_flat:")
    if status.state in runs.ACTIVE:
        share = status.step / status.steps_total if status.steps_total else 0.0
        of_epochs = f"Epoch {min(status.epoch + 1, run.config.training.epochs)} of {run.config.training.epochs}"
        st.progress(
            min(share, 1.0),
            text=f"{of_epochs}, step {status.step:,} of {status.steps_total:,}" if status.step else None,
        )


def queue_sentence(run: Run) -> str:
    """Say, as Markdown, where a waiting run is in the queue and when it starts."""
    words = wait_words(run.name, queue.positions().get(run.name, 1))
    return f"{words[0].upper()}{words[1:]}. It starts automatically when the device is free."


def show_action(run: Run, status: runs.Status) -> None:
    """Show Stop while the run is active, Resume if it can continue, and Start over."""
    reason, active = access.reason_not_changeable(run), status.state in runs.ACTIVE
    # Callbacks run before the page notices the new state and reruns.
    button = partial(st.button, disabled=bool(reason), on_click=act)
    clicked = False
    if active:
        clicked = button("Stop", icon=":material/stop:", key="stop", help=reason or None, args=(access.stop, run))
    elif status.state != "finished" and run.can_resume and not run.at_limit:
        words = reason or f"Continue {run.place}."
        clicked = button("Resume", icon=":material/resume:", key="resume", help=words, args=(access.resume, run))
    asks = status.validated or (run.shipped and run.has_weights)
    clicked |= button(
        "Start over" if active or run.has_weights else "Start again",
        icon=":material/restart_alt:",
        key="restart",
        help=reason or "Train again from the beginning with the same settings.",
        args=(ask_to_restart if asks else access.restart, run),
    )
    if problem := st.session_state.pop("action_problem", None):
        show_error(problem)
    elif clicked:
        st.rerun()


def act(action: Callable[[Run], None], run: Run) -> None:
    """Do what a button says; an error is shown at the next rerun."""
    try:
        action(run)
    except UserError as error:
        st.session_state["action_problem"] = error


def ask_to_restart(run: Run) -> None:
    """Open the question, outside the fragment that updates itself."""
    st.session_state["restarting"] = run.path


def close_restart_question() -> None:
    st.session_state.pop("restarting", None)


@st.dialog("Start this run over?", icon=":material/restart_alt:", on_dismiss=close_restart_question)
def confirm_restart(run: Run) -> None:
    """Say what will be deleted, and ask."""
    best = run.best or {}
    name = words.accuracy(run.config.training, start=False)
    reached = f" ({name} {best['val_accuracy']:.1%})" if "val_accuracy" in best else ""
    at_work = " The training in progress is stopped." if run.active else ""
    st.markdown(
        f"**{plain(run.name)}** is trained again from the beginning with the same settings. Its curves, snapshots and "
        f"weights{reached} are permanently deleted.{at_work}"
    )
    if run.shipped:
        st.warning(SHIPPED_WORDS, icon=":material/warning:")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="keep_run", on_click=close_restart_question):
            st.rerun()
        if st.button("Start over", type="primary", icon=":material/restart_alt:", key="restart_surely"):
            close_restart_question()
            try:
                access.restart(run)
            except UserError as error:
                show_error(error)
            else:
                st.rerun()


def show_numbers(training: TrainingConfig, status: runs.Status, lines: list[dict]) -> None:
    """Show the latest numbers."""
    step = next((line for line in reversed(lines) if line["event"] == "step"), None)
    epoch = next((line for line in reversed(lines) if line["event"] == "epoch"), None)
    best = status.best if status.validated else None
    with st.grid(5, min_column_width=130):
        st.metric("Loss of the last step", f"{step['loss']:.3f}" if step else None)
        name = words.accuracy(training)
        st.metric(name, f"{epoch['val_accuracy']:.1%}" if epoch else None, help="After the latest epoch.")
        label = "Best so far" if training.keep == "validation" else "Accuracy of kept weights"
        st.metric(label, f"{best['val_accuracy']:.1%}" if best else None, help=kept_words(training, best))
        st.metric("Images per second", f"{step['images_per_second']:,.0f}" if step else None)
        if status.state in runs.ACTIVE:
            left = left_at_own_pace(status, step) if step else None
            st.metric("Time left", None if left is None else duration(left))
        else:
            st.metric("Trained for", duration(step["seconds"]) if step else None)


def kept_words(training: TrainingConfig, best: dict | None) -> str:
    """Say which weights the run keeps."""
    if best is None:
        return "Measured at the end of the first epoch."
    name = words.accuracy(training)
    match training.keep:
        case "validation":
            best_name = words.accuracy(training, start=False)
            return f"The run keeps the weights with the best {best_name}, now those of epoch {best['epoch']}."
        case "training_loss":
            return (
                f"{name} of the weights that the run keeps: those with the lowest running training loss, "
                f"now of step {best['step']:,}, in epoch {best['epoch']}. Other epochs may have a better accuracy."
            )
    return f"{name} of the weights that the run keeps, which are the last."
