"""The words of each lesson, which its page and its sheet for class share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from vit.lessons.experiments import EXPERIMENTS, LITTLE, NETWORKS

FORMULA = "$$"
"""What a formula among the paragraphs of :attr:`LessonText.more` begins and ends with."""


@dataclass(frozen=True)
class LessonText:
    """The words of a lesson. Paragraphs are Markdown.

    Attributes:
        picture: how to read the picture.
        lead: what is needed to guess.
        ask: the question of the guess.
        options: its answers.
        more: the background; a formula begins and ends with :data:`FORMULA`.
        look_for: what to look for in one's own runs.
        class_questions: questions for class, without Markdown.
    """

    picture: str
    lead: str
    ask: str
    options: tuple[str, ...]
    more: tuple[str, ...]
    look_for: tuple[str, ...]
    class_questions: tuple[str, ...]


ONE_HEAD, MORE_HEADS = "One head: it is the widest", "More heads"
FOUR_TIMES_HEADS, FOUR_TIMES_DEPTH = "Four times the heads", "Four times the depth"
SAME = "No difference: same parameter count"
BOTH_MAPS, ONLY_GRADIENT, NEITHER_MAP = "Both maps", "Only the map that is weighted by the gradient", "Neither map"


def _heads() -> LessonText:
    first = EXPERIMENTS["heads"][0]
    width = first.vit_config.embed_dim
    return LessonText(
        picture="What the class token of the included model attends to in its last layer: one map per head, and their "
        "mean. A network with a single head has one map for everything.",
        lead=f"Each head takes **one weighted mean** of what it attends to. More heads give more means, but each head "
        f"compares fewer numbers: here a token's {width} numbers are divided among 1, 2, 4 or 8 heads. The four "
        f"networks have one block and {first.parameters:,} parameters each, and the same training.",
        ask="Which network classifies more new scenes correctly?",
        options=(ONE_HEAD, MORE_HEADS, SAME),
        more=(
            "A head compares one query with the keys of all tokens, turns the scores into shares that sum to 1, and "
            "outputs one weighted mean of the values:",
            r"$$\mathrm{head}(q) = \sum_m \operatorname{softmax}_m\!\left(\tfrac{q \cdot k_m}{\sqrt{d}}\right) v_m$$",
            "If an ear and a tail both matter, a single head must mix them in its one mean, where they can no longer "
            "be told apart. “With a single attention head, averaging inhibits this”, says the paper that introduced "
            "multiple heads (Vaswani et al. 2017).",
            "The price is width: each of $h$ heads compares only $d = e / h$ numbers, where $e$ is the token's width. "
            "The networks here have one block, so the class token attends once, and linear patches, so nothing else "
            "mixes them: all information reaches the class token through the heads.",
        ),
        look_for=(
            "**Curves**: when does each network exceed 20 %, the accuracy of guessing among five classes?",
            "**Attention** of the class token (patch 0): do several heads attend to different patches?",
            "**Attention** of any other patch: in a network with one block, the output of the patches is never used. "
            "Their queries are not trained, so these maps mean nothing, however plausible they look.",
            "**Heads**, *Importance*: how much accuracy is lost without each head.",
        ),
        class_questions=(
            "Which two parts of the object can one mean not keep apart?",
            "Why do all networks have the same number of parameters?",
            "Two networks differ by 2 points on 1,000 images. What would you need to call one better?",
        ),
    )


def _depth() -> LessonText:
    base, _, deeper = EXPERIMENTS["depth"]
    width, narrow = base.vit_config.embed_dim, deeper.vit_config.embed_dim
    return LessonText(
        picture="Each square is a block, as wide as its tokens; its area is proportional to its parameters, and its "
        "stripes are the heads. Four small squares have the area of one large square.",
        lead=f"One block of width {width} with two heads has {base.parameters:,} parameters. Give it eight heads, "
        f"which adds none, or replace it by four blocks of width {narrow} ({deeper.parameters:,} parameters).",
        ask="Which network classifies more new scenes correctly after the same number of epochs?",
        options=(FOUR_TIMES_HEADS, FOUR_TIMES_DEPTH, SAME),
        more=(
            "The parameters of a block grow with the square of the width $e$; the depth $L$ multiplies them:",
            r"$$\text{parameters} \approx L \cdot (4 + 2r)\, e^2 \qquad (r = \text{MLP ratio})$$",
            "Depth allows **attention built on earlier attention**: in the second block, a patch already contains "
            "information that it copied in the first. One block can find an ear and a tail, but not *an ear next to a "
            "tail*: for that, the position of one must first reach the other. More heads only attend more often to the "
            "same, unmixed patches. So the textbook expects depth to win. Deep networks also need longer before their "
            "loss falls.",
        ),
        look_for=(
            "**Curves**: the deep network may start more slowly. Does it overtake the others?",
            "**Attention** of the deep network: does the first block attend by position, and the last by content?",
            "**Tokens**, *Logit lens*: in which block does the prediction appear?",
        ),
        class_questions=(
            "A block of half the width has a quarter of the parameters. Why?",
            "What can the second block attend to that the first cannot?",
            "Does the order of the networks change if you train longer? Compare the two versions.",
        ),
    )


def _patches() -> LessonText:
    variants = EXPERIMENTS["patches"]
    size, most = variants[0].config.model.image_size, variants[-1].vit_config.grid ** 2
    return LessonText(
        picture=f"The same scene at {size} px, cut into patches of {size}, 16, 8 and 4 px. The network compares the "
        "pieces with each other, never the pixels within a piece.",
        lead=f"Each patch becomes one token. Half the patch side means four times the tokens and sixteen times the "
        f"pairs that attention compares: here 1 to {most} tokens, with the same network otherwise.",
        ask="With which patches are most new scenes classified correctly?",
        options=tuple(variant.title for variant in variants),
        more=(
            "One linear map turns a patch into one token. An image of side $S$ in patches of side $P$ has",
            r"$$N = (S/P)^2 \text{ tokens;} \qquad \text{a block costs } \underbrace{8 N e^2}_{\text{maps, MLP}} + "
            r"\underbrace{2 N^2 e}_{\text{attention}}$$",
            "multiplications (with an MLP of twice the token's width $e$). An attention map has one number per patch: "
            "**no map has more detail than its patches**, however smoothly it is drawn. With one patch there are no "
            "others to attend to, and the network is an MLP on pixels.",
        ),
        look_for=(
            "**Train**, *All settings*: *Tokens* and *Expected time* as you move the slider *Patch size*.",
            "**Attention**: the same image with large and with small patches.",
            "**Parameters**: they decrease with the patch size, because a small patch has fewer pixels to map.",
        ),
        class_questions=(
            "How many pairs of tokens does attention compare with each patch size?",
            "Why does the network with one patch need no attention?",
            "What does a smaller patch cost, and what does it give?",
        ),
    )


def _little() -> LessonText:
    many = max(LITTLE)
    return LessonText(
        picture="All images of the smallest training set; a few places of one small filter, which a convolution "
        "applies everywhere; and patches in random order: the network on linear patches has to learn which patch is "
        "where.",
        lead="A convolution assumes that neighbouring pixels belong together. A transformer on linear patches has to "
        "learn that from its images, and a ViT that begins with convolutions is in between. "
        f"All three networks see the same {many:,} scenes.",
        ask="Which network classifies most new scenes correctly?",
        options=tuple(title for title, _ in NETWORKS.values()),
        more=(
            "A convolution combines neighbouring pixels, with the same weights everywhere. This built-in assumption is "
            "its **inductive bias**, and for images it is mostly right. A transformer on linear patches can connect "
            "any two patches and has to learn from examples that neighbours belong together. Even the arrangement of "
            "the patches has to be learned, in the position embedding. With hundreds of millions of images, this "
            "freedom wins (Dosovitskiy et al. 2021). With few images, the bias should win.",
            "A ViT with a **convolutional stem** is in between: small convolutions make the tokens, and attention does "
            "the rest (Xiao et al. 2021). It is the default network of this app.",
            "For each number of images, all networks see the same images equally often. Queue these runs here: the "
            "Train page has no control for the number of images.",
        ),
        look_for=(
            "**Runs**, *Gap between training and validation*: which network memorises its training images?",
            "**Evaluate**: which classes does the linear ViT confuse?",
            "**Attention** of the CNN is Grad-CAM: it has no heads.",
        ),
        class_questions=(
            "What does a convolution assume that linear patches do not?",
            "What tells the network which patch was beside which?",
            "What would you expect with a million images?",
        ),
    )


def _evidence() -> LessonText:
    return LessonText(
        picture="The attention of the included model's last layer, and the same image with a quarter of its patches "
        "covered: those with most attention, and those nearest the centre.",
        lead="If a map shows what the prediction needs, covering its patches should lower the probability of the "
        "predicted class faster than covering a **centred blob** that knows nothing of the image. Two maps are tested: "
        "the attention of the last layer, and the attention of all layers weighted by the gradient for the class.",
        ask="Which map passes this test?",
        options=(BOTH_MAPS, ONLY_GRADIENT, NEITHER_MAP),
        more=(
            "Attention shows **where a token copies from**. It does not show what is copied (that is the value), or "
            "whether the prediction needs it: later layers may ignore it. Quite different attention can give the same "
            "prediction (Jain and Wallace 2019), although that does not make attention worthless (Wiegreffe and Pinter "
            "2019).",
            "So a map has to be tested. *Deletion* covers the patches, most important first, and records the "
            "probability $p$ of the predicted class. *Insertion* uncovers them in the same order on a covered image "
            "(Petsiuk et al. 2018). Each curve is summarised by the area under it, over $K$ steps:",
            r"$$\mathrm{AUC} = \tfrac{1}{K} \sum_{k=1}^{K} \tfrac{1}{2}\,(p_{k-1} + p_k)$$",
            "Deletion should be small and insertion large, *compared with control maps* that know nothing about the "
            "trained network. Objects are mostly near the middle, so a centred blob is a strong baseline.",
        ),
        look_for=(
            "**Attention**: does it cover the object? Would you have taken it for the reason of the prediction?",
            "**Faithfulness**, *Step by step*: after how many patches does the probability fall?",
            "**Faithfulness**, *Measure*: the centred blob, and the same method on untrained weights.",
        ),
        class_questions=(
            "Why is a centred blob a strong control map?",
            "A map lies on the object. Does the network use the object?",
            "What else could a covered image change, besides hiding the object?",
        ),
    )


_TEXTS: dict[str, Callable[[], LessonText]] = {
    "heads": _heads,
    "depth": _depth,
    "patches": _patches,
    "little": _little,
    "evidence": _evidence,
}


NAMES = tuple(_TEXTS)
"""Names of the lessons."""


@lru_cache(maxsize=len(_TEXTS))
def text(lesson: str) -> LessonText:
    """Return the words of a lesson.

    Args:
        lesson: one of :data:`NAMES`.
    """
    return _TEXTS[lesson]()
