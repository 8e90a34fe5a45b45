"""Evaluate: the accuracy of a run on its validation or other images, class by class, and its mistakes."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.answer import attention_link
from pages.ui.background import Progress, background
from pages.ui.cached_models import labelled_for, load_model, measured_on
from pages.ui.dependence import show_dependence
from pages.ui.downloads import plotly_config
from pages.ui.images.answers import AUTO_FLOPS, evaluation_key, place_of_answers
from pages.ui.link_state import named
from pages.ui.run_doubts import show_run_doubts
from pages.ui.run_picker import pick_run, show_no_classes
from pages.ui.stand_in_images import are_needed
from pages.ui.text import plain, show_error
from pages.ui.widgets.confusion_matrix import confusion_matrix
from pages.ui.wording import term
from vit import plots
from vit.cost.counts import count
from vit.errors import UserError
from vit.runs import Run
from vit.runs.learning import verdict
from vit.support.untrusted_text import in_cell

if TYPE_CHECKING:
    import numpy as np

    from vit.evaluated_images import EvaluatedImages
    from vit.evaluation import Calibration, Evaluation

WELL = 0.02  # mean confidence this close to the accuracy is well calibrated
SHOWN = 24  # images of a cell
PATIENCE = 0.3  # seconds: a small set is evaluated before a progress bar could be read
MATRIX_MAX = 100  # with more classes the confusion matrix is not drawn
CONFUSIONS = 30  # pairs of classes that are listed instead

WITHIN = (
    "The scores cover only the model's classes that the images have, matched by name. The last class stands for all "
    "other classes that the model predicted."
)

SCALES = ("Counts", "Share of the row")

SPLIT_NAMES = {"val": "Validation", "train": "Training", "test": "Test", "all": "All"}


def choose_split(run: Run) -> str:
    """Choose the images to evaluate on; those of a published model are always the chosen validation images."""
    if are_needed(run.config):
        return "val"
    from vit.evaluated_images import choices

    offered = choices(load_model(run)[1])
    if st.session_state.get("split", offered[0]) not in offered:
        del st.session_state["split"]  # of another run
    named("split", {split: SPLIT_NAMES[split] for split in offered})
    return st.segmented_control(
        "Images",
        offered,
        default=offered[0],
        required=True,
        format_func=SPLIT_NAMES.__getitem__,
        key="split",
        bind="query-params",
        persist_state="session",
        help="Training images show what the model has learned by heart. Only images that it was not trained on show "
        "how well it does on new ones.",
    )


@st.cache_resource(ttl=3600, max_entries=4, show_spinner="Preparing the images")  # memory-mapped
def images_of(on: tuple[str, int, str], split: str, _run: Run) -> "EvaluatedImages":
    """Return the images of a split of the run's own data set, and how many of them are training images.

    Args:
        on: the key of the cache, from :func:`pages.ui.cached_models.measured_on`.
        split: which images.
        _run: the run.
    """
    from vit import evaluated_images

    return evaluated_images.load(load_model(_run)[1], split=split)


def images_for(run: Run, split: str) -> "EvaluatedImages":
    """Return the images to evaluate on, with the labels of the model.

    Raises:
        UserError: they cannot be read, or the model does not know their classes.
    """
    from vit.evaluated_images import EvaluatedImages

    if are_needed(run.config):
        return EvaluatedImages({"val": labelled_for(run)}, None)
    return images_of(measured_on(run), split, run)


def result_of(run: Run, split: str) -> "Evaluation | None":
    """Return the predictions for the classes that have images; until they exist, show the progress and return None.

    Those for validation images are shared with the gallery of images, and stored with the run.

    Raises:
        UserError: the run or its images cannot be loaded, or the model does not know the images' classes.
    """
    from vit.evaluation import evaluate, joined

    model, info = load_model(run)
    images = images_for(run, split)

    def work(progress: Progress) -> "Evaluation":
        found, done = [], 0
        for part in images.splits.values():
            before = done

            def report(now: int, _: int, before: int = before) -> None:
                progress(before + now, len(images))

            found.append(evaluate(model, info, part, progress=report))
            done += len(part)
        return joined(found)

    result = background(
        evaluation_key(run, split),
        work,
        label=f"Evaluate on {len(images):,} images",
        auto=count(run.config.model).flops * len(images) <= AUTO_FLOPS,
        stored=place_of_answers(run) if split == "val" else None,
        patience=PATIENCE,
    )
    return result if result is None or not are_needed(run.config) else result.of_present_classes()


def between(interval: tuple[float, float]) -> str:
    """Return an interval as text, such as "91.2 to 93.5 %"."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def show_scores(run: Run, result: "Evaluation", calibration: "Calibration") -> None:
    """Show accuracy, mean F1, calibration error, the number of images and the attention dependence."""
    with st.grid(4, min_column_width=150):
        st.metric("Accuracy", f"{result.accuracy:.1%}", border=True, help=term("accuracy"))
        mean_f1 = result.mean_f1
        rare = "The mean over the classes; rare classes count as much as frequent ones."
        st.metric("Mean F1", f"{mean_f1:.1%}", border=True, help=term("F1", here=rare))
        st.metric("Calibration error", f"{calibration.ece:.1%}", border=True, help=term("calibration"))
        st.metric("Images", f"{len(result.labels):,}", border=True, help=term("validation"))
    st.caption(
        f"95 % intervals for new images of this kind: accuracy {between(result.accuracy_interval)} (Wilson), "
        f"calibration error {between(result.calibration_interval)} (bootstrap)."
    )
    show_dependence(run)


def show_cautions(images: "EvaluatedImages") -> None:
    """Warn of few images, and of images that the model was trained on."""
    from vit.evaluation import FEW_IMAGES

    if len(images) < FEW_IMAGES:
        st.warning(
            f"These are only {len(images)} image{'' if len(images) == 1 else 's'}: the scores depend much on which "
            f"they are. Compare runs with {FEW_IMAGES} images or more.",
            icon=":material/warning:",
        )
    if words := images.words():
        st.warning(words, icon=":material/content_copy:")
    elif set(images.splits) == {"train"}:
        st.caption("The model was trained on these images, so the scores say nothing about new ones.")


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


def find_image(images: "EvaluatedImages", index: int) -> tuple[str, "np.ndarray", int]:
    """Return the split of an image, its pixels ``(h w c)``, and its number in the split."""
    for name, part in images.splits.items():
        if index < len(part):
            return name, part.images[index].transpose(1, 2, 0), index
        index -= len(part)
    raise IndexError(index)


def show_cell(run: Run, result: "Evaluation", all_images: "EvaluatedImages") -> None:
    """Show the images of the chosen cell, most confident first; validation images have a link to Attention."""
    names = result.class_names
    st.subheader("Images of a cell", anchor=False)
    true, predicted = choose_cell(list(names), worst_cell(result))
    found = result.cell(true, predicted)
    order = f", showing the {SHOWN} most confident" if len(found) > SHOWN else ", most confident first"
    images = f"{len(found)} image{'' if len(found) == 1 else 's'}{order if len(found) > 1 else ''}"
    st.markdown(f"**{plain(names[true])}, predicted as {plain(names[predicted])}**: {images}")
    with st.grid("auto", min_column_width=104):
        for row in found[:SHOWN]:
            split, pixels, index = find_image(all_images, int(row))
            with st.container(gap="xsmall"):
                st.image(
                    pixels,
                    width="stretch",
                    caption=f"{result.confidence[row]:.0%} confident",
                    alt=f"{SPLIT_NAMES[split]} image {index}: {names[true]}, predicted {names[predicted]}",
                )
                if split == "val":
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
        column_config={
            "Images": st.column_config.NumberColumn(width=70),
            "Share of the class": st.column_config.NumberColumn(format="%.0f%%", width=130),
        },
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
    from vit.evaluation import FEW_IMAGES

    confidence = float(result.confidence.mean())
    low, high = result.overconfidence_interval
    if len(result.labels) < FEW_IMAGES or (low < -WELL and high > WELL):
        verdict = f"but {len(result.labels):,} images are too few to say whether it is overconfident or underconfident"
    elif low > 0 and confidence - result.accuracy > WELL:
        verdict = "so it is overconfident"
    elif high < 0 and result.accuracy - confidence > WELL:
        verdict = "so it is underconfident"
    else:
        verdict = "so it is well calibrated on average"
    return (
        f"The model is right for {result.accuracy:.0%} of the images, and its mean confidence is {confidence:.0%}, "
        f"{verdict}. The calibration error, the mean distance of the bars from the dashed line, is "
        f"**{calibration.ece:.1%}** (95 % interval {between(result.calibration_interval)})."
    )


st.title("Evaluate", anchor=False)
st.caption(
    "How often the model predicts the right class, which classes it confuses, and whether its confidence matches its "
    "accuracy."
)
run = pick_run()
if run is None:
    st.stop()
if run.config.model.num_classes < 2:
    show_no_classes(run)
    st.stop()
show_run_doubts(run)
if run.active:
    st.info("This run is still training. These scores are for its weights so far.", icon=":material/model_training:")
elif not run.status.validated and not run.config.published:
    st.warning(
        "This run was stopped before its first validation, so its weights are barely trained.",
        icon=":material/warning:",
    )
elif verdict(run.status):
    st.warning(plain(run.status.warning or run.status.message), icon=":material/trending_flat:")
elif run.state in ("stopped", "failed"):
    st.caption(f":material/stop_circle: This run ended early, after epoch {run.status.epoch}.")
try:
    split = choose_split(run)
    result = result_of(run, split)
    images = images_for(run, split)
except UserError as error:
    show_error(error)
    st.stop()
if result is None:
    st.stop()
if are_needed(run.config):
    st.caption(WITHIN)
calibration = result.calibration()
show_scores(run, result, calibration)
show_cautions(images)

names = list(result.class_names)
drawn = len(names) <= MATRIX_MAX
if drawn:
    with st.grid(2, min_column_width=330, gap="large") as row:
        matrix, table = row.cell(), row.cell()
else:  # the tables need the whole width
    matrix, table = st.container(), st.container()
with matrix:
    st.subheader("Confusion matrix" if drawn else "Most frequent mistakes", anchor=False, help=term("confusion matrix"))
    scale = SCALES[0]
    if drawn:
        scale = st.segmented_control(
            "Numbers",
            SCALES,
            default=SCALES[0],
            required=True,
            key="numbers",
            bind="query-params",
            persist_state="session",
        )
show_cell(run, result, images)
with matrix:
    if not drawn:
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
