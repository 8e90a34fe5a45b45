"""The parts of a lesson's page: question and guess, background, set-up, what to look for, answer, links.

A lesson's page reads top to bottom like a script. The numbers in its sentences come from :func:`vit.lessons.stored`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages import access
from pages.lessons.lesson_list import LESSONS, Lesson
from pages.train.choices import RECIPE_FIELDS
from pages.train.cost import cost_of
from pages.ui import navigation
from pages.ui.downloads import plotly_config
from pages.ui.run_words import ALL_SETTINGS, FROM_SCRATCH, SET_UP
from pages.ui.text import plain, show_error
from pages.ui.wording import count, duration
from vit import data, lessons, plots, runs
from vit.config import RunConfig, ViTConfig, recipe_of
from vit.cost.estimate import total_seconds
from vit.errors import UserError
from vit.lessons import EXPERIMENTS, FILE, Figures, Variant
from vit.plots.lessons import Dot, Own
from vit.runs import Run
from vit.support.untrusted_text import in_cell

Mine = Mapping[str, Sequence[Run]]
"""The visitor's runs of a lesson, by the name of their variant."""

SKIP = "Skip the guess"


# Question and background


def begin(name: str) -> Lesson:
    """Show the title and the question of a lesson, and return the lesson."""
    number, lesson = next((place, one) for place, one in enumerate(LESSONS, 1) if one.name == name)
    st.title(lesson.title, anchor=False)
    st.caption(f"Lesson {number} of {len(LESSONS)}. {lesson.question}")
    return lesson


def guess(lesson: Lesson, question: str, options: Sequence[str]) -> str | None:
    """Ask for a guess, and return the chosen option; None until one is chosen."""
    st.subheader("Guess first", anchor=False)
    return st.radio(
        question,
        [*options, SKIP],
        index=None,
        key=f"guess_{lesson.name}",
        bind="query-params",
        persist_state="session",
    )


def background(words: str, formula: str = "", after: str = "") -> None:
    """Show the background text, with a formula and the text after it."""
    st.subheader("Background", anchor=False)
    st.markdown(words)
    if formula:
        st.latex(formula)
    if after:
        st.markdown(after)


# Set-up


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


def own_runs(lesson: Lesson) -> dict[str, list[Run]]:
    """Return the visitor's runs of the lesson, by the name of their variant."""
    return lessons.own_runs(lesson.experiment, access.my_runs())


def set_up(lesson: Lesson, mine: Mine, words: str) -> None:
    """Show the lesson's runs, each with a button that opens it in Train, and a button that queues the missing ones."""
    st.subheader("Set it up", anchor=False)
    st.markdown(words)
    variants = EXPERIMENTS[lesson.experiment]
    with st.container(gap="xsmall"):
        for variant in variants:
            _show_variant(variant, mine.get(variant.name, []))
    _offer_queue(lesson, [variant for variant in variants if variant.name not in mine], whole=not mine)
    if mine:
        names = [each[0].name for each in mine.values()]
        st.page_link(
            "runs/page.py",
            label="Compare your runs" if len(names) > 1 else "See your run",
            icon=":material/table_chart:",
            query_params={"runs": names[: plots.COMPARED_MAX]},
        )


def _show_variant(variant: Variant, mine: Sequence[Run]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{variant.title} :small[{count(variant.parameters)} parameters]", width=290)
        if variant.config.data.train_images is None:
            key = f"set_{variant.name}"
            if st.button("Open in Train", icon=":material/tune:", type="tertiary", key=key):
                open_train(variant.config)
        for run in mine[:2]:
            st.page_link(
                "train/page.py",
                label=plain(run.name, 24),
                icon=":material/show_chart:",
                query_params={"follow": run.name},
                help="Your run with these settings",
            )


def _offer_queue(lesson: Lesson, missing: list[Variant], *, whole: bool) -> None:
    if not missing:
        st.caption(":material/check: You have trained, or are training, all of these runs.")
        return
    if reason := _reason_not_queueable(missing):
        st.caption(f":material/info: {reason}")
        return
    label = f"Queue all {len(missing)} runs" if whole else f"Queue the {len(missing)} missing runs"
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            label if len(missing) > 1 else "Queue the missing run",
            icon=":material/playlist_add:",
            key=f"queue_{lesson.name}",
        )
        time = seconds(missing)
        st.caption(
            f"They train one after the other{'' if time is None else f', for about {duration(time)} on this machine'}. "
            "You can continue reading; the sidebar shows their progress.",
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


def seconds(variants: Sequence[Variant]) -> float | None:
    """Return the expected seconds of training on this machine, one run after the other; None if unknown."""
    return total_seconds(cost_of(variant.config, _scenes()).seconds for variant in variants)


@st.cache_data(max_entries=1, show_spinner=False)
def _scenes() -> data.DataInfo:
    return data.describe("scenes")


def queue(lesson: Lesson, missing: Sequence[Variant]) -> None:
    """Start the runs as ordinary ones; if one cannot be started, those before it stay."""
    try:
        for variant in missing:
            access.start(variant.config, runs.free_name(f"lesson-{lesson.name}-{variant.name}"))
    except UserError as error:
        show_error(error)
        return
    st.rerun()


def look_for(*points: str) -> None:
    """Show what to look for while the runs train and afterwards."""
    st.subheader("What to look for", anchor=False)
    st.markdown("\n".join(f"- {point}" for point in points))


def own_links(
    lesson: Lesson, mine: Mine, variants: Sequence[str], views: Mapping[str, tuple[str, str, dict[str, str]]]
) -> None:
    """Show links that open the visitor's own runs, or a sentence if none has been trained.

    Args:
        lesson: the lesson.
        mine: the visitor's runs.
        variants: names of the variants to link to.
        views: page, icon and query parameters of each link, by its label; the run is added.
    """
    found = {name: next((run for run in mine.get(name, []) if run.has_weights), None) for name in variants}
    if not any(found.values()):
        st.caption("Links to your runs appear here after training.")
        return
    titles = {variant.name: variant.title for variant in EXPERIMENTS[lesson.experiment]}
    for name, run in found.items():
        if run is None:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(titles[name], width=290)
            for label, (page, icon, query) in views.items():
                st.page_link(page, label=label, icon=icon, query_params={"run": run.name, **query})


# Answer


def answer(guessed: str | None) -> str | None:
    """Show the heading of the answer, and return the guess; without one, the answer stays hidden."""
    st.subheader("What was measured", anchor=False)
    if guessed is None:
        st.caption(":material/lock: Answer above (or skip the guess) to see the result.")
    return guessed


def verdict(guessed: str, right: str, sentence: str) -> None:
    """Show whether the guess was right, and the answer.

    Args:
        guessed: the chosen option.
        right: the correct option.
        sentence: the answer in a sentence.
    """
    if guessed == SKIP:
        st.info(sentence, icon=":material/lightbulb:")
    elif guessed == right:
        st.success(f"Correct. {sentence}", icon=":material/check:")
    else:
        st.warning(f"Not quite: *{right}*. {sentence}", icon=":material/lightbulb:")


def dots(lesson: Lesson, mine: Mine) -> list[Dot]:
    """Return the measured accuracy of each variant with the visitor's own runs."""
    found = []
    for variant in EXPERIMENTS[lesson.experiment]:
        figures = lessons.stored().of(lesson.experiment, variant.name)
        reached = [(run.name, run.best) for run in mine.get(variant.name, [])]
        own = tuple(Own(name, best["val_accuracy"]) for name, best in reached if best)
        found.append(Dot(variant.title, figures.mean(), *figures.range(), own))
    return found


def show_figure(name: str, figure: object, alt: str) -> None:
    st.plotly_chart(figure, key=f"measured_{name}", config=plotly_config(name), alt=alt)


def show_measurements(lesson: Lesson, columns: Mapping[str, tuple[str, str]], *, own: Sequence[Dot]) -> None:
    """Show the measurements of each variant as a table; the last column has the visitor's own runs, if any.

    Args:
        lesson: the lesson.
        columns: a field of :class:`vit.lessons.Training` and the format of its mean, by the column's heading.
        own: the result of :func:`dots`.
    """
    rows = []
    for variant, dot in zip(EXPERIMENTS[lesson.experiment], own, strict=True):
        figures = lessons.stored().of(lesson.experiment, variant.name)
        row = {"Network": variant.title, "Parameters": count(variant.parameters)}
        row |= {"Accuracy": f"{figures.mean():.1%}"}
        if figures.seeds > 1:
            row["Lowest, highest seed"] = "{:.1%}, {:.1%}".format(*figures.range())
        row |= {heading: written(figures, field, form) for heading, (field, form) in columns.items()}
        if any(each.own for each in own):
            row["Yours"] = ", ".join(f"{run.value:.1%}" for run in dot.own[:3]) or "–"
        rows.append({name: in_cell(value) for name, value in row.items()})
    st.table(rows, hide_index=True)


def written(figures: Figures, field: str, form: str) -> str:
    """Return the mean over the seeds, or a dash if there is none."""
    return format(figures.mean(field), form) if figures.values(field) else "–"


def provenance(experiment: str, *more: str) -> None:
    """Show where the numbers come from, and when two of them count as different."""
    every = [lessons.stored().of(experiment, variant.name) for variant in EXPERIMENTS[experiment]]
    seeds, images = min(figures.seeds for figures in every), _scenes().val_count
    enough = f"at least {lessons.APART:.1%} apart: with {images:,} images, smaller differences are noise"
    said = (
        f"one seed each. Two networks count as different only if they are {enough}. How much another seed would change "
        "is not measured"
        if seeds == 1
        else f"{seeds} seeds each; lines show their range. One network counts as better than another only if each of "
        f"its seeds beats each of the other's and the means are {enough}"
    )
    st.caption(
        f"Measured by `{lessons.COMMAND} --only {experiment}` ({lessons.stored().environment}): the accuracy of the "
        f"best epoch on {images:,} validation images, as on the Runs page; {said}. The numbers are stored in "
        f"`{FILE.parent.name}/{FILE.name}`. " + " ".join(more)
    )


def go_on(lesson: Lesson, *, further: Sequence[tuple[str, str, str]] = ()) -> None:
    """Show links to related pages and to the lessons before and after.

    Args:
        lesson: the lesson.
        further: page, label and icon of each related page.
    """
    st.subheader("Continue", anchor=False)
    for page, label, icon in further:
        st.page_link(page, label=label, icon=icon)
    here = LESSONS.index(lesson)
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        if here:
            before = LESSONS[here - 1]
            st.page_link(before.page, label=f"Lesson {here}: {before.title}", icon=":material/arrow_back:")
        st.page_link("lessons/page.py", label="All lessons", icon=":material/school:")
        if here + 1 < len(LESSONS):
            after = LESSONS[here + 1]
            st.page_link(
                after.page,
                label=f"Lesson {here + 2}: {after.title}",
                icon=":material/arrow_forward:",
                icon_position="right",
            )
