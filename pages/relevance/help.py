"""What the Relevance page says of each method: its formula, how it works, and when not to trust it."""

from typing import NamedTuple

INTRO = (
    "Each picture is one method's answer to the question which parts of the image the network's answer rests on. They "
    "were invented for the same purpose and disagree: compare them, choose another class and see which of them change, "
    "and open one to learn how it is computed and when not to trust it."
)

WHAT_IT_IS = """
**What it is.** A relevance map gives each patch a number: how much it counted for the score of one class, its logit.
Some methods follow the attention from the summary token, which the answer is read from, back through the layers to the
patches. Some ask the gradient: what would change the score if it were a little stronger? Some try it out: they cover a
patch and look how far the score falls.

**Why this class and not that one.** The score of a class rises with everything that speaks for it, also with what
speaks for others as well, such as "there is an animal". Choose a class under *and not* and the difference of the two
scores is explained: what is left speaks for the one and not for the other.

**What to look for.** A map that stays the same for every class says nothing about *why dog*. Places on which several
methods of different kinds agree are worth more than the brightest place of one. Blue and orange maps have a sign:
orange speaks for the class, blue against it.

**What it is not.** A map is no reason, and no outline of an object: it says where, not what there, and a network may be
right because of the background. Each picture has a colour scale of its own, which ends at the map's largest number, so
a map of next to nothing looks as bright as any: compare places, not brightness between pictures. And a map that
convinces the eye may still be wrong about the network. The Faithfulness page puts all of them to the test.
"""


class Words(NamedTuple):
    """One method in a reader's words.

    Attributes:
        formula: LaTeX, short enough for half a page.
        symbols: what stands in it.
        how: how it is computed.
        doubt: when not to trust it.
    """

    formula: str
    symbols: str
    how: str
    doubt: str


ATTENTION = (
    r"$A_h^{(\ell)}$: the attention of head $h$ of $H$ in layer $\ell$ of $L$; row $n$ is how token $n$ divides it. "
    r"The map is the summary token's row, patches alone."
)

IDENTITY = "$I$: the identity, each token itself."

SLOPE = (
    r"$s$: the score that is explained. $\nabla A$: its slope by $A$. $\odot$: number by number. $(\cdot)^+$: negative "
    r"numbers set to 0."
)

WORDS = {
    "last": Words(
        r"M = \frac1H \sum_h A_h^{(L)}",
        ATTENTION,
        "The simplest picture: how the summary token divides its attention in the last layer, the mean of all heads. "
        "What it gives to the class token is left out.",
        "Nothing in it knows the class, and nothing says what was done with what was looked at. Earlier layers, in "
        "which the patches' tokens exchanged what they know, do not show. Heads that look at different things become "
        "one even blur.",
    ),
    "rollout": Words(
        r"\begin{gathered} R = \hat A^{(L)} \cdots \hat A^{(2)} \hat A^{(1)} \\ "
        r"\hat A^{(\ell)} = \tfrac12 \operatorname*{mean}_h A_h^{(\ell)} + \tfrac12 I \end{gathered}",
        f"{IDENTITY} {ATTENTION}",
        "A block adds what attention brings to what the token already was, so each layer is taken as half attention, "
        "half staying in place. Multiplied through all layers this says how much of each patch has reached the summary "
        "token. Instead of the mean of the heads their max or min can be taken, and the smallest weights can be left "
        "out; rows are then brought back to a sum of 1.",
        "It takes every look as evidence: a head that looks in order to rule something out counts as one that looks to "
        "confirm. It knows no class, nor what the values, the MLPs and the strength of the two halves do. With many "
        "layers it turns even. Max and discard make clearer pictures, which are not truer for it.",
    ),
    "chefer": Words(
        r"\begin{gathered} R \leftarrow R + \bar A^{(\ell)} R, \quad \text{from } R = I \\ "
        r"\bar A^{(\ell)} = \frac1H \sum_h \big(\nabla A_h^{(\ell)} \odot A_h^{(\ell)}\big)^{+} \end{gathered}",
        f"{SLOPE} {IDENTITY} {ATTENTION}",
        "Each link of each head is weighted by its slope: how much the score would rise if this link were a little "
        "stronger. Links that would lower it are dropped, the heads are averaged, and layer by layer the result is "
        "added to what has been gathered. The map shows what the layers added, without the identity that it starts "
        "from.",
        "What speaks against the class cannot show, by construction. A slope tells of small changes at this one image: "
        "where the model is very sure, slopes vanish and the map rests on crumbs, though its colours are as bright. "
        "Values and MLPs count only by way of the slope.",
    ),
    "attention-gradient": Words(
        r"M = \frac1H \sum_h \big(\nabla A_h^{(L)} \odot A_h^{(L)}\big)^{+}",
        f"{SLOPE} {ATTENTION}",
        "The last layer's attention, each link weighted by how much the score would rise if it were a little stronger. "
        "It is the last step of gradient-weighted relevance by itself: the first thing to hold beside it.",
        "It speaks of the tokens that enter the last layer, and they have long exchanged what they know: a bright "
        "place may carry what was seen at another one. The more layers, the less a token is about its own patch.",
    ),
    "gradient-rollout": Words(
        r"\begin{gathered} R = \hat A^{(L)} \cdots \hat A^{(2)} \hat A^{(1)} \\ "
        r"\hat A^{(\ell)} \propto \Big(\frac1H \sum_h \nabla A_h^{(\ell)} \odot A_h^{(\ell)}\Big)^{+} + I "
        r"\end{gathered}",
        f"{SLOPE} {IDENTITY} {ATTENTION}",
        "Rollout, with attention times its slope in the place of attention. The heads are averaged before negative "
        "numbers are set to 0, so links on which heads pull in opposite directions cancel out. Rows are brought to a "
        "sum of 1, and the path that stays in place in every layer is left out of the map.",
        "A place that matters much, but both ways, may stay dark. The slopes are small beside the identity that is "
        "added, so paths through more than one layer count next to nothing: it is close to the sum of the layers.",
    ),
    "gradcam": Words(
        r"\begin{gathered} m_p = \Big(\sum_k w_k\, z_{pk}\Big)^{+} \\ "
        r"w_k = \frac1P \sum_p \frac{\partial s}{\partial z_{pk}} \end{gathered}",
        r"$z_{pk}$: feature $k$ at place $p$ of $P$. $s$: the score that is explained. $(\cdot)^+$: negative numbers "
        r"set to 0.",
        "Among the features that enter the last block (of a convolutional network: that leave it), each is weighted by "
        "how much the score would rise if it were a little stronger everywhere; a place is bright where features of "
        "large weight are strong. Of a transformer the tokens before the last block are taken, since after it the "
        "patches of a network that reads the class token have no way to the answer.",
        "A feature has one weight for all places, so it cannot be good in one and bad in another. A transformer's "
        "tokens need not be about their own patches any more, and features without a scale of their own, as in a "
        "transformer, suit the method less than those of a convolutional network, for which it was made.",
    ),
    "integrated": Words(
        r"m_p = \sum_{i \in p} x_i \int_0^1 \frac{\partial s(\alpha x)}{\partial x_i}\, d\alpha",
        r"$x_i$: the pixels of patch $p$, 0 in the mean colour. $s$: the score that is explained.",
        "The picture fades in from one flat colour, the data set's mean, and on the way the slope by each pixel is "
        "added up, times how far the pixel moves. A patch gets the sum of its pixels. The numbers of a map should add "
        "up to the score of the picture less that of the flat one: what is divided up is the whole score.",
        "What has the flat picture's colour gets nothing, even where it decides. The faint pictures on the way are "
        "none that the network was trained on. And a network whose first layers normalise contrast, as the "
        "convolutional stem does, sees them all as the same picture until they are all but flat: the sum then misses "
        "the score, as is told below.",
    ),
    "occlusion": Words(
        r"m_p = s(x) - s(x_{\setminus p})",
        r"$s$: the score that is explained. $x_{\setminus p}$: the picture $x$ with patch $p$ in the mean colour.",
        "Patch by patch the picture is covered with the data set's mean colour and shown to the network again. The "
        "number is how far the score falls; blue where it rises, because the patch had spoken against the class. It is "
        "the only one of these that tries out what it claims.",
        "It takes away one patch at a time: of two that say the same neither is missed, and an object of many patches "
        "hardly shows. A flat square is a sight of its own, with edges that the network may take for something.",
    ),
}
