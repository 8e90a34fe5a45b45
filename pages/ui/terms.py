"""What the words mean that the pages use: one or two sentences a term, the same wherever it is met."""

from typing import NamedTuple


class Term(NamedTuple):
    """One entry.

    Attributes:
        words: what it is, in a sentence or two.
        formula: the same in LaTeX, where that helps.
    """

    words: str
    formula: str = ""


TOPICS: dict[str, dict[str, Term]] = {
    "The image and its tokens": {
        "patch": Term(
            "One of the squares that the image is cut into, in rows and columns. The network sees patches, not pixels: "
            "what is smaller than a patch it can only know through that patch's token."
        ),
        "token": Term(
            "The list of numbers that stands for one patch, or for the whole image, and that every block adds to. Its "
            "length, embed_dim, is the width of the network."
        ),
        "embedding": Term(
            "How a patch becomes a token: its pixels times a learned matrix, plus the position embedding. It is what "
            "enters the first block.",
            r"z_0 = x_p E + E_\text{pos}",
        ),
        "position embedding": Term(
            "Learned numbers that are added to a patch's token and say where in the image the patch lies. Without them "
            "the network could not tell a picture from the same patches in another order."
        ),
        "class token": Term(
            "A learned token that belongs to no patch. It goes through all blocks with the others, gathers from them "
            "by attention, and the answer is read from it."
        ),
        "register": Term(
            "A learned token that belongs to no patch and that no answer is read from: room for notes, so that the "
            "network need not misuse patches that show nothing (Darcet et al. 2024)."
        ),
        "summary token": Term(
            "What the answer is read from after the last block: the class token, or the mean of the patches' tokens."
        ),
        "stem": Term(
            "What makes tokens of the image: one linear map of each patch, or a few small convolutions, which learn "
            "faster from few images."
        ),
    },
    "Attention": {
        "attention": Term(
            "How a token gathers from others: it gives each of them a share, the shares add up to 1, and what it takes "
            "over is the mean of their values, weighted by the shares.",
            r"\text{softmax}\left(QK^\top / \sqrt{d}\right) V",
        ),
        "query": Term("What a token looks for: a linear map of it, anew in each head. Queries are compared with keys."),
        "key": Term("What a token offers to be found by: a linear map of it, anew in each head."),
        "value": Term("What a token hands on to those that attend to it: a linear map of it, anew in each head."),
        "softmax": Term(
            "Makes shares of any numbers: all are positive, they add up to 1, and larger numbers get most. In "
            "attention it runs over the keys, in the answer over the classes.",
            r"\text{softmax}(s)_i = e^{s_i} / \textstyle\sum_j e^{s_j}",
        ),
        "head": Term(
            "One of several attentions side by side in a block. Each has queries, keys and values of its own, so each "
            "can look for something else; a linear map mixes what they found."
        ),
        "head_dim": Term(
            "How many numbers a query, a key or a value has. The width of the network is the number of heads times it.",
            r"\text{embed\_dim} = \text{heads} \times \text{head\_dim}",
        ),
    },
    "The network": {
        "block": Term(
            "One layer of the transformer: attention between the tokens, then an MLP on each by itself; both add to "
            "what came in.",
            r"z' = z + \text{Attn}(\text{LN}(z)), \quad z'' = z' + \text{MLP}(\text{LN}(z'))",
        ),
        "depth": Term("How many blocks follow one another. The pages call them layer 1, layer 2 and so on."),
        "residual stream": Term(
            "The tokens as they run through the network. Blocks do not replace them but add to them, so that what an "
            "early block wrote can be read at the end."
        ),
        "MLP": Term(
            "Two linear maps with a bend (GELU) between them, the same for every token, each token by itself. "
            "mlp_ratio is how much wider its middle is than the token."
        ),
        "GELU": Term(
            "The bend between the two maps of an MLP: large numbers pass, negative ones become nearly zero.",
            r"\text{GELU}(x) = x \, \Phi(x)",
        ),
        "layer norm": Term(
            "Brings the numbers of each token to mean 0 and variance 1, then scales and shifts each by learned "
            "amounts. It comes before attention, before the MLP and before the answer.",
            r"\gamma \, (z - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta",
        ),
        "layer scale": Term(
            "A learned factor for each number that a branch adds, small at the start, so that a deep network begins "
            "close to passing its input on (Touvron et al. 2021)."
        ),
        "logits": Term(
            "The scores of the classes before they are made into probabilities, by a linear map of the summary token. "
            "Only their differences count.",
            r"p = \text{softmax}(\text{logits})",
        ),
    },
    "Looking inside": {
        "relevance": Term(
            "How much each patch counts for an answer, by one of several methods. They disagree, and none is the "
            "truth: the Faithfulness page puts them to the test."
        ),
        "rollout": Term(
            "Multiplies the attention of all blocks, half of each being what a token keeps of itself: how much of each "
            "patch could have reached the summary token (Abnar and Zuidema 2020). It knows of no class.",
            r"R = \prod_\ell \tfrac12 (\bar A_\ell + I)",
        ),
        "Grad-CAM": Term(
            "Weights the channels of a layer by how steeply the class's score rises with them, adds them up and keeps "
            "what is positive (Selvaraju et al. 2017). It needs no attention.",
            r"\text{ReLU}\left(\textstyle\sum_c \bar g_c \, a_c\right)",
        ),
        "integrated gradients": Term(
            "Follows the score while the image comes up from a blank one, and credits each pixel with its part of the "
            "rise; the parts add up to the whole (Sundararajan et al. 2017).",
            r"(x - x_0) \int_0^1 \nabla f(x_0 + t(x - x_0)) \, dt",
        ),
        "occlusion": Term("Covers one place after the other and notes how far the score of the class falls."),
        "logit lens": Term(
            "Reads the tokens of an earlier layer as if they were the last: the same norm, the same class head. It "
            "shows an answer coming about, and is a guess in early layers (nostalgebraist 2020).",
            r"\text{softmax}(W \, \text{LN}(z_\ell))",
        ),
        "principal components": Term(
            "The directions in which many lists of numbers differ most, the first holding most of all differences; "
            "three of them make the colours of a picture."
        ),
        "contribution": Term(
            "How much a token really takes over from another: the length of the value, weighted by the attention and "
            "mapped as the head hands it on. A large share of a short value is little (Kobayashi et al. 2020)."
        ),
    },
    "What heads do": {
        "entropy": Term(
            "How widely a head spreads its attention: 0 where all goes to one token, most where every token gets the "
            "same.",
            r"H = -\textstyle\sum_j a_j \ln a_j",
        ),
        "attention distance": Term(
            "How far from itself a patch looks in the mean, in pixels, each patch weighted by its share (Dosovitskiy "
            "et al. 2021). Small is local, like a convolution.",
            r"\textstyle\sum_j a_{ij} \, \lVert p_i - p_j \rVert",
        ),
        "ablation": Term(
            "Taking a part out and measuring again: what the network then gets wrong is what the part was needed for."
        ),
        "pruning": Term(
            "Taking heads out one after the other, the least needed first, until the accuracy falls. The order is made "
            "on other images than those that are measured."
        ),
        "CKA": Term(
            "Centred kernel alignment: whether two layers find the same images alike, from 0 to 1, whatever their "
            "widths and however their numbers are turned (Kornblith et al. 2019).",
            r"\frac{\text{HSIC}(K, L)}{\sqrt{\text{HSIC}(K, K) \, \text{HSIC}(L, L)}}",
        ),
    },
    "Whether a map is true": {
        "faithfulness": Term(
            "Whether a map shows what the network used: covering what it calls important must change the answer more "
            "than covering other places does."
        ),
        "deletion": Term(
            "Patches are covered, the most important first, and the class's probability is noted. A faithful map makes "
            "it fall early, so less area under the curve is better (Petsiuk et al. 2018)."
        ),
        "insertion": Term(
            "Patches are uncovered on a covered image, the most important first. A faithful map makes the class's "
            "probability rise early, so more area under the curve is better."
        ),
    },
    "Scores": {
        "validation": Term(
            "Images that nothing was trained on. What a network gets right there is what it has learned; on its "
            "training images it may have learned the answers by heart."
        ),
        "accuracy": Term("The share of images whose class was named."),
        "cross-entropy": Term(
            "The loss: how surprised the network was by the right answer, in nats. 0 is certainty; guessing evenly "
            "among k classes gives ln k.",
            r"-\ln p_\text{true}",
        ),
        "confusion matrix": Term(
            "A table of counts: a row for each true class, a column for each answer. What is right stands on the "
            "diagonal."
        ),
        "precision": Term("Of the images that were given a class, the share that has it."),
        "recall": Term("Of the images that have a class, the share that was found."),
        "F1": Term(
            "The harmonic mean of precision and recall: high only where both are.", r"F_1 = \frac{2 \, P \, R}{P + R}"
        ),
        "calibration": Term(
            "Whether the network is as often right as it is sure. The expected calibration error (ECE) is the mean "
            "gap between the two, over groups of images of like confidence.",
            r"\text{ECE} = \textstyle\sum_b \frac{n_b}{n} \, \lvert \text{acc}_b - \text{conf}_b \rvert",
        ),
    },
    "Training": {
        "run": Term(
            "One training with all that belongs to it: settings, curves, weights, snapshots; a folder on disk."
        ),
        "epoch": Term("One pass over all training images."),
        "batch": Term("The images of one step: their mean loss says how all weights are changed a little."),
        "learning rate": Term(
            "How far one step changes the weights. Too high, and the loss jumps or does not fall; too low, and it "
            "falls slowly."
        ),
        "warm-up": Term(
            "The first steps, in which the learning rate rises from near zero: the first gradients are the wildest."
        ),
        "weight decay": Term(
            "Pulls weights towards zero a little at every step, so that only what is needed stays large (AdamW, "
            "Loshchilov and Hutter 2019)."
        ),
        "label smoothing": Term(
            "The target is not 1 for the right class but a little less, and a little for the others: the network is "
            "kept from being too sure."
        ),
        "augmentation": Term(
            "Training images are flipped, shifted, recoloured or partly erased, anew each epoch, so that the network "
            "cannot learn them by heart."
        ),
        "dropout": Term(
            "Sets a share of the numbers to zero at random while training, so that none is relied on alone."
        ),
        "stochastic depth": Term(
            "Leaves out whole branches of blocks at random while training (drop_path), later ones more often (Huang et "
            "al. 2016)."
        ),
        "seed": Term(
            "The number that all chance is drawn from: first weights, order, augmentation. The same seed and settings "
            "give the same network; another seed tells what is chance."
        ),
        "snapshot": Term("The weights as they were after some epoch, kept for the time-lapse."),
        "sweep": Term("Trainings of one recipe at several numbers of heads, depths and seeds, laid out as a map."),
        "fine-tuning": Term(
            "Training that begins with the weights of a finished network, on other images, with small steps: little "
            "data is then enough."
        ),
        "layer-wise decay": Term(
            "In fine-tuning, each block learns with a fixed share of the rate of the block after it, since early "
            "blocks hold what all images have in common.",
            r"\text{lr}_\ell = \text{lr} \cdot \lambda^{\,L - \ell}",
        ),
    },
}
"""The terms by topic, each topic in the order in which one meets them."""

GLOSSARY: dict[str, Term] = {name: term for terms in TOPICS.values() for name, term in terms.items()}


def heading(name: str) -> str:
    """A term as a heading: ``patch`` -> ``Patch``; names that have capitals or underscores stay as they are."""
    return name if name != name.lower() or "_" in name else name[:1].upper() + name[1:]
