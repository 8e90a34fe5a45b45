"""The glossary: one or two sentences about each term of the pages, shown on Glossary and in help popovers."""

from typing import NamedTuple


class Term(NamedTuple):
    """One entry.

    Attributes:
        words: explanation in one or two sentences.
        formula: formula in LaTeX; may be empty.
    """

    words: str
    formula: str = ""


TOPICS: dict[str, dict[str, Term]] = {
    "The image and its tokens": {
        "patch": Term(
            "One of the squares that the image is cut into, in rows and columns. The network sees patches, not "
            "pixels: it knows details smaller than a patch only through that patch's token."
        ),
        "token": Term(
            "The vector of numbers that represents one patch, or the whole image. Every block adds to it. Its length, "
            "embed_dim, is the width of the network."
        ),
        "embedding": Term(
            "Turns a patch into a token: its pixels times a learned matrix, plus the position embedding. The result "
            "is the input of the first block.",
            r"z_0 = x_p E + E_\text{pos}",
        ),
        "position embedding": Term(
            "Learned numbers that are added to a patch's token and encode its position in the image. Without them, "
            "the network could not tell an image from the same patches in another order."
        ),
        "class token": Term(
            "A learned token that belongs to no patch. It passes through all blocks with the others and collects "
            "information from them by attention. The class is predicted from it."
        ),
        "register": Term(
            "A learned token that belongs to no patch and is not used for the prediction. It gives the network room "
            "for global information that it would otherwise store in unimportant patches (Darcet et al. 2024)."
        ),
        "summary token": Term(
            "The input of the classifier after the last block: the class token, or the mean of the patch tokens."
        ),
        "stem": Term(
            "The part that turns the image into tokens: one linear map of each patch, or a few small convolutions, "
            "which learn faster from few images."
        ),
    },
    "Attention": {
        "attention": Term(
            "The way a token collects information from other tokens: it gives each of them a share, the shares sum to "
            "1, and it receives the mean of their values, weighted by the shares.",
            r"\text{softmax}\left(QK^\top / \sqrt{d}\right) V",
        ),
        "query": Term(
            "What a token looks for: a linear map of the token, different in each head. Queries are compared with keys."
        ),
        "key": Term("What a token offers to be found by: a linear map of the token, different in each head."),
        "value": Term(
            "The information that a token gives to the tokens that attend to it: a linear map of the token, different "
            "in each head."
        ),
        "softmax": Term(
            "Turns any numbers into shares: all are positive and they sum to 1; the largest numbers get the largest "
            "shares. In attention it runs over the keys, in the prediction over the classes.",
            r"\text{softmax}(s)_i = e^{s_i} / \textstyle\sum_j e^{s_j}",
        ),
        "head": Term(
            "One of several attentions that run in parallel in a block. Each has its own queries, keys and values, so "
            "each can look for something else. A linear map combines their outputs."
        ),
        "head_dim": Term(
            "The length of a query, key or value. The width of the network is the number of heads times head_dim.",
            r"\text{embed\_dim} = \text{heads} \times \text{head\_dim}",
        ),
    },
    "The network": {
        "block": Term(
            "One layer of the transformer: attention between the tokens, then an MLP on each token separately. Both "
            "add their output to their input.",
            r"z' = z + \text{Attn}(\text{LN}(z)), \quad z'' = z' + \text{MLP}(\text{LN}(z'))",
        ),
        "depth": Term("The number of blocks. The pages call them layer 1, layer 2 and so on."),
        "residual stream": Term(
            "The tokens on their way through the network. Blocks add to them instead of replacing them, so what an "
            "early block wrote can still be read at the end."
        ),
        "MLP": Term(
            "Two linear maps with a GELU in between, applied to each token separately with the same weights. "
            "mlp_ratio is the width of its middle divided by the width of the token."
        ),
        "GELU": Term(
            "The nonlinearity between the two maps of an MLP: large numbers pass, negative ones become nearly zero.",
            r"\text{GELU}(x) = x \, \Phi(x)",
        ),
        "layer norm": Term(
            "Brings the numbers of each token to mean 0 and variance 1, then scales and shifts them by learned "
            "amounts. It comes before attention, before the MLP and before the classifier.",
            r"\gamma \, (z - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta",
        ),
        "layer scale": Term(
            "A learned factor for each number that attention or the MLP adds. It is small at the start, so that a "
            "deep network begins close to the identity (Touvron et al. 2021)."
        ),
        "logits": Term(
            "The scores of the classes before softmax turns them into probabilities; a linear map of the summary "
            "token. Only their differences matter.",
            r"p = \text{softmax}(\text{logits})",
        ),
    },
    "Looking inside": {
        "relevance": Term(
            "How much each patch counts for a prediction, according to one of several methods. The methods disagree, "
            "and none is the truth: the Faithfulness page tests them."
        ),
        "rollout": Term(
            "Multiplies the attention of all blocks, mixed half and half with the identity for the residual "
            "connection: how much of each patch could have reached the summary token (Abnar and Zuidema 2020). It is "
            "the same for every class.",
            r"R = \prod_\ell \tfrac12 (\bar A_\ell + I)",
        ),
        "Grad-CAM": Term(
            "Weights the channels of a layer by the gradient of the class score, sums them and keeps the positive "
            "part (Selvaraju et al. 2017). It needs no attention.",
            r"\text{ReLU}\left(\textstyle\sum_c \bar g_c \, a_c\right)",
        ),
        "integrated gradients": Term(
            "Follows the score from a blank image to the real one and credits each pixel with its part of the change. "
            "The parts sum to the whole change (Sundararajan et al. 2017).",
            r"(x - x_0) \int_0^1 \nabla f(x_0 + t(x - x_0)) \, dt",
        ),
        "occlusion": Term("Covers one place after another and measures how far the class score falls."),
        "logit lens": Term(
            "Applies the final norm and classifier to the tokens of an earlier layer. It shows how a prediction "
            "emerges; in early layers it is only a guess (nostalgebraist 2020).",
            r"\text{softmax}(W \, \text{LN}(z_\ell))",
        ),
        "principal components": Term(
            "The directions in which vectors differ most; the first explains the largest part of the differences. "
            "Three of them become the colours of a picture."
        ),
        "contribution": Term(
            "How much a token really receives from another: the length of the value, weighted by the attention and "
            "mapped by the head's output matrix. A large share of a short value is little (Kobayashi et al. 2020)."
        ),
    },
    "What heads do": {
        "entropy": Term(
            "How widely a head spreads its attention: 0 if all goes to one token, largest if every token gets the "
            "same share.",
            r"H = -\textstyle\sum_j a_j \ln a_j",
        ),
        "attention distance": Term(
            "The mean distance in pixels between a patch and the patches it attends to, weighted by the attention "
            "(Dosovitskiy et al. 2021). Small is local, like a convolution.",
            r"\textstyle\sum_j a_{ij} \, \lVert p_i - p_j \rVert",
        ),
        "ablation": Term(
            "Removing a part of the network and measuring again: what the network then gets wrong is what the part "
            "was needed for."
        ),
        "pruning": Term(
            "Removing heads one after another, least important first, until the accuracy falls. The order is "
            "determined on other images than those of the measurement."
        ),
        "CKA": Term(
            "Centred kernel alignment: how similarly two layers represent the same images, from 0 to 1, independent "
            "of width and rotation (Kornblith et al. 2019).",
            r"\frac{\text{HSIC}(K, L)}{\sqrt{\text{HSIC}(K, K) \, \text{HSIC}(L, L)}}",
        ),
    },
    "Testing a map": {
        "faithfulness": Term(
            "Whether a map shows what the network uses: covering the patches that it calls important must change the "
            "prediction more than covering other patches does."
        ),
        "deletion": Term(
            "Covers patches, most important first, and records the class probability. With a faithful map it falls "
            "early, so a smaller area under the curve is better (Petsiuk et al. 2018)."
        ),
        "insertion": Term(
            "Uncovers patches of a covered image, most important first. With a faithful map the class probability "
            "rises early, so a larger area under the curve is better."
        ),
    },
    "Scores": {
        "validation": Term(
            "Images that are not used for training. They measure what the network has learned; on training images it "
            "may only have memorised the labels."
        ),
        "accuracy": Term("The share of images that are classified correctly."),
        "cross-entropy": Term(
            "The loss: how improbable the network found the true class, in nats. 0 is certainty; equal probabilities "
            "for k classes give ln k.",
            r"-\ln p_\text{true}",
        ),
        "confusion matrix": Term(
            "A table of counts: one row per true class, one column per predicted class. Correct predictions are on "
            "the diagonal."
        ),
        "precision": Term("Of the images predicted as a class, the share that belongs to it."),
        "recall": Term("Of the images that belong to a class, the share that is predicted as it."),
        "F1": Term(
            "The harmonic mean of precision and recall: high only if both are high.",
            r"F_1 = \frac{2 \, P \, R}{P + R}",
        ),
        "calibration": Term(
            "Whether the confidence of the network matches its accuracy. The expected calibration error (ECE) is the "
            "mean gap between the two, over groups of images with similar confidence.",
            r"\text{ECE} = \textstyle\sum_b \frac{n_b}{n} \, \lvert \text{acc}_b - \text{conf}_b \rvert",
        ),
    },
    "Training": {
        "run": Term("One training with its settings, curves, weights and snapshots, stored in one folder."),
        "epoch": Term("One pass over all training images."),
        "batch": Term("The images of one training step: the gradient of their mean loss changes all weights a little."),
        "learning rate": Term(
            "How far one step changes the weights. If it is too high, the loss jumps or does not fall; if it is too "
            "low, the loss falls slowly."
        ),
        "warm-up": Term(
            "The first steps, in which the learning rate rises from near zero because the first gradients are the "
            "least stable."
        ),
        "weight decay": Term(
            "Pulls all weights towards zero a little at every step, so that only needed ones stay large (AdamW, "
            "Loshchilov and Hutter 2019)."
        ),
        "label smoothing": Term(
            "The training target is slightly below 1 for the true class and slightly above 0 for the others, which "
            "keeps the network from becoming overconfident."
        ),
        "augmentation": Term(
            "Training images are randomly flipped, shifted, recoloured or partly erased, differently in each epoch, "
            "so that the network cannot memorise them."
        ),
        "dropout": Term(
            "Sets a random share of the numbers to zero during training, so that the network does not rely on single "
            "ones."
        ),
        "stochastic depth": Term(
            "Skips whole branches of blocks at random during training (drop_path), later ones more often (Huang et "
            "al. 2016)."
        ),
        "seed": Term(
            "The number that determines all randomness: initial weights, order, augmentation. The same seed and "
            "settings give the same network; other seeds show how much is chance."
        ),
        "snapshot": Term("The weights after one epoch, kept for the time-lapse."),
        "sweep": Term("Runs of one recipe with several numbers of heads, depths and seeds, shown as a map."),
        "fine-tuning": Term(
            "Training that starts from the weights of a trained network, on other images and with small steps. It "
            "needs little data."
        ),
        "layer-wise decay": Term(
            "In fine-tuning, the learning rate of each block is a fixed share of that of the next block, because "
            "early blocks hold what all images have in common.",
            r"\text{lr}_\ell = \text{lr} \cdot \lambda^{\,L - \ell}",
        ),
    },
}
"""The terms by topic, in reading order."""

GLOSSARY: dict[str, Term] = {name: term for terms in TOPICS.values() for name, term in terms.items()}


def heading(name: str) -> str:
    """Return a term as a heading: ``patch`` becomes ``Patch``; names with capitals or underscores stay unchanged."""
    return name if name != name.lower() or "_" in name else name[:1].upper() + name[1:]
