"""Whole pictures from a talking head, in pieces that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from jean.kernels.dispatch import render_pixels_fused
from jean.models.talking_head import Frames, TalkingHead

CHUNK = 16384  # rays at a time: about 100 MB with the fast preset's samples


@dataclass(frozen=True)
class Picture:
    """One rendered frame.

    Attributes:
        rgb: uint8 [H, W, 3].
        depth_cm: float32 [H, W], distance to the head along the ray; 0 where there is no head.
    """

    rgb: np.ndarray
    depth_cm: np.ndarray


@torch.no_grad()
def paint(
    model: TalkingHead, frames: Frames, pixels: Tensor, background: Tensor, size_px: int
) -> tuple[Tensor, Tensor]:
    """rgb [R, 3] over ``background`` [R, 3], and depth [R] in cm, of pixels [R, 2] of one frame."""
    condition = model.condition(frames)
    scene = model.frame_scene(frames, condition)
    if scene is not None:
        center = (float(frames.center_px[0, 0]), float(frames.center_px[0, 1]))
        return render_pixels_fused(
            scene, frames.camera_to_world[0], float(frames.focal_px[0]), center, size_px, pixels, background
        )
    rgb, depth = [], []
    for start in range(0, max(1, len(pixels)), CHUNK):
        part = pixels[start : start + CHUNK]
        frame = torch.zeros(len(part), dtype=torch.long, device=part.device)
        traced = model.trace(frames, part, frame, size_px, condition=condition)
        rgb.append(traced.over(background[start : start + CHUNK]))
        head = traced.head[-1]
        depth.append(torch.where(head.opacity > 0.5, head.depth / head.opacity.clamp_min(1e-6), 0.0))
    return torch.cat(rgb), torch.cat(depth)


def picture(model: TalkingHead, frames: Frames, background: np.ndarray) -> Picture:
    """One frame (``frames`` holds one, its camera in pixels of the background) over uint8 [H, W, 3]."""
    size = background.shape[0]
    device = model.device
    order = in_squares(size)
    behind = background.reshape(-1, 3)[order]
    if device.type == "cpu":
        # conversions by numpy: torch would share them out to threads, which several painters at once can't use
        onto = torch.from_numpy(behind.astype(np.float32) / np.float32(255))
    else:
        onto = torch.from_numpy(behind).to(device).float() / 255  # bytes travel, four times fewer
    rgb, depth = paint(model, frames, _pixels(size, device), onto, size)
    image, depth_cm = np.empty((size * size, 3), np.uint8), np.empty(size * size, np.float32)
    if rgb.device.type == "cpu":
        image[order] = np.clip(rgb.numpy(), 0, 1) * np.float32(255) + np.float32(0.5)
    else:
        image[order] = as_bytes(rgb).cpu().numpy()
    depth_cm[order] = depth.cpu().numpy()
    return Picture(image.reshape(size, size, 3), depth_cm.reshape(size, size))


def as_bytes(rgb: Tensor) -> Tensor:
    """uint8 of colours in [0, 1], rounded."""
    return (rgb.clamp(0, 1) * 255 + 0.5).byte()


@lru_cache(maxsize=4)
def _pixels(size: int, device: torch.device) -> Tensor:
    """[size², 2] pixel centres (x, y), in the order of ``in_squares``."""
    order = in_squares(size)
    return torch.from_numpy(np.stack([order % size, order // size], -1).astype(np.float32) + 0.5).to(device)


@lru_cache(maxsize=4)
def in_squares(size: int, side: int = 8) -> np.ndarray:
    """Numbers [size²] of a picture's pixels, row by row, in the order of squares.

    The rays of a square look into the same few cells of the field's planes, which then stay in the first cache.
    """
    rows, columns = np.divmod(np.arange(size * size), size)
    return np.lexsort((columns, rows, columns // side, rows // side))
