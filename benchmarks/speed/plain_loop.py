"""A usual training script: files in folders, transforms on each image, a DataLoader, timm's model.

    python -m benchmarks.speed.plain_loop FOLDER

FOLDER holds ``train/`` and ``val/`` in ImageFolder layout. As a program it takes one step and prints, as JSON, the
times (seconds since 1970) at which its libraries were imported, model and data were ready, and the step was done.
It imports nothing from this project.
"""

import json
import sys
import time
from collections.abc import Iterable

STARTED = time.time()

import timm  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

IMPORTED = time.time()
SIZE, BATCH, WORKERS = 64, 64, 2
MEAN = STD = (0.5, 0.5, 0.5)

TRAIN = v2.Compose(
    [
        v2.ToImage(),
        v2.Resize((SIZE, SIZE)),
        v2.RandomCrop(SIZE, padding=SIZE // 8, padding_mode="reflect"),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
        v2.RandomErasing(p=0.25, scale=(0.02, 0.2), ratio=(1 / 3, 3)),
    ]
)
VALIDATE = v2.Compose(
    [v2.ToImage(), v2.Resize((SIZE, SIZE)), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
)


def loaders(folder: str, device: str, images: tuple[int, int] | None = None) -> tuple[DataLoader, DataLoader]:
    """Return the loaders of training and validation. Their worker processes persist between epochs."""
    found = []
    for index, (name, transform) in enumerate((("train", TRAIN), ("val", VALIDATE))):
        files = ImageFolder(f"{folder}/{name}", transform)
        if images:
            files = Subset(files, range(0, len(files), max(1, len(files) // images[index]))[: images[index]])
        options = {"num_workers": WORKERS, "persistent_workers": True, "pin_memory": device == "cuda"}
        found.append(DataLoader(files, batch_size=BATCH, shuffle=name == "train", **options))
    return found[0], found[1]


def build(classes: int, device: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return the small network of the comparison and its optimiser."""
    model = timm.models.VisionTransformer(
        img_size=SIZE, patch_size=16, embed_dim=128, depth=2, num_heads=2, mlp_ratio=4, num_classes=classes
    ).to(device)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable, device: str, bf16: bool = False
) -> float:
    """Train one epoch, and return the mean loss."""
    model.train()
    total, seen = torch.zeros((), device=device), 0
    for images, labels in batches:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(labels)
        seen += len(labels)
    return total.item() / seen


@torch.no_grad()
def validate(model: nn.Module, batches: Iterable, device: str, bf16: bool = False) -> float:
    """Return the validation accuracy."""
    model.eval()
    right, seen = torch.zeros((), device=device), 0
    for images, labels in batches:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = model(images.to(device, non_blocking=True))
        right += (logits.argmax(dim=1) == labels.to(device, non_blocking=True)).sum()
        seen += len(labels)
    return right.item() / seen


def main() -> None:
    """Take the first step, and print the times."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches, _ = loaders(sys.argv[1], device)
    model, optimizer = build(len(batches.dataset.classes), device)
    built = time.time()
    train(model, optimizer, [next(iter(batches))], device)
    print(json.dumps({"python": STARTED, "imports": IMPORTED, "built": built, "first step": time.time()}), flush=True)


if __name__ == "__main__":
    main()
