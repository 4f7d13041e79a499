"""Estimators of part 3 of ``disentangle.py``: controls and mouth opening from frames, and comparisons of tracks.

The estimators use the head's pose and rigid shape. They are fitted on drawn frames, never on rendered ones.
"""

from __future__ import annotations

import numpy as np

from jean.clips.clip import Clip
from jean.demo.measurements import frontal_patch, lower_lip_edge, mouth_patch
from jean.metrics.mouth import correlation
from jean.metrics.probes import ridge_predict

PATCH_PX = (36, 24)  # width and height of half a face in frontal view, about its size in a frame
COMPONENTS = 100  # principal components of the patches


class FaceReader:
    """Estimates control values from frontal patches of the face, by ridge regression.

    It is fitted on drawn frames, sharp and blurred, as rendered frames are slightly blurred.

    Args:
        clips: drawn clips of the person.
        part: "upper", from the brows to the base of the nose, or "lower", from there to the chin.
        columns: controls to estimate.
    """

    def __init__(self, clips: list[Clip], part: str, columns: slice):
        self.shape, self.camera, self.part, self.columns = clips[0].arrays["shape"], clips[0].camera, part, columns
        patches = [
            self._patches(np.asarray(clip.frames), clip.arrays["camera_to_world"], blur)
            for clip in clips
            for blur in (0.0, 1.0)
        ]
        pixels = np.concatenate(patches)
        self.mean = pixels.mean(0)
        self.axes = np.linalg.svd(pixels[::4] - self.mean, full_matrices=False)[2][:COMPONENTS].T
        self.inputs = (pixels - self.mean) @ self.axes
        self.targets = np.concatenate([self.targets_of(clip.arrays["expression"]) for clip in clips for _ in range(2)])

    def targets_of(self, controls: np.ndarray) -> np.ndarray:
        """The estimated columns [T, K] of controls [T, C]."""
        return controls[:, self.columns]

    def read(self, frames: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
        """Estimates controls [T, K] from frames uint8 [T, H, W, 3] and poses [T, 4, 4]."""
        pixels = self._patches(frames, camera_to_world, 0.0)
        return ridge_predict(self.inputs, self.targets, (pixels - self.mean) @ self.axes)

    def _patches(self, frames: np.ndarray, camera_to_world: np.ndarray, blur_px: float) -> np.ndarray:
        """Frontal patches as rows, float32 [T, D] in [0, 1]; ``blur_px`` is a standard deviation."""
        import cv2

        face, nose, chin = self.shape[17:48], self.shape[33], self.shape[8]
        (left, top, _), (right, _, _) = face.min(0), face.max(0)
        margin = 0.1 * (right - left)
        box = (left - margin, top - 2 * margin, right + margin, nose[1])
        if self.part == "lower":
            box = (left, nose[1], right, chin[1])
        rows = []
        for image, pose in zip(frames, camera_to_world, strict=True):
            blurred = cv2.GaussianBlur(image, (0, 0), blur_px) if blur_px else image
            rows.append(frontal_patch(blurred, self.camera, pose, box, float(face[:, 2].mean()), PATCH_PX).ravel())
        return np.array(rows, np.float32) / 255


def lip_edges(frames: np.ndarray, camera_to_world: np.ndarray, clip: Clip) -> np.ndarray:
    """``lower_lip_edge`` [T] of frames through the camera of ``clip``."""
    return np.array(
        [
            lower_lip_edge(mouth_patch(np.asarray(image), clip.camera, pose, clip.arrays["shape"]))
            for image, pose in zip(frames, camera_to_world, strict=False)
        ]
    )


def mean_correlation(estimates: np.ndarray, targets: np.ndarray, columns: np.ndarray) -> float:
    """Mean correlation of two tracks [T, C] over the columns in a mask [C]; constant columns count as 0."""
    values = [correlation(estimates[:, k], targets[:, k]) for k in np.flatnonzero(columns)]
    return float(np.mean(np.nan_to_num(values)))


def slopes(track: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Slopes [K] of the least-squares fit of a track [T] on ``of`` [T, K], without rows that hold NaN."""
    valid = np.isfinite(track) & np.isfinite(of).all(1)
    return np.linalg.lstsq(np.c_[of[valid], np.ones(valid.sum())], track[valid], rcond=None)[0][:-1]


def partial_correlation(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float | None:
    """Correlation of ``a`` and ``b`` [T] given ``given`` [T, K]; None if ``given`` explains one fully."""
    valid = np.isfinite(a) & np.isfinite(b) & np.isfinite(given).all(1)
    base = np.c_[given[valid], np.ones(valid.sum())]
    residuals = [track[valid] - base @ np.linalg.lstsq(base, track[valid], rcond=None)[0] for track in (a, b)]
    return correlation(residuals[0], residuals[1]) if np.std(residuals[0]) > 1e-9 else None
