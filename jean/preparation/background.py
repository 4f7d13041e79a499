"""The background plate: the view of the camera without the person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLES = 64  # evenly spaced frames that are read: enough for a median, and memory stays constant
UNCOVERED = 8  # opacity, of 255, below which a pixel shows the background
REACH = 0.012  # fraction of the frame's width by which mattes are grown: hair and shadow exceed them a little
STRIP = 64  # rows that are processed at once: 64 frames of a strip take a few MB at any frame size
UNKNOWN_GREY = 127  # the whole plate if no pixel is ever uncovered


def background_plate(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """uint8 [H, W, 3], RGB: the median of each pixel over the frames in which the person does not cover it.

    Pixels that are always covered are filled smoothly from their surroundings.

    Args:
        frames: uint8 [T, H, W, 3]; may be memory-mapped.
        mattes: uint8 [T, H, W, 2], head and torso.
    """
    plate, known = visible_background(frames, mattes)
    return fill(plate, known)


def visible_background(
    frames: Sequence[np.ndarray] | np.ndarray, mattes: Sequence[np.ndarray] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The medians, uint8 [H, W, 3], and where they exist, bool [H, W]; arguments as ``background_plate``."""
    import cv2

    sampled = np.unique(np.linspace(0, len(frames) - 1, min(SAMPLES, len(frames))).round().astype(int))
    height, width = frames[0].shape[:2]
    kernel = np.ones((2 * max(1, round(width * REACH)) + 1,) * 2, np.uint8)
    covered = np.stack(
        [
            cv2.dilate((np.asarray(mattes[t]).sum(-1, dtype=np.uint16) > UNCOVERED).astype(np.uint8), kernel)
            for t in sampled
        ]
    ).astype(bool)
    known = np.asarray((~covered).any(0))
    plate = np.zeros((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        stack = np.ma.array(
            np.stack([np.asarray(frames[t][rows]) for t in sampled]), mask=np.repeat(covered[:, rows, :, None], 3, -1)
        )
        plate[rows] = np.ma.median(stack, axis=0).filled(0).round().astype(np.uint8)
    return plate, known


def fill(plate: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills unknown pixels from known ones, by an image pyramid.

    From the coarsest level to the finest, each level keeps its known pixels and takes the others from the level below.

    Args:
        plate: uint8 [H, W, 3].
        known: bool [H, W].
    """
    import cv2

    if known.all():
        return plate
    if not known.any():
        return np.full_like(plate, UNKNOWN_GREY)
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
        coarse = cv2.pyrUp(np.ascontiguousarray(filled), dstsize=weight.shape[::-1])
        fraction = np.clip(weight, 0, 1)[..., None]
        own = image / np.maximum(weight, 1e-6)[..., None]
        filled = own * fraction + coarse * (1 - fraction)
    filled[known] = plate[known]
    return np.clip(filled + 0.5, 0, 255).astype(np.uint8)
