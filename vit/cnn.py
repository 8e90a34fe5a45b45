"""The convolutional baseline: what a plain, small network without attention reaches on the same images."""

from itertools import pairwise

from torch import Tensor, nn

from vit.config import CNNConfig

WIDTHS = (32, 64, 128, 256)


class ConvBlock(nn.Sequential):
    """Convolution, batch norm (Ioffe and Szegedy 2015), ReLU, max-pooling: ``b c (2 r) (2 w) -> b e r w``."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(
            nn.Conv2d(width_in, width_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )


class CNN(nn.Module):
    """Four such blocks, the mean over the positions, one linear map: images ``(b c h w)`` -> ``(b num_classes)``."""

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.Sequential(*(ConvBlock(a, b) for a, b in pairwise((config.in_channels, *WIDTHS))))
        self.head = nn.Linear(WIDTHS[-1], config.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(images).mean(dim=(2, 3)))
