"""Choose the token, layer, head and class that a page shows; every choice is kept in the page's address."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from pages.ui import link_state
from pages.ui.wording import term

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

Name = TypeVar("Name", bound=str)


def pick_number(
    label: str, low: int, high: int, default: int | None = None, *, key: str, help: str | None = None
) -> int:
    """Return the whole number chosen in a number box that is bound to ``?key=``.

    Args:
        label: the label of the box.
        low: the smallest number.
        high: the largest number.
        default: the number before one is chosen; ``low`` if not given.
        key: the key in session state and in the address.
        help: the help text.
    """
    default = low if default is None else default
    link_state.bounded(key, low, high, default)
    return st.number_input(label, low, high, default, key=key, bind="query-params", width=140, help=help)


def pick_token(grid: tuple[int, int], *, zero: str, label: str = "Patch", others: Sequence[str] = ()) -> int:
    """Return the token, ``?token=``; a click on a patch sets it too.

    Args:
        grid: rows and columns of patches.
        label: the label of the box.
        zero: what token 0 is in this run, one of :data:`vit.config.words.SUMMARIES`; empty if it cannot be chosen.
        others: names of the tokens that are numbered after the last patch, such as registers.
    """
    patches = grid[0] * grid[1]
    last = patches + len(others)
    numbers = [f"0 is the {zero}, which the class head reads"] if zero else []
    numbers.append(f"1 to {patches} are the patches, row by row")
    numbers += [f"{patches + 1} to {last} are: {', '.join(others)}"] if others else []
    words = ("patch", "summary token", *(["class token"] if zero == "class token" else [])) if zero else ("patch",)
    return pick_number(label, 0 if zero else 1, last, key="token", help=term(*words, here="; ".join(numbers) + "."))


def pick_layer(depth: int, *, default: int = 1, embedding: bool = False) -> int:
    """Return the layer, ``?layer=``; a click on a tile sets it too.

    Args:
        depth: the number of layers.
        default: the layer before one is chosen.
        embedding: offer 0 too, the tokens before the first layer.
    """
    if embedding:
        about = term("embedding", here="The enlarged tile; 0 is the embedding.")
        return pick_number("After layer", 0, depth, default, key="layer", help=about)
    return pick_number("Layer", 1, depth, default, key="layer", help=term("block"))


def pick_head(heads: int, *, default: int = 1) -> int:
    """Return the head, ``?head=``; a click on a tile sets it too.

    Args:
        heads: the number of heads of a layer.
        default: the head before one is chosen.
    """
    return pick_number("Head", 1, heads, default, key="head", help=term("head"))


def pick_token_layer_head(
    depth: int, heads: int, grid: tuple[int, int], *, zero: str, others: Sequence[str] = ()
) -> tuple[int, int, int]:
    """Return the token, layer and head of a grid with a tile for every head; place this in a row.

    The maps themselves choose them with the pointer; the number boxes are in a popover.

    Args:
        depth: the number of layers.
        heads: the number of heads of a layer.
        grid: rows and columns of patches.
        zero: as in :func:`pick_token`.
        others: as in :func:`pick_token`.
    """
    with advanced():
        return pick_token(grid, zero=zero, others=others), pick_layer(depth), pick_head(heads)


def advanced() -> "DeltaGenerator":
    """Return a popover for number boxes that only repeat what a click on the maps chooses."""
    return st.popover("Advanced", icon=":material/tune:", help="Choose the patch, layer and head by number.")


def pick_optional_class(
    names: Sequence[str], placeholder: str, *, help: str = "The class that the maps explain."
) -> str | None:
    """Return the class, ``?class=``; None until one is chosen.

    Args:
        names: the classes.
        placeholder: what the box shows until one is chosen.
        help: the help text.
    """
    link_state.one_of("class", names)
    return st.selectbox(
        "Class",
        names,
        index=None,
        placeholder=placeholder,
        key="class",
        bind="query-params",
        width=220,
        help=help,
    )


def pick_class(names: Sequence[str], predicted: str, *, help: str = "The class that the maps explain.") -> str:
    """Return the class, ``?class=``; the predicted class until one is chosen.

    Args:
        names: the classes.
        predicted: the class that the network predicts.
        help: the help text.
    """
    return pick_optional_class(names, f"{predicted} (predicted)", help=help) or predicted


def pick_against(names: Sequence[str], label: str) -> str | None:
    """Return the class that another one is compared with, ``?against=``; None until one is chosen.

    Args:
        names: the classes.
        label: the class that is explained, which cannot be chosen.
    """
    others = [name for name in names if name != label]
    link_state.one_of("against", others)
    return st.selectbox(
        "Compared with class",
        others,
        index=None,
        placeholder="no other class",
        key="against",
        bind="query-params",
        width=200,
        help="If you choose one, the difference of the two logits is explained.",
    )


def pick_segment(
    label: str,
    key: str,
    titles: Mapping[Name, str],
    default: Name,
    *,
    disabled: bool = False,
    help: str | None = None,
    wrap: bool = True,
) -> Name:
    """Return the choice of a segmented control that is bound to ``?key=``; a link carries the name or the title.

    Args:
        label: the label of the control.
        key: the key in session state and in the address.
        titles: the titles by name.
        default: the name before one is chosen.
        disabled: whether the control is disabled.
        help: the help text.
        wrap: whether segments may continue on another line.
    """
    link_state.among(key, {str(name): title for name, title in titles.items()}, default)
    return st.segmented_control(
        label,
        list(titles),
        default=default,
        required=True,
        format_func=titles.__getitem__,
        key=key,
        bind="query-params",
        persist_state="session",
        disabled=disabled,
        help=help,
        wrap=wrap,
    )
