"""The Train page's view of a sweep: a heat map of its runs, and buttons that act on all of them."""

from collections.abc import Callable, Hashable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages import access
from pages.train.sweep_form import OPEN
from pages.ui import polling
from pages.ui.downloads import plotly_config
from pages.ui.link_state import complete, say_not_found, stored
from pages.ui.text import plain, show_error
from pages.ui.widgets.parallel_coordinates import parallel_coordinates
from pages.ui.wording import size
from vit import plots
from vit.errors import UserError
from vit.runs import Run
from vit.runs.groups import Result
from vit.sweeps import sweep
from vit.sweeps.sweep import Sweep

FRAGMENT = "sweep_view"


def follow_sweep(bar: DeltaGenerator) -> None:
    """Show the sweep that is chosen in ``bar``; while a run is active, update when something changes."""
    with bar:
        name = pick()
    if name is None:
        return
    active = look(name).active
    st.fragment(show_sweep, key=FRAGMENT)(name, active)
    if active:
        polling.watch(FRAGMENT, lambda: news(name))
    question = st.session_state.get("sweep_question")
    if question == ("stop", name):
        confirm_stop(name)
    elif question == ("delete", name):
        confirm_delete(name)


def pick() -> str | None:
    """Choose the sweep to follow: the one in the link, else the newest."""
    found = list(access.my_sweeps())
    if not found:
        st.caption(
            f"There is no sweep yet. Choose a network under New run, All settings, open {OPEN}, and press Start."
        )
        return None
    asked = stored("sweep")
    name = asked if asked in found else found[0]
    if (linked := st.query_params.get("sweep")) not in (None, *found):
        said = f"There is no sweep **{plain(linked, 32)}**. Showing **{plain(name, 32)}** instead."
        say_not_found("sweep", said, name)
    complete("sweep", name)
    chosen = st.selectbox(
        "Sweep", found, index=None, key="sweep", bind="query-params", required=True, label_visibility="collapsed"
    )
    return chosen if chosen in found else name


def look(name: str) -> Sweep:
    """Return the present state of a sweep; it has no runs if they are all deleted."""
    return sweep.read(name, access.my_sweeps().get(name, ()))


def news(name: str) -> Hashable:
    """Return a value that changes with what the page shows of a sweep: once an epoch, not at every step."""
    return tuple((it.run.name, it.state, it.epoch, it.accuracy, it.share > 0) for it in look(name).members)


def show_sweep(name: str, active: bool) -> None:
    """Show everything about one sweep; rerun the page once it starts or stops training."""
    polling.shows(FRAGMENT, news(name))
    found = look(name)
    if found.active != active or not found.members:
        st.rerun()
    show_state(found)
    chart = st.plotly_chart(
        plots.sweep_heatmap(found),
        key="sweep_map",
        on_select="rerun",
        selection_mode="points",
        config=plotly_config(f"sweep-{name}"),
        alt=f"Validation accuracy over heads and depth, sweep {name}",
    )
    st.caption(words(found))
    show_runs(found, chart.selection.points)
    done = [Result(it.run.name, it.run.config, it.accuracy) for it in found.members if it.accuracy is not None]
    parallel_coordinates(done, key="sweep_lines")


def words(found: Sweep) -> str:
    """Explain how to read the map, and name its best cell."""
    several, best = len(found.seeds) > 1, found.best
    what = "mean validation accuracy over n seeds, with its range," if several else "validation accuracy"
    sentence = (
        f"Colour and number show the {what} of the weights that each run keeps. "
        "A frame marks a cell that is not finished. Click a cell to open its run."
    )
    if best is not None:
        where = f"{best.heads} head{'s' if best.heads > 1 else ''} at depth {best.depth}"
        sentence += f" Best{' so far' if found.active else ''}: {where}, {best.accuracy:.1%}."
    return sentence


def show_state(found: Sweep) -> None:
    """Show how many runs are done, and the buttons."""
    members = found.members
    done = found.count("finished") + sum(it.done for it in members if it.state == "stopped")
    parts = {
        "training": found.count("running"),
        "waiting": found.count("queued"),
        "failed": found.count("failed"),
        "stopped": sum(it.state == "stopped" and not it.done for it in members),
        "missing": found.open,
    }
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.active:
            st.badge("Training", icon=":material/model_training:", color="blue")
        elif done == len(members) and not found.open:
            st.badge("Finished", icon=":material/check_circle:", color="green")
        else:
            st.badge("Incomplete", icon=":material/pending:", color="orange")
        said = [f"{count} {what}" for what, count in parts.items() if count]
        rest = f": {', '.join(said)}" if said else ""
        st.markdown(f"{done} of {len(members) + found.open} runs are done{rest}.")
        show_actions(found)
    if found.active:
        st.progress(sum(1.0 if it.done else it.share for it in members) / len(members))


def show_actions(found: Sweep) -> None:
    """Show buttons to stop all runs, resume those that ended early, start missing ones, and delete all."""
    all_ = [it.run for it in found.members]
    reason = next(filter(None, map(access.reason_not_changeable, all_)), None)
    clicked = False
    if found.active:
        clicked |= st.button(
            "Stop all",
            icon=":material/stop:",
            key="sweep_stop",
            help=reason,
            disabled=bool(reason),
            on_click=ask,
            args=("stop", found.name),
        )
    if any(it.state in ("failed", "stopped") and not it.done for it in found.members):
        clicked |= st.button(
            "Resume the rest",
            icon=":material/resume:",
            key="sweep_resume",
            help=reason or "Resume all runs that failed or were stopped.",
            disabled=bool(reason),
            on_click=act,
            args=(access.resume_sweep, all_),
        )
    if found.open:
        clicked |= st.button(
            "Start missing runs",
            icon=":material/playlist_add:",
            key="sweep_fill",
            help=reason or "Train the missing runs with the settings of the others.",
            disabled=bool(reason),
            on_click=act,
            args=(fill, all_),
        )
    if not found.active:
        clicked |= st.button(
            "Delete all",
            icon=":material/delete:",
            key="sweep_delete",
            help=reason,
            disabled=bool(reason),
            on_click=ask,
            args=("delete", found.name),
        )
    if problem := st.session_state.pop("sweep_problem", None):
        show_error(problem)
    elif clicked:
        st.rerun()


def fill(found: list[Run]) -> None:
    """Start the missing runs of a sweep."""
    access.start_sweep(sweep.config_of(found))


def act(action: Callable[[list[Run]], None], found: list[Run]) -> None:
    """Do what a button says; an error is shown at the next rerun."""
    try:
        action(found)
    except UserError as error:
        st.session_state["sweep_problem"] = error


def ask(what: str, name: str) -> None:
    """Open a question, outside the fragment that updates itself."""
    st.session_state["sweep_question"] = what, name


def close_question() -> None:
    st.session_state.pop("sweep_question", None)


@st.dialog("Stop all runs of this sweep?", icon=":material/stop:", on_dismiss=close_question)
def confirm_stop(name: str) -> None:
    """Say what will happen, and ask."""
    found = look(name)
    at_work = found.count("running", "queued")
    st.markdown(
        f"This stops {at_work} training or waiting run{'s' if at_work > 1 else ''} of **{plain(name)}**. Progress is "
        "kept, and the runs can be resumed."
    )
    _answers("Let them continue", "Stop all", ":material/stop:", access.stop_sweep, found)


@st.dialog("Delete all runs of this sweep?", icon=":material/delete:", on_dismiss=close_question)
def confirm_delete(name: str) -> None:
    """Say what will be deleted, and ask."""
    found = look(name)
    freed = sum(it.run.size_bytes for it in found.members)
    st.markdown(
        f"This permanently deletes **{plain(name)}**: the settings, curves and weights of its "
        f"{len(found.members)} runs. It frees {size(freed)}."
    )
    _answers("Keep them", "Delete all", ":material/delete:", access.delete_sweep, found)


def _answers(no: str, yes: str, icon: str, action: Callable[[list[Run]], None], found: Sweep) -> None:
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button(no, key="sweep_no", on_click=close_question):
            st.rerun()
        if st.button(yes, type="primary", icon=icon, key="sweep_yes"):
            close_question()
            act(action, [it.run for it in found.members])
            st.rerun()


def show_runs(found: Sweep, chosen: Sequence[dict]) -> None:
    """Link to the runs: those of the clicked cell, and all by name."""
    cells = {(cell.heads, cell.depth): cell for cell in found.cells}
    picked = [(found.heads[round(it["x"])], found.depths[round(it["y"])]) for it in chosen if _on_map(it, found)]
    cell = cells.get(picked[0]) if picked else None
    if cell is not None and len(cell.members) == 1 and len(found.seeds) == 1:
        st.session_state["started"] = cell.members[0].run.name
        st.session_state.pop("sweep_map", None)
        st.rerun()
    if cell is not None:
        st.markdown(f"**{cell.heads} head{'s' if cell.heads > 1 else ''}, depth {cell.depth}**")
        if not cell.members:
            st.caption("There is no run here; press Start missing runs to train it.")
        with st.container(horizontal=True):
            for it in cell.members:
                score = "" if it.accuracy is None else f", {it.accuracy:.1%}"
                _link(it.run, f"Seed {it.point.seed}{score}")
    names = {it.run.name: it.run for it in found.members}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Run", list(names), index=None, key="sweep_run", placeholder="Open a run", width=320)
        if name in names:
            _link(names[name], "Follow it")


def _on_map(point: dict, found: Sweep) -> bool:
    return -0.5 < point["x"] < len(found.heads) - 0.5 and -0.5 < point["y"] < len(found.depths) - 0.5


def _link(run: Run, label: str) -> None:
    # Not ?run=: see the sidebar in _router.
    st.page_link("train/page.py", label=label, icon=":material/show_chart:", query_params={"follow": run.name})
