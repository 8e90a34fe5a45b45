"""The experiment of a lesson: its short and its full version, the queue, and charts that fill in while runs train."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import streamlit as st

from pages import access
from pages.lessons.differences import comparison_words
from pages.lessons.lesson_list import Lesson
from pages.train.choices import RECIPE_FIELDS
from pages.train.cost import cost_of
from pages.ui import navigation, polling
from pages.ui.cached_models import epochs_of
from pages.ui.run_words import ALL_SETTINGS, FROM_SCRATCH, SET_UP, badge
from pages.ui.text import plain, show_error
from pages.ui.wording import about, count
from vit import data, lessons, plots, runs
from vit.config import RunConfig, ViTConfig, recipe_of
from vit.cost.estimate import total_seconds
from vit.data.scenes import CLASSES
from vit.errors import UserError
from vit.lessons import EXPERIMENTS, IMAGES, Variant, mean_interval
from vit.plots.lessons import Reached
from vit.runs import Run

Mine = Mapping[str, Sequence[Run]]
"""The visitor's runs of an experiment, by the name of their variant."""

SHORT, FULL = "Short version", "In full"
FRAGMENT = "lesson_runs"
GUESSING = 1 / len(CLASSES)
"""Accuracy of random guessing among the classes of scenes."""


def pick_experiment(lesson: Lesson) -> str:
    """Choose between the short and the full version; return the name of the experiment."""
    st.segmented_control(
        "Version",
        (SHORT, FULL),
        default=SHORT,
        required=True,
        key="version",
        bind="query-params",
        persist_state="session",
    )
    return chosen_experiment(lesson)


def chosen_experiment(lesson: Lesson) -> str:
    """Return the name of the chosen version of an experiment."""
    full = st.session_state.get("version") == FULL
    return lesson.experiment if full else lessons.short_version(lesson.experiment)


def own_runs(lesson: Lesson, experiment: str) -> dict[str, list[Run]]:
    """Return the visitor's runs of an experiment, by the name of their variant.

    On the user's own machine all browsers share the runs, so a student on a board has only those of their seat.
    """
    found = access.my_runs()
    seat = access.seat_in(lesson.name)
    if seat is not None and access.bounds() is None:
        found = [run for run in found if run.name in seat.runs]
    return lessons.own_runs(experiment, found)


def show_experiment(lesson: Lesson) -> Mine:
    """Show the experiment, and return the visitor's runs of the chosen version."""
    st.subheader("Experiment", anchor=False)
    experiment = pick_experiment(lesson)
    variants, mine = EXPERIMENTS[experiment], own_runs(lesson, experiment)
    access.send_runs(lesson.name, [run for each in mine.values() for run in each])
    if words := time_words(lesson):
        st.caption(f":material/timer: {words}")
    st.markdown(f"{lessons.settings_words(experiment)} {limits_words(lesson, experiment)}")
    with st.container(gap="xsmall"):
        for variant in variants:
            _show_variant(variant, mine.get(variant.name, []))
    missing = [variant for variant in variants if variant.name not in mine]
    if not missing:
        st.caption(":material/check: You have trained, or are training, all of these runs.")
    elif reason := _reason_not_queueable(missing):
        short = " The short version has fewer runs or epochs." if experiment == lesson.experiment else ""
        st.caption(f":material/info: {reason}{short}")
    else:
        _offer_queue(lesson, missing, whole=not mine)
    states = run_states(mine)
    st.fragment(show_runs, key=FRAGMENT)(lesson, experiment, states)
    if any(state in runs.ACTIVE for _, state in states):
        polling.watch(FRAGMENT, lambda: news(lesson, experiment))
    return mine


def time_words(lesson: Lesson) -> str:
    """Say how long the runs of both versions take, how sure that is, and what is done first; empty if unknown."""
    words, short = expected_words(lesson), EXPERIMENTS[lessons.short_version(lesson.experiment)]
    if not words:
        return ""
    if not all(cost_of(variant.config, scenes()).measured for variant in short):
        words += " The times are rough until a similar network was trained here."
    if not data.is_prepared(short[0].config.data):
        words += f" The {scenes().train_count + scenes().val_count:,} scenes are drawn first, only once."
    return words


def expected_words(lesson: Lesson) -> str:
    """Say how long the runs of both versions take on this machine; empty if that is unknown."""
    names = lessons.short_version(lesson.experiment), lesson.experiment
    short, full = (seconds(EXPERIMENTS[name]) for name in names)
    if short is None or full is None:
        return ""
    return f"Expected on this machine, one run after the other: short {about(short)}, in full {about(full)}."


def limits_words(lesson: Lesson, experiment: str) -> str:
    """Say what the runs of a version can show, from the spread of the stored seeds."""
    variants, full = EXPERIMENTS[experiment], EXPERIMENTS[lesson.experiment]
    figures = [lessons.measured(experiment, variant.name) for variant in variants]
    spreads = [one.range()[1] - one.range()[0] for one in figures if one.seeds > 1]
    words = ""
    if len(variants) < len(full):
        words = f"The full version has {len(full)} runs, with other numbers of training images too. "
    elif experiment != lesson.experiment:
        words = (
            "After fewer epochs the networks are closer to guessing, and some seeds have not begun to learn: single "
            "short runs show only very large differences. "
        )
    if spreads:
        words += (
            f"Another seed alone changed the accuracy of one of these networks by up to {100 * max(spreads):.0f} "
            "points in our measurements, and the intervals of the differences take that into account."
        )
    return words


def seconds(variants: Sequence[Variant]) -> float | None:
    """Return the expected seconds of training on this machine, one run after the other; None if unknown."""
    return total_seconds(cost_of(variant.config, scenes()).seconds for variant in variants)


@st.cache_data(max_entries=1, show_spinner=False)
def scenes() -> data.DataInfo:
    return data.describe("scenes")


# Runs and queue


def train_values(config: RunConfig) -> dict[str, Any]:
    """Return the values of the Train page's controls for a run, by key; settings without a control are left out."""
    model, training = config.model, config.training
    values = {
        "show": SET_UP,
        "start": FROM_SCRATCH,
        "data": config.data.source,
        "network": model.name,
        "recipe": recipe_of(training),
        "size": model.image_size,
        "seed": training.seed,
    } | {key: getattr(training, field) for key, field in RECIPE_FIELDS.items()}
    if isinstance(model, ViTConfig):
        values |= {
            "heads": model.num_heads,
            "head_dim": model.head_dim,
            "depth": model.depth,
            "patch": model.patch_size,
            "stem": model.stem,
            "pool": model.pool,
            "mlp_ratio": model.mlp_ratio,
            "dropout": model.dropout,
        }
    return values


def open_train(config: RunConfig) -> None:
    """Go to the Train page with its controls set to a run.

    A link would not do: Streamlit omits default values from an address, and those controls would keep their old values.
    """
    for noted in ("sized_for", "recipe_for"):  # or the page would set the defaults of the new images or recipe
        st.session_state.pop(noted, None)
    st.session_state.update(train_values(config) | {"form": ALL_SETTINGS})
    navigation.switch("train/page.py")


def _show_variant(variant: Variant, mine: Sequence[Run]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{variant.title} :small[{count(variant.parameters)} parameters]", width=290)
        if variant.config.data.train_images is None:
            key = f"set_{variant.name}"
            if st.button("Open in Train", icon=":material/tune:", type="tertiary", key=key):
                open_train(variant.config)
        for run in mine[:2]:
            label, icon, colour = badge(run.status)
            st.badge(label, icon=icon, color=colour)
            st.page_link(
                "train/page.py",
                label=plain(run.name, 24),
                icon=":material/show_chart:",
                query_params={"follow": run.name},
                help="Your run with these settings",
            )


def _offer_queue(lesson: Lesson, missing: list[Variant], *, whole: bool) -> None:
    label = f"Queue all {len(missing)} runs" if whole else f"Queue the {len(missing)} missing runs"
    seat = access.seat_in(lesson.name)
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            label if len(missing) > 1 else "Queue the missing run",
            icon=":material/playlist_add:",
            type="primary",
            key=f"queue_{lesson.name}",
        )
        time = seconds(missing)
        st.caption(
            f"They train one after the other{'' if time is None else f', for {about(time)} on this machine'}. "
            + ("" if seat is None else f"They use seed {seat.number}, the number of your seat. ")
            + "You can continue reading; the sidebar shows their progress.",
            width="stretch",
        )
    if pressed:
        queue(lesson, missing)


def _reason_not_queueable(missing: Sequence[Variant]) -> str:
    """Return, as Markdown, why a demo does not queue these runs; empty if it does."""
    room, limits = access.room(), access.bounds()
    if room is not None and room < len(missing):
        return f"The lesson needs {len(missing)} runs, but on this demo you can start {room or 'none'} now."
    try:
        if limits is not None:
            for variant in missing:
                limits.check(variant.config)
    except UserError as error:
        return f"These runs exceed the limits of this demo. {plain(error)}"
    return ""


def queue(lesson: Lesson, missing: Sequence[Variant]) -> None:
    """Start the runs as ordinary ones; if one cannot be started, those before it stay."""
    seat, started = access.seat_in(lesson.name), []
    try:
        for variant in missing:
            config = variant.config if seat is None else variant.seeded(seat.number)
            started.append(access.start(config, runs.free_name(f"lesson-{lesson.name}-{variant.name}")))
    except UserError as error:
        show_error(error)
        return
    finally:
        access.send_runs(lesson.name, started)
    st.rerun()


# Charts


def run_states(mine: Mine) -> tuple[tuple[str, str], ...]:
    """Return the name and state of each run."""
    return tuple((run.name, run.state) for each in mine.values() for run in each)


def news(lesson: Lesson, experiment: str) -> Hashable:
    """Return a value that changes with everything that the charts show."""
    mine = own_runs(lesson, experiment)
    return run_states(mine), tuple(run.written for each in mine.values() for run in each)


def show_runs(lesson: Lesson, experiment: str, shown: tuple[tuple[str, str], ...]) -> None:
    """Show the curves and accuracies of the visitor's runs; rerun the page once a state differs from ``shown``."""
    polling.shows(FRAGMENT, news(lesson, experiment))
    mine = own_runs(lesson, experiment)
    states = run_states(mine)
    if states != shown:
        st.rerun()
    if not mine:
        st.caption("Charts of your runs appear here, and fill in while they train.")
        return
    variants = [variant for variant in EXPERIMENTS[experiment] if variant.name in mine]
    ended = sum(state not in runs.ACTIVE for _, state in states)
    st.progress(ended / len(states), text=f"{ended} of {len(states)} runs have ended")
    histories = {variant.title: epochs_of(mine[variant.name][0]) for variant in variants}
    if not any(histories.values()):
        st.caption("The first points appear at the end of a run's first epoch.")
        return
    epochs = max(variant.config.training.epochs for variant in variants)
    with st.grid(2, min_column_width=300) as grid:
        with grid.cell():
            st.markdown("**Accuracy by epoch**", help="On new scenes, of your newest run of each network.")
            spec = plots.live_curves(histories, epochs)
            st.vega_lite_chart(spec=spec, key="lesson_curves", alt="Accuracy of your runs on new scenes by epoch")
        with grid.cell():
            st.markdown(
                "**Best accuracy so far**",
                help=f"On {IMAGES:,} new scenes. The line is the 95 % interval (Wilson) for the choice of these "
                "images; it does not cover the choice of the seed. Hollow dots still train.",
            )
            spec = plots.accuracy_strip(
                reached(experiment, mine), [one.title for one in EXPERIMENTS[experiment]], guessing=GUESSING
            )
            st.vega_lite_chart(spec=spec, key="lesson_strip", alt="Best accuracy of each of your runs, with intervals")
    show_own_comparisons(experiment, mine)


def reached(experiment: str, mine: Mine) -> list[Reached]:
    """Return the accuracy of each run with its interval."""
    found = []
    for variant in EXPERIMENTS[experiment]:
        for run in mine.get(variant.name, []):
            if best := run.best:
                value = best["val_accuracy"]
                low, high = mean_interval([value], IMAGES)
                found.append(Reached(variant.title, plain(run.name), value, low, high, run.active))
    return found


def accuracies(mine: Mine, variant: Variant) -> list[float]:
    """Return the accuracies of the runs of a variant that have ended, one per seed: equal seeds give equal runs."""
    ended = [(run.config.training.seed, run.best) for run in mine.get(variant.name, []) if not run.active]
    return list({seed: best["val_accuracy"] for seed, best in ended if best}.values())


def show_own_comparisons(experiment: str, mine: Mine) -> None:
    """Judge the differences between the visitor's runs that have ended."""
    lines, noise = [], lessons.stored_noise(experiment)
    for one, other in lessons.comparisons(experiment):
        mine_one, mine_other = accuracies(mine, one), accuracies(mine, other)
        if mine_one and mine_other:
            found = lessons.difference(mine_one, mine_other, IMAGES, noise)
            lines.append(f"- **{one.title}** against **{other.title}**: {comparison_words(found)}")
    if lines:
        st.markdown(
            "**Your runs, compared** (difference in accuracy, 95 % interval)\n" + "\n".join(lines),
            help="The intervals cover the choice of the images and of the seed. How much a seed changes the accuracy "
            "is taken from the stored runs, unless you have trained three seeds of both networks.",
        )
