"""Evaluate: how good a run is on its validation images, class by class, and where it errs."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components import attention_link, load_model, pick_run, plain, show_error, validation
from pages.confusion import confusion_matrix
from pages.downloads import plotly_config
from vit import plots
from vit.errors import UserError
from vit.names import in_cell
from vit.runs import Run

if TYPE_CHECKING:
    from vit.evaluation import Calibration, Evaluation

SHOWN = 24
SCALES = ("Counts", "Share of the row")


@st.cache_data(max_entries=8, show_spinner="Showing the validation images to the model")
def evaluated(path: str, stamp: int, _run: Run) -> "Evaluation":
    """The run's predictions on its validation images, once for each state of its weights."""
    from vit.evaluation import evaluate

    model, info = load_model(_run)
    return evaluate(model, info, validation(_run).val)


def show_scores(run: Run, result: "Evaluation", calibration: "Calibration") -> None:
    """Accuracy and its companions in one row."""
    with st.grid(4, min_column_width=150):
        st.metric("Accuracy", f"{result.accuracy:.1%}", border=True, help="Share of the images whose class was named.")
        mean_f1 = sum(row["f1"] for row in result.per_class) / len(result.per_class)
        st.metric("Mean F1", f"{mean_f1:.1%}", border=True, help="Mean over the classes; rare classes count as much.")
        st.metric(
            "Calibration error", f"{calibration.ece:.1%}", border=True, help="How far stated confidence is from truth."
        )
        st.metric("Images", f"{len(result.labels):,}", border=True, help="Validation images, which trained nothing.")


def worst_cell(result: "Evaluation") -> tuple[str, str]:
    """The most frequent confusion, or the first class with itself where there is none."""
    names = result.class_names
    cells = [(result.confusion_matrix[t, p], t, p) for t in range(len(names)) for p in range(len(names)) if t != p]
    count, true, predicted = max(cells, key=lambda cell: cell[0])
    return (names[true], names[predicted]) if count else (names[0], names[0])


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
if run.active:
    st.info("This run is still training; these are its weights so far.", icon=":material/model_training:")
elif not run.status.validated:
    st.warning(
        "This run was stopped before its first validation, so its weights are hardly trained.",
        icon=":material/warning:",
    )
elif run.state in ("stopped", "failed"):
    st.caption(f":material/stop_circle: This run ended early, after epoch {run.status.epoch}.")
try:
    result = evaluated(str(run.path), run.stamp, run)
except UserError as error:
    show_error(error)
    st.stop()
calibration = result.calibration()
show_scores(run, result, calibration)

names = list(result.class_names)
with st.grid(2, min_column_width=330, gap="large") as row:
    matrix, table = row.cell(), row.cell()
with matrix:
    st.subheader("Confusion matrix", anchor=False)
    scale = st.segmented_control(
        "Numbers", SCALES, default=SCALES[0], required=True, key="numbers", bind="query-params", persist_state="session"
    )
show_cell(run, result)
with matrix:
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
    st.subheader("Each class", anchor=False)
    show_classes(result)

st.subheader("Reliability", anchor=False)
with st.grid(2, min_column_width=330, gap="large") as row:
    with row.cell():
        st.plotly_chart(plots.reliability(calibration), key="reliability", config=plotly_config("reliability"))
    with row.cell():
        st.markdown(calibration_sentence(result, calibration))
        st.caption(
            "The images are grouped by how sure the model was of its answer. A bar is the share of right answers in "
            "its group: below the dashed line the model is surer than it should be, above it more modest than need be. "
            "Pale bars rest on few images."
        )
