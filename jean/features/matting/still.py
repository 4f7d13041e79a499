"""Finds background that is still throughout a block of frames.

With a camera on a stand, the background repeats within its noise, while a living person never does: even the outline of
a head at rest moves with the breath. Still areas that touch the border of the frame beside or above the head are
background, whatever their colours.
"""

from __future__ import annotations

import numpy as np

from jean.features.matting.shape import head_grid, head_similarity, prior_odds
from jean.landmarks import NOSE

# A pixel is still if its standard deviation over time (0 to 255, of slightly blurred colours) is below a multiple of
# that of the quietest parts of the clip, clipped to the range of video noise and compression.
NOISE_FACTOR, MIN_NOISE, MAX_NOISE = 3.0, 2.0, 5.0
BLUR_PX = 1.0
# Gaps in the moving outline of a person up to twice this wide are closed, at 256 px.
GAP_PX = 2
# Pixels of the border count as above the shoulders down to this height (head coordinates).
SHOULDERS_Y = 0.3
# Below this height, shoulders are expected rather than hair (head coordinates).
TORSO_Y = 1.2
# A head that travels less than this fraction of the frame side counts as resting.
MAX_TRAVEL_FRACTION = 0.06


def still_background(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Finds pixels that are background in all frames; none if the camera or the surroundings move.

    Args:
        frames: uint8 [K, h, w, 3], distributed over some seconds.
        landmarks: [K, 68, 2] px, finite.

    Returns:
        bool [h, w].
    """
    import cv2

    size = frames.shape[1]
    if len(frames) < 4:
        # Two or three frames of one moment do not show what is still.
        return np.zeros((size, size), bool)
    std = temporal_std(frames)
    noise = float(np.percentile(std, 10))
    moving = std > np.clip(NOISE_FACTOR * noise, MIN_NOISE, MAX_NOISE)
    gap = max(1, round(GAP_PX * size / 256))
    # Single blocks that change by video compression are not outlines.
    moving = _without_specks(moving, 30 * (size / 256) ** 2)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * gap + 1, 2 * gap + 1))
    free = cv2.erode((~moving).astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)
    middle = np.median(landmarks, axis=0)
    start = _border(size) & (prior_odds(middle, size) < 0) & (free > 0)
    start &= head_grid(size, head_similarity(middle))[1] < SHOULDERS_Y
    for points in landmarks:
        start &= prior_odds(points, size) < 2
    count, labels = cv2.connectedComponents(free, connectivity=4)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[start])] = True
    keep[0] = False
    grown = cv2.dilate(keep[labels].astype(np.uint8), kernel)
    still = (grown > 0) & ~moving
    # Still areas in the middle of a face are errors of this method, not background; shoulders may be still.
    expected = np.stack([prior_odds(points, size) for points in landmarks]).max(0)
    below = head_grid(size, head_similarity(middle))[1] > TORSO_Y
    return still & (expected < np.where(below, -3.0, 2.0))


def always_covered(still: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Finds pixels that are too far from the still background to be background in any frame.

    Background that is not still is covered in some frames only, so its distance to the still background is at most
    the travel of the head. While the head hardly moves, this separates curls at the border of the frame from a wall.

    Args:
        still: bool [h, w], from ``still_background``.
        landmarks: [K, 68, 2] px.

    Returns:
        bool [h, w].
    """
    import cv2

    size = still.shape[0]
    travel = float(np.linalg.norm(np.ptp(landmarks.mean(1), axis=0)))
    if travel > MAX_TRAVEL_FRACTION * size:
        # A head that crosses the border of the frame covers and uncovers areas far from the still background.
        return np.zeros_like(still)
    far = cv2.distanceTransform((~still).astype(np.uint8), cv2.DIST_L2, 5) > travel + 6 * GAP_PX * size / 256
    _, labels = cv2.connectedComponents(far.astype(np.uint8), connectivity=4)
    x, y = np.clip(np.median(landmarks[:, NOSE], axis=(0, 1)).astype(int), 0, size - 1)
    # Further down, still_background does not search; see TORSO_Y.
    above = head_grid(size, head_similarity(np.median(landmarks, axis=0)))[1] < TORSO_Y
    return far & above & (labels == labels[y, x])


def temporal_std(frames: np.ndarray) -> np.ndarray:
    """Standard deviation over time of blurred frames uint8 [K, h, w, 3]; the largest channel, float32 [h, w]."""
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
    """The mask without connected parts of at most ``area`` pixels."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] > area
    large[0] = False
    return large[labels]


def _border(size: int) -> np.ndarray:
    """The top, left and right border of a frame, two pixels wide, bool [size, size]."""
    border = np.zeros((size, size), bool)
    border[:2], border[:, :2], border[:, -2:] = True, True, True
    return border
