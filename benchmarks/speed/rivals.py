"""The same Vision Transformer from this project and from other libraries, and a training step with each.

The others are trained in the usual way: ``torch.optim.AdamW(fused=True)``, each step called from Python; on a GPU in
bf16 by autocast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.speed.rounds import Steps
from vit.config import NO_AUGMENTATION, ModelConfig, TrainingConfig, ViTConfig
from vit.data.batches import ALL, Batches
from vit.data.records import Split
from vit.networks import build_model
from vit.trainer.objectives import LabelObjective
from vit.trainer.optimizer import AdamW
from vit.trainer.step import Stepper

IMAGE_SIZE, BATCH, CLASSES = 64, 64, 5
LR, WEIGHT_DECAY, LABEL_SMOOTHING = 1e-3, 0.05, 0.1
PLAIN = TrainingConfig(
    batch_size=BATCH,
    lr=LR,
    weight_decay=WEIGHT_DECAY,
    label_smoothing=LABEL_SMOOTHING,
    clip_norm=0,
    **NO_AUGMENTATION,
    blank_images=0,
)
"""The recipe of the other libraries' steps, without anything else."""
_HELD_STEPS = 64


@dataclass(frozen=True)
class Shape:
    """A ViT for images of 64 x 64 px with an MLP ratio of 4."""

    name: str
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int

    def config(self, pool: str = "cls") -> ViTConfig:
        """Return this project's settings of the shape."""
        return ViTConfig(
            image_size=IMAGE_SIZE,
            patch_size=self.patch_size,
            embed_dim=self.embed_dim,
            depth=self.depth,
            num_heads=self.num_heads,
            mlp_ratio=4,
            stem="patch",
            pool=pool,
            num_classes=CLASSES,
        )

    def __str__(self) -> str:
        return (
            f"{self.name}: patch {self.patch_size}, width {self.embed_dim}, depth {self.depth}, {self.num_heads} heads"
        )


SHAPES = {
    shape.name: shape
    for shape in (Shape("small", 16, 128, 2, 2), Shape("large", patch_size=8, embed_dim=192, depth=6, num_heads=3))
}


def timm_vit(shape: Shape, pool: str = "cls") -> nn.Module:
    """Return timm's network, which has the same state dict as ours."""
    from timm.models.vision_transformer import VisionTransformer

    pooling = {"cls": {"global_pool": "token"}, "mean": {"global_pool": "avg", "fc_norm": False}}[pool]
    return VisionTransformer(
        img_size=IMAGE_SIZE,
        patch_size=shape.patch_size,
        embed_dim=shape.embed_dim,
        depth=shape.depth,
        num_heads=shape.num_heads,
        num_classes=CLASSES,
        mlp_ratio=4,
        **pooling,
    )


def torchvision_vit(shape: Shape) -> nn.Module:
    """Return torchvision's network, which reads the class token."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=IMAGE_SIZE,
        patch_size=shape.patch_size,
        num_layers=shape.depth,
        num_heads=shape.num_heads,
        hidden_dim=shape.embed_dim,
        mlp_dim=4 * shape.embed_dim,
        num_classes=CLASSES,
    )


def vit_pytorch_vit(shape: Shape, kind: str) -> nn.Module:
    """Return vit-pytorch's ``SimpleViT`` (fixed positions, mean pooling) or ``ViT`` (class token)."""
    import vit_pytorch

    return getattr(vit_pytorch, kind)(
        image_size=IMAGE_SIZE,
        patch_size=shape.patch_size,
        num_classes=CLASSES,
        dim=shape.embed_dim,
        depth=shape.depth,
        heads=shape.num_heads,
        dim_head=shape.embed_dim // shape.num_heads,
        mlp_dim=4 * shape.embed_dim,
    )


@dataclass(frozen=True)
class Rival:
    """Another's network.

    Attributes:
        pool: what its head reads, as our ``pool`` says it: what it is compared with.
        bf16: whether a GPU computes it in bf16.
    """

    name: str
    pool: str
    build: Callable[[Shape], nn.Module]
    bf16: bool = True


def rivals(device: torch.device) -> list[Rival]:
    """Those that are installed."""
    found = []
    if find_spec("timm"):
        for pool in ("cls", "mean"):
            build = lambda shape, pool=pool: timm_vit(shape, pool)  # noqa: E731
            found.append(Rival(f"timm, {pool}", pool, build))
            if (
                device.type == "cuda"
            ):  # where launches are what is waited for, autocast's own may cost more than it saves
                found.append(Rival(f"timm, {pool}, float32", pool, build, bf16=False))
    if find_spec("torchvision"):
        found.append(Rival("torchvision", "cls", torchvision_vit))
    if find_spec("vit_pytorch"):
        found.append(Rival("vit-pytorch SimpleViT", "mean", lambda shape: vit_pytorch_vit(shape, "SimpleViT")))
        found.append(Rival("vit-pytorch ViT", "cls", lambda shape: vit_pytorch_vit(shape, "ViT")))
    return found


class Held(Batches):
    """The same batch every time, already on the device as float32, so that only the step is timed."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.held = images, labels
        count = len(images) * _HELD_STEPS
        split = Split(np.zeros((count, 3, 1, 1), np.uint8), np.zeros(count, np.int64), None, ())  # not used
        plain = (0.5, 0.5, 0.5)
        super().__init__(split, batch_size=len(images), device=images.device, mean=plain, std=plain)

    def batch(self, rows: Tensor, part: slice = ALL) -> tuple[Tensor, Tensor]:
        """Return the batch, whatever the rows."""
        return self.held


def random_batch(device: torch.device, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Return random images (b c h w) float32 and labels (b,) on the device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    return images.to(device), torch.randint(CLASSES, (size,), generator=generator).to(device)


class OurSteps:
    """Steps of our training with one batch; with ``auto`` in float32 on a CPU, as the others', in bf16 on a GPU."""

    def __init__(self, config: ModelConfig, images: Tensor, labels: Tensor, precision: str = "auto") -> None:
        model = build_model(config, seed=0).to(images.device).train()
        self.batches = Held(images, labels)
        recipe = PLAIN.model_copy(update={"precision": precision})
        self.stepper = Stepper(LabelObjective(model, self.batches, recipe), AdamW(model, recipe))
        self.rows = self.batches.rows(self.batches.order(0), 0)
        self.done = 0

    def __call__(self, count: int) -> None:
        for index in range(1, count + 1):
            self.stepper.take(self.rows, epoch=0, step=self.done, position=0, lr=LR)
            self.done += 1
            if index % len(self.batches) == 0 or index == count:
                self.stepper.results()  # waits for the device

    @property
    def captured(self) -> bool:
        """Whether the steps are replayed as a CUDA graph."""
        return not self.stepper.eager


def plain_steps(model: nn.Module, images: Tensor, labels: Tensor, *, bf16: bool = True) -> Steps:
    """Return the usual training steps with one batch."""
    device = images.device
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
    mixed = bf16 and device.type == "cuda"

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                logits = model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=LABEL_SMOOTHING)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device

    return steps


def agreement(shape: Shape, pool: str, device: torch.device) -> dict[str, float]:
    """Compare our logits and gradients with timm's for the same weights in float32.

    Returns:
        ``logits`` and ``gradients``, the largest differences, and ``largest_logit``, ``largest_gradient``.
    """
    images, labels = random_batch(device)
    ours = build_model(shape.config(pool), seed=0).to(device)
    with torch.no_grad():
        for index, parameter in enumerate(ours.parameters()):  # biases and class token are initialised to zero
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
            parameter.add_(noise.to(device), alpha=0.05)
    theirs = timm_vit(shape, pool).to(device)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    logits, gradients = [], []
    for model in (ours, theirs):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            out = model(images)
            F.cross_entropy(out, labels, label_smoothing=LABEL_SMOOTHING).backward()
        logits.append(out.detach())
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    return {
        "logits": _apart(*logits),
        "largest_logit": float(logits[1].abs().max()),
        "gradients": max(_apart(gradients[0][name], there) for name, there in gradients[1].items()),
        "largest_gradient": max(float(there.abs().max()) for there in gradients[1].values()),
    }


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())
