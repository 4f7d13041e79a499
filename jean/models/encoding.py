"""Positional encoding of NeRF, and values of frames given to their samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def encoded_width(inputs: int, frequencies: int) -> int:
    """Width of ``encode``'s result."""
    return inputs * (1 + 2 * frequencies)


def encode(values: Tensor, frequencies: int) -> Tensor:
    """[..., D] → [..., D (1 + 2 frequencies)]: the values, then sine and cosine of 2^k times them."""
    scales = 2.0 ** torch.arange(frequencies, device=values.device, dtype=values.dtype)
    scaled = values[..., None, :] * scales[:, None]
    waves = torch.stack([torch.sin(scaled), torch.cos(scaled)], -2)
    return torch.cat([values, waves.flatten(-3)], -1)


def spread_over(frame: Tensor, frames: int) -> Callable[[Tensor], Tensor]:
    """A function that turns values of frames [F, D] into values of samples [N, D] by ``frame`` [N].

    By a product with a one-hot matrix: its backward pass is a product too, where that of indexing
    is a slow scatter.
    """
    if frames == 1:
        return lambda values: values.expand(len(frame), -1)
    chosen = frame[:, None] == torch.arange(frames, device=frame.device)
    return lambda values: chosen.to(values.dtype) @ values
