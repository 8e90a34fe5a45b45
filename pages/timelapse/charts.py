"""What changes beside the maps of a time-lapse: the answer, the heads' statistics, the logit lens."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.timelapse.maps import Scene
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import plain
from pages.ui.wording import term
from vit import plots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.timelapse import TimeLapse


def show_answers(scene: Scene, probabilities: np.ndarray, label: int) -> None:
    """The probability of each class for this image ``(frame k)``, and how good the network was on all images."""
    names = scene.run.config.data.class_names
    st.subheader("What it answers", anchor=False)
    with st.grid(2, min_column_width=330, gap="large"):
        with st.container():
            st.markdown("**This image**: probability of each class")
            st.plotly_chart(
                plots.class_lines(probabilities, scene.epochs, scene.epoch, names, label),
                key="lapse_classes",
                config=plotly_config(scene.file_name("answers")),
                alt="Probability of each class for this image, by epoch",
            )
        with st.container():
            st.markdown("**All images**: accuracy of each epoch", help="Dots are the epochs that have a frame here.")
            st.plotly_chart(
                plots.accuracy_lines(scene.history, scene.epochs, scene.epoch),
                key="lapse_accuracy",
                config=plotly_config(f"{scene.run.name}-accuracy"),
                alt="Training and validation accuracy, by epoch",
            )
    downloads(
        scene.file_name("answers"),
        key="lapse_answers",
        arrays=lambda: {
            "epochs": np.array(scene.epochs),
            "probabilities": probabilities,
            "class_names": np.array(names),
        },
        table=lambda: _answer_rows(scene, probabilities),
    )


def _answer_rows(scene: Scene, probabilities: np.ndarray) -> Iterator[dict]:
    names = scene.run.config.data.class_names
    for epoch, row in zip(scene.epochs, probabilities, strict=True):
        measured = scene.history.get(epoch, {})
        yield {
            "epoch": epoch,
            **{f"probability {name}": float(value) for name, value in zip(names, row, strict=True)},
            "training accuracy": measured.get("train_accuracy"),
            "validation accuracy": measured.get("val_accuracy"),
        }


def show_statistics(scene: Scene, lapse: "TimeLapse") -> None:
    """Entropy and mean attention distance of every head for this image, with those of an even head."""
    st.subheader("What each head does", anchor=False)
    st.caption(
        "One line is one head, in the colour of its layer, in this image alone. The dashed line is a head that looks "
        "at everything evenly."
    )
    with st.grid(2, min_column_width=330, gap="large"):
        with st.container():
            st.markdown("**Entropy**: how widely a patch spreads its attention", help=term("entropy"))
            st.plotly_chart(
                plots.head_lines(
                    lapse.entropy,
                    scene.epochs,
                    scene.epoch,
                    quantity="Entropy (nats)",
                    reference=("Even attention", lapse.even_entropy),
                    unit=" nats",
                ),
                key="lapse_entropy",
                config=plotly_config(scene.file_name("entropy")),
                alt="Entropy of each head's attention, by epoch",
            )
        with st.container():
            st.markdown("**Distance**: how far from itself a patch looks", help=term("attention distance"))
            st.plotly_chart(
                plots.head_lines(
                    lapse.distance,
                    scene.epochs,
                    scene.epoch,
                    quantity="Mean attention distance (pixels)",
                    reference=("Even attention", lapse.even_distance),
                    unit=" px",
                ),
                key="lapse_distance",
                config=plotly_config(scene.file_name("distance")),
                alt="Mean attention distance of each head, by epoch",
            )
    downloads(
        scene.file_name("head-statistics"),
        key="lapse_heads",
        arrays=lambda: {"epochs": np.array(scene.epochs), "entropy": lapse.entropy, "distance": lapse.distance},
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


def show_lens(scene: Scene, lapse: "TimeLapse", label: int) -> None:
    """What the class head reads from the summary token after each layer, epoch by epoch."""
    names = scene.run.config.data.class_names
    st.subheader("Logit lens", anchor=False, help=term("logit lens"))
    st.caption(
        f"How likely the class head finds **{plain(names[label])}** when it reads the summary token before the first "
        "layer and after each one, a column an epoch. The top row is the answer; the chosen epoch is framed."
    )
    st.plotly_chart(
        plots.lens_heat(lapse.lens[..., label], scene.epochs, scene.epoch, names[label]),
        key="lapse_lens",
        config=plotly_config(scene.file_name("lens")),
        alt=f"Probability of {names[label]} after each layer, by epoch",
    )
    downloads(
        scene.file_name("lens"),
        key="lapse_lens",
        arrays=lambda: {"epochs": np.array(scene.epochs), "lens": lapse.lens, "class_names": np.array(names)},
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
