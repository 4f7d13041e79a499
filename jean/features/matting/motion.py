"""Motion in a block of frames: averages along it, and what it says about head and background."""

from __future__ import annotations

import numpy as np

from jean.features.matting.edges import as_float
from jean.features.matting.shape import grid, head_similarity

# Neighbours on each side that steady a frame, and how fast their say falls, frames.
REACH, SIGMA = 2, 1.8
# A neighbour's pixel has little say where its colour differs by more than this after the motion is undone.
COLOUR = 0.06

# Frames between which the head should have moved visibly where it moves at all.
STEPS = (-10, -5, 5, 10)
# Colour difference (0 to 255) that speaks for one of two motions; above video noise.
DIFFERENCE = 8.0
# How fast a pixel stops counting as unchanged, in those units squared: at half the difference, a third.
STILLNESS = 4.0
MOTION_SIDE_PX = 128
# Shorter ways of the head are within the landmarks' jitter, px of the smaller frames.
LEAST_PATH_PX = 1.0
# Height (head coordinates) below which shoulders may begin.
SHOULDERS_Y = 1.5


class Steadier:
    """Averages maps of a block with their neighbours in time, along the motion, where the colours agree.

    Args:
        frames: uint8 [N, h, w, 3].
    """

    def __init__(self, frames: np.ndarray):
        import cv2

        height, width = frames.shape[1:3]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self.here = (x, y)
        colours = [cv2.GaussianBlur(as_float(frame), (0, 0), 1.0) for frame in frames]
        self.flows = _flows(frames, self.here)
        self.shares = {}
        for (t, u), flow in self.flows.items():
            away = (_warp(colours[u], flow, self.here) - colours[t]) ** 2
            differs = away[..., 0] + away[..., 1] + away[..., 2]
            near = np.exp(-((t - u) ** 2) / (2 * SIGMA**2))
            self.shares[t, u] = (near * np.exp(differs * (-0.5 / COLOUR**2))).astype(np.float16)

    def steady(self, maps: np.ndarray) -> np.ndarray:
        """float32 [N, h, w] of maps float32 [N, h, w] in any range."""
        smooth = np.empty_like(maps)
        for t in range(len(maps)):
            total, weight = maps[t].copy(), np.ones_like(maps[t])
            for u in range(max(0, t - REACH), min(len(maps), t + REACH + 1)):
                if u != t:
                    share = self.shares[t, u].astype(np.float32)
                    total += share * _warp(maps[u], self.flows[t, u], self.here)
                    weight += share
            smooth[t] = total / weight
        return smooth


def _flows(frames: np.ndarray, here: tuple[np.ndarray, np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
    """(t, u) → float16 [h, w, 2]: where the pixels of frame t are in frame u (x, y offsets, px).

    Steps of one frame are measured; longer ones are chained from them, which is faster and as good.
    """
    import cv2

    measure = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    rest = np.zeros((*grey[0].shape, 2), np.float32)
    found: dict[tuple[int, int], np.ndarray] = {}
    for t in range(len(grey) - 1):
        found[t, t + 1] = measure.calc(grey[t], grey[t + 1], rest.copy()).astype(np.float16)
        found[t + 1, t] = measure.calc(grey[t + 1], grey[t], rest.copy()).astype(np.float16)
    for distance in range(2, REACH + 1):
        for t in range(len(grey)):
            for u in (t - distance, t + distance):
                if 0 <= u < len(grey):
                    between = u + (1 if u < t else -1)
                    onward = _warp(found[between, u].astype(np.float32), found[t, between], here)
                    found[t, u] = (found[t, between] + onward).astype(np.float16)
    return found


def _warp(values: np.ndarray, flow: np.ndarray, here: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """``values`` [h, w, …] of another frame, seen from this one by ``flow`` [h, w, 2] (px)."""
    import cv2

    x, y = here
    return cv2.remap(values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def parting_odds(frames: np.ndarray, marks: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Log odds by motion, not positive, float32 [len(chosen), h, w].

    A pixel that looks the same some frames before or after, though it would not if it had gone with the
    head, is background. The opposite proves nothing: hair and turning heads do not move as the landmarks
    do, and background comes and goes. Zero in flat areas and while the head rests.

    Args:
        frames: uint8 [N, h, w, 3].
        marks: [N, 68, 2] px.
        chosen: indices of the frames that are wanted.
    """
    import cv2

    from jean.geometry import similarity

    size = frames.shape[1]
    side = min(size, MOTION_SIDE_PX)
    small = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
    # Eyes and nose: the jaw's opening and the brows are no motion of the head.
    points = marks[:, 27:48] * (side / size) - 0.5
    across = np.arange(side, dtype=np.float64)
    here = np.stack([*(axis.ravel() for axis in np.meshgrid(across, across)), np.ones(side * side)])
    odds = np.zeros((len(chosen), size, size), np.float32)
    for i, t in enumerate(chosen):
        total = np.zeros((side, side), np.float32)
        x, y = grid(side, head_similarity(marks[t] * (side / size)))
        face = (np.abs(x) < 1) & (y > -1) & (y < 0.4)
        if not face.any():
            continue
        for u in (t + step for step in STEPS):
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
            rests, goes = _misfit(small[t], small[u]), _misfit(small[t], moved)
            # The face itself says how true the landmarks' motion is; a blink may shake them.
            truth = np.clip(2 - 2 * goes[face].mean() / max(float(rests[face].mean()), 1e-6), 0, 1)
            path = matrix @ here - here[:2]
            far = np.clip(np.hypot(path[0], path[1]).reshape(side, side) - LEAST_PATH_PX, 0, 1)
            total -= truth * far * np.exp(-STILLNESS * rests) * np.clip(goes - 1, 0, 3)
        # Shoulders do not go with the head either.
        total *= np.clip((SHOULDERS_Y - y) / 0.4, 0, 1)
        odds[i] = cv2.resize(total, (size, size), interpolation=cv2.INTER_LINEAR)
    return odds


def _misfit(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float32 [h, w]: squared colour difference around each pixel, in units of ``DIFFERENCE``²."""
    import cv2

    away = cv2.absdiff(first, second).astype(np.float32)
    away *= away
    return cv2.blur(away[..., 0] + away[..., 1] + away[..., 2], (3, 3)) / (3 * DIFFERENCE**2)
