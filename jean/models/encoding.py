"""NeRF's positional encoding, and expansion of per-frame values to samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def encoded_width(inputs: int, frequencies: int) -> int:
    """Width of the output of ``encode`` for values of width ``inputs``."""
    return inputs * (1 + 2 * frequencies)


def encode(values: Tensor, frequencies: int) -> Tensor:
    """Positional encoding: the values, then sine and cosine of 2^k times them for each frequency k.

    Args:
        values: [..., D].
        frequencies: number of frequencies.

    Returns:
        [..., D (1 + 2 frequencies)].
    """
    scales = 2.0 ** torch.arange(frequencies, device=values.device, dtype=values.dtype)
    scaled = values[..., None, :] * scales[:, None]
    waves = torch.stack([torch.sin(scaled), torch.cos(scaled)], -2)
    return torch.cat([values, waves.flatten(-3)], -1)


def expand_frames(frame: Tensor, frames: int) -> Callable[[Tensor], Tensor]:
    """Returns a function that expands per-frame values [F, D] to per-sample values [N, D].

    It multiplies by a one-hot matrix instead of indexing: the backward pass is then a matrix product too, where that of
    indexing is a slow scatter.

    Args:
        frame: int [N], the frame of each sample.
        frames: F, number of frames.
    """
    if frames == 1:
        return lambda values: values.expand(len(frame), -1)
    one_hot = frame[:, None] == torch.arange(frames, device=frame.device)
    return lambda values: one_hot.to(values.dtype) @ values
