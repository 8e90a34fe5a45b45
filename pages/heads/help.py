"""Texts of the Heads page: explanations, table rows, and the description of one head."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vit import plots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.circuits import Role
    from vit.explain.heads.portrait_result import Portraits

DECISIVE = 0.5
"""From this share or correlation on, the portrait names the role that follows from a head's weights."""

INTRO = (
    "Each point is one head, measured over many validation images: how far it attends, how evenly, and to what. Choose "
    "a head in the table to see its mean pattern and the images to which it adds most."
)

DISTANCE = (
    "Mean distance between a patch and the patches it attends to (Dosovitskiy et al. 2021, fig. 7 right). The dashed "
    "line is the distance of uniform attention; heads well below it attend to nearby patches."
)

ENTROPY = (
    "How evenly a patch spreads its attention, as a share of the maximum. The dashed line is uniform attention; "
    "near 0, a patch attends to one token only."
)

PATTERNS = (
    "What a patch attends to, averaged over the images. The background is the mean of the images. Click a patch to "
    "choose another token, or a tile to choose its head."
)

MEANINGS = {
    "local": "It attends to nearby patches.",
    "positional": "It attends to the same places in every image.",
    "content": "What it attends to depends on the image.",
    "mixed": "What it attends to depends partly on the position and partly on the image.",
    "global": "It attends to everything nearly evenly.",
    "sink": "It puts much of its attention on a token with a small value, and so often does nothing.",
}
"""The meaning of each name of a head."""

WHAT_IT_IS = """
**What it is.** The Attention page shows one image. A portrait averages over many images: it measures how each head
divides the attention of every patch of every image. The attention of a patch always sums to 100 %, so the numbers are
shares.

**Entropy** measures how evenly attention is spread, regardless of where it goes. If a patch attends equally to 10
tokens and to no others, its entropy is that of "10 tokens". If it attends equally to all tokens, its entropy is the
maximum. The unit is nats.

**Distance** measures how far a patch attends, from the centre of the patch to the centres of the patches it attends to.
The class token and registers have no position, so only the attention to patches counts, rescaled to 100 %. The
reference is the distance of uniform attention, which a head without any preference has.

**A fixed place** is one patch that all patches attend to in every image, or one step, such as "one to the left", that
every patch takes. **Same in every image** compares a head's pattern with uniform attention and measures how much of the
difference is the same in every image. At 100 % a head attends by position only, near 0 % by content only.

**A focus** is a token that nearly all patches of an image attend to. There are two kinds, depending on how much they
copy from it. If it is little, the focus is an **attention sink**: a head that finds nothing it looks for still has to
put its 100 % somewhere, and a token with a value close to zero does no harm (Xiao et al. 2024). If it is much, the head
collects information: from an object, or, in large networks, from a background patch in which the network stores
information about the whole image (Darcet et al. 2024).

**The images that drive a head** are those to which it adds most: the length of what the head adds to the summary token,
which the answer is read from.

**Limits.** A mean hides differences: a head may attend to the left in one half of the images and to the right in the
other. A long addition is not necessarily important, because later layers may ignore it; *Importance* measures that. And
attention shows where information comes from, not what it is.
"""

NAMING = """
A name summarises the numbers of a head by thresholds. The first name that fits is used. A head close to a threshold
could also have another name, and the network itself does not use these names. Read the numbers.
"""


class PrefixTokens(NamedTuple):
    """The tokens before the patches: their names, and one phrase for all of them; empty without such tokens."""

    names: tuple[str, ...]
    words: str

    @property
    def title(self) -> str:
        """The heading of a column."""
        words = self.words.removeprefix("the ")
        return words[:1].upper() + words[1:]

    @property
    def field(self) -> str:
        """The column name in a file."""
        return "class_token_share" if self.names == ("class token",) else "share_before_the_patches"


def table_rows(portraits: "Portraits", order: list[tuple[int, int]], prefix: PrefixTokens) -> list[dict]:
    """Return the table on the page: a row for each head, shares in percent."""
    return [
        {
            "Layer": at[0] + 1,
            "Head": at[1] + 1,
            "Name": str(portraits.names[at]),
            "Entropy": 100 * float(portraits.entropy_share[at]),
            "Distance": float(portraits.distance[at]),
            **({prefix.title: 100 * float(portraits.prefix_share[at])} if prefix.names else {}),
            "Own patch": 100 * float(portraits.own_share[at]),
            "Neighbours": 100 * float(portraits.neighbour_share[at]),
            "Fixed place": 100 * float(max(portraits.key_share[at], portraits.offset_share[at])),
            "Same in every image": 100 * float(portraits.by_place[at]),
            "Focus": 100 * float(portraits.focus_share[at]),
            "Driven by": portraits.driving_classes(*at)[0][0],
        }
        for at in order
    ]


def file_rows(portraits: "Portraits", prefix: PrefixTokens) -> list[dict]:
    """Return the table for a file: a row for each head with all its numbers, shares from 0 to 1."""
    return [
        {
            "layer": at[0] + 1,
            "head": at[1] + 1,
            "name": str(portraits.names[at]),
            "entropy_nats": float(portraits.entropy[at]),
            "entropy_share": float(portraits.entropy_share[at]),
            "distance_pixels": float(portraits.distance[at]),
            "distance_of_even_pattern": portraits.even_distance,
            prefix.field: float(portraits.prefix_share[at]),
            "own_patch_share": float(portraits.own_share[at]),
            "neighbour_share": float(portraits.neighbour_share[at]),
            "fixed_patch": int(portraits.key[at]) + 1,
            "fixed_patch_share": float(portraits.key_share[at]),
            "fixed_step_down": portraits.offset(*at).rows,
            "fixed_step_right": portraits.offset(*at).columns,
            "fixed_step_share": float(portraits.offset_share[at]),
            "same_in_every_image": float(portraits.by_place[at]),
            "focus_share": float(portraits.focus_share[at]),
            "images_with_focus": float(portraits.focus_rate[at]),
            "focus_value": float(portraits.focus_value[at]),
            "sink_share": float(portraits.sink_share[at]),
            "mean_strength": float(portraits.strength[:, *at].mean()),
        }
        for at in portraits.order()
    ]


def hover_texts(portraits: "Portraits", prefix: PrefixTokens) -> dict[tuple[int, int], str]:
    """Return the hover text of each head in the figures."""
    first = {at: f"{prefix.title.lower()} {share:.0%}, " for at, share in np.ndenumerate(portraits.prefix_share)}
    return {
        at: f"entropy of {portraits.effective_tokens[at]:.1f} tokens<br>"
        f"{first[at] if prefix.names else ''}own patch {portraits.own_share[at]:.0%}, "
        f"neighbours {portraits.neighbour_share[at]:.0%}<br>"
        f"same in every image {portraits.by_place[at]:.0%}, focus {portraits.focus_share[at]:.0%}"
        for at in np.ndindex(portraits.names.shape)
    }


def describe_head(portraits: "Portraits", layer: int, head: int, prefix: PrefixTokens) -> list[str]:
    """Describe a head's numbers in sentences, for a layer and head from 0."""
    at, even, tokens = (layer, head), portraits.even_share, portraits.attention.shape[-1]
    place = plots.token_names(portraits.grid, ())[int(portraits.key[at])]
    to_prefix = (
        f" and {portraits.prefix_share[at]:.1%} to {prefix.words} "
        f"({_times(portraits.prefix_share[at], even * portraits.prefix_tokens)})"
    )
    said = [
        f"The entropy of a patch's attention is that of an even spread over **{portraits.effective_tokens[at]:.1f} of "
        f"{tokens} tokens**: {portraits.entropy[at]:.2f} nats, {portraits.entropy_share[at]:.0%} of the maximum.",
        f"The mean attention distance is **{portraits.distance[at]:.1f} pixels**, {portraits.distance_share[at]:.2f} "
        f"times that of uniform attention ({portraits.even_distance:.1f}).",
        f"A patch gives **{portraits.neighbour_share[at]:.1%}** of its attention to the patches around it "
        f"({_times(portraits.neighbour_share[at], portraits.even_neighbour_share)}){',' if prefix.names else ' and'} "
        f"{portraits.own_share[at]:.1%} to itself ({_times(portraits.own_share[at], even)})"
        f"{to_prefix if prefix.names else ''}.",
        f"The patch that gets most attention is {place}, with {portraits.key_share[at]:.1%} "
        f"({_times(portraits.key_share[at], even)}). The most frequent step is {step_words(*portraits.offset(*at))}, "
        f"with {portraits.offset_share[at]:.1%}.",
        f"**{portraits.by_place[at]:.0%}** of the difference between its pattern and uniform attention is the same in "
        "every image.",
    ]
    if portraits.focus_rate[at] == 0:
        return [*said, "There is no image in which nearly all patches attend to one token."]
    value = portraits.focus_value[at]
    taken = "the head collects information from it" if value >= 1 else "the head copies less than from other tokens"
    kind = "it is an attention sink" if portraits.sink_share[at] else taken
    return [
        *said,
        f"In {portraits.focus_rate[at]:.0%} of the images nearly all patches attend to the same token, which gets "
        f"{portraits.focus_share[at]:.1%} of all attention. Its value is {value:.1f} times as long as that of an "
        f"average token: {kind}.",
    ]


def describe_role(role: "Role") -> list[str]:
    """Describe what decides where a head looks, in one sentence for the shares and one for each role that follows."""
    said = [
        f"Of the differences between its scores, **{role.position:.0%}** come from positions alone (of query and key) "
        f"and **{role.content:.0%}** from the content of the patches alone; mean over {role.images} images."
    ]
    if role.position >= DECISIVE and role.step_share >= DECISIVE:
        said.append(
            f"By positions alone its step is **{step_words(*role.step)}**, for {role.step_share:.0%} of the patches "
            "that have such a patch."
        )
    if role.content >= DECISIVE and role.colour >= DECISIVE:
        said.append(
            f"By content it looks at patches of **the same colour**: correlation {role.colour:.2f} of its scores with "
            "how close the mean colours are."
        )
    return said


def _times(share: float, even: float) -> str:
    return f"{share / even:.1f}\u00a0×\u00a0even" if even else "none in uniform attention"


def step_words(rows: int, columns: int) -> str:
    """Describe a step, such as "1 up and 2 right"."""
    down = f"{abs(rows)} {'down' if rows > 0 else 'up'}" if rows else ""
    right = f"{abs(columns)} {'right' if columns > 0 else 'left'}" if columns else ""
    return " and ".join(part for part in (down, right) if part) or "none, the patch itself"
