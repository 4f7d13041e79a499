"""What drives the frames of a person's clips, as a talking head takes it, and the noise that training adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from jean.drivers.person_frames import PersonFrames
from jean.models.pose import corrected
from jean.models.talking_head import Frames
from jean.train.nerf.config import NerfConfig


class Drivers:
    """Poses, sound and expression of all frames.

    Args:
        data: the person's frames.
        config: how many neighbours' sound a frame hears.
        device: where frames are wanted.
    """

    def __init__(self, data: PersonFrames, config: NerfConfig, device: torch.device):
        self.device = device
        tensors = {
            "camera_to_world": torch.from_numpy(data.camera_to_world),
            "focal_px": torch.from_numpy(data.focal_px),
            "center_px": torch.from_numpy(data.center_px),
            "audio": torch.from_numpy(data.audio).float(),
            "expression": torch.from_numpy(data.expression).float(),
            "offsets": torch.from_numpy(data.offsets),
        }
        self.tensors = {name: values.to(device) for name, values in tensors.items()}
        around = data.audio_neighbours(config.audio_attention) if config.audio_attention else None
        self.around = None if around is None else torch.from_numpy(around).to(device)

    def frames(self, indices: np.ndarray | Tensor) -> Frames:
        """The drivers of dataset frames [F]."""
        chosen = torch.as_tensor(indices, device=self.device)
        drivers = {name: values[chosen] for name, values in self.tensors.items() if name != "audio"}
        return Frames(audio=self.windows(chosen), **drivers)

    def windows(self, chosen: Tensor) -> Tensor:
        """Audio windows of dataset frames [F], with their neighbours where the model smooths over them."""
        return self.tensors["audio"][chosen if self.around is None else self.around[chosen]]


def with_codes(codes: nn.Embedding, frames: Frames, indices: Tensor, keep: Tensor) -> Frames:
    """Frames with their own codes and pose corrections where ``keep`` [F] is 1.

    Args:
        codes: of all dataset frames; columns 0 to 2: a turn of the head, tenths of a radian; 3 to 5: a shift, cm;
            the rest: the code.
        indices: dataset frames [F].
    """
    values = codes(indices) * keep[:, None]
    poses = corrected(frames.camera_to_world, values[:, :3] * 0.1, values[:, 3:6])
    return replace(frames, camera_to_world=poses, code=values[:, 6:])


def noisy(frames: Frames, config: NerfConfig, spread: Tensor, generator: torch.Generator) -> Frames:
    """Condition noise: the few hundred frames of a clip are not to be told apart by their last digit.

    Args:
        spread: [E], of the expression coefficients.
    """
    assert frames.audio is not None  # training frames come with their sound
    audio, expression = noisy_audio(frames.audio, config, generator), frames.expression
    if config.expression_noise:
        expression = expression + spread * config.expression_noise * _normal(expression, generator)
    return replace(frames, audio=audio, expression=expression)


def noisy_audio(audio: Tensor, config: NerfConfig, generator: torch.Generator) -> Tensor:
    """Windows [F, …, window, D] with a band's level, the whole level and every value changed.

    Other microphones, voices, rooms.
    """
    if config.audio_noise:
        rows = audio.flatten(1, -2)  # neighbours are heard through the same microphone
        for part in (rows[:, :1, :1], rows[:, :1], rows):
            rows = rows + config.audio_noise * _normal(part, generator)
        audio = rows.view_as(audio)
    return audio


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device)
