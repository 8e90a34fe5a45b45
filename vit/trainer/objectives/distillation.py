"""Distillation: learn from the answers of a trained network, the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.config import TrainingConfig


def distillation_loss(logits: Tensor, taught: Tensor, blank: Tensor | None, recipe: TrainingConfig) -> Tensor:
    """Return the part of the loss that compares the answers of student and teacher.

    With ``soft`` it is tau^2 KL(teacher || student) of the probabilities at temperature tau (Hinton et al. 2015), with
    ``hard`` the cross-entropy with the class that the teacher chooses (DeiT, Touvron et al. 2021).

    Args:
        logits: the student's (b classes).
        taught: the teacher's (b classes).
        blank: share of each image that shows no object (b,), for which every class is equally likely; None for 0.
        recipe: ``distillation`` and ``temperature``.
    """
    soft, classes = recipe.distillation == "soft", logits.shape[1]
    if soft:
        target = (taught / recipe.temperature).softmax(dim=1)
    else:
        choice = taught.argmax(dim=1, keepdim=True)
        target = (choice == torch.arange(classes, device=logits.device)).to(logits.dtype)
    if blank is not None:
        target = target + blank[:, None] * (1 / classes - target)
    if not soft:
        return F.cross_entropy(logits, target)
    answer = (logits / recipe.temperature).log_softmax(dim=1)
    return recipe.temperature**2 * F.kl_div(answer, target, reduction="batchmean")


def fingerprint(network: nn.Module) -> Tensor:
    """Return numbers that identify the weights of a network: float64 (2,) on the CPU."""
    values = [value.detach().to("cpu", torch.float64).flatten() for value in network.state_dict().values()]
    every = torch.cat(values)
    return torch.stack((every.sum(), (every * torch.arange(1, len(every) + 1, dtype=torch.float64)).sum()))
