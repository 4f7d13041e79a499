"""Visual hull: the cells that are inside the head's matte in nearly all frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jean.drivers.person_frames import PersonFrames


def visual_hull(centres: Tensor, data: PersonFrames, views: int = 48, fraction: float = 0.93) -> Tensor:
    """Cells that the head's dilated matte covers in nearly all frames, bool [D, H, W].

    Args:
        centres: cell centres, [D, H, W, 3], head space, cm.
        data: frames with mattes and poses.
        views: number of training frames to use.
        fraction: fraction of the frames that must cover a cell; below 1, because a few mattes are wrong.
    """
    indices = data.train[np.linspace(0, len(data.train) - 1, min(views, len(data.train))).round().astype(int)]
    points = centres.reshape(-1, 3)
    votes = torch.zeros(len(points))
    for index in indices:
        matte = torch.from_numpy(np.array(data.matte(index)[..., 0])).float()[None, None] / 255
        # 2 % of the frame allow for the projection of half a cell and errors of the matte
        reach = max(1, round(data.size_px * 0.02))
        matte = functional.max_pool2d(matte, 2 * reach + 1, 1, reach)
        world_to_camera = torch.linalg.inv(torch.from_numpy(data.camera_to_world[index]))
        local = points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        pixel = local[:, :2] / local[:, 2:].clamp_min(1e-3) * float(data.focal_px[index])
        pixel = pixel + torch.from_numpy(data.center_px[index])
        unit = (pixel / data.size_px * 2 - 1)[None, None]
        inside = functional.grid_sample(matte, unit, align_corners=False)[0, 0, 0]
        # points outside the frame count as covered: the crop may cut off hair
        outside = (unit[0, 0].abs() > 1).any(-1)
        votes += ((inside > 0.1) | outside).float()
    return (votes >= fraction * len(indices)).view(centres.shape[:-1])


def dilate_cells(cells: Tensor) -> Tensor:
    """Cells [D, H, W], bool, with their 26 neighbours added.

    The margin hides the steps of the hull in head poses beyond those of the training.
    """
    return functional.max_pool3d(cells[None, None].float(), 3, 1, 1)[0, 0] > 0
