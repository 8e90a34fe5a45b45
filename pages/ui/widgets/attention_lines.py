"""One image, and lines from a token to the patches that it attends to, drawn by the browser."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from pages.ui.widgets.component import register_widget
from vit.pictures.colours import CATEGORICAL
from vit.pictures.data_url import data_url
from vit.runs.example import AttentionExample, on_object
from vit.support.untrusted_text import shown

STOPS = 5
"""Number of patches that the picture visits while it plays, besides the summary token."""

_component = register_widget("attention_lines")


@dataclass(frozen=True, kw_only=True)
class ImageWithObject:
    """What the lines are drawn on.

    Attributes:
        image: the image, at any size.
        name: what the object is called.
        cover: ``(p)``, the share of each patch that the object covers.
        grid: rows and columns of patches.
        before: the names of the tokens before the patches.
        has_summary: whether the first of them is the class token that the network reads.
    """

    image: Image.Image
    name: str
    cover: np.ndarray
    grid: tuple[int, int]
    before: Sequence[str]
    has_summary: bool


def attention_lines(example: AttentionExample, view: ImageWithObject, *, answer: str, version: str, key: str) -> None:
    """Draw the image and the lines; hovering, clicks and the arrow keys choose the token without the server.

    Args:
        example: the attention of the image. It is sent as it is stored, with 8 bits for each weight.
        view: the image.
        answer: what the network predicts, as a sentence.
        version: a name for everything that the example depends on.
        key: the key of the widget.
    """
    depth, heads, tokens, _ = example.levels.shape
    attention = example.attention
    layer = first_layer(attention, view)
    inside = on_object(attention[layer], view.cover, len(view.before)).mean(axis=0)
    path = stops(view, inside)
    still = path[0] if view.has_summary else max(path, key=lambda token: inside[token])
    name = shown(view.name)
    _component(
        key=key,
        data={
            "levels": pa.table({"value": np.ascontiguousarray(example.levels).ravel()}),
            "tops": pa.table({"value": np.ascontiguousarray(example.tops).ravel()}),
            "depth": depth,
            "heads": heads,
            "tokens": tokens,
            "rows": view.grid[0],
            "columns": view.grid[1],
            "before": [shown(one) for one in view.before],
            "cover": np.round(view.cover, 3).tolist(),
            "covered": float(view.cover.mean()),
            "object": name,
            "image": data_url(view.image, "webp", quality=92),
            "alt": f"An image ({name}), with lines to the patches that are attended to.",
            "answer": answer,
            "layer": layer,
            "path": path,
            "still": still,
            "colours": list(CATEGORICAL),
            "version": version,
        },
    )


def stops(view: ImageWithObject, inside: np.ndarray) -> list[int]:
    """Return the tokens that the picture visits while it plays, by their place in the network.

    These are the class token and, in the order of the rows, the patches of the object that attend to the object most.

    Args:
        view: the image with its object.
        inside: ``(n)``, the share of each token's attention to patches that lies on the object.
    """
    prefix = len(view.before)
    full = np.flatnonzero(view.cover >= 0.9 * view.cover.max())
    chosen = sorted(full[np.argsort(-inside[prefix + full], kind="stable")[:STOPS]])
    return ([0] if view.has_summary else []) + [prefix + int(patch) for patch in chosen]


def first_layer(attention: np.ndarray, view: ImageWithObject) -> int:
    """Return the layer, from 0, whose heads attend to the object most on average.

    Args:
        attention: ``(depth h n m)``. The query is the class token if the network reads it, otherwise every
            patch of the object.
        view: the image with its object.
    """
    inside = on_object(attention, view.cover, len(view.before)).mean(axis=1)  # depth n
    if view.has_summary:
        return int(inside[:, 0].argmax())
    return int((inside[:, len(view.before) :] @ view.cover).argmax())
