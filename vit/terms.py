"""The glossary: the terms of pages and exports, with one explanation for all of them."""

from typing import NamedTuple

from vit.runs.dependence import LOW


class Term(NamedTuple):
    """One entry of the glossary.

    Attributes:
        words: the explanation, in one to three sentences.
        formula: the definition in LaTeX, if that helps.
    """

    words: str
    formula: str = ""


TOPICS: dict[str, dict[str, Term]] = {
    "The image and its tokens": {
        "patch": Term(
            "One of the squares that the image is cut into, in rows and columns. Each patch becomes one token, so the "
            "network sees details smaller than a patch only through that token."
        ),
        "token": Term(
            "The vector that represents one patch, or the whole image. Every block adds to it. Its length, embed_dim, "
            "is the width of the network."
        ),
        "embedding": Term(
            "The step that turns patches into tokens: the pixels of a patch times a learned matrix, plus the position "
            "embedding. The result is the input of the first block.",
            r"z_0 = x_p E + E_\text{pos}",
        ),
        "position embedding": Term(
            "A learned vector that is added to a patch's token and encodes where the patch lies in the image. Without "
            "it the network could not tell an image from the same patches in another order."
        ),
        "class token": Term(
            "A learned token that belongs to no patch. In every block it collects information from the other tokens by "
            "attention. The class head reads it if it is the summary token."
        ),
        "register": Term(
            "A learned token that belongs to no patch and is not read at the end. It gives the network room to store "
            "information that it would otherwise store in patches without content (Darcet et al. 2024)."
        ),
        "summary token": Term(
            "What the class head reads after the last block: the class token, or the mean of the patches' tokens."
        ),
        "stem": Term(
            "The part that turns the image into tokens: one linear map of each patch, or a few small convolutions, "
            "which learn faster from few images."
        ),
    },
    "Attention": {
        "attention": Term(
            "The operation by which a token collects information from other tokens. It gives each of them a weight; "
            "the weights sum to 1, and the result is the weighted mean of their values.",
            r"\text{softmax}\left(QK^\top / \sqrt{d}\right) V",
        ),
        "query": Term(
            "What a token looks for: a linear map of the token, different in each head. Queries are compared with keys."
        ),
        "key": Term("What a query is compared with: a linear map of the token, different in each head."),
        "value": Term(
            "What other tokens receive from a token that they attend to: a linear map of it, different in each head."
        ),
        "softmax": Term(
            "Turns any numbers into positive weights that sum to 1; larger numbers get larger weights. In attention it "
            "runs over the keys, in the class head over the classes.",
            r"\text{softmax}(s)_i = e^{s_i} / \textstyle\sum_j e^{s_j}",
        ),
        "head": Term(
            "One of several attention operations that run in parallel in a block. Each head has its own queries, keys "
            "and values, so it can look for something different. A linear map combines the results of all heads."
        ),
        "head_dim": Term(
            "The length of a query, a key or a value. The width of the network is the number of heads times head_dim.",
            r"\text{embed\_dim} = \text{heads} \times \text{head\_dim}",
        ),
    },
    "The network": {
        "block": Term(
            "One layer of the transformer: attention between the tokens, then an MLP on each token separately. Both "
            "add their result to their input.",
            r"z' = z + \text{Attn}(\text{LN}(z)), \quad z'' = z' + \text{MLP}(\text{LN}(z'))",
        ),
        "depth": Term("The number of blocks. The pages call the blocks layer 1, layer 2 and so on."),
        "residual stream": Term(
            "The tokens on their way through the network. Blocks add to the tokens and do not replace them, so later "
            "blocks can still read what an early block wrote."
        ),
        "MLP": Term(
            "Two linear maps with a nonlinearity (GELU) between them, applied to each token separately. mlp_ratio is "
            "the width of the hidden layer divided by the width of a token."
        ),
        "GELU": Term(
            "The nonlinearity of an MLP: large numbers pass almost unchanged, negative numbers become nearly zero.",
            r"\text{GELU}(x) = x \, \Phi(x)",
        ),
        "layer norm": Term(
            "Normalises the numbers of each token to mean 0 and variance 1, then scales and shifts them by learned "
            "amounts. It comes before attention, before the MLP and before the class head.",
            r"\gamma \, (z - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta",
        ),
        "layer scale": Term(
            "A learned factor for each number that a branch adds. It starts small, so that a deep network begins close "
            "to the identity (Touvron et al. 2021)."
        ),
        "logits": Term(
            "The scores of the classes before the softmax turns them into probabilities: a linear map of the summary "
            "token. Only differences between logits matter.",
            r"p = \text{softmax}(\text{logits})",
        ),
    },
    "Looking inside": {
        "relevance": Term(
            "How much each patch matters for a prediction, according to one of several methods. The methods disagree, "
            "and none of them is the truth: the Faithfulness page tests them."
        ),
        "rollout": Term(
            "Multiplies the attention matrices of all blocks, each averaged with the identity for the residual "
            "connection: how much of each patch can reach the summary token (Abnar and Zuidema 2020). It knows no "
            "class.",
            r"R = \prod_\ell \tfrac12 (\bar A_\ell + I)",
        ),
        "Grad-CAM": Term(
            "Weights the channels of a layer by the gradient of the class's score, sums them and keeps the positive "
            "part (Selvaraju et al. 2017). It needs no attention.",
            r"\text{ReLU}\left(\textstyle\sum_c \bar g_c \, a_c\right)",
        ),
        "integrated gradients": Term(
            "Integrates the gradient of the score along a path from a blank image to the image. Each pixel gets its "
            "part of the increase, and the parts sum to the whole increase (Sundararajan et al. 2017).",
            r"(x - x_0) \int_0^1 \nabla f(x_0 + t(x - x_0)) \, dt",
        ),
        "occlusion": Term(
            "Covers one region of the image after another and measures how far the score of the class falls."
        ),
        "logit lens": Term(
            "Applies the final norm and the class head to the tokens of an earlier layer. It shows how the prediction "
            "develops from layer to layer, and is unreliable in early layers (nostalgebraist 2020).",
            r"\text{softmax}(W \, \text{LN}(z_\ell))",
        ),
        "principal components": Term(
            "The directions in which a set of vectors varies most, in order of variance. The first three can be shown "
            "as the red, green and blue of a picture."
        ),
        "contribution": Term(
            "How much a token really receives from another: the length of the value after the head's output map, times "
            "the attention weight. A large weight on a short value is small (Kobayashi et al. 2020)."
        ),
    },
    "What heads do": {
        "entropy": Term(
            "How widely a head spreads its attention: 0 if one token gets all of it, maximal if all tokens get the "
            "same.",
            r"H = -\textstyle\sum_j a_j \ln a_j",
        ),
        "attention distance": Term(
            "The mean distance in pixels between a patch and the patches that it attends to, weighted by the attention "
            "(Dosovitskiy et al. 2021). A small distance is local, like a convolution.",
            r"\textstyle\sum_j a_{ij} \, \lVert p_i - p_j \rVert",
        ),
        "ablation": Term(
            "Removing a part of the network and measuring again. What the network then gets wrong is what it needed "
            "the part for."
        ),
        "activation patching": Term(
            "Copying an activation from the run of one image into the run of another. If the answer moves to that of "
            "the first image, the activation carried what the two images differ in (Zhang and Nanda 2024).",
            r"\text{effect} = \frac{\text{LD}_\text{patched} - \text{LD}_\text{base}}"
            r"{\text{LD}_\text{source} - \text{LD}_\text{base}}",
        ),
        "logit difference": Term(
            "LD: the logit of one class minus that of another. It is positive if the network prefers the first class.",
            r"\text{LD} = \text{logit}_A - \text{logit}_B",
        ),
        "vote": Term(
            "What one part of the network adds to a logit directly. With the scale of the final norm held at its "
            "value, the votes of the embedding, heads, MLPs and biases add up to the logit.",
        ),
        "circuits": Term(
            "The two maps of a head: QK decides where it looks, OV what it writes from there (Elhage et al. 2021).",
            r"W_Q W_K^\top, \quad W_V W_O",
        ),
        "attention dependence": Term(
            "The share of the accuracy above chance that is lost if no head has an output, or if every head looks "
            f"everywhere equally, whichever loses less. Below {LOW:.0%} the answer hardly depends on what the maps "
            "show."
        ),
        "pruning": Term(
            "Removing heads one after another, the least important first, until the accuracy falls. The order is "
            "determined on other images than the accuracy."
        ),
        "CKA": Term(
            "Centred kernel alignment: a similarity of two layers from 0 to 1. It is 1 if both layers find the same "
            "images similar, whatever their widths and however their features are rotated (Kornblith et al. 2019).",
            r"\frac{\text{HSIC}(K, L)}{\sqrt{\text{HSIC}(K, K) \, \text{HSIC}(L, L)}}",
        ),
    },
    "Testing a map": {
        "faithfulness": Term(
            "Whether a map shows what the network used: covering the patches that it calls important must change the "
            "prediction more than covering other patches."
        ),
        "deletion": Term(
            "Covers patches, the most important first, and records the probability of the class. With a faithful map "
            "it falls early, so a smaller area under the curve is better (Petsiuk et al. 2018)."
        ),
        "insertion": Term(
            "Uncovers patches of a covered image, the most important first. With a faithful map the probability of the "
            "class rises early, so a larger area under the curve is better."
        ),
    },
    "Scores": {
        "validation": Term(
            "Images that the network was not trained on. Accuracy on them shows what it has learned; it may have "
            "memorised its training images."
        ),
        "accuracy": Term("The share of images that are classified correctly."),
        "DINO": Term(
            "Training without labels (Caron et al. 2021): a student network learns to predict the output of a teacher, "
            "a moving average of itself, for another crop of the same image."
        ),
        "swapped backgrounds": Term(
            "Crops in which the object stands on the background of another image (Ryali et al. 2021), so that the "
            "object is what the crops of an image have in common. This needs masks of the objects, but no classes."
        ),
        "masked autoencoding": Term(
            "Training without labels (MAE, He et al. 2022): most patches of an image are hidden, and a small decoder "
            "reconstructs them from the tokens of the visible ones."
        ),
        "k-NN accuracy": Term(
            "Accuracy of a k-nearest-neighbour classifier on features: each of the 20 training images with the most "
            "similar summary token votes for its class. It shows what a network knows that was trained without labels, "
            "and needs no further training."
        ),
        "teacher entropy": Term(
            "How evenly DINO's teacher spreads its output over the prototypes, in nats. Near 0 for all images, the "
            "training has collapsed; near the logarithm of their number (6.2 for 512), it cannot tell images apart."
        ),
        "divergence": Term(
            "Kullback-Leibler divergence of the student's output from the teacher's, for two crops of an image. At 0 "
            "the student has nothing left to learn; if it falls to 0 early, the training has collapsed."
        ),
        "cross-entropy": Term(
            "The loss: minus the logarithm of the probability of the true class, in nats. It is 0 for a certain and "
            "correct prediction, and ln k for k equally likely classes.",
            r"-\ln p_\text{true}",
        ),
        "confusion matrix": Term(
            "A table of counts with a row for each true class and a column for each predicted class. Correct "
            "predictions are on the diagonal."
        ),
        "precision": Term("Of the images that are predicted as a class, the share that belongs to it."),
        "recall": Term("Of the images that belong to a class, the share that is predicted as it."),
        "F1": Term(
            "The harmonic mean of precision and recall: it is high only if both are.",
            r"F_1 = \frac{2 \, P \, R}{P + R}",
        ),
        "calibration": Term(
            "Whether the confidence of the network matches its accuracy. The expected calibration error (ECE) is the "
            "mean difference of the two over groups of images with similar confidence.",
            r"\text{ECE} = \textstyle\sum_b \frac{n_b}{n} \, \lvert \text{acc}_b - \text{conf}_b \rvert",
        ),
    },
    "Training": {
        "run": Term("One training with everything that belongs to it: settings, curves, weights, snapshots; a folder."),
        "epoch": Term("One pass over all training images."),
        "batch": Term("The images of one training step; the gradient of their mean loss changes the weights."),
        "learning rate": Term(
            "How far one step changes the weights. If it is too high, the loss jumps or does not fall; if it is too "
            "low, the loss falls slowly."
        ),
        "warm-up": Term(
            "The first steps, in which the learning rate rises from near zero, because the first gradients are the "
            "least reliable."
        ),
        "weight decay": Term(
            "Pulls all weights a little towards zero at every step, so that only weights that are needed stay large "
            "(AdamW, Loshchilov and Hutter 2019)."
        ),
        "label smoothing": Term(
            "The target is a little less than 1 for the true class and a little more than 0 for the others, which "
            "keeps the network from becoming overconfident."
        ),
        "augmentation": Term(
            "Training images are randomly flipped, shifted, recoloured or partly erased in each epoch, so that the "
            "network cannot memorise them."
        ),
        "mixup": Term(
            "Each training image is blended with another one, and the network has to name both in proportion. It then "
            "answers less abruptly between the classes (Zhang et al. 2018)."
        ),
        "CutMix": Term(
            "A box of each training image is replaced by the same box of another one, and the network has to name both "
            "in proportion to their areas (Yun et al. 2019)."
        ),
        "distillation": Term(
            "A network, the student, learns not only from the labels but also from the answers of a trained network, "
            "the teacher, to the same images (Hinton et al. 2015)."
        ),
        "average of the weights": Term(
            "A second set of weights that follows the trained ones slowly. It evens out the noise of single steps and "
            "is often more accurate."
        ),
        "dropout": Term(
            "Sets a random share of the numbers to zero during training, so that the network does not rely on single "
            "ones."
        ),
        "stochastic depth": Term(
            "Skips random branches of blocks during training (drop_path), later ones more often (Huang et al. 2016)."
        ),
        "seed": Term(
            "The number that all randomness is derived from: first weights, order of the images, augmentation. The "
            "same seed and settings give the same network; other seeds show how much is chance."
        ),
        "snapshot": Term("The weights as they were after some epoch, kept for the time-lapse."),
        "sweep": Term(
            "Runs with one recipe and different numbers of heads, depths and seeds; their results are shown as a map."
        ),
        "burst": Term(
            "Frames that are recorded with the camera without a pause. They are nearly the same, so whole bursts are "
            "kept for validation; otherwise the network would be tested on frames like those it was trained on."
        ),
        "fine-tuning": Term(
            "Training that starts from the weights of a trained network, on other images and with small steps; few "
            "images are then enough."
        ),
        "layer-wise decay": Term(
            "In fine-tuning, each block learns with a fixed fraction of the learning rate of the block after it, since "
            "early blocks detect what most images have in common.",
            r"\text{lr}_\ell = \text{lr} \cdot \lambda^{\,L - \ell}",
        ),
    },
}
"""The terms by topic; within a topic, later terms build on earlier ones."""

GLOSSARY: dict[str, Term] = {name: term for terms in TOPICS.values() for name, term in terms.items()}


def heading(name: str) -> str:
    """Return a term as a heading: ``patch`` becomes ``Patch``; names with capitals or underscores stay unchanged."""
    return name if name != name.lower() or "_" in name else name[:1].upper() + name[1:]
