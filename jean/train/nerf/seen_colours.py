"""Colours that a training frame shows at positions in space: what the primitives of a head begin with.

Primitives that no training frame shows, such as those on the sides of the head, keep the colour that they began with.
Turned views show them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from jean.drivers.person_frames import PersonFrames
from jean.geometry import project

INSIDE = 250  # matte from which a pixel belongs to the head alone, of 255
RIM = 0.012  # of the frame: pixels this near to the head's outline hold some background, although mattes deny it


def seen_colours(positions: Tensor, data: PersonFrames) -> Tensor:
    """Colours [N, 3] in [0, 1] at positions [N, 3], head space, cm, in the training frame with the most usual pose.

    Positions that project beside the head get the colour of the nearest pixel inside it.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    index = usual_frame(data)
    inside = data.matte(index)[..., 0] >= INSIDE
    inner = binary_erosion(inside, iterations=max(1, round(RIM * data.size_px)))
    inside = inner if inner.any() else inside
    if not inside.any():
        return torch.full_like(positions, 0.5)
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    camera = data.clips[data.clip_of[index]].camera
    pixels = project(positions.cpu().double().numpy(), camera, data.camera_to_world[index].astype(float))
    columns, rows = np.clip(np.floor(np.nan_to_num(pixels)), 0, data.size_px - 1).astype(int).T
    rows, columns = nearest[:, rows, columns]
    return torch.from_numpy(data.image(index)[rows, columns].astype(np.float32) / 255).to(positions)


def usual_frame(data: PersonFrames) -> int:
    """The training frame whose head pose is nearest to the median pose, compared in standard deviations."""
    poses = data.camera_to_world[data.train][:, :3].reshape(len(data.train), -1)
    distance = np.abs(poses - np.median(poses, 0)) / np.maximum(poses.std(0), 1e-3)
    return int(data.train[distance.sum(1).argmin()])
