"""Sentences of the tour about an image, computed from what the model does with that image."""

from collections.abc import Sequence

import numpy as np

from pages.ui.text import plain
from vit.explain import image_facts

Place = tuple[int, int]
"""Layer and head, from 1."""


def place_words(place: Place) -> str:
    """Return for example "head 3 of layer 1" for (layer, head)."""
    return f"head {place[1]} of layer {place[0]}"


def place_of(index: int, heads: int) -> Place:
    """Return the layer and the head, from 1, of the map with this index, from 0."""
    layer, head = divmod(index, heads)
    return layer + 1, head + 1


def movement(moved: np.ndarray, chosen: Place, columns: int) -> tuple[str, int]:
    """Say how far a click on another patch moves the map of a head.

    Args:
        moved: :func:`vit.explain.image_facts.moved_shares` from the chosen patch, ``(depth h p)``.
        chosen: the chosen layer and head.
        columns: number of patches in a row.

    Returns:
        The sentences, and the patch whose map differs most, from 1.
    """
    own = moved[chosen[0] - 1, chosen[1] - 1]
    means = image_facts.mean_of_others(moved)
    mean, far = means[chosen[0] - 1, chosen[1] - 1], int(own.argmax()) + 1
    where = f"r{(far - 1) // columns + 1} c{(far - 1) % columns + 1}"
    figures = (
        f"with another patch, **{mean:.0%}** of the attention goes to other tokens on average, and with patch {far} "
        f"({where}), whose map differs most, **{own.max():.0%}**."
    )
    if mean >= image_facts.MOVES:
        return f"A click on another patch moves the map: {figures}", far
    most_moved = place_of(int(means.argmax()), moved.shape[1])
    words = f"In this head, the map depends less on the patch: {figures}"
    if most_moved != chosen:
        words += f" A click moves the map of {place_words(most_moved)} most: {means.max():.0%} on average."
    return words, far


def differences(correlations: np.ndarray, patch: int, heads: int) -> str:
    """Say how much the maps of the heads differ.

    Args:
        correlations: of each two maps, ``(k k)``, ordered by layer and head.
        patch: the patch that they belong to, from 1.
        heads: number of heads of a layer.
    """
    count = len(correlations)
    if count < 2:
        return "This network has a single head."
    mean = image_facts.mean_correlation(correlations)
    one, other = np.unravel_index(int(correlations.argmin()), correlations.shape)
    verdict = "are similar" if mean >= image_facts.SIMILAR else "differ"
    return (
        f"From patch {patch}, the maps of the {count} heads {verdict}: the correlation of two of them is "
        f"**{signed(mean)}** on average (1 is the same map). {place_words(place_of(int(one), heads)).capitalize()} and "
        f"{place_words(place_of(int(other), heads))} differ most (**{signed(correlations[one, other])}**)."
    )


def object_attention(shares: np.ndarray, area: float, name: str) -> str:
    """Say how much of its attention the class token gives to the object.

    Args:
        shares: the share of each layer, ``(depth)``.
        area: the share of the image that the object covers.
        name: the object's class.
    """
    parts = [f"**{share:.0%}** in layer {layer}" for layer, share in enumerate(shares, start=1)]
    more = [layer for layer, share in enumerate(shares, start=1) if share > area]
    if len(more) == len(shares):
        verdict = "more than evenly spread attention would give it, in every layer"
    elif more:
        verdict = f"more than evenly spread attention would give it in {layers_words(more)} only"
    else:
        verdict = "in no layer more than evenly spread attention would give it"
    return (
        f"The {plain(name)} covers **{area:.0%}** of the image. Of the class token's attention to the patches, "
        f"it gets {join(parts)}: {verdict}."
    )


def object_prediction(inside: float, outside: float, name: str, predicted: str) -> str:
    """Say what the patches of the object and the others predict, for a mean of the patches.

    Args:
        inside: mean probability of the predicted class from the object's patches.
        outside: the same from the others.
        name: the object's class.
        predicted: the predicted class.
    """
    if inside >= image_facts.OBJECT_RATIO * outside:
        verdict = "so the answer comes from the object"
    elif inside > outside:
        verdict = "which is only slightly less"
    else:
        verdict = "so the answer does not come from the object"
    return (
        f"After the last layer, the tokens of the {plain(name)}'s patches predict “{plain(predicted)}” with a "
        f"probability of **{inside:.0%}** on average, and the others with **{outside:.0%}**, {verdict}."
    )


def settled(names: Sequence[str], lens: np.ndarray, true: int) -> str:
    """Say from which layer on the prediction stays the same, and whether it is right.

    Args:
        names: the classes.
        lens: the class probabilities before the first layer and after each layer, ``(l k)``.
        true: the index of the true class.
    """
    best = lens.argmax(axis=1)
    name, different = plain(names[int(best[-1])]), np.flatnonzero(best != best[-1])
    words = f"It stays {name} from layer {different[-1] + 1} on" if len(different) else f"It is {name} throughout"
    return f"{words}." if best[-1] == true else f"{words}, which is wrong: the image shows “{plain(names[true])}”."


def covering(name: str, predicted: str, before: float, on_object: tuple[int, float], beside: tuple[int, float]) -> str:
    """Say what happens to the answer when the object or as many patches beside it are covered.

    Args:
        name: the object's class.
        predicted: the predicted class.
        before: its probability without changes.
        on_object: number of patches of the object, and the probability with these covered.
        beside: the same for patches beside the object.
    """
    if on_object[1] - before >= image_facts.DROP:
        verdict = "Without the object, the model is surer of its answer"
    elif before - on_object[1] < image_facts.DROP:
        verdict = "The answer hardly depends on the object"
    elif on_object[1] < beside[1]:
        verdict = "The answer depends on the object"
    else:
        verdict = "The answer depends more on what is beside the object"
    return (
        f"{verdict}: with the {on_object[0]} patches of the {plain(name)} covered, the probability of "
        f"“{plain(predicted)}” is **{on_object[1]:.1%}** instead of {before:.1%}; with {beside[0]} patches beside it "
        f"covered, **{beside[1]:.1%}**."
    )


def signed(value: float) -> str:
    """Return a correlation with two decimals and a proper minus sign."""
    return f"{value:.2f}".replace("-", "−") if round(value, 2) else "0.00"


def lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def join(parts: Sequence[str]) -> str:
    """Join words with commas and "and"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def layers_words(layers: Sequence[int]) -> str:
    return f"layer{'s' if len(layers) > 1 else ''} {join([str(layer) for layer in layers])}"
