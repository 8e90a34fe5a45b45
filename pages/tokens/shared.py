"""Shared by the parts of the Tokens page: the tokens of one image, the controls and the grid of layers."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.ui import cached_models, view_pickers
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid, scale_controls
from vit import plots
from vit.classes import class_names_of, index_of
from vit.config.words import SUMMARIES
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import PrincipalComponents, Record
    from vit.networks import Network

MANY_LAYERS = 6
"""From this number of layers on, pictures are small."""

PICKED_COLUMN = "tokens_column"


class ImageTokens:
    """The tokens of one image in one network; derived values are computed on first use.

    Attributes:
        run: the chosen run.
        picked: the chosen image.
        record: the recorded tokens.
        probabilities: of the classes, ``(k,)``; empty for a network without classes.
        view: the image at the model's input size, ``(h w c)`` uint8.
        version: a key for the run, its weights and the image.
        states: the names of the ``depth + 1`` states: the embedding and each layer.
    """

    def __init__(
        self,
        run: Run,
        picked: cached_models.PickedImage,
        model: "Network",
        record: "Record",
        probabilities: np.ndarray,
        view: np.ndarray,
        prefix_names: Sequence[str],
    ):
        self.run, self.picked, self._model = run, picked, model
        self.record, self.probabilities, self.view = record, probabilities, view
        self._prefix_names = prefix_names
        self.version = cached_models.version(run, hashlib.sha1(view.tobytes()).hexdigest())
        self.states = state_names(len(self.record.layers))
        self.class_names = class_names_of(run.config)
        self._components: dict[bool, PrincipalComponents] = {}

    @property
    def summary(self) -> str:
        """What the class head of this network reads, such as "mean of the patches"."""
        return SUMMARIES[self.record.pool]

    @property
    def splits_answer(self) -> bool:
        """Whether the network normalises each token, or only one: then the mean of the logits is its answer."""
        return not getattr(self.run.config.model, "fc_norm", False)

    @property
    def depth(self) -> int:
        return len(self.states) - 1

    @property
    def name(self) -> str:
        """The first part of file names."""
        return f"{self.run.name}-{self.picked.id}"

    @property
    def predicted(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def true(self) -> int | None:
        """The index of the image's class, or None if the network does not have it."""
        return None if self.picked.label is None else index_of(self.picked.label, self.class_names)

    @property
    def picture_width(self) -> int:
        """The minimum width of a picture in a row, in pixels."""
        return 150 if self.depth < MANY_LAYERS else 110

    def token_name(self, token: int) -> str:
        """Return the name of the chosen token; 0 is the summary token."""
        return f"summary token ({self.summary})" if token == 0 else self.patch_names[token - 1]

    @cached_property
    def token_names(self) -> list[str]:
        """The names of all tokens, in the order of the network."""
        return plots.token_names(self.record.grid, self._prefix_names)

    @property
    def patch_names(self) -> list[str]:
        return self.token_names[self.record.prefix_tokens :]

    def similarity(self, tokens: Sequence[int], *, centre: bool) -> np.ndarray:
        """Return the cosines of some tokens with all tokens, ``(l tokens m)``."""
        from vit.explain import similarity_to

        return similarity_to(self.record, tokens, centre=centre)

    @cached_property
    def norms(self) -> np.ndarray:
        """The norm of every token, ``(l n)``."""
        from vit.explain import token_norms

        return token_norms(self.record)[0]

    def components(self, *, align: bool) -> "PrincipalComponents":
        """Return the principal components of each layer, matched from layer to layer with ``align``."""
        from vit.explain import principal_components

        if align not in self._components:
            self._components[align] = principal_components(self.record, align=align)
        return self._components[align]

    @cached_property
    def summary_lens(self) -> np.ndarray:
        """The class probabilities that the head reads from the summary token, ``(l k)``."""
        from vit.explain import summary_lens

        return summary_lens(self._model, self.record)[0]

    @cached_property
    def token_lens(self) -> np.ndarray:
        """The class probabilities that the head reads from every token, ``(l n k)``.

        Raises:
            ExplainError: the head cannot read every token of this network.
        """
        from vit.explain import token_lens

        return token_lens(self._model, self.record)[0]


# The image itself is part of the key: validation image 3 of one run may differ from that of another run.
@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={Run: lambda run: f"{run.path}:{run.stamp}"})
def tokens_of(
    run: Run, image: Image.Image, image_id: str, _picked: cached_models.PickedImage, _prefix_names: Sequence[str]
) -> ImageTokens:
    """Record the tokens of one image in one run's network.

    Raises:
        ExplainError: a TypeError; the network has no tokens.
        UserError: the run cannot be loaded.
    """
    from vit.evaluation import model_view
    from vit.explain import capture_tokens, class_probabilities

    model, info = cached_models.load_model(run)
    record = capture_tokens(model, cached_models.model_input(info, image))
    probabilities = class_probabilities(model, record.logits)[0]
    return ImageTokens(run, _picked, model, record, probabilities, model_view(info, image), _prefix_names)


def state_names(depth: int) -> list[str]:
    """Return the names of the states: the embedding, then each layer."""
    return ["Embedding", *(f"Layer {number}" for number in range(1, depth + 1))]


def pick_layer(image_tokens: ImageTokens) -> int:
    """Return the layer; 0 is the embedding. A click on a tile, which stores its column, sets it too."""
    if (column := st.session_state.pop(PICKED_COLUMN, None)) is not None:
        st.session_state["layer"] = column - 1
    return view_pickers.pick_layer(image_tokens.depth, embedding=True)


def controls(image_tokens: ImageTokens) -> tuple[int, int]:
    """Show the controls for token, layer and colours, which belong in one row; return token and layer."""
    scale_controls()
    with view_pickers.advanced():
        token = view_pickers.pick_token(image_tokens.record.grid, zero=image_tokens.summary)
        return token, pick_layer(image_tokens)


def layer_grid(
    image_tokens: ImageTokens,
    maps: Callable[[Sequence[int]], np.ndarray],
    *,
    key: str,
    version: str,
    title: str,
    quantity: str,
    token: int,
    layer: int,
    signed: bool = False,
    pairs: bool = False,
) -> None:
    """Show a tile for the tokens after each layer, the patch picker, and one enlarged tile.

    Args:
        image_tokens: the tokens of the image.
        maps: returns the maps ``(l tokens m)`` of some tokens.
        key: of this grid.
        version: what the maps depend on besides the image and the network.
        title: the heading of the tiles.
        quantity: what a number measures.
        token: the chosen token.
        layer: the layer of the enlarged tile; 0 is the embedding.
        signed: whether negative numbers have their own colour.
        pairs: whether a number describes the chosen token and a patch, rather than the patch alone.
    """
    record = image_tokens.record
    map_grid(
        TileMaps(
            maps=lambda tokens: np.moveaxis(maps(tokens), 0, 1)[None, :, None],
            image=cached_models.looked_at(image_tokens.run, image_tokens.picked.image),
            version=f"{image_tokens.version}/{version}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[""],
            column_names=image_tokens.states,
            title=title,
            quantity=quantity,
            signed=signed,
            shares=False,
            pairs=pairs,
        ),
        Selection(token=token, column=layer + 1, on_map=False, keys=("token", "tokens_row", PICKED_COLUMN)),
        key=key,
    )


def same_for_every_token(values: np.ndarray) -> Callable[[Sequence[int]], np.ndarray]:
    """Return maps that do not depend on the chosen token, from values ``(l m)``."""
    return lambda tokens: np.repeat(values[:, None], len(tokens), axis=1)


def table_rows(image_tokens: ImageTokens, values: np.ndarray, name: str) -> Iterator[dict]:
    """Yield a row for each token after each layer, from values ``(l n)``."""
    for state, line in zip(image_tokens.states, values, strict=True):
        for token, value in zip(image_tokens.token_names, line.tolist(), strict=True):
            yield {"after": state, "token": token, name: value}
