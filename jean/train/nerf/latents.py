"""Latent codes of training frames (NeRFace), and small corrections of their poses."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from jean.models.pose import correct_poses
from jean.models.talking_head import Frames

POSE_VALUES = 6  # per frame: a rotation vector of the head in tenths of a radian, and a shift in cm


class FrameLatents(nn.Embedding):
    """One latent code and one pose correction per dataset frame, zero at first.

    Args:
        frames: number of dataset frames.
        width: of the latent codes; may be 0.
    """

    def __init__(self, frames: int, width: int):
        super().__init__(frames, POSE_VALUES + width)
        torch.nn.init.zeros_(self.weight)

    def apply_to(self, frames: Frames, indices: Tensor, keep: Tensor) -> Frames:
        """Frames with their latent codes and corrected poses.

        Args:
            frames: F frames.
            indices: their dataset frames [F].
            keep: factors [F] on code and correction: 1 applies them, 0 leaves the frame as it is.
        """
        values = self(indices) * keep[:, None]
        poses = correct_poses(frames.camera_to_world, values[:, :3] * 0.1, values[:, 3:POSE_VALUES])
        return replace(frames, camera_to_world=poses, latent=values[:, POSE_VALUES:])
