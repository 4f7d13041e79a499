"""Noise on conditions: the few hundred frames of a clip must not be recognisable by their last digits."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from jean.models.talking_head import Frames
from jean.train.nerf.presets import ResolvedNerfConfig


def add_condition_noise(frames: Frames, config: ResolvedNerfConfig, std: Tensor, generator: torch.Generator) -> Frames:
    """Frames with noise on audio windows and expression vectors.

    Args:
        frames: F frames with their sound.
        config: how strong the noise is.
        std: standard deviation of the expression vectors over the training frames [E].
        generator: draws the noise.
    """
    assert frames.audio is not None  # training frames come with their sound
    audio, expression = add_audio_noise(frames.audio, config.audio_noise, generator), frames.expression
    if config.expression_noise:
        expression = expression + std * config.expression_noise * _normal(expression, generator)
    return replace(frames, audio=audio, expression=expression)


def add_audio_noise(audio: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Audio windows with noise on the level of each band, on the whole level and on every value.

    It stands for other microphones, voices and rooms.

    Args:
        audio: [F, …, window, D].
        std: standard deviation of each of the three.
        generator: draws the noise.
    """
    if std:
        rows = audio.flatten(1, -2)  # neighbouring frames share their microphone
        for part in (rows[:, :1, :1], rows[:, :1], rows):
            rows = rows + std * _normal(part, generator)
        audio = rows.view_as(audio)
    return audio


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device)
