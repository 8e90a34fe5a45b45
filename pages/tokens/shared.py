"""What the parts of the Tokens page share: everything computed of one image once, the controls, a grid of layers."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.ui import cached_models, view_pickers
from pages.ui.widgets.map_grid import SUMMARIES, Selection, TileMaps, map_grid, scale_controls
from vit import plots
from vit.classes import index_of, names_of
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain import PrincipalComponents, Record
    from vit.networks import Network

MANY = 6
"""From so many layers on pictures are small."""

PICKED_COLUMN = "tokens_column"


class Seen:
    """One image in one network, and what is computed of its tokens when it is first asked for.

    Attributes:
        run, picked: of the pickers.
        record: of the tokens alone.
        probabilities: of the classes, ``(k,)``; none of a network without classes.
        view: the image as the model sees it, ``(h w c)`` uint8.
        version: names the run, its weights and the image.
        states: what the tokens are after, ``depth + 1`` names.
    """

    def __init__(
        self,
        run: Run,
        picked: cached_models.PickedImage,
        model: "Network",
        record: "Record",
        probabilities: np.ndarray,
        view: np.ndarray,
    ):
        self.run, self.picked, self._model = run, picked, model
        self.record, self.probabilities, self.view = record, probabilities, view
        self.version = cached_models.version(run, hashlib.sha1(np.ascontiguousarray(view)).hexdigest())
        self.states = state_names(len(self.record.layers))
        self.class_names = names_of(run.config)
        self._components: dict[bool, PrincipalComponents] = {}

    @property
    def depth(self) -> int:
        """How many layers there are."""
        return len(self.states) - 1

    @property
    def name(self) -> str:
        """What files begin with."""
        return f"{self.run.name}-{self.picked.id}"

    @property
    def predicted(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def true(self) -> int | None:
        """The image's class, where it is known, and one of the network's."""
        return None if self.picked.label is None else index_of(self.picked.label, self.class_names)

    @property
    def picture_width(self) -> int:
        """Of a picture beside others on the page, at least, in pixels."""
        return 150 if self.depth < MANY else 110

    def token_name(self, token: int) -> str:
        """Of the chosen token: 0 is the summary token."""
        return f"summary token ({SUMMARIES[self.record.pool]})" if token == 0 else self.patch_names[token - 1]

    @cached_property
    def token_names(self) -> list[str]:
        """Of all tokens, in their order in the network."""
        return plots.token_names(self.record.grid, self.run.config.model.prefix_names)

    @property
    def patch_names(self) -> list[str]:
        """Of the patches alone."""
        return self.token_names[self.record.prefix_tokens :]

    def similarity(self, tokens: Sequence[int], *, centre: bool) -> np.ndarray:
        """Cosines of some tokens with all: ``(l tokens m)``."""
        from vit.explain import similarity_to

        return similarity_to(self.record, tokens, centre=centre)

    @cached_property
    def norms(self) -> np.ndarray:
        """``(l n)``."""
        from vit.explain import token_norms

        return token_norms(self.record)[0]

    def components(self, *, align: bool) -> "PrincipalComponents":
        """Each layer by itself, or matched from layer to layer."""
        from vit.explain import principal_components

        if align not in self._components:
            self._components[align] = principal_components(self.record, align=align)
        return self._components[align]

    @cached_property
    def summary_lens(self) -> np.ndarray:
        """``(l k)``."""
        from vit.explain import summary_lens

        return summary_lens(self._model, self.record)[0]

    @cached_property
    def token_lens(self) -> np.ndarray:
        """``(l n k)``.

        Raises:
            ExplainError: this network has none.
        """
        from vit.explain import token_lens

        return token_lens(self._model, self.record)[0]


# The image itself is part of the key: validation image 3 of one run need not be that of another.
@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={Run: lambda run: f"{run.path}:{run.stamp}"})
def see(run: Run, image: Image.Image, image_id: str, _picked: cached_models.PickedImage) -> Seen:
    """One image in one run's network.

    Raises:
        ExplainError: a TypeError; the network has no tokens.
        UserError: the run cannot be loaded.
    """
    from vit.evaluation import model_view
    from vit.explain import capture_tokens, class_probabilities

    model, info = cached_models.load_model(run)
    record = capture_tokens(model, cached_models.model_input(info, image))
    return Seen(run, _picked, model, record, class_probabilities(model, record.logits)[0], model_view(info, image))


def state_names(depth: int) -> list[str]:
    """What the tokens are after: the embedding, then each layer."""
    return ["Embedding", *(f"Layer {number}" for number in range(1, depth + 1))]


def pick_layer(seen: Seen) -> int:
    """Return the layer; 0 is the embedding. A click on a tile, which stores its column, sets it too."""
    if (column := st.session_state.pop(PICKED_COLUMN, None)) is not None:
        st.session_state["layer"] = column - 1
    return view_pickers.pick_layer(seen.depth, embedding=True)


def controls(seen: Seen) -> tuple[int, int]:
    """Token and layer, and how the maps are coloured; they want a row."""
    token, layer = view_pickers.pick_token(seen.record.grid), pick_layer(seen)
    scale_controls()
    return token, layer


def layer_grid(
    seen: Seen,
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
    """A tile for the tokens after each layer, the patch picker, and one tile enlarged.

    Args:
        maps: tokens to ``(l tokens m)``.
        key: of this grid.
        version: what the maps depend on besides the image and the network.
        pairs: a number is of the chosen token and a patch, not of the patch alone.
    """
    record = seen.record
    map_grid(
        TileMaps(
            maps=lambda tokens: np.moveaxis(maps(tokens), 0, 1)[None, :, None],
            image=cached_models.looked_at(seen.run, seen.picked.image),
            version=f"{seen.version}/{version}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[""],
            column_names=seen.states,
            title=title,
            quantity=quantity,
            signed=signed,
            shares=False,
            pairs=pairs,
        ),
        Selection(token=token, column=layer + 1, keys=("token", "tokens_row", PICKED_COLUMN)),
        key=key,
    )


def of_every(values: np.ndarray) -> Callable[[Sequence[int]], np.ndarray]:
    """Maps that do not depend on the chosen token, from ``(l m)``."""
    return lambda tokens: np.repeat(values[:, None], len(tokens), axis=1)


def rows_of(seen: Seen, values: np.ndarray, name: str) -> Iterator[dict]:
    """A table of ``(l n)``: a row for each token after each layer."""
    for state, line in zip(seen.states, values, strict=True):
        for token, value in zip(seen.token_names, line.tolist(), strict=True):
            yield {"after": state, "token": token, name: value}
