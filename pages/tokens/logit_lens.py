"""Tokens: the logit lens, what the class head would say after every layer."""

from collections.abc import Iterator

import numpy as np
import streamlit as st

from pages.tokens.shared import Seen, layer_grid, of_every, pick_layer
from pages.ui import view_pickers
from pages.ui.downloads import downloads, plotly_config
from pages.ui.run_picker import show_no_classes
from pages.ui.text import plain
from pages.ui.widgets.map_grid import scale_controls
from pages.ui.wording import term
from vit import plots
from vit.errors import ExplainError
from vit.pictures import token_tiles
from vit.pictures.colours import CATEGORICAL
from vit.plots.tokens import OTHERS
from vit.support.untrusted_text import as_html

INTRO = (
    "What would the network answer if it stopped earlier? The class head is put on the tokens after every layer: on "
    "the summary token{patches}. Choose a class to see how likely it is."
)

WHAT_IT_IS = """
**What it is.** The network answers by reading one token, the summary token, after the last layer: a norm, then the
class head. The logit lens (nostalgebraist 2020) puts the same norm and the same head on the tokens of earlier layers.
Each layer only adds to the tokens, so all layers speak roughly the same language, and one sees an answer come about.

{patches}

**Why not to trust it in early layers.** The head was trained on the tokens of the last layer and on no others. After
earlier layers the tokens may hold the right thing in directions that the head does not read, and what it does read may
be accidental. An early wrong answer need not be what the network "thinks" there, and an early right one may be luck:
look at several images. A class token that enters the first layer has seen nothing yet: its answer after the embedding
is the same for every image.

**What it is not.** A patch that says *dog* need not show a dog: after the first layer every token has taken something
over from others. And a patch that says nothing may still be the one that others took it from.
"""

NO_LENS = (
    "The logit lens reads every layer's tokens with the class head, and this model was published as features, without "
    "one: look at similarity, components and norms, or fine-tune it, which gives it a head."
)

OF_A_MEAN = (
    "**On patches.** This network answers from the mean of its {tokens}, so after the last layer the map takes the "
    "answer apart: the mean of what all of them say, in logits, is what the network says."
)

ON_PATCHES = {
    "cls": "**On patches.** This network answers from its class token, so its head was never trained to read a patch, "
    "after whichever layer. The maps show which patches happen to point the way the head listens: they are a hint.",
    "mean": OF_A_MEAN.format(tokens="patches"),
    "all": OF_A_MEAN.format(tokens="tokens"),
}


def show(seen: Seen) -> None:
    """The part of the page."""
    if not seen.class_names:
        show_no_classes(seen.run, NO_LENS)
        return
    try:
        patches = seen.token_lens
        st.caption(INTRO.format(patches=", and on each patch by itself"), help=term("logit lens"))
    except ExplainError as error:
        patches = None
        st.caption(INTRO.format(patches=""))
        st.caption(f":material/info: {plain(str(error)[:1].upper() + str(error)[1:])}")
    names = seen.class_names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer = (view_pickers.pick_token(seen.record.grid), pick_layer(seen)) if patches is not None else (0, 0)
        label = names.index(view_pickers.pick_class(names, names[seen.predicted]))
        if patches is not None:
            scale_controls()
    shown = prominent(seen, patches, label)
    show_depth(
        seen, token, seen.summary_lens if token == 0 else patches[:, seen.record.prefix_tokens + token - 1], shown
    )
    if patches is not None:
        layer_grid(
            seen,
            of_every(patches[:, :, label]),
            key="tokens_lens",
            version=f"lens/{label}",
            title=f"How likely each patch's token makes “{names[label]}”, after each layer",
            quantity="probability",
            token=token,
            layer=layer,
        )
        show_classes(seen, patches, shown)
    with st.expander("What the logit lens is, and why not to trust it in early layers", icon=":material/help:"):
        st.markdown(WHAT_IT_IS.format(patches=ON_PATCHES[seen.record.pool]))


def prominent(seen: Seen, patches: np.ndarray | None, label: int) -> list[int]:
    """The classes with a colour of their own: the true one, the predicted one and the chosen one among them."""
    from vit.explain import prominent_classes

    always = [one for one in (seen.true, seen.predicted) if one is not None]
    limit = len(CATEGORICAL)
    shown, stronger = (
        prominent_classes(seen.summary_lens, patches, always=always, limit=count) for count in (limit, limit - 1)
    )
    if label in shown:
        return shown
    return [one if one in stronger else label for one in shown]  # in the weakest one's place: the others keep theirs


def show_depth(seen: Seen, token: int, probabilities: np.ndarray, shown: list[int]) -> None:
    """The probability of each class through depth, for one token, ``(l k)``."""
    name = seen.token_name(token)
    st.subheader(f"{name[:1].upper()}{name[1:]} through depth", anchor=False)
    st.caption(story(seen, probabilities))
    st.plotly_chart(
        plots.lens_curves(probabilities, seen.states, seen.class_names, shown, true=seen.true),
        key="lens_curves",
        config=plotly_config(f"{seen.name}-lens-{token}"),
        alt=f"Class probabilities of the {name} after each layer",
    )
    downloads(
        f"{seen.name}-lens-{token}",
        key="lens",
        arrays=lambda: {
            "probabilities": probabilities,
            "class_names": np.array(seen.class_names),
            "states": np.array(seen.states),
        },
        table=lambda: curve_rows(seen, probabilities),
    )


def story(seen: Seen, probabilities: np.ndarray) -> str:
    """The lines in words: the last answer, and since when it stands."""
    from vit.explain import settled_from

    best, since = int(probabilities[-1].argmax()), settled_from(probabilities)
    if since == 0:
        when = "the likeliest class from the embedding on"
    elif since == seen.depth:
        when = "before that another class was the likeliest"
    else:
        when = f"the likeliest class from layer {since} on"
    answer = f"After the last layer: **{plain(seen.class_names[best])}**, {probabilities[-1, best]:.1%}; {when}."
    return answer if seen.true is None else f"{answer} The image's own class has the broad line."


def show_classes(seen: Seen, patches: np.ndarray, shown: list[int]) -> None:
    """Each patch in the colour of its likeliest class, after each layer."""
    grid, prefix = seen.record.grid, seen.record.prefix_tokens
    likeliest = patches[:, prefix:].argmax(axis=-1)
    surest = patches[:, prefix:].max(axis=-1)
    places = np.full(len(seen.class_names), len(shown))  # the last colour is that of all others
    places[shown] = np.arange(len(shown))
    colours = [*CATEGORICAL[: len(shown)], OTHERS]
    tiles = [
        token_tiles.class_tile(seen.view, places[best].reshape(grid), sure.reshape(grid), colours)
        for best, sure in zip(likeliest, surest, strict=True)
    ]
    st.subheader("The likeliest class of each patch", anchor=False)
    entries = [(colour, seen.class_names[label]) for label, colour in zip(shown, colours, strict=False)]
    if rest := len(seen.class_names) - len(shown):
        entries.append((OTHERS, f"{rest} others"))
    legend(entries)
    with st.grid("auto", min_column_width=seen.picture_width):
        for state, tile, best in zip(seen.states, tiles, likeliest, strict=True):
            with st.container():
                st.image(tile, width="stretch", alt=f"Likeliest class of each patch after {state}")
                st.caption(f"**{state}**  \n{most(seen, best)}")
    downloads(
        f"{seen.name}-lens-patches",
        key="lens_patches",
        picture=lambda: token_tiles.sheet(tiles, seen.states, legend=entries),
        arrays=lambda: {
            "probabilities": patches,
            "class_names": np.array(seen.class_names),
            "states": np.array(seen.states),
            "prefix_tokens": np.array(prefix),
            "grid": np.array(grid),
        },
        table=lambda: patch_rows(seen, likeliest, surest),
    )


def most(seen: Seen, likeliest: np.ndarray) -> str:
    """The class that most patches name, and how many."""
    counts = np.bincount(likeliest)
    return f"{counts.max()} of {likeliest.size} say {plain(seen.class_names[int(counts.argmax())])}"


def legend(entries: list[tuple[str, str]]) -> None:
    """Which colour is which class."""
    boxes = "".join(
        '<span style="display: inline-flex; align-items: center; gap: 0.35rem">'
        f'<span style="width: 0.9rem; height: 0.9rem; border-radius: 3px; background: {colour}"></span>'
        f'<span title="{as_html(name)}">{as_html(name, token_tiles.LEGEND_COLUMNS)}</span></span>'
        for colour, name in entries
    )
    st.html(
        '<div style="display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; font-size: 0.875rem">'
        f'{boxes}<span style="opacity: 0.7">The stronger the colour, the surer.</span></div>'
    )


def curve_rows(seen: Seen, probabilities: np.ndarray) -> Iterator[dict]:
    """A table of the lines."""
    for state, line in zip(seen.states, probabilities.tolist(), strict=True):
        for label, probability in zip(seen.class_names, line, strict=True):
            yield {"after": state, "class": label, "probability": probability}


def patch_rows(seen: Seen, likeliest: np.ndarray, surest: np.ndarray) -> Iterator[dict]:
    """A table of the map of classes."""
    for state, labels, sure in zip(seen.states, likeliest.tolist(), surest.tolist(), strict=True):
        for patch, label, probability in zip(seen.patch_names, labels, sure, strict=True):
            yield {"after": state, "patch": patch, "class": seen.class_names[label], "probability": probability}
