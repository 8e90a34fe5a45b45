"""Tokens: the logit lens, which applies the class head after every layer."""

from collections.abc import Iterator

import numpy as np
import streamlit as st

from pages.tokens.shared import (
    ImageTokens,
    controls,
    layer_grid,
    same_for_every_token,
)
from pages.ui import view_pickers
from pages.ui.downloads import downloads, plotly_config
from pages.ui.run_picker import show_no_classes
from pages.ui.text import plain
from pages.ui.wording import term
from vit import plots
from vit.errors import ExplainError
from vit.pictures import token_tiles
from vit.pictures.colours import CATEGORICAL
from vit.plots.tokens import OTHERS
from vit.support.untrusted_text import as_html

INTRO = (
    "What would the network answer if it stopped earlier? The class head is applied after every layer to the summary "
    "token, here the {summary}{patches}. Choose a class to see its probability."
)

WHAT_IT_IS = """
**What it is.** The network reads its answer from one token, the summary token, after the last layer: first a norm, then
the class head. The logit lens (nostalgebraist 2020) applies the same norm and the same head to the tokens of earlier
layers. Each layer only adds to the tokens, so all layers use roughly the same representation, and you can watch the
answer emerge.

{patches}

**Why not to trust it in early layers.** The head was trained only on the tokens of the last layer. After earlier
layers, the tokens may hold the right information in directions that the head does not read, and what the head reads may
be accidental. An early wrong answer is not necessarily what the network represents there, and an early right answer may
be luck: look at several images. A class token that enters the first layer has no information about the image, so its
answer after the embedding is the same for every image.

**Limits.** A patch whose token predicts *dog* need not show a dog: after the first layer, every token holds information
from other tokens. And a patch whose token predicts nothing may still be the source of that information.
"""

NO_LENS = (
    "The logit lens reads the tokens of every layer with the class head. This model was published without a class "
    "head, as a feature extractor. Look at similarity, components and norms, or fine-tune it, which adds a head."
)

OF_A_MEAN = (
    "**On patches.** This network answers from the mean of its {tokens}. After the last layer, the map therefore "
    "splits the answer into parts: the mean of their logits is the network's answer."
)

ON_PATCHES = {
    "cls": "**On patches.** This network answers from its class token, so its head was never trained to read a patch, "
    "after any layer. The maps show which patch tokens happen to point in a direction that the head reads. They are "
    "only a hint.",
    "mean": OF_A_MEAN.format(tokens="patches"),
    "all": OF_A_MEAN.format(tokens="tokens"),
}

NORM_OF_THE_MEAN = (
    "**On patches.** This network averages its patches first and then normalises the mean, while the map normalises "
    "each patch alone. So the map does not split the answer into parts: the mean of the patches' logits is not the "
    "network's answer. It shows in which direction each patch token points."
)


def about_patches(image_tokens: ImageTokens) -> str:
    """Return how the map of the patches is related to the answer of this network."""
    if not image_tokens.splits_answer:
        return NORM_OF_THE_MEAN
    return ON_PATCHES[image_tokens.record.pool]


def show(image_tokens: ImageTokens) -> None:
    """Show the Logit lens part of the page."""
    if not image_tokens.class_names:
        show_no_classes(image_tokens.run, NO_LENS)
        return
    try:
        patches = image_tokens.token_lens
        st.caption(
            INTRO.format(summary=image_tokens.summary, patches=" and to each patch token"),
            help=term("logit lens"),
        )
    except ExplainError as error:
        patches = None
        st.caption(INTRO.format(summary=image_tokens.summary, patches=""))
        st.caption(f":material/info: {plain(str(error)[:1].upper() + str(error)[1:])}")
    names = image_tokens.class_names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = names.index(view_pickers.pick_class(names, names[image_tokens.predicted]))
        token, layer = controls(image_tokens) if patches is not None else (0, 0)
    shown = coloured_classes(image_tokens, patches, label)
    if patches is None or token == 0:
        probabilities = image_tokens.summary_lens
    else:
        probabilities = patches[:, image_tokens.record.prefix_tokens + token - 1]
    show_depth(image_tokens, token, probabilities, shown)
    if patches is not None:
        layer_grid(
            image_tokens,
            same_for_every_token(patches[:, :, label]),
            key="tokens_lens",
            version=f"lens/{label}",
            title=f"Probability of “{names[label]}” read from each patch token, after each layer",
            quantity="probability",
            token=token,
            layer=layer,
        )
        show_classes(image_tokens, patches, shown)
    with st.expander("How to read the logit lens, and why not to trust it in early layers", icon=":material/help:"):
        st.markdown(WHAT_IT_IS.format(patches=about_patches(image_tokens)))


def coloured_classes(image_tokens: ImageTokens, patches: np.ndarray | None, label: int) -> list[int]:
    """Return the classes with their own colour, which include the true, the predicted and the chosen class."""
    from vit.explain import prominent_classes

    always = [one for one in (image_tokens.true, image_tokens.predicted) if one is not None]
    limit = len(CATEGORICAL)
    shown, stronger = (
        prominent_classes(image_tokens.summary_lens, patches, always=always, limit=count)
        for count in (limit, limit - 1)
    )
    if label in shown:
        return shown
    return [one if one in stronger else label for one in shown]  # replaces the weakest; the others keep their colours


def show_depth(image_tokens: ImageTokens, token: int, probabilities: np.ndarray, shown: list[int]) -> None:
    """Show the class probabilities ``(l k)`` of one token after each layer."""
    name = image_tokens.token_name(token)
    st.subheader(f"{name[:1].upper()}{name[1:]}: probabilities by layer", anchor=False)
    st.caption(describe_depth(image_tokens, probabilities))
    st.plotly_chart(
        plots.lens_curves(probabilities, image_tokens.states, image_tokens.class_names, shown, true=image_tokens.true),
        key="lens_curves",
        config=plotly_config(f"{image_tokens.name}-lens-{token}"),
        alt=f"Class probabilities of the {name} after each layer",
    )
    downloads(
        f"{image_tokens.name}-lens-{token}",
        key="lens",
        arrays=lambda: {
            "probabilities": probabilities,
            "class_names": np.array(image_tokens.class_names),
            "states": np.array(image_tokens.states),
        },
        table=lambda: curve_rows(image_tokens, probabilities),
    )


def describe_depth(image_tokens: ImageTokens, probabilities: np.ndarray) -> str:
    """Say which class is predicted after the last layer, and from which layer on."""
    from vit.explain import prediction_stable_from

    best, since = int(probabilities[-1].argmax()), prediction_stable_from(probabilities)
    if since == 0:
        when = "the most probable class from the embedding on"
    elif since == image_tokens.depth:
        when = "before the last layer, another class was more probable"
    else:
        when = f"the most probable class from layer {since} on"
    answer = (
        f"After the last layer: **{plain(image_tokens.class_names[best])}**, {probabilities[-1, best]:.1%}; {when}."
    )
    return answer if image_tokens.true is None else f"{answer} The thick line is the true class."


def show_classes(image_tokens: ImageTokens, patches: np.ndarray, shown: list[int]) -> None:
    """Show each patch in the colour of its most probable class, after each layer."""
    grid, prefix = image_tokens.record.grid, image_tokens.record.prefix_tokens
    predicted = patches[:, prefix:].argmax(axis=-1)
    confidence = patches[:, prefix:].max(axis=-1)
    places = np.full(len(image_tokens.class_names), len(shown))  # the last colour stands for all other classes
    places[shown] = np.arange(len(shown))
    colours = [*CATEGORICAL[: len(shown)], OTHERS]
    tiles = [
        token_tiles.class_tile(image_tokens.view, places[best].reshape(grid), probability.reshape(grid), colours)
        for best, probability in zip(predicted, confidence, strict=True)
    ]
    st.subheader("The most probable class of each patch", anchor=False)
    entries = [(colour, image_tokens.class_names[label]) for label, colour in zip(shown, colours, strict=False)]
    if rest := len(image_tokens.class_names) - len(shown):
        entries.append((OTHERS, f"{rest} others"))
    show_legend(entries)
    with st.grid("auto", min_column_width=image_tokens.picture_width):
        for state, tile, best in zip(image_tokens.states, tiles, predicted, strict=True):
            with st.container():
                st.image(tile, width="stretch", alt=f"Most probable class of each patch after {state}")
                st.caption(f"**{state}**  \n{describe_majority(image_tokens, best)}")
    downloads(
        f"{image_tokens.name}-lens-patches",
        key="lens_patches",
        picture=lambda: token_tiles.tile_sheet(tiles, image_tokens.states, legend=entries),
        arrays=lambda: {
            "probabilities": patches,
            "class_names": np.array(image_tokens.class_names),
            "states": np.array(image_tokens.states),
            "prefix_tokens": np.array(prefix),
            "grid": np.array(grid),
        },
        table=lambda: patch_rows(image_tokens, predicted, confidence),
    )


def describe_majority(image_tokens: ImageTokens, predicted: np.ndarray) -> str:
    """Return the class that most patches predict, and their number."""
    counts = np.bincount(predicted)
    return f"{counts.max()} of {predicted.size} predict {plain(image_tokens.class_names[int(counts.argmax())])}"


def show_legend(entries: list[tuple[str, str]]) -> None:
    """Show which colour stands for which class."""
    boxes = "".join(
        '<span style="display: inline-flex; align-items: center; gap: 0.35rem">'
        f'<span style="width: 0.9rem; height: 0.9rem; border-radius: 3px; background: {colour}"></span>'
        f'<span title="{as_html(name)}">{as_html(name, token_tiles.LEGEND_COLUMNS)}</span></span>'
        for colour, name in entries
    )
    st.html(
        '<div style="display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; font-size: 0.875rem">'
        f'{boxes}<span style="opacity: 0.7">The stronger the colour, the higher the probability.</span></div>'
    )


def curve_rows(image_tokens: ImageTokens, probabilities: np.ndarray) -> Iterator[dict]:
    """Yield the rows of the table of the curves."""
    for state, line in zip(image_tokens.states, probabilities.tolist(), strict=True):
        for label, probability in zip(image_tokens.class_names, line, strict=True):
            yield {"after": state, "class": label, "probability": probability}


def patch_rows(image_tokens: ImageTokens, predicted: np.ndarray, confidence: np.ndarray) -> Iterator[dict]:
    """Yield the rows of the table of the class map."""
    for state, labels, row in zip(image_tokens.states, predicted.tolist(), confidence.tolist(), strict=True):
        for patch, label, probability in zip(image_tokens.patch_names, labels, row, strict=True):
            yield {"after": state, "patch": patch, "class": image_tokens.class_names[label], "probability": probability}
