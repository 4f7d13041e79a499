"""The clean background plate: what the camera would see without the person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLES = 64  # frames looked at, evenly spread: a median needs no more, and memory stays flat
SEEN_SHARE = 0.05  # of those frames in which a pixel must be uncovered: in fewer, a matte's slip is as likely
UNCOVERED = 8  # opacity of 255 under which a pixel shows background


def background_plate(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """uint8 [H, W, 3], RGB: each pixel's median over the frames in which nobody covers it.

    What is never uncovered is filled smoothly from its surroundings.

    Args:
        frames: uint8 [T, H, W, 3]; may be memory-mapped.
        mattes: uint8 [T, H, W, 2], head and torso.
    """
    plate, seen = seen_background(frames, mattes)
    return fill(plate, seen)


def seen_background(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The medians, uint8 [H, W, 3], and bool [H, W]: where there is one."""
    import cv2

    chosen = np.unique(np.linspace(0, len(frames) - 1, min(SAMPLES, len(frames))).round().astype(int))
    height, width = frames[0].shape[:2]
    # a hundredth of the picture: mattes end a little before the person's last hair and shadow do
    reach = np.ones((2 * max(1, round(width * 0.012)) + 1,) * 2, np.uint8)
    covered = np.stack(
        [
            cv2.dilate((np.asarray(mattes[t]).sum(-1, dtype=np.uint16) > UNCOVERED).astype(np.uint8), reach)
            for t in chosen
        ]
    ).astype(bool)
    seen = np.asarray((~covered).any(0))
    plate = np.zeros((height, width, 3), np.uint8)
    for top in range(0, height, 64):  # strips: 64 frames of a strip are a few MB, whatever the picture's size
        rows = slice(top, top + 64)
        stack = np.ma.array(
            np.stack([np.asarray(frames[t][rows]) for t in chosen]), mask=np.repeat(covered[:, rows, :, None], 3, -1)
        )
        plate[rows] = np.ma.median(stack, axis=0).filled(0).round().astype(np.uint8)
    return plate, seen


def fill(plate: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills unknown pixels, from coarse to fine: each level keeps what it knows and takes the rest from below.

    Args:
        plate: uint8 [H, W, 3]; known: bool [H, W].
    """
    import cv2

    if known.all():
        return plate
    if not known.any():
        return np.full_like(plate, 127)
    weight: np.ndarray = known.astype(np.float32)
    image: np.ndarray = plate.astype(np.float32) * weight[..., None]
    levels = [(image, weight)]
    while min(levels[-1][1].shape) > 2:
        image, weight = (cv2.pyrDown(part) for part in levels[-1])
        levels.append((image, weight))
    image, weight = levels[-1]
    filled = (
        image / np.maximum(weight, 1e-6)[..., None]
        if (weight > 1e-6).all()
        else np.broadcast_to(image.sum((0, 1)) / max(float(weight.sum()), 1e-6), image.shape).astype(np.float32)
    )
    for image, weight in reversed(levels[:-1]):
        below = cv2.pyrUp(np.ascontiguousarray(filled), dstsize=weight.shape[::-1])
        share = np.clip(weight, 0, 1)[..., None]
        own = image / np.maximum(weight, 1e-6)[..., None]
        filled = own * share + below * (1 - share)
    filled[known] = plate[known]
    return np.clip(filled + 0.5, 0, 255).astype(np.uint8)
