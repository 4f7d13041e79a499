"""The audio encoder AE (sections 3.1 and 8.2.2: the architecture of AD-NeRF's)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class AudioEncoder(nn.Module):
    """e_a from a window of audio features: stride-2 convolutions over time, then two linear layers.

    For windows of 16 rows this is AD-NeRF's network (32, 32, 64, 64 channels, LeakyReLU 0.02); a
    longer window gets one more stride-2 layer for each doubling.

    Args:
        features: D, width of an audio feature vector.
        window: rows in a window, a power of two from 2.
        out: width of e_a.
        dropout: share of the hidden units dropped while training (0 in the paper).
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
        """Audio embeddings [B, out] from ``audio_features`` [B, window, D]."""
        hidden = audio_features
        for layer in self.convolutions:
            hidden = strided(hidden, layer) if isinstance(layer, nn.Conv1d) else layer(hidden)
        return self.head(hidden[:, 0])


def strided(rows: Tensor, layer: nn.Conv1d) -> Tensor:
    """What ``layer`` (kernel 3, stride 2, padding 1) makes of [B, T, C], as [B, T / 2, O]; T is even.

    One product of matrices in place of a convolution, whose setting up takes most of its time for so few rows.
    """
    pairs = rows.reshape(len(rows), -1, 2 * rows.shape[2])
    before = nn.functional.pad(pairs[:, :-1, rows.shape[2] :], (0, 0, 1, 0))  # the row before each pair
    weight = layer.weight.transpose(1, 2).flatten(1)
    return nn.functional.linear(torch.cat([before, pairs], -1), weight, layer.bias)


class AudioAttention(nn.Module):
    """AD-NeRF's smoothing of embeddings over neighbouring frames (an option of ``train-nerf``).

    Args:
        width: width of an embedding.
        neighbours: frames looked at.
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
        """Smoothed embeddings [B, width] from those of neighbouring frames [B, neighbours, width]."""
        weights = self.weigh(self.scores(embeddings.transpose(1, 2))[:, 0])
        return torch.einsum("bn,bnw->bw", weights, embeddings)
