"""The charts of a time-lapse: the answer, the statistics of the heads, and the logit lens."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.timelapse.maps import Playback
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import plain
from pages.ui.wording import term
from vit import plots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.timelapse import TimeLapse


def show_answers(playback: Playback, probabilities: np.ndarray, label: int) -> None:
    """Show the class probabilities ``(frame k)`` of this image, and the accuracy on all images, by epoch."""
    names = playback.run.config.data.class_names
    st.subheader("Answers by epoch", anchor=False)
    with st.grid(2, min_column_width=330, gap="large"):
        with st.container():
            st.markdown("**This image**: probability of each class")
            st.plotly_chart(
                plots.class_lines(probabilities, playback.epochs, playback.epoch, names, label),
                key="lapse_classes",
                config=plotly_config(playback.file_name("answers")),
                alt="Probability of each class for this image, by epoch",
            )
        with st.container():
            st.markdown("**All images**: accuracy of each epoch", help="The dots mark the epochs with a frame.")
            st.plotly_chart(
                plots.accuracy_lines(playback.history, playback.epochs, playback.epoch),
                key="lapse_accuracy",
                config=plotly_config(f"{playback.run.name}-accuracy"),
                alt="Training and validation accuracy, by epoch",
            )
    downloads(
        playback.file_name("answers"),
        key="lapse_answers",
        arrays=lambda: {
            "epochs": np.array(playback.epochs),
            "probabilities": probabilities,
            "class_names": np.array(names),
        },
        table=lambda: _answer_rows(playback, probabilities),
    )


def show_neighbours(playback: Playback) -> None:
    """Show the k-nearest-neighbour accuracy by epoch, for a run that was trained without labels."""
    st.subheader("What the features know", anchor=False)
    st.caption(
        "This run was trained without labels and has no classes. The line shows how often the nearest training images, "
        "by their features, have the class of a validation image.",
        help=term("k-NN accuracy"),
    )
    st.plotly_chart(
        plots.accuracy_lines(playback.history, playback.epochs, playback.epoch, name="Nearest neighbours"),
        key="lapse_neighbours",
        config=plotly_config(f"{playback.run.name}-neighbours"),
        alt="Nearest-neighbour accuracy, by epoch",
    )


def _answer_rows(playback: Playback, probabilities: np.ndarray) -> Iterator[dict]:
    names = playback.run.config.data.class_names
    for epoch, row in zip(playback.epochs, probabilities, strict=True):
        metrics = playback.history.get(epoch, {})
        yield {
            "epoch": epoch,
            **{f"probability {name}": float(value) for name, value in zip(names, row, strict=True)},
            "training accuracy": metrics.get("train_accuracy"),
            "validation accuracy": metrics.get("val_accuracy"),
        }


def show_statistics(playback: Playback, lapse: "TimeLapse") -> None:
    """Show the entropy and mean attention distance of every head for this image, next to uniform attention."""
    st.subheader("Statistics of each head", anchor=False)
    st.caption(
        "Each line is one head, in the colour of its layer, for this image only. The dashed line is uniform attention."
    )
    with st.grid(2, min_column_width=330, gap="large"):
        with st.container():
            st.markdown("**Entropy**: how evenly a patch spreads its attention", help=term("entropy"))
            st.plotly_chart(
                plots.head_lines(
                    lapse.entropy,
                    playback.epochs,
                    playback.epoch,
                    quantity="Entropy (nats)",
                    reference=("Uniform attention", lapse.even_entropy),
                    unit=" nats",
                ),
                key="lapse_entropy",
                config=plotly_config(playback.file_name("entropy")),
                alt="Entropy of each head's attention, by epoch",
            )
        with st.container():
            st.markdown("**Distance**: how far a patch attends", help=term("attention distance"))
            st.plotly_chart(
                plots.head_lines(
                    lapse.distance,
                    playback.epochs,
                    playback.epoch,
                    quantity="Mean attention distance (pixels)",
                    reference=("Uniform attention", lapse.even_distance),
                    unit=" px",
                ),
                key="lapse_distance",
                config=plotly_config(playback.file_name("distance")),
                alt="Mean attention distance of each head, by epoch",
            )
    downloads(
        playback.file_name("head-statistics"),
        key="lapse_heads",
        arrays=lambda: {"epochs": np.array(playback.epochs), "entropy": lapse.entropy, "distance": lapse.distance},
        table=lambda: _head_rows(lapse),
    )


def _head_rows(lapse: "TimeLapse") -> Iterator[dict]:
    for frame in lapse.frames:
        for layer, head in np.ndindex(frame.entropy.shape):
            yield {
                "epoch": frame.epoch,
                "layer": layer + 1,
                "head": head + 1,
                "entropy (nats)": float(frame.entropy[layer, head]),
                "distance (pixels)": float(frame.distance[layer, head]),
            }


def show_lens(playback: Playback, lapse: "TimeLapse", label: int) -> None:
    """Show what the class head predicts from the summary token after each layer, by epoch."""
    names = playback.run.config.data.class_names
    st.subheader("Logit lens", anchor=False, help=term("logit lens"))
    st.caption(
        f"The probability of **{plain(names[label])}** if the class head reads the summary token before the first "
        "layer and after each layer. Each column is an epoch. The top row is the answer. The chosen epoch has a frame."
    )
    st.plotly_chart(
        plots.lens_heatmap(lapse.lens[..., label], playback.epochs, playback.epoch, names[label]),
        key="lapse_lens",
        config=plotly_config(playback.file_name("lens")),
        alt=f"Probability of {names[label]} after each layer, by epoch",
    )
    downloads(
        playback.file_name("lens"),
        key="lapse_lens",
        arrays=lambda: {"epochs": np.array(playback.epochs), "lens": lapse.lens, "class_names": np.array(names)},
        table=lambda: _lens_rows(lapse, names),
    )


def _lens_rows(lapse: "TimeLapse", names: tuple[str, ...]) -> Iterator[dict]:
    for frame in lapse.frames:
        for layer, row in enumerate(frame.lens):
            yield {
                "epoch": frame.epoch,
                "after layer": layer,
                **{f"probability {name}": float(value) for name, value in zip(names, row, strict=True)},
            }
