"""The parts of a lesson's page: picture, guess, background, answer, links.

A lesson's page reads top to bottom like a script. Its words come from :mod:`vit.lessons.texts`, and the numbers in its
sentences from :func:`vit.lessons.stored`.
"""

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages import access
from pages.lessons import board_link, experiment, progress
from pages.lessons.differences import comparison_words, interval_words
from pages.lessons.experiment import FULL, SHORT, Mine
from pages.lessons.lesson_list import LESSONS, Lesson
from pages.lessons.picture import show_picture
from pages.ui.downloads import plotly_config
from pages.ui.text import show_error
from vit import lessons, plots
from vit.errors import UserError
from vit.lessons import EXPERIMENTS, FILE, IMAGES, Figures
from vit.lessons.texts import FORMULA, LessonText, text
from vit.plots.lessons import Dot, Own
from vit.support.untrusted_text import in_cell

SKIP = "Skip the guess"


# Question and background


def begin(name: str) -> tuple[Lesson, LessonText, DeltaGenerator]:
    """Show the title, the question and the picture of a lesson.

    Returns:
        The lesson, its words, and the place of its progress, which :func:`go_on` fills when guess and answer are known.
    """
    number, lesson = next((place, one) for place, one in enumerate(LESSONS, 1) if one.name == name)
    words = text(name)
    st.title(lesson.title, anchor=False)
    st.caption(f"Lesson {number} of {len(LESSONS)}. {lesson.question}")
    marks = st.container()
    board_link.show_seat(lesson)
    show_picture(lesson, words.picture)
    st.markdown(words.lead)
    return lesson, words, marks


def guess(lesson: Lesson, words: LessonText) -> str | None:
    """Ask for a guess, and return the chosen option; None until one is chosen."""
    st.subheader("Guess first", anchor=False)
    chosen = st.radio(
        words.ask,
        [*words.options, SKIP],
        index=None,
        key=f"guess_{lesson.name}",
        bind="query-params",
        persist_state="session",
    )
    if chosen in words.options:
        progress.note_guess(lesson)
        try:
            access.send_guess(lesson.name, words.options.index(chosen))
        except UserError as error:
            show_error(error)
    return chosen


def more(words: LessonText) -> None:
    """Show the background and what to look for in an expander."""
    with st.expander("More: background, and what to look for", icon=":material/menu_book:"):
        for paragraph in words.more:
            if paragraph.startswith(FORMULA):
                st.latex(paragraph.removeprefix(FORMULA).removesuffix(FORMULA))
            else:
                st.markdown(paragraph)
        st.markdown("**What to look for**\n" + "\n".join(f"- {point}" for point in words.look_for))


def own_links(
    lesson: Lesson, mine: Mine, variants: Sequence[str], views: Mapping[str, tuple[str, str, dict[str, str]]]
) -> None:
    """Show links that open the visitor's own runs; nothing before one has been trained.

    Args:
        lesson: the lesson.
        mine: the visitor's runs.
        variants: names of the variants to link to.
        views: page, icon and query parameters of each link, by its label; the run is added.
    """
    if mine:
        names = [each[0].name for each in mine.values()]
        st.page_link(
            "runs/page.py",
            label="Compare your runs" if len(names) > 1 else "See your run",
            icon=":material/table_chart:",
            query_params={"runs": names[: plots.COMPARED_MAX]},
        )
    found = {name: next((run for run in mine.get(name, []) if run.has_weights), None) for name in variants}
    titles = {variant.name: variant.title for variant in EXPERIMENTS[lesson.experiment]}
    for name, run in found.items():
        if run is None:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(titles[name], width=290)
            for label, (page, icon, query) in views.items():
                st.page_link(page, label=label, icon=icon, query_params={"run": run.name, **query})


# Answer


def answer(lesson: Lesson, guessed: str | None) -> str | None:
    """Show the heading of the answer, and return the guess; without one, the answer stays hidden."""
    st.subheader("What was measured", anchor=False)
    if guessed is None:
        st.caption(":material/lock: Answer above (or skip the guess) to see the result.")
    else:
        progress.note_seen(lesson)
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


def dots(lesson: Lesson) -> list[Dot]:
    """Return the measured accuracy of each variant in full, with the visitor's own runs of the full version."""
    found, mine = [], experiment.own_runs(lesson, lesson.experiment)
    for variant in EXPERIMENTS[lesson.experiment]:
        figures = lessons.stored().of(lesson.experiment, variant.name)
        reached = [(run.name, run.best) for run in mine.get(variant.name, [])]
        own = tuple(Own(name, best["val_accuracy"]) for name, best in reached if best)
        found.append(Dot(variant.title, figures.mean(), *figures.interval, own))
    return found


def show_figure(name: str, figure: object, alt: str) -> None:
    st.plotly_chart(figure, key=f"measured_{name}", config=plotly_config(name), alt=alt)


def show_measurements(lesson: Lesson, columns: Mapping[str, tuple[str, str]], *, own: Sequence[Dot]) -> None:
    """Show the measurements of each variant with intervals, and the differences between variants.

    Args:
        lesson: the lesson.
        columns: a field of :class:`vit.lessons.Training` and the format of its mean, by the column's heading.
        own: the result of :func:`dots`; if it has runs, a column shows them.
    """
    rows = []
    for variant, dot in zip(EXPERIMENTS[lesson.experiment], own, strict=True):
        figures = lessons.stored().of(lesson.experiment, variant.name)
        row = {"Network": variant.title, "Accuracy": f"{figures.mean():.1%} ({interval_words(figures)})"}
        row |= {heading: written(figures, field, form) for heading, (field, form) in columns.items()}
        if any(each.own for each in own):
            row["Yours"] = ", ".join(f"{run.value:.1%}" for run in dot.own[:3]) or "–"
        rows.append({name: in_cell(value) for name, value in row.items()})
    st.markdown("**Accuracy on new scenes** (95 % interval)")
    st.table(rows, hide_index=True)
    show_comparisons(lesson)


def show_comparisons(lesson: Lesson) -> None:
    """Show the stored differences in accuracy with their intervals, of the full and of the short version."""
    st.markdown("**Differences in accuracy** (95 % interval)")
    short = lessons.short_version(lesson.experiment)
    in_short = {(one.name, other.name) for one, other in lessons.comparisons(short)}
    rows = []
    for one, other in lessons.comparisons(lesson.experiment):
        row = {"Compared": f"{one.title} against {other.title}"}
        row[FULL] = difference_words(lesson.experiment, one.name, other.name)
        compared = (one.name, other.name) in in_short
        row[SHORT] = difference_words(short, one.name, other.name) if compared else "–"
        rows.append({name: in_cell(value) for name, value in row.items()})
    st.table(rows, hide_index=True)


def difference_words(name: str, one: str, other: str) -> str:
    """Return the stored difference of two variants of an experiment; a dash if it is not measured."""
    figures = lessons.measured(name, one), lessons.measured(name, other)
    if not all(each.seeds for each in figures):
        return "–"
    return comparison_words(lessons.compare(*figures, lessons.stored_noise(name)))


def written(figures: Figures, field: str, form: str) -> str:
    """Return the mean over the seeds, or a dash if there is none."""
    return format(figures.mean(field), form) if figures.values(field) else "–"


def provenance(name: str, *sentences: str) -> None:
    """Show where the numbers come from, and when two of them count as different.

    Args:
        name: name of the experiment.
        sentences: more about the numbers.
    """
    seeds = min(lessons.stored().of(name, variant.name).seeds for variant in EXPERIMENTS[name])
    counted = (
        "one seed each; the intervals cover the choice of the images, but not of the seed"
        if seeds == 1
        else f"{seeds} seeds each; the lines are the 95 % intervals, which cover the choice of seeds and images"
    )
    shorter = min(
        lessons.measured(lessons.short_version(name), it.name).seeds for it in EXPERIMENTS[lessons.short_version(name)]
    )
    if 0 < shorter < seeds:
        counted += f" (short version: {shorter} seed{'s' if shorter > 1 else ''} each)"
    with st.expander("How this was measured", icon=":material/science:"):
        st.markdown(
            f"Measured by `{lessons.COMMAND} --only {name}` ({lessons.stored().environment}): the accuracy of the "
            f"best epoch on {IMAGES:,} validation images, as on the Runs page; {counted}. Two networks count as "
            "different only if the 95 % interval of their difference excludes 0 (Welch's interval over the seeds, to "
            "whose variance that of the images is added). All networks saw the same images, which the intervals do not "
            f"use, so they are rather too wide. The numbers are stored in `{FILE.parent.name}/{FILE.name}`. "
            + " ".join(sentences)
        )


def go_on(lesson: Lesson, marks: DeltaGenerator) -> None:
    """Show the progress at its place, the sheet for class, and links to the lessons before and after."""
    with marks:
        progress.show_progress(lesson)
    board_link.show_class(lesson)
    st.subheader("Continue", anchor=False)
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
