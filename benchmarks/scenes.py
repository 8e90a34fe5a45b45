"""Measure how well scenes can be classified without the shape of the object.

    python -m benchmarks.scenes [--train 5000] [--val 1000] [--epochs 10]

Every figure is the validation accuracy of a model that was fitted on training images (64 x 64 pixels):

- *Raw pixels*: logistic regression on standardised pixel values, the best of several penalties.
- *Colour histogram*: the same with the joint 8 x 8 x 8 RGB histogram.
- *Background*: a small convolutional network. To remove the object without leaving its outline, the scene is drawn
  again without it; all other pixels, including light and foreground, stay the same. The bar applies to this test. Two
  simpler variants: the square around the object is filled with the mean colour (its position and size remain visible),
  or only the object's pixels are filled. In the latter the outline, and so the shape, remains visible: this figure must
  be high, and says nothing about the background.
- *Whole image*: the same network on complete images, which shows what a model can learn from scenes.
"""

import argparse
import resource
import time

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from vit.data import scenes

SIZE = 64


def logistic(train: np.ndarray, train_labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> float:
    """Return the best validation accuracy of logistic regression over several penalties; features ``(n f)``."""
    scale = StandardScaler().fit(train)
    train, val = scale.transform(train), scale.transform(val)
    if train.shape[1] > 1024:  # keeps at least 99 % of the variance; nearly the same model, minutes faster
        pca = PCA(1000, svd_solver="randomized", iterated_power=2, random_state=0).fit(train)
        train, val = pca.transform(train), pca.transform(val)
    return max(
        LogisticRegression(C=penalty, max_iter=200).fit(train, train_labels).score(val, val_labels)
        for penalty in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    )


def histograms(images: np.ndarray) -> np.ndarray:
    """Return square roots of the joint RGB histogram with 8 x 8 x 8 bins: ``n c h w -> n 512``."""
    bins = images.astype(np.int64) // 32
    codes = (bins[:, 0] * 64 + bins[:, 1] * 8 + bins[:, 2]).reshape(len(images), -1)
    counts = np.stack([np.bincount(row, minlength=512) for row in codes])
    return np.sqrt(counts / codes.shape[1])


def network() -> nn.Module:
    """Return four convolutions, each halving the image, and a linear layer on the 16 positions."""
    layers: list[nn.Module] = []
    for before, after, kernel in ((3, 24, 5), (24, 48, 3), (48, 96, 3), (96, 96, 3)):
        stride = 2 if before == 3 else 1
        layers += [nn.Conv2d(before, after, kernel, stride, kernel // 2), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if stride == 1 else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * (SIZE // 16) ** 2, 5))


def convolutional(
    train: np.ndarray, train_labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray, epochs: int
) -> float:
    """Return the best validation accuracy over the epochs of a small CNN; images ``(n c h w)``."""
    torch.manual_seed(0)
    model, order = network().to(memory_format=torch.channels_last), np.random.default_rng(0)
    steps = epochs * (len(train) // 64)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    targets, best = torch.from_numpy(train_labels), 0.0
    for _ in range(epochs):
        model.train()
        for batch in order.permutation(len(train))[: len(train) // 64 * 64].reshape(-1, 64):
            images = _floats(train[batch])
            images = images.flip(-1) if order.random() < 0.5 else images
            images = images.roll(order.integers(-6, 7, 2).tolist(), (-2, -1))
            optimiser.zero_grad()
            F.cross_entropy(model(images), targets[batch]).backward()
            optimiser.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            predicted = np.concatenate([model(_floats(part)).argmax(1) for part in np.array_split(val, 8)])
        best = max(best, float((predicted == val_labels).mean()))
    return best


def _floats(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).float().to(memory_format=torch.channels_last) / 127.5 - 1


def without_object(images: np.ndarray, masks: np.ndarray, split: str) -> np.ndarray:
    """Draw the scenes again without their objects: ``(n c h w)``."""
    pictures = [scenes.draw_background(index, split=split, image_size=SIZE) for index in range(len(images))]
    return np.stack(pictures).transpose(0, 3, 1, 2)


def square_filled(images: np.ndarray, masks: np.ndarray, split: str) -> np.ndarray:
    """Fill the square around each object with the mean colour of the rest."""
    filled = images.copy()
    rows, columns = np.arange(SIZE)[:, None], np.arange(SIZE)[None, :]
    for image, mask in zip(filled, masks, strict=True):
        y, x = np.nonzero(mask)
        half = max(np.ptp(y), np.ptp(x)) / 2 + 2
        inside = (abs(rows - (y.min() + y.max()) / 2) <= half) & (abs(columns - (x.min() + x.max()) / 2) <= half)
        image[:, inside] = (image[:, ~inside].mean(1) if not inside.all() else np.full(3, 128.0)).astype(np.uint8)[
            :, None
        ]
    return filled


def object_filled(images: np.ndarray, masks: np.ndarray, split: str) -> np.ndarray:
    """Fill only the object's pixels with the mean colour; the outline remains."""
    filled = images.copy()
    for image, mask in zip(filled, masks.astype(bool), strict=True):
        image[:, mask] = image[:, ~mask].mean(1).astype(np.uint8)[:, None]
    return filled


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--train", type=int, default=scenes.SPLIT_COUNTS["train"])
    options.add_argument("--val", type=int, default=scenes.SPLIT_COUNTS["val"])
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--draw", type=int, default=10_000, help="images drawn to measure the speed")
    chosen = options.parse_args()
    print("| Measure | Figure | Bar |\n|---|---|---|")

    def row(measure: str, figure: str, bar: str) -> None:
        print(f"| {measure} | {figure} | {bar} |", flush=True)

    begin = time.perf_counter()
    scenes.draw_many(chosen.draw, image_size=SIZE)
    seconds, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    title = f"Drawing {chosen.draw:,} images on {scenes.pool.cores()} cores"
    row(title, f"{seconds:.1f} s ({busy:.1f} s of processor time)", "< 30 s for 10,000")
    images, masks, labels = scenes.draw_many(chosen.train, split="train", image_size=SIZE)
    val_images, val_masks, val_labels = scenes.draw_many(chosen.val, split="val", image_size=SIZE)

    flat, val_flat = (part.reshape(len(part), -1).astype(np.float32) for part in (images, val_images))
    row("Logistic regression, raw pixels", f"{logistic(flat, labels, val_flat, val_labels):.1%}", "< 55 %")
    colours = logistic(histograms(images), labels, histograms(val_images), val_labels)
    row("Logistic regression, colour histogram", f"{colours:.1%}", "≤ 35 %")
    hidings = (
        ("Network, scene drawn without its object", without_object, "≤ 30 %"),
        ("Network, object's square filled", square_filled, "≤ 30 %"),
        ("Network, object's pixels filled (outline remains)", object_filled, "none"),
        ("Network, whole image", lambda pictures, masks, split: pictures, "> 96 %"),
    )
    for title, hide, bar in hidings:
        hidden, val_hidden = hide(images, masks, "train"), hide(val_images, val_masks, "val")
        row(title, f"{convolutional(hidden, labels, val_hidden, val_labels, chosen.epochs):.1%}", bar)
    print(f"\nMeasured in {time.perf_counter() - begin:.0f} s.")


if __name__ == "__main__":
    main()
