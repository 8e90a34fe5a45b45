"""Evaluate: the accuracy of a run on its validation images, class by class, and its mistakes."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.answer import attention_link
from pages.ui.background import background
from pages.ui.cached_models import labelled_for, load_model, measured_on, validation_split
from pages.ui.dependence import show_dependence
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

SHOWN = 24  # images of a cell
MATRIX_MAX = 100  # with more classes the confusion matrix is not drawn
CONFUSIONS = 30  # pairs of classes that are listed instead
AUTO_FLOPS = 5e12  # a few seconds of work; with fewer operations the evaluation starts automatically

WITHIN = (
    "The scores cover only the model's classes that the images have, matched by name. The last class stands for all "
    "other classes that the model predicted."
)

SCALES = ("Counts", "Share of the row")


@st.cache_data(max_entries=8, show_spinner="Running the model on the validation images")
def evaluated(on: tuple[str, int, str], _run: Run) -> "Evaluation":
    """Return the run's predictions on its images.

    Args:
        on: the key of the cache, from :func:`pages.ui.cached_models.measured_on`.
        _run: the run.
    """
    from vit.evaluation import evaluate

    model, info = load_model(_run)
    return evaluate(model, info, labelled_for(_run))


def result_of(run: Run) -> "Evaluation | None":
    """Return the predictions for the classes that have images; until they exist, show the progress and return None.

    Raises:
        UserError: the run or its images cannot be loaded, or the model does not know the images' classes.
    """
    from vit.evaluation import evaluate

    model, info = load_model(run)
    split = labelled_for(run)
    result: Evaluation | None
    if count(run.config.model).flops * len(split) <= AUTO_FLOPS:
        result = evaluated(measured_on(run), run)
    else:
        result = background(
            ("evaluation", *measured_on(run)),
            lambda progress: evaluate(model, info, split, progress=progress),
            label=f"Evaluate on {len(split):,} images",
        )
    return result if result is None or not are_needed(run.config) else result.of_present_classes()


def show_scores(run: Run, result: "Evaluation", calibration: "Calibration") -> None:
    """Show accuracy, mean F1, calibration error, the number of images and the attention dependence."""
    with st.grid(4, min_column_width=150):
        st.metric("Accuracy", f"{result.accuracy:.1%}", border=True, help=term("accuracy"))
        mean_f1 = result.mean_f1
        rare = "The mean over the classes; rare classes count as much as frequent ones."
        st.metric("Mean F1", f"{mean_f1:.1%}", border=True, help=term("F1", here=rare))
        st.metric("Calibration error", f"{calibration.ece:.1%}", border=True, help=term("calibration"))
        st.metric("Images", f"{len(result.labels):,}", border=True, help=term("validation"))
    show_dependence(run)


def worst_cell(result: "Evaluation") -> tuple[str, str]:
    """Return the true and predicted class of the most frequent mistake; without mistakes, the first class twice."""
    found = result.most_confused(1)
    return found[0][:2] if found else (result.class_names[0],) * 2


def choose_cell(names: list[str], default: tuple[str, str]) -> tuple[int, int]:
    """Show two select boxes, which a click on the matrix sets too, and return the true and the predicted class.

    Args:
        names: the classes.
        default: the true and the predicted class before any are chosen.
    """
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
    """Show the images of the chosen cell, most confident first, each with a link to Attention."""
    names = result.class_names
    st.subheader("Images of a cell", anchor=False)
    true, predicted = choose_cell(list(names), worst_cell(result))
    found = result.cell(true, predicted)
    order = f", showing the {SHOWN} most confident" if len(found) > SHOWN else ", most confident first"
    images = f"{len(found)} image{'' if len(found) == 1 else 's'}{order if len(found) > 1 else ''}"
    st.markdown(f"**{plain(names[true])}, predicted as {plain(names[predicted])}**: {images}")
    split = validation_split(run)
    with st.grid("auto", min_column_width=104):
        for index in found[:SHOWN]:
            with st.container(gap="xsmall"):
                st.image(
                    split.images[index].transpose(1, 2, 0),
                    width="stretch",
                    caption=f"{result.confidence[index]:.0%} confident",
                    alt=f"Validation image {index}: {names[true]}, predicted {names[predicted]}",
                )
                attention_link(run, f"val-{index}", label="Attention")


def show_confusions(result: "Evaluation") -> None:
    """Show the most frequent mistakes as a table, if the matrix has too many classes to be drawn."""
    found = result.most_confused(CONFUSIONS)
    st.caption(
        f"A matrix of {len(result.class_names):,} classes is too large to draw. These are the {len(found)} most "
        "frequent mistakes. Choose a pair below to see its images."
    )
    st.dataframe(
        [
            {"True": in_cell(true), "Predicted": in_cell(said), "Images": images, "Share of the class": 100 * share}
            for true, said, images, share in found
        ],
        hide_index=True,
        column_config={"Share of the class": st.column_config.NumberColumn(format="%.0f%%")},
        alt="The most frequent mistakes",
    )


def show_classes(result: "Evaluation") -> None:
    """Show a table with precision, recall and F1 of each class."""
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
        "Precision: the share of the images predicted as this class that belong to it. Recall: the share of the "
        "images of this class that are predicted as it. F1: the harmonic mean of the two."
    )


def calibration_sentence(result: "Evaluation", calibration: "Calibration") -> str:
    """Return what the reliability diagram shows, as text."""
    confidence = float(result.confidence.mean())
    if abs(confidence - result.accuracy) < 0.02:
        verdict = "so it is well calibrated on average"
    else:
        verdict = "so it is overconfident" if confidence > result.accuracy else "so it is underconfident"
    return (
        f"The model is right for {result.accuracy:.0%} of the images, and its mean confidence is {confidence:.0%}, "
        f"{verdict}. The calibration error, the mean distance of the bars from the dashed line, is "
        f"**{calibration.ece:.1%}**."
    )


st.title("Evaluate", anchor=False)
st.caption(
    "How often the model predicts the right class for images that it was not trained on, which classes it confuses, "
    "and whether its confidence matches its accuracy."
)
run = pick_run()
if run is None:
    st.stop()
if not run.config.model.num_classes:
    show_no_classes(run)
    st.stop()
if run.active:
    st.info("This run is still training. These scores are for its weights so far.", icon=":material/model_training:")
elif not run.status.validated and not run.config.published:
    st.warning(
        "This run was stopped before its first validation, so its weights are barely trained.",
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
            "Blue: correct. Orange: mistakes. A stronger colour is a larger share of the row. "
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
            alt="Accuracy of images with similar confidence, against that confidence",
        )
    with row.cell():
        st.markdown(calibration_sentence(result, calibration))
        st.caption(
            "The images are grouped by the confidence of the model. A bar is the accuracy of its group: below the "
            "dashed line the model is overconfident, above it underconfident. Pale bars have few images."
        )
