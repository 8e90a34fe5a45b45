"""Evaluate: how good a run is on its validation images, class by class, and where it errs."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.answer import attention_link
from pages.ui.background import background
from pages.ui.cached_models import judged, load_model, measured_on, validation
from pages.ui.downloads import plotly_config
from pages.ui.run_picker import pick_run, show_no_classes
from pages.ui.stand_in_images import are_needed
from pages.ui.text import plain, show_error
from pages.ui.widgets.confusion_matrix import confusion_matrix
from pages.ui.wording import term
from vit import plots
from vit.cost.counts import count
from vit.errors import UserError
from vit.runs import Run
from vit.support.untrusted_text import in_cell

if TYPE_CHECKING:
    from vit.evaluation import Calibration, Evaluation

SHOWN = 24
MATRIX_MAX = 100  # a confusion matrix with more classes is not drawn

CONFUSIONS = 30

AUTO_FLOPS = 5e12  # of some seconds: with fewer operations the images are shown to the model without being asked for

WITHIN = (
    "Of the model's classes those that the images have, matched by name; the last one stands for all others, where "
    "the model named one of them."
)

SCALES = ("Counts", "Share of the row")


@st.cache_data(max_entries=8, show_spinner="Showing the validation images to the model")
def evaluated(on: tuple, _run: Run) -> "Evaluation":
    """The run's predictions on its images, once for each of :func:`pages.ui.cached_models.measured_on`."""
    from vit.evaluation import evaluate

    model, info = load_model(_run)
    return evaluate(model, info, judged(_run))


def result_of(run: Run) -> "Evaluation | None":
    """Those predictions, of the classes that there are images of; None, and progress, until they are there.

    Raises:
        UserError: the run or its images cannot be loaded, or the images' classes are not the model's.
    """
    from vit.evaluation import evaluate

    model, info = load_model(run)
    split = judged(run)
    if count(run.config.model).flops * len(split) <= AUTO_FLOPS:
        result = evaluated(measured_on(run), run)
    else:
        result = background(
            ("evaluation", *measured_on(run)),
            lambda progress: evaluate(model, info, split, progress=progress),
            label=f"Show all {len(split):,} images to the model",
        )
    return result if result is None or not are_needed(run.config) else result.of_present_classes()


def show_scores(run: Run, result: "Evaluation", calibration: "Calibration") -> None:
    """Accuracy and its companions in one row."""
    with st.grid(4, min_column_width=150):
        st.metric("Accuracy", f"{result.accuracy:.1%}", border=True, help=term("accuracy"))
        mean_f1 = result.mean_f1
        rare = "The mean over the classes; rare ones count as much."
        st.metric("Mean F1", f"{mean_f1:.1%}", border=True, help=term("F1", here=rare))
        st.metric("Calibration error", f"{calibration.ece:.1%}", border=True, help=term("calibration"))
        st.metric("Images", f"{len(result.labels):,}", border=True, help=term("validation"))


def worst_cell(result: "Evaluation") -> tuple[str, str]:
    """The most frequent confusion, or the first class with itself where there is none."""
    found = result.most_confused(1)
    return found[0][:2] if found else (result.class_names[0],) * 2


def choose_cell(names: list[str], default: tuple[str, str]) -> tuple[int, int]:
    """Two lists, true and predicted class: the keyboard's way, and what a click on the matrix sets."""
    chosen = []
    labels = ("True class", "Predicted class")
    for column, label, key, name in zip(st.columns(2), labels, ("true", "predicted"), default, strict=True):
        if st.session_state.get(key, name) not in names:  # of another run
            del st.session_state[key]
        chosen.append(
            column.selectbox(
                label, names, index=names.index(name), key=key, bind="query-params", persist_state="session"
            )
        )
    return names.index(chosen[0]), names.index(chosen[1])


def show_cell(run: Run, result: "Evaluation") -> None:
    """The images of the chosen cell, the most confident first, each with its way to Attention."""
    names = result.class_names
    st.subheader("Images of a cell", anchor=False)
    true, predicted = choose_cell(list(names), worst_cell(result))
    found = result.cell(true, predicted)
    says = f"taken for {plain(names[predicted])}" if true != predicted else "recognised"
    order = f", the {SHOWN} surest of them" if len(found) > SHOWN else ", the surest first" if len(found) > 1 else ""
    count = f"{len(found)} image{'' if len(found) == 1 else 's'}"
    st.markdown(f"**{plain(names[true])} {says}**: {count}{order}")
    split = validation(run).val
    with st.grid("auto", min_column_width=104):
        for index in found[:SHOWN]:
            with st.container(gap="xsmall"):
                st.image(
                    split.images[index].transpose(1, 2, 0),
                    width="stretch",
                    caption=f"{result.confidence[index]:.0%} sure",
                    alt=f"Validation image {index}: {names[true]}, predicted {names[predicted]}",
                )
                attention_link(run, f"val-{index}", label="Attention")


def show_confusions(result: "Evaluation") -> None:
    """In place of a matrix with too many classes to be drawn: the cells off the diagonal that hold most images."""
    found = result.most_confused(CONFUSIONS)
    st.caption(
        f"A matrix of {len(result.class_names):,} classes has too many cells to be drawn; these are the {len(found)} "
        "most frequent confusions. Choose a pair below to see its images."
    )
    st.dataframe(
        [
            {"True": in_cell(true), "Predicted": in_cell(said), "Images": images, "Share of the class": 100 * share}
            for true, said, images, share in found
        ],
        hide_index=True,
        column_config={"Share of the class": st.column_config.NumberColumn(format="%.0f%%")},
        alt="The most frequent confusions",
    )


def show_classes(result: "Evaluation") -> None:
    """Precision, recall and F1 of each class."""
    percent = st.column_config.NumberColumn(format="%.1f%%")
    scores = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
    st.dataframe(
        [
            {"Class": in_cell(row["label"])}
            | {scores[key]: 100 * row[key] for key in scores}
            | {"Images": row["support"]}
            for row in result.per_class
        ],
        hide_index=True,
        column_config=dict.fromkeys(scores.values(), percent),
        alt="Precision, recall and F1 of each class",
    )
    st.caption(
        "Precision: of the images that were given this class, how many have it. Recall: of the images that have it, "
        "how many were found. F1: the harmonic mean of the two."
    )


def calibration_sentence(result: "Evaluation", calibration: "Calibration") -> str:
    """What the reliability diagram says, in words."""
    sure = float(result.confidence.mean())
    if abs(sure - result.accuracy) < 0.02:
        verdict = "so its confidence can be taken at its word"
    else:
        verdict = (
            "so it is surer than it should be" if sure > result.accuracy else "so it is more modest than it need be"
        )
    return (
        f"The model is right in {result.accuracy:.0%} of the cases and {sure:.0%} sure on average, {verdict}. "
        f"The calibration error, the mean distance of the bars from the dashed line, is **{calibration.ece:.1%}**."
    )


st.title("Evaluate", anchor=False)
st.caption(
    "How often the model names the right class on images that it was not trained on, which classes it confuses, "
    "and whether it is as sure as it is right."
)
run = pick_run()
if run is None:
    st.stop()
if not run.config.model.num_classes:
    show_no_classes(run)
    st.stop()
if run.active:
    st.info("This run is still training; these are its weights so far.", icon=":material/model_training:")
elif not run.status.validated and not run.config.published:
    st.warning(
        "This run was stopped before its first validation, so its weights are hardly trained.",
        icon=":material/warning:",
    )
elif run.state in ("stopped", "failed"):
    st.caption(f":material/stop_circle: This run ended early, after epoch {run.status.epoch}.")
try:
    result = result_of(run)
except UserError as error:
    show_error(error)
    st.stop()
if result is None:
    st.stop()
if are_needed(run.config):
    st.caption(WITHIN)
calibration = result.calibration()
show_scores(run, result, calibration)

names = list(result.class_names)
with st.grid(2, min_column_width=330, gap="large") as row:
    matrix, table = row.cell(), row.cell()
with matrix:
    st.subheader("Confusion matrix", anchor=False, help=term("confusion matrix"))
    scale = st.segmented_control(
        "Numbers", SCALES, default=SCALES[0], required=True, key="numbers", bind="query-params", persist_state="session"
    )
show_cell(run, result)
with matrix:
    if len(names) > MATRIX_MAX:
        show_confusions(result)
    else:
        confusion_matrix(
            result.confusion_matrix,
            names,
            normalised=scale == SCALES[1],
            true_key="true",
            predicted_key="predicted",
            key="matrix",
        )
        st.caption(
            "Blue: right. Orange: errors. The stronger the colour, the larger the share of its row. "
            "Click a cell to see its images."
        )
with table:
    st.subheader("Each class", anchor=False, help=term("precision", "recall", "F1"))
    show_classes(result)

st.subheader("Reliability", anchor=False, help=term("calibration"))
with st.grid(2, min_column_width=330, gap="large") as row:
    with row.cell():
        st.plotly_chart(
            plots.reliability(calibration),
            key="reliability",
            config=plotly_config("reliability"),
            alt="Share of right answers for images of like confidence, beside that confidence",
        )
    with row.cell():
        st.markdown(calibration_sentence(result, calibration))
        st.caption(
            "The images are grouped by how sure the model was of its answer. A bar is the share of right answers in "
            "its group: below the dashed line the model is surer than it should be, above it more modest than need be. "
            "Pale bars rest on few images."
        )
