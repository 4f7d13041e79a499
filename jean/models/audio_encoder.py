"""The audio encoder AE (sections 3.1 and 8.2.2, the network of AD-NeRF), its attention, and noise on its input."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn


class AudioEncoder(nn.Module):
    """Maps a window of audio features to the audio embedding e_a.

    Stride-2 convolutions over time are followed by two linear layers. For windows of 16 rows this is AD-NeRF's network
    (32, 32, 64 and 64 channels, LeakyReLU with slope 0.02). Each doubling of the window adds one stride-2 layer.

    Args:
        features: D, width of an audio feature vector.
        window: rows per window, a power of two from 2.
        out: width of e_a.
        dropout: probability of dropping a hidden unit while training (0 in the paper).

    Raises:
        ValueError: the window is not a power of two.
    """

    def __init__(self, features: int, window: int, out: int = 64, dropout: float = 0.0):
        super().__init__()
        halvings = window.bit_length() - 1
        if 2**halvings != window:
            raise ValueError(f"the audio window must be a power of two, not {window}")
        widths = [features] + [32 if i < 2 else 64 for i in range(halvings)]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv1d(before, after, 3, 2, 1), nn.LeakyReLU(0.02)]
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(widths[-1], 64), nn.LeakyReLU(0.02), nn.Linear(64, out)
        )

    def forward(self, audio_features: Tensor) -> Tensor:
        """Audio embeddings [B, out] of ``audio_features`` [B, window, D]."""
        hidden = audio_features
        for layer in self.convolutions:
            hidden = strided_convolution(hidden, layer) if isinstance(layer, nn.Conv1d) else layer(hidden)
        return self.head(hidden[:, 0])


def strided_convolution(rows: Tensor, layer: nn.Conv1d) -> Tensor:
    """Applies a convolution with kernel 3, stride 2 and padding 1 as one matrix product.

    With so few rows, setting up a convolution would take most of its time.

    Args:
        rows: [B, T, C], T even.
        layer: C input and O output channels.

    Returns:
        [B, T / 2, O].
    """
    pairs = rows.reshape(len(rows), -1, 2 * rows.shape[2])
    before = nn.functional.pad(pairs[:, :-1, rows.shape[2] :], (0, 0, 1, 0))  # the row before each pair
    weight = layer.weight.transpose(1, 2).flatten(1)
    return nn.functional.linear(torch.cat([before, pairs], -1), weight, layer.bias)


class AudioAttention(nn.Module):
    """AD-NeRF's attention that smooths audio embeddings over neighbouring frames (an option of ``train-nerf``).

    Args:
        width: width of an embedding.
        neighbours: number of frames.
    """

    def __init__(self, width: int, neighbours: int = 8):
        super().__init__()
        channels = [width, 16, 8, 4, 2, 1]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            layers += [nn.Conv1d(before, after, 3, 1, 1), nn.LeakyReLU(0.02)]
        self.neighbours = neighbours
        self.scores = nn.Sequential(*layers)
        self.weigh = nn.Sequential(nn.Linear(neighbours, neighbours), nn.Softmax(-1))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Smoothed embeddings [B, width] of neighbouring frames [B, neighbours, width]."""
        weights = self.weigh(self.scores(embeddings.transpose(1, 2))[:, 0])
        return torch.einsum("bn,bnw->bw", weights, embeddings)


def noisy_windows(windows: Tensor, std: float, normal: Callable[[torch.Size], Tensor]) -> Tensor:
    """Adds normal noise to audio windows, so that other microphones, voices and rooms are covered (not the paper's).

    The noise has three parts of equal standard deviation: one offset per window (its level), one per window and feature
    (the level of a band), and one per value.

    Args:
        windows: [B, rows, D].
        std: standard deviation of each part, in the units of the features; 0 changes nothing and draws nothing.
        normal: draws a tensor of a shape from the standard normal distribution.

    Returns:
        [B, rows, D].
    """
    if std:
        for shape in (windows[:, :1, :1].shape, windows[:, :1].shape, windows.shape):
            windows = windows + std * normal(shape)
    return windows
