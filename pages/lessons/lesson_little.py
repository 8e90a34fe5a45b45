"""Lesson: a transformer and a convolutional network on few training images."""

import streamlit as st

from pages.lessons import experiment, frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, LITTLE, LITTLE_SHORT, NETWORKS, Figures, contrast

BETTER = {
    "better": "is better than the CNN",
    "worse": "is worse than the CNN",
    "similar": "is not distinguishable from the CNN",
}


def figures(network: str, images: int) -> Figures:
    """Return the measurements of one network with this number of training images."""
    return lessons.stored().of("little", f"{network}-{images}")


lesson, text, marks = frame.begin("little")
many = max(LITTLE)
titles = {network: title for network, (title, _) in NETWORKS.items()}

guessed = frame.guess(lesson, text)
frame.more(text)
mine = experiment.show_experiment(lesson)
frame.own_links(
    lesson,
    mine,
    tuple(f"{network}-{images}" for images in (LITTLE_SHORT, many) for network in NETWORKS),
    {
        "Attention": ("attention/page.py", ":material/visibility:", {}),
        "Evaluate": ("evaluate/page.py", ":material/grid_on:", {}),
    },
)

if guessed := frame.answer(lesson, guessed):
    means = {network: figures(network, many).mean() for network in NETWORKS}
    best = max(means, key=lambda network: means[network])
    even = [
        titles[network] for network in NETWORKS if contrast(figures(network, many), figures(best, many)) == "similar"
    ]
    frame.verdict(
        guessed,
        guessed if guessed in even else titles[best],
        f"With {many:,} training images, {titles[best]} has the highest accuracy: {means[best]:.1%}. "
        + " ".join(
            f"{titles[network]} ({means[network]:.1%}) "
            f"{BETTER[contrast(figures(network, many), figures('cnn', many))]}."
            for network in NETWORKS
            if network != "cnn"
        ),
    )
    every = dict(zip([variant.name for variant in EXPERIMENTS["little"]], frame.dots(lesson), strict=True))
    frame.show_figure(
        "lesson-little",
        plots.measured_lines(
            {titles[network]: {images: every[f"{network}-{images}"] for images in LITTLE} for network in NETWORKS},
            quantity="Accuracy on new scenes",
            across="Training images",
        ),
        "Validation accuracy of the three networks with 100, 500 and 2,000 training images",
    )
    frame.show_measurements(
        lesson,
        {"Training accuracy": ("train_accuracy", ".1%"), "CPU seconds": ("seconds", ".0f")},
        own=list(every.values()),
    )
    said = []
    for images in LITTLE:
        orders = {network: contrast(figures(network, images), figures("cnn", images)) for network in ("conv", "patch")}
        said.append(
            f"- **{images:,} images**: the CNN reaches {figures('cnn', images).mean():.1%}. {titles['conv']} "
            f"({figures('conv', images).mean():.1%}) {BETTER[orders['conv']]}; {titles['patch']} "
            f"({figures('patch', images).mean():.1%}) {BETTER[orders['patch']]}."
        )
    st.markdown("\n".join(said))
    st.markdown(
        "So *attention* is not the problem with few images: the problem is linear patches, which do not know their "
        "neighbours. Guessing gives 20 %; with more images and many more epochs, as in the first lesson, linear "
        "patches also do better than guessing."
        if all(
            contrast(figures("conv", images), figures("cnn", images)) != "worse"
            and contrast(figures("patch", images), figures("conv", images)) == "worse"
            for images in (500, many)
        )
        else "Guessing gives 20 %."
    )
    frame.provenance("little", "*Training accuracy*: on the augmented images in that epoch.")
frame.go_on(lesson, marks)
