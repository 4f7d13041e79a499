"""PSNR of a head in training against ground truth frames, and preview sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from jean.drivers.person_frames import PersonFrames
from jean.media import write_png
from jean.models.frame import render_frame, render_pixels
from jean.models.talking_head import Frames, TalkingHead


def face_and_head_psnr(
    model: TalkingHead, frames_of: Callable[[np.ndarray], Frames], data: PersonFrames, indices: np.ndarray
) -> tuple[float, float]:
    """Mean PSNR over the face and over the head against ground truth frames.

    Only these pixels are rendered, over the clip's background plate.

    Args:
        model: the head.
        frames_of: gives the model's inputs for frame indices [F].
        data: the ground truth.
        indices: frames to compare.

    Returns:
        PSNR in dB over the convex hull of the landmarks, and over the head's matte.
    """
    from jean.metrics.crops import hull_mask

    face_db, head_db = [], []
    device = model.device
    for index in indices:
        face = hull_mask(data.landmarks[index], data.size_px, data.size_px)
        head = data.matte(index)[..., 0] > 127
        rows, columns = np.nonzero(face | head)
        pixels = torch.from_numpy(np.stack([columns, rows], 1).astype(np.float32) + 0.5).to(device)
        plate = torch.from_numpy(data.plate(index)[rows, columns].astype(np.float32) / 255).to(device)
        rgb = (
            render_pixels(model, frames_of(np.array([index])), pixels, plate, data.size_px)[0].clamp(0, 1).cpu().numpy()
        )
        error = np.square(rgb - data.image(index)[rows, columns] / 255.0).mean(-1)
        face_db.append(-10 * np.log10(max(error[face[rows, columns]].mean(), 1e-10)))
        head_db.append(-10 * np.log10(max(error[head[rows, columns]].mean(), 1e-10)))
    return float(np.mean(face_db)), float(np.mean(head_db))


def preview_sheet(
    model: TalkingHead,
    frames_of: Callable[[np.ndarray], Frames],
    data: PersonFrames,
    indices: np.ndarray,
    path: Path,
) -> None:
    """Writes a PNG with three rows: ground truth frames, frames rendered over their plate, and frames over white.

    Args:
        model: the head.
        frames_of: gives the model's inputs for frame indices [F].
        data: the ground truth.
        indices: frames to show, one per column.
        path: the PNG file.
    """

    columns = []
    for index in indices:
        frames, plate = frames_of(np.array([index])), data.plate(index)
        white = np.full_like(plate, 255)
        columns.append(
            [data.image(index), render_frame(model, frames, plate).rgb, render_frame(model, frames, white).rgb]
        )
    sheet = np.concatenate([np.concatenate(column, 0) for column in columns], 1)
    write_png(path, sheet)
