"""Noise on conditions: the few hundred frames of a clip must not be recognisable by their last digits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from jean.models.audio_encoder import noisy_windows
from jean.models.talking_head import Frames
from jean.train.nerf.presets import ResolvedNerfConfig


def add_condition_noise(frames: Frames, config: ResolvedNerfConfig, std: Tensor, generator: torch.Generator) -> Frames:
    """Frames with noise on expression vectors, and on lip coordinates or, without them, on audio windows.

    Args:
        frames: F frames with their sound or their lips.
        config: how strong the noise is.
        std: standard deviation of the expression vectors over the training frames [E].
        generator: draws the noise.
    """
    audio, lips, expression = frames.audio, frames.lips, frames.expression
    if audio is not None:
        audio = add_audio_noise(audio, config.audio_noise, generator)
    if lips is not None and config.lip_noise:
        lips = lips + config.lip_noise * torch.randn(lips.shape, generator=generator, device=lips.device)
    if config.expression_noise:
        normal = torch.randn(expression.shape, generator=generator, device=expression.device)
        expression = expression + std * config.expression_noise * normal
    return replace(frames, audio=audio, lips=lips, expression=expression)


def add_audio_noise(audio: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Audio windows with the noise of ``jean.models.audio_encoder.noisy_windows``.

    The windows of neighbouring frames share the noise of levels, because they share a microphone.

    Args:
        audio: [F, ..., window, D].
        std: standard deviation of each part of the noise.
        generator: draws the noise.
    """
    normal = partial(torch.randn, generator=generator, device=audio.device)
    return noisy_windows(audio.flatten(1, -2), std, normal).view_as(audio)
