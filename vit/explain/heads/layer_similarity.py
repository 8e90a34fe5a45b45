"""The similarity of layers, of one network or of two: centred kernel alignment (CKA).

Linear CKA (Kornblith et al. 2019) compares the similarities between images in one layer with those in another, so it
works for layers of different widths and for different kinds of networks (Raghu et al. 2021). It needs only the inner
products between images in each layer.

Shapes in einops letters: ``i`` and ``j`` image, ``b`` batch, ``n`` token, ``e`` embed_dim, ``f`` feature.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vit.cnn import CNN
from vit.config import CNNConfig, TransformerConfig, cnn_blocks
from vit.data.batches import to_tensor
from vit.data.files.images import fit_square, prepared_image
from vit.errors import DataError
from vit.networks import Network

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

IMAGES_MIN, IMAGES_MAX = 10, 1000
"""With fewer images the estimate is too noisy; more change it little, and the number of pairs grows quadratically."""

BATCH_MAX = 32
BATCH_BYTES = 16e6
"""Maximum size of one layer's attention for a batch; a few copies of it exist at the same time."""

BYTES = 1.2e9
COPIES = 3
"""Maximum size of the features of all images, in three copies: two stages, and the centred features of one."""

CONSTANT = 1e-10
"""A layer counts as constant if the variance of its features is below this share of their mean square."""

Representation = Literal["tokens", "summary"]
"""The features of an image: all its tokens, flattened, or its summary token."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Grams:
    """The result of :func:`grams`.

    Attributes:
        names: names of the stages, in their order.
        tokens, summary: ``(stages i j)`` float32, inner products of the images' centred features; zeros if a stage is
            constant over the images.
    """

    names: tuple[str, ...]
    tokens: np.ndarray
    summary: np.ndarray


class Similarities(NamedTuple):
    """The similarity of the layers of a network with those of another, or with its own.

    Attributes:
        values: CKA ``(down across)`` by representation of an image.
        down, across: the names of the stages of the first and of the second network.
        images: the number of images.
    """

    values: dict[Representation, np.ndarray]
    down: tuple[str, ...]
    across: tuple[str, ...]
    images: int


def cka(first: np.ndarray, second: np.ndarray, *, unbiased: bool = True) -> float:
    """Return the linear CKA of two layers, HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)).

    Args:
        first: ``(i j)``, inner products K between images in one layer.
        second: ``(i j)``, inner products L between the same images in the other layer.
        unbiased: use the unbiased estimator of HSIC by Song et al. (2012), as in Nguyen et al. (2021). Otherwise use
            the estimator of Kornblith et al. (2019), which tends to 1 if there are more features than images.

    Returns:
        1 if the layers differ only by a rotation, a reflection and a scale; 0 if they have nothing in common (with
        ``unbiased`` sometimes slightly below 0). NaN if a layer is constant over the images.

    Raises:
        ValueError: fewer than 4 images with ``unbiased``.
    """
    prepare = _without_bias if unbiased else _centred
    first, second = prepare(first), prepare(second)
    scale = np.sqrt(max(0.0, _hsic(first, first)) * max(0.0, _hsic(second, second)))
    return _hsic(first, second) / scale if scale > 0 else float("nan")


def similarity(first: Grams, second: Grams | None = None, *, of: Representation = "tokens") -> np.ndarray:
    """Return the CKA of every stage of a network with every stage of another, or of itself: ``(stages stages)``."""
    down, across = (
        [_without_bias(gram) for gram in getattr(grams, of)] for grams in (first, first if second is None else second)
    )
    products = np.array([[_hsic(one, other) for other in across] for one in down])
    own = [np.array([max(0.0, _hsic(gram, gram)) for gram in grams]) for grams in (down, across)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / np.sqrt(np.outer(*own))


def _centred(gram: np.ndarray) -> np.ndarray:
    """Return H K H with H = I - 1/n: the inner products of centred features."""
    gram = np.asarray(gram, dtype=np.float64)
    return gram - gram.mean(axis=0) - gram.mean(axis=1, keepdims=True) + gram.mean()


def _without_bias(gram: np.ndarray) -> np.ndarray:
    """Return the U-centred matrix of Székely and Rizzo (2014); its inner products give eq. 5 of Song et al. (2012)."""
    gram = np.array(gram, dtype=np.float64)
    n = len(gram)
    if n < 4:
        raise ValueError(f"CKA needs at least 4 images, not {n}.")
    np.fill_diagonal(gram, 0)
    sums = gram.sum(axis=0) / (n - 2)
    gram -= sums + sums[:, None] - sums.sum() / (n - 1)
    np.fill_diagonal(gram, 0)
    return gram


def _hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Return HSIC up to a constant factor, which cancels in CKA."""
    return float(np.vdot(first, second))


@torch.inference_mode()
def grams(model: Network, info: "CheckpointInfo", images: np.ndarray, *, progress: Progress | None = None) -> Grams:
    """Return the inner products between images after every stage of a network.

    All images go through one stage before the next begins, so memory holds the features of all images at two stages.
    :func:`images_max` gives the number of images for which they fit.

    Args:
        model: a transformer, whose stages are the embedding and each block's attention and MLP; or a
            :class:`vit.cnn.CNN`, whose stages are its blocks.
        info: size and normalisation of the network's images.
        images: uint8 ``(i c h w)`` of any size; they are resized and cropped for the network.
        progress: called with (done, total) after each batch of a stage.

    Raises:
        DataError: fewer than :data:`IMAGES_MIN` images.
    """
    if len(images) < IMAGES_MIN:
        raise DataError(f"Similarity needs at least {IMAGES_MIN} images, and there are {len(images)}: add some.")
    if isinstance(model, CNN):
        size = BATCH_MAX
    else:
        attention = 4 * model.config.num_heads * model.config.num_tokens**2
        size = int(np.clip(BATCH_BYTES / attention, 1, BATCH_MAX))
    steps = _StageBatches(len(images), size, 1 + len(model.blocks), progress)
    names, tokens, summary = [], [], []
    for name, features in _stages(model, info, images, steps):
        names.append(name)
        tokens.append(_gram(features.flatten(1)))
        summary.append(_gram(_summarised(model, features)))
    return Grams(tuple(names), np.stack(tokens), np.stack(summary))


def images_max(config: TransformerConfig | CNNConfig) -> int:
    """Return the maximum number of images for which :func:`grams` needs at most :data:`BYTES` in this network."""
    if isinstance(config, CNNConfig):
        side, widest = config.image_size, config.in_channels * config.image_size**2
        for block in cnn_blocks.blocks(config):
            side = -(-side // block.stride)
            widest = max(widest, block.width_out * side**2)
    else:
        widest = config.num_tokens * config.embed_dim
    return int(np.clip(BYTES / (4 * COPIES * widest), IMAGES_MIN, IMAGES_MAX))


class _StageBatches:
    """Batches of images, stage by stage. It calls ``progress`` after each batch, which may raise to stop the work."""

    def __init__(self, images: int, size: int, stages: int, progress: Progress | None) -> None:
        self.images, self.size, self.total = images, size, images * stages
        self.progress, self.done = progress, 0

    def __iter__(self) -> Iterator[slice]:
        for start in range(0, self.images, self.size):
            batch = slice(start, min(start + self.size, self.images))
            yield batch
            self.done += batch.stop - batch.start
            if self.progress is not None:
                self.progress(self.done, self.total)

    def gather(self, features: Callable[[slice], Tensor]) -> Tensor:
        """Compute the features of all images, batch by batch."""
        gathered = None
        for batch in self:
            part = features(batch)
            if gathered is None:
                gathered = part.new_empty(self.images, *part.shape[1:])
            gathered[batch] = part
        assert gathered is not None  # there are images
        return gathered


def _stages(
    model: Network, info: "CheckpointInfo", images: np.ndarray, steps: _StageBatches
) -> Iterator[tuple[str, Tensor]]:
    """Yield name and features of each stage: ``(i n e)`` for a transformer, ``(i e rows columns)`` for a CNN."""
    device = next(model.parameters()).device

    def seen(batch: slice) -> Tensor:
        square = info.image_size, info.crop_pct, info.interpolation
        views = [fit_square(prepared_image(image), *square) for image in np.moveaxis(images[batch], 1, -1)]
        return to_tensor(views, info.mean, info.std).to(device)

    if isinstance(model, CNN):
        features = steps.gather(seen)
        for number, block in enumerate(model.blocks, start=1):
            features = steps.gather(partial(_after, block, features))
            yield f"Block {number}", features
        return
    features = steps.gather(lambda batch: model.embed(seen(batch)))
    yield "Embedding", features
    for number, block in enumerate(model.blocks, start=1):
        attended = torch.empty_like(features)
        for batch in steps:
            record: dict = {}
            after = block(features[batch], record)
            attended[batch] = features[batch] + record["out"]
            features[batch] = after
        yield f"Layer {number} attention", attended
        del attended
        yield f"Layer {number} MLP", features


def _after(block: nn.Module, before: Tensor, batch: slice) -> Tensor:
    return block(before[batch])


def _summarised(model: Network, features: Tensor) -> Tensor:
    """Return the summary token of a stage's features, without the final norm: ``(i e)``."""
    if isinstance(model, CNN):
        return features.mean(dim=(2, 3))
    if model.pool == "cls":
        return features[:, 0]
    return features[:, model.num_prefix_tokens if model.pool == "mean" else 0 :].mean(dim=1)


def _gram(features: Tensor) -> np.ndarray:
    """Return the inner products of centred features ``(i f)``: ``(i j)``.

    The features are centred before the product: in single precision, a large common part would hide the differences.
    """
    centred = features - features.mean(dim=0)
    if centred.square().mean() <= CONSTANT * features.square().mean():
        return np.zeros((len(features), len(features)), dtype=np.float32)
    return (centred @ centred.T).cpu().numpy()


def largest_change(values: np.ndarray) -> int | None:
    """Return the index of the stage that differs most from the next one; None if every similarity is NaN.

    Args:
        values: ``(stages stages)``, from :func:`similarity` of one network with itself.
    """
    neighbours = np.diagonal(values, offset=1)
    return None if np.isnan(neighbours).all() else int(np.nanargmin(neighbours))
