"""The visual hull: where the mattes let a head be at all."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jean.drivers.person_frames import PersonFrames


def visual_hull(centres: Tensor, data: PersonFrames, views: int = 48, share: float = 0.93) -> Tensor:
    """bool [D, H, W]: cells that the head's dilated matte covers in nearly all frames.

    Args:
        centres: [D, H, W, 3] cell centres, head space, cm.
        data: frames with mattes and poses.
        views: training frames looked at.
        share: of the views that must agree; a few mattes are always wrong.
    """
    chosen = data.train[np.linspace(0, len(data.train) - 1, min(views, len(data.train))).round().astype(int)]
    points = centres.reshape(-1, 3)
    agree = torch.zeros(len(points))
    for index in chosen:
        matte = torch.from_numpy(np.array(data.matte(index)[..., 0])).float()[None, None] / 255
        # two hundredths of the picture: half a cell's picture and the matte's own error
        reach = max(1, round(data.size_px * 0.02))
        matte = functional.max_pool2d(matte, 2 * reach + 1, 1, reach)
        world_to_camera = torch.linalg.inv(torch.from_numpy(data.camera_to_world[index]))
        local = points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        pixel = local[:, :2] / local[:, 2:].clamp_min(1e-3) * float(data.focal_px[index])
        pixel = pixel + torch.from_numpy(data.center_px[index])
        unit = (pixel / data.size_px * 2 - 1)[None, None]
        inside = functional.grid_sample(matte, unit, align_corners=False)[0, 0, 0]
        # what lies outside the picture is not seen: it may be head (hair that the crop cuts)
        unseen = (unit[0, 0].abs() > 1).any(-1)
        agree += ((inside > 0.1) | unseen).float()
    return (agree >= share * len(chosen)).view(centres.shape[:-1])


def grown(cells: Tensor) -> Tensor:
    """Cells [D, H, W] bool and their neighbours: as the head turns beyond what was seen, the hull's steps show."""
    return functional.max_pool3d(cells[None, None].float(), 3, 1, 1)[0, 0] > 0
