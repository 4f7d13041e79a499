"""Background found by its stillness.

A camera on a stand sees a background that repeats to within its noise, while a living person never does:
even a head held still outlines itself by breathing. Still areas that reach the frame's border beside or
above the head are background, whatever their colours.
"""

from __future__ import annotations

import numpy as np

from jean.features.matting.shape import expectation, grid, head_similarity

# Standard deviation over time (0 to 255, of slightly blurred colours) above which a pixel is not still:
# a multiple of the clip's own quiet parts, within what video noise and compression can be.
NOISE_FACTOR, LEAST_NOISE, MOST_NOISE = 3.0, 2.0, 5.0
BLUR_PX = 1.0
# Gaps in a person's outline up to twice this wide do not let the background in, px at 256.
GAP_PX = 2
# A pixel of the border counts as above the shoulders down to this height (head coordinates).
SHOULDERS_Y = 0.3
# From here down shoulders are expected rather than hair.
TORSO_Y = 1.2
# Share of the frame's side up to which a head's travel counts as resting.
MOST_TRAVEL = 0.06


def still_background(frames: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """bool [h, w]: background in all of the frames; empty where camera or surroundings move.

    Args:
        frames: uint8 [K, h, w, 3], spread over some seconds.
        marks: [K, 68, 2] px, finite.
    """
    import cv2

    size = frames.shape[1]
    if len(frames) < 4:
        # Two or three frames of one instant say nothing about stillness.
        return np.zeros((size, size), bool)
    restless = temporal_deviation(frames)
    noise = float(np.percentile(restless, 10))
    moving = restless > np.clip(NOISE_FACTOR * noise, LEAST_NOISE, MOST_NOISE)
    gap = max(1, round(GAP_PX * size / 256))
    # Single restless blocks of the compression are no outlines.
    moving = _without_specks(moving, 30 * (size / 256) ** 2)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * gap + 1, 2 * gap + 1))
    free = cv2.erode((~moving).astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)
    middle = np.median(marks, axis=0)
    start = _border(size) & (expectation(middle, size) < 0) & (free > 0)
    start &= grid(size, head_similarity(middle))[1] < SHOULDERS_Y
    for points in marks:
        start &= expectation(points, size) < 2
    count, labels = cv2.connectedComponents(free, connectivity=4)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[start])] = True
    keep[0] = False
    grown = cv2.dilate(keep[labels].astype(np.uint8), kernel)
    found = (grown > 0) & ~moving
    # A still area in the middle of a face is a fault of this reasoning, not background. Shoulders may rest.
    expected = np.stack([expectation(points, size) for points in marks]).max(0)
    below = grid(size, head_similarity(middle))[1] > TORSO_Y
    return found & (expected < np.where(below, -3.0, 2.0))


def never_uncovered(still: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """bool [h, w]: what is too far from the still background to be background in any frame.

    Background that is not still is covered now and then, so it lies within the head's travel of what is.
    Curls at the frame's border are told from a wall by this, when the head hardly moves.

    Args:
        still: bool [h, w], from ``still_background``.
        marks: [K, 68, 2] px.
    """
    import cv2

    size = still.shape[0]
    travel = float(np.linalg.norm(np.ptp(marks.mean(1), axis=0)))
    if travel > MOST_TRAVEL * size:
        # A head that passes the frame's border covers and uncovers far from what is always seen.
        return np.zeros_like(still)
    far = cv2.distanceTransform((~still).astype(np.uint8), cv2.DIST_L2, 5) > travel + 6 * GAP_PX * size / 256
    _, labels = cv2.connectedComponents(far.astype(np.uint8), connectivity=4)
    x, y = np.clip(np.median(marks[:, 27:36], axis=(0, 1)).astype(int), 0, size - 1)
    # Lower down stillness was not asked, see TORSO_Y.
    above = grid(size, head_similarity(np.median(marks, axis=0)))[1] < TORSO_Y
    return far & above & (labels == labels[y, x])


def temporal_deviation(frames: np.ndarray) -> np.ndarray:
    """Standard deviation over time of blurred frames uint8 [K, h, w, 3]: float32 [h, w], largest channel."""
    import cv2

    total = np.zeros(frames.shape[1:], np.float64)
    squares = np.zeros_like(total)
    for frame in frames:
        blurred = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), BLUR_PX)
        total += blurred
        squares += blurred.astype(np.float64) ** 2
    mean = total / len(frames)
    return np.sqrt(np.maximum(squares / len(frames) - mean**2, 0)).max(-1).astype(np.float32)


def _without_specks(mask: np.ndarray, area: float) -> np.ndarray:
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] > area
    large[0] = False
    return large[labels]


def _border(size: int) -> np.ndarray:
    border = np.zeros((size, size), bool)
    border[:2], border[:, :2], border[:, -2:] = True, True, True
    return border
