"""Motion in a block of frames: temporal smoothing along the motion, and evidence for background by motion."""

from __future__ import annotations

import numpy as np

from jean.features.matting.edges import as_float
from jean.features.matting.shape import head_grid, head_similarity
from jean.landmarks import NOSE_AND_EYES

# Neighbours on each side of a frame, and standard deviation of their weights, frames.
NEIGHBOURS, TIME_STD = 2, 1.8
# Standard deviation of the weight over the colour difference (in [0, 1]) after motion compensation.
COLOUR_STD = 0.06

# Distances between compared frames; a moving head should have moved visibly in between.
FRAME_STEPS = (-10, -5, 5, 10)
# Colour difference (0 to 255) that distinguishes two motions; above video noise.
DIFFERENCE = 8.0
# Decay of the weight of an unchanged pixel, per squared difference in units of DIFFERENCE: a third at half of it.
STILLNESS = 4.0
MOTION_SIDE_PX = 128
# Shorter movements of the head are within the jitter of the landmarks, px at MOTION_SIDE_PX.
MIN_PATH_PX = 1.0
# Height (head coordinates) below which shoulders may begin.
SHOULDERS_Y = 1.5


class MotionSmoother:
    """Smooths the maps of a block in time along the optical flow, where the colours of neighbouring frames agree.

    Args:
        frames: uint8 [N, h, w, 3].
    """

    def __init__(self, frames: np.ndarray):
        import cv2

        height, width = frames.shape[1:3]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self.pixels = (x, y)
        colours = [cv2.GaussianBlur(as_float(frame), (0, 0), 1.0) for frame in frames]
        self.flows = _flows(frames, self.pixels)
        self.weights = {}
        for (t, u), flow in self.flows.items():
            squared = (_warp(colours[u], flow, self.pixels) - colours[t]) ** 2
            difference = squared[..., 0] + squared[..., 1] + squared[..., 2]
            time_weight = np.exp(-((t - u) ** 2) / (2 * TIME_STD**2))
            self.weights[t, u] = (time_weight * np.exp(difference * (-0.5 / COLOUR_STD**2))).astype(np.float16)

    def smooth(self, maps: np.ndarray) -> np.ndarray:
        """Smooths maps float32 [N, h, w] of any range."""
        smooth = np.empty_like(maps)
        for t in range(len(maps)):
            total, weight = maps[t].copy(), np.ones_like(maps[t])
            for u in range(max(0, t - NEIGHBOURS), min(len(maps), t + NEIGHBOURS + 1)):
                if u != t:
                    neighbour_weight = self.weights[t, u].astype(np.float32)
                    total += neighbour_weight * _warp(maps[u], self.flows[t, u], self.pixels)
                    weight += neighbour_weight
            smooth[t] = total / weight
        return smooth


def _flows(frames: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
    """Optical flow between neighbouring frames.

    Flow between consecutive frames is measured; longer steps are chained from it, which is faster and as accurate.

    Returns:
        (t, u) → float16 [h, w, 2]: offsets (x, y) in px from the pixels of frame t to their places in frame u.
    """
    import cv2

    measure = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    zero = np.zeros((*grey[0].shape, 2), np.float32)
    flows: dict[tuple[int, int], np.ndarray] = {}
    for t in range(len(grey) - 1):
        flows[t, t + 1] = measure.calc(grey[t], grey[t + 1], zero.copy()).astype(np.float16)
        flows[t + 1, t] = measure.calc(grey[t + 1], grey[t], zero.copy()).astype(np.float16)
    for distance in range(2, NEIGHBOURS + 1):
        for t in range(len(grey)):
            for u in (t - distance, t + distance):
                if 0 <= u < len(grey):
                    between = u + (1 if u < t else -1)
                    onward = _warp(flows[between, u].astype(np.float32), flows[t, between], pixels)
                    flows[t, u] = (flows[t, between] + onward).astype(np.float16)
    return flows


def _warp(values: np.ndarray, flow: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Warps ``values`` [h, w, …] of another frame to this frame along ``flow`` [h, w, 2] (px)."""
    import cv2

    x, y = pixels
    return cv2.remap(values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def motion_log_odds(frames: np.ndarray, landmarks: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Log odds of foreground by motion, zero or negative.

    A pixel is background if it looks unchanged some frames before or after, although it would have changed if it
    had moved with the head. The opposite is no evidence: hair and turning heads do not move like the landmarks, and
    background is covered and uncovered. The odds are zero in flat areas and while the head rests.

    Args:
        frames: uint8 [N, h, w, 3].
        landmarks: [N, 68, 2] px.
        indices: int [K], the frames to compute.

    Returns:
        float32 [K, h, w].
    """
    import cv2

    from jean.geometry import similarity

    size = frames.shape[1]
    side = min(size, MOTION_SIDE_PX)
    small = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
    # Nose and eyes only: the jaw and the brows move independently of the head.
    points = landmarks[:, NOSE_AND_EYES] * (side / size) - 0.5
    across = np.arange(side, dtype=np.float64)
    here = np.stack([*(axis.ravel() for axis in np.meshgrid(across, across)), np.ones(side * side)])
    odds = np.zeros((len(indices), size, size), np.float32)
    for i, t in enumerate(indices):
        total = np.zeros((side, side), np.float32)
        x, y = head_grid(side, head_similarity(landmarks[t] * (side / size)))
        face = (np.abs(x) < 1) & (y > -1) & (y < 0.4)
        if not face.any():
            continue
        for u in (t + step for step in FRAME_STEPS):
            if not 0 <= u < len(frames):
                continue
            scale, turn, offset = similarity(points[t], points[u])
            matrix = np.concatenate([scale * turn, offset[:, None]], 1)
            moved = cv2.warpAffine(
                small[u],
                matrix,
                (side, side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            if_still, if_moved = _misfit(small[t], small[u]), _misfit(small[t], moved)
            # The face region tells how accurate the motion of the landmarks is; a blink may disturb it.
            confidence = np.clip(2 - 2 * if_moved[face].mean() / max(float(if_still[face].mean()), 1e-6), 0, 1)
            path = matrix @ here - here[:2]
            moves = np.clip(np.hypot(path[0], path[1]).reshape(side, side) - MIN_PATH_PX, 0, 1)
            total -= confidence * moves * np.exp(-STILLNESS * if_still) * np.clip(if_moved - 1, 0, 3)
        # Shoulders do not move with the head either.
        total *= np.clip((SHOULDERS_Y - y) / 0.4, 0, 1)
        odds[i] = cv2.resize(total, (size, size), interpolation=cv2.INTER_LINEAR)
    return odds


def _misfit(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean squared colour difference around each pixel, float32 [h, w], in units of ``DIFFERENCE``²."""
    import cv2

    squared = cv2.absdiff(first, second).astype(np.float32)
    squared *= squared
    return cv2.blur(squared[..., 0] + squared[..., 1] + squared[..., 2], (3, 3)) / (3 * DIFFERENCE**2)
