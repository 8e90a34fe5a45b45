"""Lesson: a transformer against a convolutional network on few images."""

import streamlit as st

from pages.lessons import frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, LITTLE, NETWORKS, Figures, contrast

BETTER = {"better": "is better than the CNN", "worse": "is worse", "alike": "cannot be told from it"}


def figures(network: str, images: int) -> Figures:
    """What was measured of one network with so many training images."""
    return lessons.stored().of("little", f"{network}-{images}")


lesson = frame.begin("little")
mine = frame.own_runs(lesson)
few, many = min(LITTLE), max(LITTLE)
titles = {network: title for network, (title, _) in NETWORKS.items()}

guessed = frame.guess(
    lesson,
    f"A CNN, a ViT that begins with a few convolutions, and a ViT on linear patches learn from {many:,} scenes. Which "
    "names most new ones?",
    list(titles.values()),
)

frame.background(
    "A convolution looks at neighbours, with the same weights everywhere. It *cannot* do otherwise: that is its "
    "**inductive bias**, and for images it is mostly right. A transformer on linear patches may connect any patch with "
    "any other and has to learn from examples that near ones belong together; not even the order of the patches is "
    "given, only a position embedding to be learned. With hundreds of millions of images the freedom wins "
    "(Dosovitskiy et al. 2021). With few, the bias should.\n\n"
    "Between the two stands a ViT with a **convolutional stem**: small convolutions make the patches, attention does "
    "the rest (Xiao et al. 2021). It is what this app trains unless you choose otherwise."
)

shown_epochs = ", ".join(f"{epochs} epochs of {images:,}" for images, epochs in LITTLE.items())
frame.set_up(
    lesson,
    mine,
    f"Scenes at 32 px, {shown_epochs} images; within a size all see the same images as often, with the same recipe and "
    "augmentation. How many images a training uses has no control on the Train page, so these runs are queued here.",
)
frame.look_for(
    "**Runs**, *Gap between training and validation*: which network learns its images by heart?",
    "**Evaluate**: which classes does the linear ViT confuse?",
    "**Attention** of the CNN is Grad-CAM: it has no heads.",
)
frame.own_links(
    lesson,
    mine,
    tuple(f"{network}-{many}" for network in NETWORKS),
    {
        "Attention": ("attention/page.py", ":material/visibility:", {}),
        "Evaluate": ("evaluate/page.py", ":material/grid_on:", {}),
    },
)

if frame.answer(guessed):
    means = {network: figures(network, many).mean() for network in NETWORKS}
    best = max(means, key=means.get)
    even = [titles[network] for network in NETWORKS if contrast(figures(network, many), figures(best, many)) == "alike"]
    frame.verdict(
        guessed,
        guessed if guessed in even else titles[best],
        f"From {many:,} images {titles[best]} names most: {means[best]:.1%}. "
        + " ".join(
            f"{titles[network]}, with {means[network]:.1%}, "
            f"{BETTER[contrast(figures(network, many), figures('cnn', many))]}."
            for network in NETWORKS
            if network != "cnn"
        ),
    )
    every = dict(zip([variant.name for variant in EXPERIMENTS["little"]], frame.dots(lesson, mine), strict=True))
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
        {"In training": ("train_accuracy", ".1%"), "Processor": ("seconds", ".0f")},
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
        "So it is not *attention* that fails on few images: it is patches without a notion of neighbourhood. Guessing "
        "gives 20 %; with more images and many more passes, as in the first lesson, linear patches leave it too."
        if all(
            contrast(figures("conv", images), figures("cnn", images)) != "worse"
            and contrast(figures("patch", images), figures("conv", images)) == "worse"
            for images in (500, many)
        )
        else "Guessing gives 20 %."
    )
    frame.provenance("little", "*In training*: accuracy on the augmented training images in that epoch.")
frame.go_on(lesson)
