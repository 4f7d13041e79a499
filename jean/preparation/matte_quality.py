"""Quality of a clip's mattes without a reference: holes in the person, and jumps from frame to frame."""

from __future__ import annotations

import numpy as np

from jean.clips.meta import MatteFacts
from jean.features.matting.whole import holes
from jean.geometry import similarity

SIDE_PX = 128  # mattes are compared at this size: fine hair does not matter, and every frame is measured
# A matte jumps if this fraction of the person changes in a way that the motion of neither head nor torso explains.
JUMP = 0.005
SLACK_PX = 1  # error of that motion, at SIDE_PX
WARN_HOLES, WARN_JUMPS = 0.005, 0.05  # fractions from which `jean prepare` warns


def unexplained_change(before: np.ndarray, after: np.ndarray, points: tuple[np.ndarray, np.ndarray]) -> float:
    """Change of the opacity between two frames, as a fraction of the person's area.

    A pixel counts as far as it equals no pixel near its place in the previous frame, neither at rest (torso) nor moved
    with the landmarks (head).

    Args:
        before, after: opacity of head and torso together, float32 [h, w] in [0, 1].
        points: landmarks [68, 2] px of both frames; without finite ones only rest is compared.
    """
    import cv2

    change = _beyond_range(before, after)
    if np.isfinite(points[0]).all() and np.isfinite(points[1]).all():
        scale, turn, offset = similarity(points[0], points[1])
        matrix = np.concatenate([scale * turn, offset[:, None]], 1)
        moved = cv2.warpAffine(before, matrix, before.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        change = np.minimum(change, _beyond_range(moved, after))
    return float(change.sum() / max(1.0, float(after.sum())))


def _beyond_range(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Distance of each opacity to the range of opacities around its place in the previous frame."""
    import cv2

    window = np.ones((2 * SLACK_PX + 1,) * 2, np.uint8)
    low, high = cv2.erode(before, window), cv2.dilate(before, window)
    return np.asarray(np.maximum(np.maximum(low - after, after - high), 0))


class MatteQuality:
    """Measures mattes frame by frame, in order."""

    def __init__(self) -> None:
        self._holes: list[float] = []
        self._changes: list[float] = []
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, matte: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, bool]:
        """Adds a frame.

        Args:
            matte: uint8 [H, W, 2].
            landmarks: [68, 2] px; may be NaN.

        Returns:
            The frame's holes, bool [SIDE_PX, SIDE_PX], and whether its matte jumps.
        """
        import cv2

        opacity = np.clip(matte.astype(np.float32).sum(-1) / 255, 0, 1)
        opacity = cv2.resize(opacity, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        points = np.asarray(landmarks, np.float64) * (SIDE_PX / len(matte))
        open_pixels = holes(opacity, points if np.isfinite(points).all() else None)
        area = max(1.0, float((opacity > 0.5).sum() + open_pixels.sum()))
        self._holes.append(float(open_pixels.sum()) / area)
        jumps = False
        if self._before is not None:
            change = unexplained_change(self._before[0], opacity, (self._before[1], points))
            self._changes.append(change)
            jumps = change > JUMP
        self._before = opacity, points
        return open_pixels, jumps

    def facts(self) -> MatteFacts:
        """The summary of all frames."""
        changes = np.array(self._changes or [0.0])
        return MatteFacts(
            holes=round(float(np.mean(self._holes)), 5),
            holes_worst=round(float(np.max(self._holes)), 5),
            jumps=round(float((changes > JUMP).mean()), 4),
        )


def matte_warnings(facts: MatteFacts) -> list[str]:
    """What is wrong with the mattes, one line each."""
    warnings = []
    if facts.holes > WARN_HOLES:
        warnings.append(f"{facts.holes:.1%} of the person are holes in the mattes; look at them with --preview.")
    if facts.jumps > WARN_JUMPS:
        warnings.append(f"the matte jumps in {facts.jumps:.0%} of the frames; look at it with --preview.")
    return warnings
