"""Texts of the Relevance page: the formula of each method, how it works, and when not to trust it."""

from typing import NamedTuple

INTRO = (
    "Each picture shows which parts of the image the answer rests on, according to one method. The methods have the "
    "same purpose and often disagree. Compare them, choose another class to see which maps change, and open a map to "
    "read how it is computed and when not to trust it."
)

WHAT_IT_IS = """
**What it is.** A relevance map gives each patch a number: how much the patch counted for the score (the logit) of one
class. Some methods follow the attention from the summary token, which the answer is read from, back through the layers
to the patches. Some use the gradient: what would change the score if it were a little stronger? Some try it out: they
cover a patch and measure how far the score falls.

**Why this class rather than another.** The score of a class rises with everything that speaks for it. Part of that also
speaks for other classes, such as "there is an animal". If you choose a class under *Compared with class*, the maps
explain the difference of the two scores: what speaks for the one class and not for the other.

**What to look for.** A map that stays the same for every class says nothing about *why dog*. Places on which several
different methods agree are better evidence than the brightest place of one map. Maps in orange and blue have a sign:
orange speaks for the class, blue against it.

**Limits.** A map is not a reason and not the outline of an object. It shows where, not what, and a network may be right
because of the background. Each picture has its own colour scale, which ends at the largest number of the map, so a map
of tiny numbers looks as bright as any other. Compare places, not brightness between pictures. A map that looks
convincing may still be wrong about the network. The Faithfulness page tests all methods.
"""


class MethodHelp(NamedTuple):
    """The explanation of one method.

    Attributes:
        formula: LaTeX, at most half a page wide.
        symbols: the meaning of the symbols.
        how: how the map is computed.
        doubt: when not to trust it.
    """

    formula: str
    symbols: str
    how: str
    doubt: str


ATTENTION = (
    r"$A_h^{(\ell)}$: the attention of head $h$ of $H$ in layer $\ell$ of $L$; row $n$ is how token $n$ divides its "
    r"attention. The map is the summary token's row without the tokens before the patches."
)

IDENTITY = "$I$: the identity matrix (each token keeps itself)."

SLOPE = (
    r"$s$: the score that is explained. $\nabla A$: the gradient of $s$ with respect to $A$. $\odot$: element-wise "
    r"product. $(\cdot)^+$: negative numbers set to 0."
)

METHOD_HELP = {
    "last": MethodHelp(
        r"M = \frac1H \sum_h A_h^{(L)}",
        ATTENTION,
        "This is the simplest map: how the summary token divides its attention in the last layer, averaged over all "
        "heads. The share of the class token is left out.",
        "The map does not depend on the class, and does not show what the network did with the information. It ignores "
        "earlier layers, in which the patch tokens exchanged information. If heads attend to different things, their "
        "mean is an even blur.",
    ),
    "rollout": MethodHelp(
        r"\begin{gathered} R = \hat A^{(L)} \cdots \hat A^{(2)} \hat A^{(1)} \\ "
        r"\hat A^{(\ell)} = \tfrac12 \operatorname*{mean}_h A_h^{(\ell)} + \tfrac12 I \end{gathered}",
        f"{IDENTITY} {ATTENTION}",
        "A block adds the output of the attention to the token that came in. Rollout therefore treats each layer as "
        "half attention and half identity. The product over all layers estimates how much of each patch has reached "
        "the summary token. You can take the maximum or minimum over the heads instead of the mean, and leave out the "
        "smallest weights; each row is then rescaled to a sum of 1.",
        "Rollout counts all attention as evidence: a head that attends to a patch to rule a class out counts like one "
        "that confirms it. It does not depend on the class and ignores the values, the MLPs and the actual sizes of "
        "the two halves. With many layers the map becomes even. The maximum and leaving weights out make clearer "
        "pictures, but not more accurate ones.",
    ),
    "chefer": MethodHelp(
        r"\begin{gathered} R \leftarrow R + \bar A^{(\ell)} R, \quad \text{from } R = I \\ "
        r"\bar A^{(\ell)} = \frac1H \sum_h \big(\nabla A_h^{(\ell)} \odot A_h^{(\ell)}\big)^{+} \end{gathered}",
        f"{SLOPE} {IDENTITY} {ATTENTION}",
        "Each attention weight of each head is multiplied by its gradient: how much the score would rise if this "
        "weight were a little larger. Negative products are dropped, the heads are averaged, and the result is added "
        "up layer by layer. The map shows what the layers added, without the identity at the start.",
        "Evidence against the class cannot appear, by construction. A gradient describes small changes at this one "
        "image: if the model is very confident, the gradients vanish and the map is unreliable, although its colours "
        "are as bright. Values and MLPs count only through the gradient.",
    ),
    "attention-gradient": MethodHelp(
        r"M = \frac1H \sum_h \big(\nabla A_h^{(L)} \odot A_h^{(L)}\big)^{+}",
        f"{SLOPE} {ATTENTION}",
        "The attention of the last layer, each weight multiplied by how much the score would rise if it were a little "
        "larger. This is the last step of gradient-weighted relevance alone, and a good first comparison for it.",
        "The map describes the tokens that enter the last layer. By then they have exchanged information, so a bright "
        "place may hold information from another place. The more layers a network has, the less a token is about its "
        "own patch.",
    ),
    "gradient-rollout": MethodHelp(
        r"\begin{gathered} R = \hat A^{(L)} \cdots \hat A^{(2)} \hat A^{(1)} \\ "
        r"\hat A^{(\ell)} \propto \Big(\frac1H \sum_h \nabla A_h^{(\ell)} \odot A_h^{(\ell)}\Big)^{+} + I "
        r"\end{gathered}",
        f"{SLOPE} {IDENTITY} {ATTENTION}",
        "Rollout with attention times its gradient instead of attention. The heads are averaged before negative "
        "numbers are set to 0, so weights on which heads disagree in sign cancel out. Each row is rescaled to a sum of "
        "1. The map leaves out the path that follows the identity in every layer.",
        "A place that matters both for and against the class may stay dark. The products are small compared with the "
        "identity, so paths through more than one layer hardly count: the map is close to the sum of the layers.",
    ),
    "gradcam": MethodHelp(
        r"\begin{gathered} m_p = \Big(\sum_k w_k\, z_{pk}\Big)^{+} \\ "
        r"w_k = \frac1P \sum_p \frac{\partial s}{\partial z_{pk}} \end{gathered}",
        r"$z_{pk}$: feature $k$ at place $p$ of $P$. $s$: the score that is explained. $(\cdot)^+$: negative numbers "
        r"set to 0.",
        "Each feature is weighted by how much the score would rise if the feature were a little stronger everywhere. A "
        "place is bright if features of large weight are strong there. For a convolutional network, the features are "
        "the output of the last block. For a transformer they are its input, because in a network that reads the class "
        "token, the patches have no influence on the answer after the last block.",
        "A feature has one weight for all places, so it cannot speak for the class in one place and against it in "
        "another. The tokens of a transformer need not be about their own patches any more. Grad-CAM was made for "
        "convolutional networks and suits them better, because the features of a transformer have no fixed scale.",
    ),
    "integrated": MethodHelp(
        r"m_p = \sum_{i \in p} x_i \int_0^1 \frac{\partial s(\alpha x)}{\partial x_i}\, d\alpha",
        r"$x_i$: the pixels of patch $p$, 0 in the mean colour. $s$: the score that is explained.",
        "The picture fades in from a blank one in the data set's mean colour. On the way, the gradient of the score "
        "with respect to each pixel is added up and multiplied by how far the pixel moves. A patch gets the sum of its "
        "pixels. The numbers of a map should add up to the score of the picture minus the score of the blank one: the "
        "map divides up the whole score.",
        "Parts in the colour of the blank picture get nothing, even if they decide the answer. The network was not "
        "trained on faint pictures like those on the way. If the first layers normalise contrast, as in the "
        "convolutional stem, the network sees the same picture until it is almost blank, so the map describes how the "
        "answer appears in an extremely faint picture. The steps are placed where the score changes; whether the sum "
        "reaches the score is reported below.",
    ),
    "occlusion": MethodHelp(
        r"m_p = s(x) - s(x_{\setminus p})",
        r"$s$: the score that is explained. $x_{\setminus p}$: the picture $x$ with patch $p$ in the mean colour.",
        "Each patch in turn is covered with the data set's mean colour, and the network sees the picture again. The "
        "number is how far the score falls. Blue means that it rises, because the patch spoke against the class. This "
        "is the only method here that tests what it claims.",
        "It covers one patch at a time. If two patches show the same thing, neither is missed, and an object of many "
        "patches hardly shows. A flat square is itself a shape with edges, which the network may react to.",
    ),
}
