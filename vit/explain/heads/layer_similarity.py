"""How alike two layers see a set of images: centred kernel alignment, between the layers of one network or of two.

Linear CKA (Kornblith et al. 2019) compares which images a layer finds similar to which, so layers of any width, and
networks of any kind, can be held against each other (Raghu et al. 2021). It needs each layer's inner products between
images alone.

Shapes in einops letters: ``i`` and ``j`` image, ``b`` batch, ``n`` token, ``e`` embed_dim, ``f`` feature.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vit.cnn import CNN
from vit.config import CNNConfig, TransformerConfig, cnn_blocks
from vit.data.batches import to_tensor
from vit.data.files.images import fit_square
from vit.errors import DataError
from vit.networks import Network

if TYPE_CHECKING:  # it would bring the trainer
    from vit.runs.weights import CheckpointInfo

IMAGES_MIN, IMAGES_MAX = 10, 1000
"""With fewer images the estimate is noise; more change little, and their pairs are many."""

BATCH_MAX = 32
BATCH_BYTES = 16e6
"""A batch is so small that the attention of one layer stays below this; a few copies of it are made."""

BYTES = 1.2e9
COPIES = 3
"""The features of all images may take so many bytes, with two stages of them and the centred copy of one."""

CONSTANT = 1e-10
"""A layer is the same for every image where its features' variance is below this share of their mean square."""

Representation = Literal["tokens", "summary"]
"""What stands for an image: all its tokens one after another, or the summary token."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Grams:
    """What :func:`grams` keeps of a network.

    Attributes:
        names: of its stages, in the order in which an image goes through them.
        tokens, summary: ``(stages i j)`` float32, inner products of the images' centred features; zeros where a stage
            is the same for every image.
    """

    names: tuple[str, ...]
    tokens: np.ndarray
    summary: np.ndarray


def cka(first: np.ndarray, second: np.ndarray, *, unbiased: bool = True) -> float:
    """Linear CKA of two layers from their inner products ``(i j)`` between the same images.

    Args:
        unbiased: with the estimate of HSIC by Song et al. (2012), as in Nguyen et al. (2021). Without it, as in
            Kornblith et al. (2019), which rises towards 1 where there are more features than images.

    Returns:
        1 where one layer is the other turned, mirrored and scaled as a whole; 0 where they have nothing in common, and
        with ``unbiased`` slightly below at times. NaN where a layer is the same for every image.

    Raises:
        ValueError: fewer than 4 images with ``unbiased``.
    """
    prepare = _without_bias if unbiased else _centred
    first, second = prepare(first), prepare(second)
    scale = np.sqrt(max(0.0, _hsic(first, first)) * max(0.0, _hsic(second, second)))
    return _hsic(first, second) / scale if scale > 0 else float("nan")


def similarity(first: Grams, second: Grams | None = None, *, of: Representation = "tokens") -> np.ndarray:
    """CKA of every stage of one network with every stage of another, or of itself: ``(stages stages)``."""
    down, across = (
        [_without_bias(gram) for gram in getattr(grams, of)] for grams in (first, first if second is None else second)
    )
    products = np.array([[_hsic(one, other) for other in across] for one in down])
    own = [np.array([max(0.0, _hsic(gram, gram)) for gram in grams]) for grams in (down, across)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / np.sqrt(np.outer(*own))


def _centred(gram: np.ndarray) -> np.ndarray:
    """H K H with H = I - 1/n: the inner products of centred features."""
    gram = np.asarray(gram, dtype=np.float64)
    return gram - gram.mean(axis=0) - gram.mean(axis=1, keepdims=True) + gram.mean()


def _without_bias(gram: np.ndarray) -> np.ndarray:
    """The U-centred matrix of Székely and Rizzo (2014): its products' sums are those of Song et al. (2012), eq. 5."""
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
    """Up to a factor that falls out of CKA."""
    return float(np.vdot(first, second))


@torch.inference_mode()
def grams(model: Network, info: "CheckpointInfo", images: np.ndarray, *, progress: Progress | None = None) -> Grams:
    """Inner products between images after every stage of a network.

    All images go through one stage before the next begins, so two stages' features of all images are held at a time:
    :func:`images_max` says how many there should be.

    Args:
        model: a transformer, with a stage before its first block, one after the attention of each block and one after
            its MLP; or a :class:`vit.cnn.CNN`, with one after each block.
        images: uint8 ``(i c h w)`` of any size; the network sees them at its own.
        progress: told (done, total) after each batch of a stage.

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
    """Of how many images :func:`grams` can compare the pairs within :data:`BYTES`, in the network of these settings."""
    if isinstance(config, CNNConfig):
        side, widest = config.image_size, config.in_channels * config.image_size**2
        for block in cnn_blocks.blocks(config):
            side = -(-side // block.stride)
            widest = max(widest, block.width_out * side**2)
    else:
        widest = config.num_tokens * config.embed_dim
    return int(np.clip(BYTES / (4 * COPIES * widest), IMAGES_MIN, IMAGES_MAX))


class _StageBatches:
    """Batches of images, stage by stage, with progress and a stop at each."""

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
        """The features of all images, from those of each batch."""
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
    """Name and features of each stage: ``(i n e)`` of a transformer, ``(i e rows columns)`` of a CNN."""
    device = next(model.parameters()).device

    def seen(batch: slice) -> Tensor:
        square = info.image_size, info.crop_pct, info.interpolation
        views = [fit_square(Image.fromarray(image), *square) for image in np.moveaxis(images[batch], 1, -1)]
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
    """What the head would read of a stage's features, before any norm: ``(i e)``."""
    if isinstance(model, CNN):
        return features.mean(dim=(2, 3))
    if model.pool == "cls":
        return features[:, 0]
    return features[:, model.num_prefix_tokens if model.pool == "mean" else 0 :].mean(dim=1)


def _gram(features: Tensor) -> np.ndarray:
    """Inner products of centred features ``(i f)``: ``(i j)``.

    Centred before the product, which in single precision would drown in what all images have in common.
    """
    centred = features - features.mean(dim=0)
    if centred.square().mean() <= CONSTANT * features.square().mean():
        return np.zeros((len(features), len(features)), dtype=np.float32)
    return (centred @ centred.T).cpu().numpy()


def largest_change(values: np.ndarray) -> int | None:
    """The stage of one network after which most changes: the index of the first of the two; None where there is none.

    Args:
        values: of :func:`similarity`, ``(stages stages)``.
    """
    neighbours = np.diagonal(values, offset=1)
    return None if np.isnan(neighbours).all() else int(np.nanargmin(neighbours))
