"""DINO: self-distillation without labels (Caron et al. 2021).

A student sees two large and several small random crops of an image; a teacher, whose weights are a moving average of
the student's, sees the two large ones. The student learns to predict the teacher's output for one crop from another
crop. Two operations on the teacher's output keep it from becoming the same for all images: centering subtracts its
running mean, so that no prototype dominates, and a low temperature sharpens it, so that it does not become uniform.
"""

import copy
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config import TrainingConfig
from vit.config.unlabelled import BOTTLENECK, HIDDEN, PROTOTYPES, local_size
from vit.data import views
from vit.data.batches import Batches, mix_seed
from vit.model import ViT, interpolate_positions
from vit.trainer.objectives.unlabelled import UnlabelledObjective, draw

GLOBAL_AREA, LOCAL_AREA = (0.4, 1.0), (0.1, 0.4)
"""Shares of the image's area of the two large crops and of the small ones."""
STUDENT_TEMPERATURE = 0.1
TEACHER_TEMPERATURES = (0.03, 0.04)
"""Temperature of the teacher's output in the first step, and from :data:`TEMPERATURE_WARMUP` on."""
TEMPERATURE_WARMUP = 0.3
"""Share of all steps in which the teacher's temperature rises."""
MOMENTUM = 0.99
"""Momentum of the teacher's weights in the first step; it rises to 1 along half a cosine."""
CENTER_MOMENTUM = 0.9
FROZEN_EPOCHS = 1
"""Epochs in which the prototypes keep their random values."""

_HEAD = -3  # part of the seed of the projection head's weights


class ProjectionHead(nn.Module):
    """An MLP, a normalised bottleneck, and a similarity with each prototype: ``b e -> b k``.

    The prototypes are a weight-normalised linear map whose norms are fixed to 1, as in DINO. The MLP standardises its
    hidden layers over the batch (``use_bn_in_head`` in DINO's code): a small network gives nearly the same summary
    for all images at first, and without this their differences take long to grow.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (embed_dim, HIDDEN):
            # Without running statistics: the student's and the teacher's head standardise by the batch at hand.
            norm = nn.BatchNorm1d(HIDDEN, track_running_stats=False)
            layers += [nn.Linear(width, HIDDEN, bias=False), norm, nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(HIDDEN, BOTTLENECK))
        self.prototypes = nn.Parameter(torch.empty(PROTOTYPES, BOTTLENECK))
        nn.init.trunc_normal_(self.prototypes, std=0.02)
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, summaries: Tensor, learning: Tensor | None = None) -> Tensor:
        """Return the similarities; ``learning`` () scales the gradient of the prototypes, and 0 freezes them."""
        weight: Tensor = self.prototypes
        if learning is not None:
            weight = weight.detach() + learning * (weight - weight.detach())
        return F.linear(F.normalize(self.mlp(summaries), dim=1), F.normalize(weight, dim=1))


def summarise_crops(model: ViT, images: Tensor) -> Tensor:
    """Return the summary tokens of crops whose size may differ from the network's: ``b c h w -> b e``.

    The position embeddings are interpolated to the grid of the crops.
    """
    side = images.shape[-1] // model.config.patch_size
    prefix = 0 if model.config.no_embed_class else model.num_prefix_tokens
    positions = interpolate_positions(model.pos_embed, model.grid, (side, side), prefix)
    tokens = model.add_positions(model.patch_embed(images), positions)
    return model.summarise(model.blocks(tokens, first=1 if model.pool == "cls" else None))


class DinoObjective(UnlabelledObjective):
    """Cross-entropy between the teacher's output for a large crop and the student's for another crop.

    The run keeps the teacher, which DINO's authors found to be the better network throughout training.

    Attributes:
        teacher: the moving average of the student, without gradients.
        center: the running mean of the teacher's outputs, (1 k).
    """

    def __init__(self, model: nn.Module, batches: Batches, recipe: TrainingConfig) -> None:
        super().__init__(model, batches, recipe)
        device = batches.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix_seed(recipe.seed, _HEAD))
            self.head = ProjectionHead(self.model.config.embed_dim).to(device)
        self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.teacher_head = copy.deepcopy(self.head).eval().requires_grad_(False)
        self.center = torch.zeros(1, PROTOTYPES, device=device)
        self.local_size = local_size(self.model.config.image_size, self.model.config.patch_size)
        self.total = len(batches) * recipe.epochs
        # On the device, because a CUDA graph reads them.
        self.temperature = torch.full((), TEACHER_TEMPERATURES[0], device=device)
        self.learning = torch.zeros((), device=device)

    @property
    def evaluated(self) -> nn.Module:
        """The teacher."""
        return self.teacher

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The student's projection head."""
        return {"head": self.head}

    def before_step(self, epoch: int, step: int) -> None:
        """Set the teacher's temperature, and whether the prototypes learn."""
        first, last = TEACHER_TEMPERATURES
        done = min(1.0, step / max(1.0, TEMPERATURE_WARMUP * self.total))
        self.temperature.fill_(first + (last - first) * done)
        self.learning.fill_(float(epoch > FROZEN_EPOCHS))

    def read(self, batches: Batches, rows: Tensor) -> Tensor:
        """Return the images; where backgrounds are swapped, the objects' masks are a fourth channel."""
        images = batches.pixels(rows)
        return torch.cat((images, batches.masks(rows)), dim=1) if self.recipe.swap_backgrounds else images

    def loss_of(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return DINO's loss: the mean over all pairs of a teacher's crop and another crop of the student."""
        large, small = self._crops(images, generator)
        with self.autocast():
            with torch.no_grad():
                targets = self.teacher_head(summarise_crops(self.teacher, torch.cat(large))).float()
            seen = [torch.cat(large)] + ([torch.cat(small)] if small else [])
            summaries = torch.cat([summarise_crops(self.model, crops) for crops in seen])
            outputs = self.head(summaries, self.learning).float()
        targets_of = self._targets(targets).chunk(2)
        predictions = F.log_softmax(outputs / STUDENT_TEMPERATURE, dim=1).chunk(2 + len(small))
        pairs = [
            -(target * prediction).sum(dim=1).mean()
            for one, target in enumerate(targets_of)
            for other, prediction in enumerate(predictions)
            if one != other
        ]
        with torch.no_grad():
            self.center.lerp_(targets.mean(dim=0, keepdim=True), 1 - CENTER_MOMENTUM)
        return torch.stack(pairs).mean()

    def measure(self, images: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Return the loss between two large crops, the entropy of the teacher's output, and their divergence.

        Collapse shows in these two: an entropy near 0 or near log(:data:`PROTOTYPES`), and a divergence of 0.
        """
        large, _ = self._crops(images, generator, local_crops=0)
        crops = torch.cat(large)
        targets = self.teacher_head(summarise_crops(self.teacher, crops)).float()
        first, second = self._targets(targets).chunk(2)
        outputs = self.head(summarise_crops(self.model, crops)).float()
        of_first, of_second = F.log_softmax(outputs / STUDENT_TEMPERATURE, dim=1).chunk(2)
        loss = -((first * of_second).sum(dim=1) + (second * of_first).sum(dim=1)).mean() / 2
        entropy = (torch.special.entr(first).sum(dim=1) + torch.special.entr(second).sum(dim=1)).mean() / 2
        return {"loss": float(loss), "teacher_entropy": float(entropy), "divergence": float(loss - entropy)}

    def after_step(self, step: int) -> None:
        """Move the teacher towards the student."""
        momentum = 1 - (1 - MOMENTUM) * (math.cos(math.pi * step / self.total) + 1) / 2
        with torch.no_grad():
            for student, teacher in ((self.model, self.teacher), (self.head, self.teacher_head)):
                for own, average in zip(student.parameters(), teacher.parameters(), strict=True):
                    average.lerp_(own, 1 - momentum)

    def state(self) -> dict[str, Tensor]:
        """Return the teacher, both projection heads and the center."""
        parts = {"teacher": self.teacher, "teacher_head": self.teacher_head, "head": self.head}
        named = {f"{part}.{name}": value for part, it in parts.items() for name, value in it.state_dict().items()}
        return named | {"center": self.center}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of :meth:`state`."""
        for name, own in self.state().items():
            own.copy_(state[name])

    def _targets(self, outputs: Tensor) -> Tensor:
        """Return the teacher's distributions: centred and sharpened, (b k)."""
        return F.softmax((outputs - self.center) / self.temperature, dim=1)

    def _crops(
        self, images: Tensor, generator: torch.Generator, local_crops: int | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return two large crops and the small ones of each image, normalised; ``images`` come from :meth:`read`."""
        count = 2 + (self.recipe.local_crops if local_crops is None else local_crops)
        swapped = self.recipe.swap_backgrounds
        images, masks = images[:, :3], images[:, 3:]
        # In small data sets two crops of an image are most easily matched by the colours of their background.
        hue = views.HUE if swapped else views.ANY_HUE
        widths = [views.CROP_NOISE, views.COLOUR_NOISE] + ([views.BACKGROUND_NOISE] if swapped else [])
        noise = draw(generator, count, len(images), sum(widths), device=images.device)
        crops = []
        for index, own in enumerate(noise.unbind(0)):
            place, colours, *background = own.split(widths, dim=1)
            size, area = (self.model.config.image_size, GLOBAL_AREA) if index < 2 else (self.local_size, LOCAL_AREA)
            scene = views.swap_backgrounds(images, masks, background[0], swapped) if swapped else images
            crop = views.crop(scene, place, size, area, flip=self.recipe.flip)
            # DINO's probabilities: the first large crop is blurred, and only the second is solarised.
            blur, solarise = ((1.0, 0.0), (0.1, 0.2))[index] if index < 2 else (0.5, 0.0)
            crop = views.recolour(crop, colours, blur=blur, solarise=solarise, hue=hue)
            crops.append(self.batches.standardise(crop))
        return crops[:2], crops[2:]
