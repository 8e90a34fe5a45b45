"""The words of the part "Patch from another image"."""

from vit.data.scenes.pairs import Change
from vit.explain.patching.patch import Direction, Site

SITES: dict[Site, str] = {
    "head": "Head output",
    "pattern": "Pattern",
    "q": "Queries",
    "k": "Keys",
    "v": "Values",
    "mlp": "MLP output",
    "residual": "Residual stream",
}
"""Names of the sites."""

SITE_MEANINGS: dict[Site, str] = {
    "head": "The output of one head for all tokens: where it looked and what it copied from there.",
    "pattern": "The attention of one head alone, with the values of the patched image: where it looked.",
    "q": "The queries of one head: what its tokens look for.",
    "k": "The keys of one head: what its tokens offer to be found by.",
    "v": "The values of one head, with the attention of the patched image: what it copied.",
    "mlp": "What the MLP of a layer adds to one token.",
    "residual": "One token as it enters a layer: everything that the layers before have written to it.",
}

DIRECTIONS: dict[Direction, str] = {"denoise": "Into the corrupt image", "noise": "Into the clean image"}

CHANGES: dict[Change | None, str] = {
    None: "Two images",
    "object": "Scene, another object",
    "background": "Scene, another background",
    "no-object": "Scene, no object",
}
"""Names of the kinds of pairs."""

WHAT_IT_IS = """
**What it is.** Both images run through the network. Then one of them runs again, with one activation replaced by that
of the other image. The *effect* is the share of the difference between both images that this moves: 0 is no effect, 1
means that the patched run answers like the other image, and a negative number that it moves the other way. The answer
is measured as a logit difference, because a probability hardly changes near 0 and 1.

**Two directions.** Patching the clean activation into the corrupt image's run shows what is *enough* for the clean
answer. Patching the corrupt activation into the clean run shows what the clean answer *needs*. They differ where heads
share their work: each may be enough, and none alone is needed (Heimersheim and Nanda 2024).

**Pairs.** The more the images differ, the more activations matter, and the less an effect says. Scenes are drawn by a
program, so one factor can change while place, size, light and noise stay the same. The occluder stays in its place too,
so it may cover more of another object.

**What to look for.** In the residual stream the effect moves from the patches of the object in early layers to the
token that the answer is read from. The layer in which it moves is where heads carry it over. Compare *pattern* and
*values* of such a head: is it where it looks that matters, or what it copies?

**Groups.** Effects of single units do not add up. Choose several units to patch them together.

**Estimates.** The estimate by gradient follows the tangent at the patched run. It is usually good for heads and MLPs
and poor for whole tokens of the residual stream, where a patch is a large step through norms and a softmax.

**Limits.** A patched run mixes two images, and later layers may see what never occurs in training. An effect holds for
this pair and these classes; look at the mean over many pairs.
"""
