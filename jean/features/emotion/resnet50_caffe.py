"""ResNet50 as trained in Caffe by the authors of VGGFace2; the backbone of EMOCA's emotion network.

It differs in two ways from torchvision's ResNet50, which has the same tensors: the stride of a block is in the first
1×1 convolution instead of the 3×3 convolution, and the pooling after the first layer rounds its output size up and has
no padding. Weights load into both networks without an error, but give different features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """Residual block: 1×1 convolution with the stride, 3×3 and 1×1 convolutions, and a shortcut.

    Args:
        before: input channels.
        inner: channels of the inner convolutions; the output has four times as many.
        stride: of the block.
        shortcut: whether the shortcut has a convolution.
    """

    def __init__(self, before: int, inner: int, stride: int, shortcut: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(before, inner, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * inner, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * inner)
        self.relu = nn.ReLU()
        convolution = nn.Conv2d(before, 4 * inner, 1, stride, bias=False)
        self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(4 * inner)) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50Caffe(nn.Module):
    """Features [B, 2048] of images [B, 3, 224, 224]; tensors have the names of torchvision's ResNet50."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        before = 64
        for number, (inner, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
            blocks = []
            for place in range(count):
                blocks.append(Bottleneck(before, inner, 2 if number > 1 and place == 0 else 1, place == 0))
                before = 4 * inner
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return torch.mean(x, (2, 3))
