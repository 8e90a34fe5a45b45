"""What the Heads page says of a head, and how it explains itself."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vit import plots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.heads.portraits import Portraits

INTRO = (
    "Each point is one head, measured over many validation images: how far it looks, how evenly, and at what. Choose a "
    "head in the table to see its mean pattern and the images to which it adds most."
)

DISTANCE = (
    "How far a patch looks, on average (Dosovitskiy et al. 2021, fig. 7 right). On the dashed line a head looks as far "
    "as one that looks everywhere evenly; well below it, it looks at what is near."
)

ENTROPY = (
    "How evenly a patch spreads its attention, as a share of the greatest possible entropy. On the dashed line it "
    "looks at everything alike; near 0 at one token alone."
)

PATTERNS = (
    "What a patch looks at on average over the images, whose mean lies behind. Click a patch to look from there, and a "
    "tile to choose its head."
)

MEANINGS = {
    "local": "It looks at what is near.",
    "positional": "It looks at the same places whatever the image shows.",
    "content": "Where it looks depends on what the image shows.",
    "mixed": "In part it looks by place, in part by what the image shows.",
    "global": "It looks at everything nearly evenly.",
    "sink": "It puts much of its attention on a token that hands on little: it is often at rest.",
}
"""What the names mean, in a sentence."""

WHAT_IT_IS = """
**What it is.** On the Attention page you see one image. A portrait averages over many: every patch of every image
asks, and for each head it is measured how its attention is divided. Attention of a patch always sums to 100 %, so
the numbers are shares.

**Entropy** says how evenly attention is spread, whatever it is spread over. If a patch looks at 10 tokens alike and
at no other, its entropy is that of "10 tokens"; if it looks at all tokens alike, it is the greatest possible. Nats
are its unit.

**Distance** says how far a patch looks, from the centre of the patch to the centres of those it looks at. The class
token and registers are nowhere, so only what goes to patches counts, taken for 100 %. The even pattern's distance is
the reference: a head without any preference has it too.

**A fixed place** is one patch that all patches look at in every image, or one step, such as "one to the left", that
every patch takes. **Same in every image** says how much of what sets a head's pattern apart from the even one is
there whatever the picture: 100 % is a head that looks by place alone, near 0 % one that looks by what is there.

**A focus** is a token that nearly all patches of an image look at. What they take from it tells two kinds apart. If
it is little, the focus is an **attention sink**: a head that finds nothing of its kind has to put its 100 %
somewhere, and a token that hands on next to nothing does no harm (Xiao et al. 2024). If it is much, the head
gathers something: an object, or, in large networks, a background patch in which the network keeps what it knows of
the whole image (Darcet et al. 2024).

**The images that drive a head** are those to which it adds most: the length of what the head adds to the summary
token, which the answer is read from.

**What it is not.** A mean hides differences: a head may look left in one half of the images and right in the other.
A long addition is not an important one, for the next layers may ignore it: *Importance* measures that. And
attention says where information is taken from, not what it is.
"""

NAMING = """
A name is a summary by thresholds, the first of these that fits. A head close to a threshold could as well have
another name, and nothing in the network knows of these names: read the numbers.
"""


class Before(NamedTuple):
    """The tokens before the patches: their names, and what they are called together; empty where there are none."""

    names: tuple[str, ...]
    words: str

    @property
    def title(self) -> str:
        """Above a column."""
        words = self.words.removeprefix("the ")
        return words[:1].upper() + words[1:]

    @property
    def field(self) -> str:
        """In a file."""
        return "class_token_share" if self.names == ("class token",) else "share_before_the_patches"


def table_rows(seen: "Portraits", order: list[tuple[int, int]], before: Before) -> list[dict]:
    """The numbers of heads, a row each; shares in percent."""
    return [
        {
            "Layer": at[0] + 1,
            "Head": at[1] + 1,
            "Name": str(seen.names[at]),
            "Entropy": 100 * float(seen.entropy_share[at]),
            "Distance": float(seen.distance[at]),
            **({before.title: 100 * float(seen.prefix_share[at])} if before.names else {}),
            "Own patch": 100 * float(seen.own_share[at]),
            "Neighbours": 100 * float(seen.neighbour_share[at]),
            "Fixed place": 100 * float(max(seen.key_share[at], seen.step_share[at])),
            "Same in every image": 100 * float(seen.by_place[at]),
            "Focus": 100 * float(seen.focus_share[at]),
            "Driven by": seen.driving_classes(*at)[0][0],
        }
        for at in order
    ]


def numbers(seen: "Portraits", before: Before) -> list[dict]:
    """All numbers of all heads, a row each, for a file; shares from 0 to 1."""
    return [
        {
            "layer": at[0] + 1,
            "head": at[1] + 1,
            "name": str(seen.names[at]),
            "entropy_nats": float(seen.entropy[at]),
            "entropy_share": float(seen.entropy_share[at]),
            "distance_pixels": float(seen.distance[at]),
            "distance_of_even_pattern": seen.even_distance,
            before.field: float(seen.prefix_share[at]),
            "own_patch_share": float(seen.own_share[at]),
            "neighbour_share": float(seen.neighbour_share[at]),
            "fixed_patch": int(seen.key[at]) + 1,
            "fixed_patch_share": float(seen.key_share[at]),
            "fixed_step_down": seen.step(*at).rows,
            "fixed_step_right": seen.step(*at).columns,
            "fixed_step_share": float(seen.step_share[at]),
            "same_in_every_image": float(seen.by_place[at]),
            "focus_share": float(seen.focus_share[at]),
            "images_with_focus": float(seen.focus_rate[at]),
            "focus_value": float(seen.focus_value[at]),
            "sink_share": float(seen.sink_share[at]),
            "mean_strength": float(seen.strength[:, *at].mean()),
        }
        for at in seen.order()
    ]


def hover(seen: "Portraits", before: Before) -> dict[tuple[int, int], str]:
    """What a point of the figures tells of its head."""
    first = {at: f"{before.title.lower()} {share:.0%}, " for at, share in np.ndenumerate(seen.prefix_share)}
    return {
        at: f"entropy of {seen.effective_tokens[at]:.1f} tokens<br>"
        f"{first[at] if before.names else ''}own patch {seen.own_share[at]:.0%}, "
        f"neighbours {seen.neighbour_share[at]:.0%}<br>"
        f"same in every image {seen.by_place[at]:.0%}, focus {seen.focus_share[at]:.0%}"
        for at in np.ndindex(seen.names.shape)
    }


def describe(seen: "Portraits", layer: int, head: int, before: Before) -> list[str]:
    """A head's numbers in sentences, for a layer and head from 0."""
    at, even, tokens = (layer, head), seen.even_share, seen.attention.shape[-1]
    place = plots.token_names(seen.grid, ())[int(seen.key[at])]
    to_prefix = (
        f" and {seen.prefix_share[at]:.1%} to {before.words} "
        f"({_times(seen.prefix_share[at], even * seen.prefix_tokens)})"
    )
    said = [
        f"A patch spreads its attention as if over **{seen.effective_tokens[at]:.1f} of {tokens} tokens** evenly: its "
        f"entropy is {seen.entropy[at]:.2f} nats, {seen.entropy_share[at]:.0%} of the greatest possible.",
        f"It looks **{seen.distance[at]:.1f} pixels** far on average, {seen.distance_share[at]:.2f} times as far as an "
        f"even pattern ({seen.even_distance:.1f}).",
        f"It gives **{seen.neighbour_share[at]:.1%}** of its attention to the patches around its own "
        f"({_times(seen.neighbour_share[at], seen.even_neighbour_share)}){',' if before.names else ' and'} "
        f"{seen.own_share[at]:.1%} to itself ({_times(seen.own_share[at], even)}){to_prefix if before.names else ''}.",
        f"The patch that gets most from all patches is {place}, with {seen.key_share[at]:.1%} "
        f"({_times(seen.key_share[at], even)}); the step that is taken most is {_step(*seen.step(*at))}, with "
        f"{seen.step_share[at]:.1%}.",
        f"**{seen.by_place[at]:.0%}** of what sets its pattern apart from an even one is the same in every image.",
    ]
    if seen.focus_rate[at] == 0:
        return [*said, "In no image do nearly all patches look at one token."]
    value = seen.focus_value[at]
    taken = "the head gathers from it" if value >= 1 else "less than it takes elsewhere"
    kind = "an attention sink" if seen.sink_share[at] else taken
    return [
        *said,
        f"In {seen.focus_rate[at]:.0%} of the images nearly all patches look at the same token, which gets "
        f"{seen.focus_share[at]:.1%} of all attention. What it hands on is {value:.1f} times as long as an average "
        f"token's: {kind}.",
    ]


def _times(share: float, even: float) -> str:
    return f"{share / even:.1f}\u00a0×\u00a0even" if even else "none in an even pattern"


def _step(rows: int, columns: int) -> str:
    """Such as "1 up and 2 right"."""
    down = f"{abs(rows)} {'down' if rows > 0 else 'up'}" if rows else ""
    right = f"{abs(columns)} {'right' if columns > 0 else 'left'}" if columns else ""
    return " and ".join(part for part in (down, right) if part) or "none, the patch itself"
