"""The convolutional baselines: small networks without attention, for comparison on the same images."""

import torch.nn.functional as F
from torch import Tensor, nn

from vit.config import CNNConfig, cnn_blocks


class ConvBlock(nn.Sequential):
    """Convolution, batch norm (Ioffe and Szegedy 2015), ReLU and max-pooling: ``b c (2 r) (2 w) -> b e r w``."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(
            nn.Conv2d(width_in, width_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )


class ResidualBlock(nn.Module):
    """The basic block of He et al. (2016), ReLU(x + two convolutions of x): ``b c (s r) (s w) -> b e r w``.

    If the stride s is not 1 or the width changes, the shortcut is a 1 x 1 convolution of x.
    """

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width_out:
            self.shortcut.append(nn.Conv2d(width_in, width_out, kernel_size=1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(width_out))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + branch)


class CNN(nn.Module):
    """A convolutional network: images ``(b c h w)`` float32, normalised -> logits ``(b num_classes)``.

    It consists of blocks, the mean over the positions, and one linear map. The plain network has four
    :class:`ConvBlock`. The residual network (He et al. 2016) has one, then three stages of :class:`ResidualBlock`.
    :mod:`vit.config.cnn_blocks` defines their widths.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        plan = cnn_blocks.blocks(config)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(block.width_in, block.width_out, block.stride)
                if block.residual
                else ConvBlock(block.width_in, block.width_out)
                for block in plan
            )
        )
        self.head = nn.Linear(plan[-1].width_out, config.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(images).mean(dim=(2, 3)))
