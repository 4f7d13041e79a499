"""Per-frame drivers as tensors: the one place that builds the inputs of a talking head."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from jean.drivers.audio_windows import WindowRows
from jean.drivers.person_frames import PersonFrames
from jean.models.talking_head import Frames


@dataclass(frozen=True)
class DriverTracks:
    """Drivers of T frames, on one device.

    The lower face follows ``audio`` through the head's audio encoder, or ``lips`` where they are given.

    Attributes:
        camera_to_world: head poses [T, 4, 4].
        focal_px: focal length in pixels of the result [T].
        center_px: principal point [T, 2].
        expression: expression vectors [T, E].
        offsets: landmark offsets from the rigid head [T, 68, 2], cm.
        audio: audio windows [T, window, D]: on a CPU read from the clips where they are needed, on a GPU a tensor; or
            None.
        neighbours: rows of ``audio`` that are smoothed together for each frame, int64 [T, N]; None without smoothing.
        lips: the audio part of e_in [T, audio_width], or None.
        lip_motion: lips [T, audio_width] that move the landmarks, see ``Frames``; None for the audio part of e_in.
        torso_camera_to_world: poses [T, 4, 4] that torso and shading follow; None for ``camera_to_world``.
        eyes: eye values [T, 4], see ``jean.drivers.eyes``; None for a head that has no inputs for them.
    """

    camera_to_world: Tensor
    focal_px: Tensor
    center_px: Tensor
    expression: Tensor
    offsets: Tensor
    audio: Tensor | WindowRows | None = None
    neighbours: Tensor | None = None
    lips: Tensor | None = None
    lip_motion: Tensor | None = None
    torso_camera_to_world: Tensor | None = None
    eyes: Tensor | None = None

    @classmethod
    def of_person(
        cls, data: PersonFrames, device: torch.device | str = "cpu", audio_attention: int = 0
    ) -> DriverTracks:
        """The tracks of all training and held-out frames of a person.

        Args:
            data: the frames.
            device: device of the tensors.
            audio_attention: number of neighbouring frames that the head smooths speech over; 0 for none.
        """
        neighbours = torch.from_numpy(data.audio_neighbours(audio_attention)) if audio_attention else None
        return cls(
            camera_to_world=torch.from_numpy(data.camera_to_world),
            focal_px=torch.from_numpy(data.focal_px),
            center_px=torch.from_numpy(data.center_px),
            expression=torch.from_numpy(data.expression).float(),
            offsets=torch.from_numpy(data.offsets),
            audio=data.audio,
            neighbours=neighbours,
            eyes=None if data.eyes is None else torch.from_numpy(data.eyes),
        ).to(device)

    def to(self, device: torch.device | str) -> DriverTracks:
        """The same tracks on another device."""
        held = self if torch.device(device).type == "cpu" else self.resident()
        values = {field.name: getattr(held, field.name) for field in fields(held)}
        return replace(held, **{name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)})

    def resident(self) -> DriverTracks:
        """The same tracks with all audio windows in memory."""
        if not isinstance(self.audio, WindowRows):
            return self
        return replace(self, audio=torch.from_numpy(self.audio.at(np.arange(len(self.audio)))))

    def __len__(self) -> int:
        return len(self.camera_to_world)

    def frames(self, indices: int | np.ndarray | Tensor) -> Frames:
        """The head's inputs for frames.

        Args:
            indices: one frame number, or [F].
        """
        rows = torch.as_tensor(indices, device=self.camera_to_world.device).reshape(-1)
        return Frames(
            camera_to_world=self.camera_to_world[rows],
            focal_px=self.focal_px[rows],
            center_px=self.center_px[rows],
            audio=None if self.audio is None else self.windows(rows),
            expression=self.expression[rows],
            offsets=self.offsets[rows],
            lips=None if self.lips is None else self.lips[rows],
            lip_motion=None if self.lip_motion is None else self.lip_motion[rows],
            torso_camera_to_world=None if self.torso_camera_to_world is None else self.torso_camera_to_world[rows],
            eyes=None if self.eyes is None else self.eyes[rows],
        )

    def windows(self, rows: Tensor) -> Tensor:
        """Audio windows of the frames ``rows`` [F]: [F, window, D], or [F, N, window, D] with neighbours."""
        assert self.audio is not None
        rows = rows if self.neighbours is None else self.neighbours[rows]
        return torch.from_numpy(self.audio.at(rows.numpy())) if isinstance(self.audio, WindowRows) else self.audio[rows]
