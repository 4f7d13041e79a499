"""Renders pixels and whole frames of a talking head, in chunks that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from jean.models.talking_head import Frames, TalkingHead

_ALL = slice(None)
CHUNK = 16384  # rays per pass of the reference path: about 100 MB with the fast preset's samples


@dataclass(frozen=True)
class RenderedFrame:
    """One rendered frame.

    Attributes:
        rgb: uint8 [H, W, 3].
        depth_cm: float32 [H, W], distance from the camera to the head along the ray; 0 where no head is.
    """

    rgb: np.ndarray
    depth_cm: np.ndarray


@torch.no_grad()
def render_pixels(
    model: TalkingHead, frames: Frames, pixels: Tensor, background: Tensor, size_px: int
) -> tuple[Tensor, Tensor]:
    """Renders some pixels of one frame.

    Args:
        model: the head.
        frames: the inputs of one frame.
        pixels: positions (x, y) in the frame, [R, 2], px.
        background: colours behind the pixels, [R, 3] in [0, 1].
        size_px: side of the frame.

    Returns:
        rgb [R, 3], and depth [R] in cm, which is 0 where no head is.
    """
    condition = model.condition(frames)
    scene = model.frame_scene(frames, condition)
    if scene is not None:
        center = (float(frames.center_px[0, 0]), float(frames.center_px[0, 1]))
        return scene.paint(frames.camera_to_world[0], float(frames.focal_px[0]), center, size_px, pixels, background)
    rgb, depth, size = [], [], _chunk(model, pixels)
    for start in range(0, max(1, len(pixels)), size):
        chunk = pixels[start : start + size]
        frame = torch.zeros(len(chunk), dtype=torch.long, device=chunk.device)
        traced = model.trace(frames, chunk, frame, size_px, condition=condition)
        rgb.append(traced.over(background[start : start + size]))
        head = traced.head[-1]
        depth.append(torch.where(head.opacity > 0.5, head.depth / head.opacity.clamp_min(1e-6), 0.0))
    return torch.cat(rgb), torch.cat(depth)


def render_frame(model: TalkingHead, frames: Frames, background: np.ndarray) -> RenderedFrame:
    """Renders one whole frame.

    Args:
        model: the head.
        frames: the inputs of one frame; its camera is in pixels of ``background``.
        background: uint8 [size, size, 3], RGB.
    """
    size = background.shape[0]
    device = model.device
    order = _pixel_order(model, size)
    background_bytes = background.reshape(-1, 3)[order]
    if device.type == "cpu":
        # numpy, because torch would split the conversion over its threads, which other renderers occupy
        background_rgb = torch.from_numpy(background_bytes.astype(np.float32) / np.float32(255))
    else:
        # uint8 crosses to the GPU: a quarter of the bytes of float32
        background_rgb = torch.from_numpy(background_bytes).to(device).float() / 255
    rgb, depth = render_pixels(model, frames, _pixels(size, device, order is not _ALL), background_rgb, size)
    image, depth_cm = np.empty((size * size, 3), np.uint8), np.empty(size * size, np.float32)
    if rgb.device.type == "cpu":
        image[order] = np.clip(rgb.numpy(), 0, 1) * np.float32(255) + np.float32(0.5)
    else:
        image[order] = as_bytes(rgb).cpu().numpy()
    depth_cm[order] = depth.cpu().numpy()
    return RenderedFrame(image.reshape(size, size, 3), depth_cm.reshape(size, size))


@torch.no_grad()
def render_opacity(model: TalkingHead, frames: Frames, size_px: int) -> np.ndarray:
    """Opacity of the head, and of the torso where the head does not cover it, of one frame: uint8 [size, size, 2].

    The sum is the opacity of the person, as in the mattes of a clip.

    Args:
        model: the head.
        frames: the inputs of one frame.
        size_px: side of the frame.
    """
    order, condition = _pixel_order(model, size_px), model.condition(frames)
    pixels = _pixels(size_px, model.device, order is not _ALL)
    parts, size = [], _chunk(model, pixels)
    for start in range(0, len(pixels), size):
        chunk = pixels[start : start + size]
        frame = torch.zeros(len(chunk), dtype=torch.long, device=chunk.device)
        traced = model.trace(frames, chunk, frame, size_px, condition=condition)
        head = traced.head[-1].opacity
        parts.append(torch.stack([head, (1 - head) * traced.torso_opacity], -1))
    opacity = np.empty((size_px * size_px, 2), np.uint8)
    opacity[order] = as_bytes(torch.cat(parts)).cpu().numpy()
    return opacity.reshape(size_px, size_px, 2)


def _chunk(model: TalkingHead, pixels: Tensor) -> int:
    """Pixels per pass: all where the head draws pictures, whose memory does not grow with samples per ray."""
    return max(1, len(pixels)) if model.head.draws_pictures else CHUNK


def as_bytes(rgb: Tensor) -> Tensor:
    """Colours in [0, 1] as rounded uint8 values; values outside are clipped."""
    return (rgb.clamp(0, 1) * 255 + 0.5).byte()


def _pixel_order(model: TalkingHead, size: int) -> np.ndarray | slice:
    """Order in which a frame's pixels are rendered: by tiles, or row by row for heads that draw pictures."""
    return _ALL if model.head.draws_pictures else tile_order(size)


@lru_cache(maxsize=4)
def _pixels(size: int, device: torch.device, by_tiles: bool) -> Tensor:
    """Pixel centres (x, y) of a frame, [size², 2], in ``tile_order`` or row by row."""
    order = tile_order(size) if by_tiles else np.arange(size * size)
    return torch.from_numpy(np.stack([order % size, order // size], -1).astype(np.float32) + 0.5).to(device)


@lru_cache(maxsize=4)
def tile_order(size: int, side: int = 8) -> np.ndarray:
    """Row-major pixel indices [size²] of a frame, sorted by square tiles.

    The rays of a tile read the same few cells of the feature planes, which then stay in the first-level cache.

    Args:
        size: side of the frame, px.
        side: side of a tile, px.
    """
    rows, columns = np.divmod(np.arange(size * size), size)
    return np.lexsort((columns, rows, columns // side, rows // side))
