"""What every lesson is made of: question and guess, background, set-up, what to look for, answer, the way on.

A lesson's page reads top to bottom like a script. Numbers in its sentences come from :func:`vit.lessons.stored`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages import access
from pages.lessons.lesson_list import LESSONS, Lesson
from pages.train.cost import speeds
from pages.ui.downloads import plotly_config
from pages.ui.run_words import DRAWN, SET_UP
from pages.ui.text import plain, show_error
from pages.ui.wording import count, duration
from vit import data, lessons, plots, runs
from vit.config import RunConfig, ViTConfig, recipe_of
from vit.cost.estimate import estimate
from vit.errors import UserError
from vit.lessons import EXPERIMENTS, FILE, Figures, Variant
from vit.plots.lessons import Dot, Own
from vit.runs import Run
from vit.support import hardware
from vit.support.untrusted_text import in_cell

Mine = Mapping[str, Sequence[Run]]
"""A visitor's runs of a lesson, by variant."""

SKIP = "I would rather not guess"


# Question and background


def begin(name: str) -> Lesson:
    """Title, place among the lessons, and the question."""
    number, lesson = next((place, one) for place, one in enumerate(LESSONS, 1) if one.name == name)
    st.title(lesson.title, anchor=False)
    st.caption(f"Lesson {number} of {len(LESSONS)}. {lesson.question}")
    return lesson


def guess(lesson: Lesson, question: str, options: Sequence[str]) -> str | None:
    """What the visitor expects, asked before anything is told; None until they have chosen."""
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
    """Two minutes of background, with a formula where it helps."""
    st.subheader("Two minutes of background", anchor=False)
    st.markdown(words)
    if formula:
        st.latex(formula)
    if after:
        st.markdown(after)


# Set-up


def train_values(config: RunConfig) -> dict[str, Any]:
    """What the Train page's controls are set to for a run; what it has no control for is left out."""
    model, training = config.model, config.training
    values = {
        "show": SET_UP,
        "start": DRAWN,
        "data": config.data.source,
        "network": model.name,
        "recipe": recipe_of(training),
        "size": model.image_size,
        "epochs": training.epochs,
        "batch": training.batch_size,
        "lr": training.lr,
        "augment": training.augment,
        "seed": training.seed,
    }
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

    Not by a link: what equals a control's default falls out of an address, and the control would stay where the visitor
    had left it.
    """
    for noted in ("sized_for", "recipe_for"):  # other images or another recipe would bring their own values
        st.session_state.pop(noted, None)
    st.session_state.update(train_values(config))
    st.switch_page("train/page.py")


def own_runs(lesson: Lesson) -> dict[str, list[Run]]:
    """The visitor's runs that are of the lesson, by variant."""
    return lessons.own_runs(lesson.experiment, access.my_runs())


def set_up(lesson: Lesson, mine: Mine, words: str) -> None:
    """The lesson's runs: what each is, the way to a Train page set to it, and a button that queues the missing."""
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
            if st.button("Set Train to it", icon=":material/tune:", type="tertiary", key=key):
                open_train(variant.config)
        for run in mine[:2]:
            st.page_link(
                "train/page.py",
                label=plain(run.name, 24),
                icon=":material/show_chart:",
                query_params={"follow": run.name},
                help="Your run of these settings",
            )


def _offer_queue(lesson: Lesson, missing: list[Variant], *, whole: bool) -> None:
    if not missing:
        st.caption(":material/check: You have trained, or are training, all of them.")
        return
    if reason := _why_not(missing):
        st.caption(f":material/info: {reason}")
        return
    label = f"Queue all {len(missing)} runs" if whole else f"Queue the {len(missing)} that are missing"
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            label if len(missing) > 1 else "Queue the one that is missing",
            icon=":material/playlist_add:",
            key=f"queue_{lesson.name}",
        )
        st.caption(
            f"Ordinary runs, one after the other, about {duration(seconds(missing))} on this machine. "
            "You can go on reading; the sidebar tells how far they are.",
            width="stretch",
        )
    if pressed:
        queue(lesson, missing)


def _why_not(missing: Sequence[Variant]) -> str:
    """The bound of a demo that keeps these runs from being queued, as Markdown; empty where none does."""
    room, limits = access.room(), access.bounds()
    if room is not None and room < len(missing):
        return f"These are {len(missing)} runs, and on this demo you can start {room or 'none'} now."
    try:
        for variant in missing if limits else ():
            limits.check(variant.config)
    except UserError as error:
        return f"These runs are beyond what this demo trains. {plain(error)}"
    return ""


def seconds(variants: Sequence[Variant]) -> float:
    """How long their training takes here, one after the other."""
    return sum(
        estimate(
            variant.config,
            train_count=variant.config.data.train_images or _scenes().train_count,
            val_count=_scenes().val_count,
            speeds=speeds(hardware.resolve(variant.config.training.device)),
        ).seconds
        for variant in variants
    )


@st.cache_data(max_entries=1, show_spinner=False)
def _scenes() -> data.DataInfo:
    return data.describe("scenes")


def queue(lesson: Lesson, missing: Sequence[Variant]) -> None:
    """Start the runs, as ordinary ones; where one cannot be, those before it stay."""
    try:
        for variant in missing:
            access.start(variant.config, runs.free_name(f"lesson-{lesson.name}-{variant.name}"))
    except UserError as error:
        show_error(error)
        return
    st.rerun()


def look_for(*points: str) -> None:
    """What to look for while the runs train, and after."""
    st.subheader("What to look for", anchor=False)
    st.markdown("\n".join(f"- {point}" for point in points))


def own_links(
    lesson: Lesson, mine: Mine, variants: Sequence[str], views: Mapping[str, tuple[str, str, dict[str, str]]]
) -> None:
    """Links that open one's own runs of some variants where there is something to see; a sentence while there are none.

    Args:
        views: by label: a page, an icon, and what its link says besides the run.
    """
    found = {name: next((run for run in mine.get(name, []) if run.has_weights), None) for name in variants}
    if not any(found.values()):
        st.caption("Links into your own runs stand here once they are trained.")
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


def answer(guessed: str | None) -> bool:
    """The heading of the answer; whether it may be told, which it may once there is a guess."""
    st.subheader("What was measured", anchor=False)
    if guessed is None:
        st.caption(":material/lock: Choose an answer above, or that you would rather not guess, and it is told here.")
    return guessed is not None


def verdict(guessed: str, right: str, sentence: str) -> None:
    """Whether the guess was right, and the answer in a sentence."""
    if guessed == SKIP:
        st.info(sentence, icon=":material/lightbulb:")
    elif guessed == right:
        st.success(f"You guessed it. {sentence}", icon=":material/check:")
    else:
        st.warning(f"It came out otherwise: *{right}*. {sentence}", icon=":material/lightbulb:")


def dots(lesson: Lesson, mine: Mine) -> list[Dot]:
    """What was measured of each variant, and one's own runs beside it."""
    found = []
    for variant in EXPERIMENTS[lesson.experiment]:
        figures = lessons.stored().of(lesson.experiment, variant.name)
        reached = [(run.name, run.best) for run in mine.get(variant.name, [])]
        own = tuple(Own(name, best["val_accuracy"]) for name, best in reached if best)
        found.append(Dot(variant.title, figures.mean(), *figures.range(), own))
    return found


def show_figure(name: str, figure: object, alt: str) -> None:
    """A figure of the answer."""
    st.plotly_chart(figure, key=f"measured_{name}", config=plotly_config(name), alt=alt)


def show_measurements(lesson: Lesson, columns: Mapping[str, tuple[str, str]], *, own: Sequence[Dot]) -> None:
    """What was measured of each variant as a table; one's own best runs in the last column, where there are any.

    Args:
        columns: by heading: a field of :class:`vit.lessons.Training`, and how its mean is written.
    """
    rows = []
    for variant, dot in zip(EXPERIMENTS[lesson.experiment], own, strict=True):
        figures = lessons.stored().of(lesson.experiment, variant.name)
        row = {"Network": variant.title, "Parameters": count(variant.parameters)}
        row |= {"Accuracy": f"{figures.mean():.1%}"}
        if figures.seeds > 1:
            row["Seeds from, to"] = "{:.1%}, {:.1%}".format(*figures.range())
        row |= {heading: written(figures, field, form) for heading, (field, form) in columns.items()}
        if any(each.own for each in own):
            row["Yours"] = ", ".join(f"{run.value:.1%}" for run in dot.own[:3]) or "–"
        rows.append({name: in_cell(value) for name, value in row.items()})
    st.table(rows, hide_index=True)


def written(figures: Figures, field: str, form: str) -> str:
    """A mean over the seeds, or a dash where there is none."""
    return format(figures.mean(field), form) if figures.values(field) else "–"


def provenance(experiment: str, *more: str) -> None:
    """Where the numbers come from, and when two count as different."""
    every = [lessons.stored().of(experiment, variant.name) for variant in EXPERIMENTS[experiment]]
    seeds, images = min(figures.seeds for figures in every), _scenes().val_count
    enough = f"{lessons.APART:.1%} or more apart: on {images:,} images less is noise"
    said = (
        f"one seed of each. Two count as different here only where they are {enough}; how much another seed would "
        "change is not measured"
        if seeds == 1
        else f"{seeds} seeds of each; lines span them. One is called better than another here only where each of its "
        f"seeds beats each of the other's and the means are {enough}"
    )
    st.caption(
        f"Measured by `{lessons.COMMAND} --only {experiment}` ({lessons.stored().environment}), as the accuracy of the "
        f"best epoch on {images:,} validation images, like that of the Runs page; {said}. The figures lie in "
        f"`{FILE.parent.name}/{FILE.name}`. " + " ".join(more)
    )


def go_on(lesson: Lesson, *, further: Sequence[tuple[str, str, str]] = ()) -> None:
    """Where to look further, and the lessons before and after.

    Args:
        further: page, label and icon.
    """
    st.subheader("Go on", anchor=False)
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
