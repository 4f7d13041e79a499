"""What ``disentangle.py`` reads from pictures, and how tracks are compared.

The readers know the head's pose and its rigid shape; what they are made of are drawn pictures, never rendered ones.
"""

from __future__ import annotations

import numpy as np
from linear_probe import ridge_predict

from jean.clips.clip import Clip
from jean.demo.measurements import frontal_patch, lower_lip_edge, mouth_patch
from jean.metrics.mouth import correlation

PATCH_PX = (36, 24)  # half a face, seen from the front: about what it has in the picture
COMPONENTS = 100  # of its pictures, before the ridge


class FaceReader:
    """Tells controls from pictures of a part of the face, by a ridge regression fitted on drawn frames alone.

    Sharp frames and blurred ones (renders are a little blurred), seen from the front, as principal components.

    Args:
        clips: drawn clips of the person.
        part: "upper", brows to the nose's base, or "lower", from there to the chin.
        columns: of the controls.
    """

    def __init__(self, clips: list[Clip], part: str, columns: slice):
        self.shape, self.camera, self.part, self.columns = clips[0].arrays["shape"], clips[0].camera, part, columns
        patches = [
            self._patches(np.asarray(clip.frames), clip.arrays["camera_to_world"], blur)
            for clip in clips
            for blur in (0.0, 1.0)
        ]
        seen = np.concatenate(patches)
        self.mean = seen.mean(0)
        self.axes = np.linalg.svd(seen[::4] - self.mean, full_matrices=False)[2][:COMPONENTS].T
        self.inputs = (seen - self.mean) @ self.axes
        self.targets = np.concatenate([self.wanted(clip.arrays["expression"]) for clip in clips for _ in range(2)])

    def wanted(self, controls: np.ndarray) -> np.ndarray:
        """[T, K]: the columns that are read, of controls [T, C]."""
        return controls[:, self.columns]

    def read(self, frames: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
        """[T, K] of frames uint8 [T, H, W, 3] with their poses [T, 4, 4]."""
        seen = self._patches(frames, camera_to_world, 0.0)
        return ridge_predict(self.inputs, self.targets, (seen - self.mean) @ self.axes)

    def _patches(self, frames: np.ndarray, camera_to_world: np.ndarray, blur_px: float) -> np.ndarray:
        """float32 [T, D] in [0, 1]."""
        import cv2

        face, nose, chin = self.shape[17:48], self.shape[33], self.shape[8]
        (left, top, _), (right, _, _) = face.min(0), face.max(0)
        wide = 0.1 * (right - left)
        box = (left - wide, top - 2 * wide, right + wide, nose[1])
        if self.part == "lower":
            box = (left, nose[1], right, chin[1])
        rows = []
        for image, pose in zip(frames, camera_to_world, strict=True):
            soft = cv2.GaussianBlur(image, (0, 0), blur_px) if blur_px else image
            rows.append(frontal_patch(soft, self.camera, pose, box, float(face[:, 2].mean()), PATCH_PX).ravel())
        return np.array(rows, np.float32) / 255


def opening_of(frames: np.ndarray, camera_to_world: np.ndarray, clip: Clip) -> np.ndarray:
    """[T]: how far down the red of the lips reaches, seen by the camera of ``clip``."""
    return np.array(
        [
            lower_lip_edge(mouth_patch(np.asarray(image), clip.camera, pose, clip.arrays["shape"]))
            for image, pose in zip(frames, camera_to_world, strict=False)
        ]
    )


def agreement(told: np.ndarray, wanted: np.ndarray, chosen: np.ndarray) -> float:
    """Mean correlation of the chosen columns of two tracks [T, C]; what stands still agrees with nothing."""
    found = [correlation(told[:, k], wanted[:, k]) for k in np.flatnonzero(chosen)]
    return float(np.mean(np.nan_to_num(found)))


def slopes(track: np.ndarray, of: np.ndarray) -> np.ndarray:
    """[K]: of the least-squares fit of a track [T] on ``of`` [T, K], where all are known."""
    known = np.isfinite(track) & np.isfinite(of).all(1)
    return np.linalg.lstsq(np.c_[of[known], np.ones(known.sum())], track[known], rcond=None)[0][:-1]


def partial_correlation(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float | None:
    """Correlation of what the fit on ``given`` [T, K] leaves of ``a`` and ``b`` [T]; None where nothing is left."""
    known = np.isfinite(a) & np.isfinite(b) & np.isfinite(given).all(1)
    base = np.c_[given[known], np.ones(known.sum())]
    left = [track[known] - base @ np.linalg.lstsq(base, track[known], rcond=None)[0] for track in (a, b)]
    return correlation(left[0], left[1]) if np.std(left[0]) > 1e-9 else None
