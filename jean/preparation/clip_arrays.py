"""The per-frame arrays of a prepared clip, from the chosen face and the head fit.

For trackers without expression coefficients, displacements of named face points are used. The head fit's own
deformations are learned for each clip, so coefficients of two clips could not be compared. Displacements in
centimetres of a mean head mean the same in all clips.
"""

from __future__ import annotations

import numpy as np

from jean import landmarks as ibug
from jean.clips.meta import Crop, ExpressionSpec
from jean.features.base import FaceTracker
from jean.preparation.head_fit.camera_fit import CameraFit
from jean.preparation.tracking.tracks import Tracks

DISPLACEMENTS = "motion"  # name of the displacements as expression coefficients
DISPLACEMENT_VERSION = "displacement-1"

_BROWS = ibug.indices("right_brow", "left_brow")
_LIDS = np.array([37, 38, 40, 41, 43, 44, 46, 47])
_INNER_BROWS = np.array([21, 22])
_MOUTH = ibug.indices("outer_lips", "inner_lips")
_CHIN = np.array([ibug.CHIN])

# (points, axis of head space, whether they belong to the upper face)
_GROUPS = (
    (_BROWS, 1, True),
    (_INNER_BROWS, 0, True),
    (_LIDS, 1, True),
    (_MOUTH, 0, False),
    (_MOUTH, 1, False),
    (_CHIN, 1, False),
)

DISPLACEMENT_NAMES = tuple(
    f"{ibug.NAMES[point]}_{'xyz'[axis]}" for points, axis, _ in _GROUPS for point in points.tolist()
)
DISPLACEMENT_UPPER = tuple(upper for points, _, upper in _GROUPS for _ in points)


def displacements(coefficients: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Displacements of the points in ``DISPLACEMENT_NAMES`` from the clip's neutral shape: float32 [T, E], cm.

    Args:
        coefficients: deformation coefficients of the head fit [T, K].
        basis: deformations of the iBUG-68 points [K, 68, 3], cm.
    """
    columns = [basis[:, points, axis] for points, axis, _ in _GROUPS]
    return (coefficients @ np.concatenate(columns, axis=1)).astype(np.float32)


def face_arrays(tracks: Tracks, chosen: np.ndarray, crop: Crop, size_px: int) -> dict[str, np.ndarray]:
    """The arrays that follow from the choice of the face and the crop: ``times_s``, ``valid``, landmarks and more.

    Args:
        tracks: every face of the video.
        chosen: int32 [T], index of the chosen face of each frame; -1 without one.
        crop: the crop.
        size_px: side of the frames.
    """
    return {
        "times_s": tracks.times_s.astype(np.float64),
        "valid": chosen >= 0,
        "landmarks": crop.points(tracks.values("landmarks", chosen), size_px).astype(np.float32),
        "irises": crop.points(tracks.values("irises", chosen), size_px).astype(np.float32),
        "tracker_camera_to_world": tracks.values("camera_to_world", chosen).astype(np.float64),
    }


def head_arrays(fit: CameraFit, weights: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays that follow from the head fit: ``camera_to_world``, ``shape`` and ``displacements``.

    Args:
        fit: the fit to the tracker's P points.
        weights: float32 [68, P], see ``landmark_weights``.
        valid: bool [T], frames with the face.
    """
    from jean.geometry import fill_poses

    return {
        "camera_to_world": fill_poses(np.asarray(fit.camera_to_world, np.float64), valid),
        "shape": (weights @ fit.shape).astype(np.float32),
        "displacements": displacements(fit.coefficients, np.einsum("lp,kpc->klc", weights, fit.basis)),
    }


def expression_array(
    tracker: FaceTracker, tracks: Tracks, chosen: np.ndarray, displacement: np.ndarray
) -> tuple[np.ndarray, ExpressionSpec]:
    """Expression coefficients float32 [T, E] and their specification: the tracker's, or else ``displacement``."""
    if tracker.expression_names:
        spec = ExpressionSpec(
            name=tracker.name,
            version=tracker.version,
            names=list(tracker.expression_names),
            upper=[bool(upper) for upper in tracker.upper_face],
        )
        values = ibug.fill_gaps(tracks.values("expression", chosen), chosen >= 0)
        return values.astype(np.float32), spec
    spec = ExpressionSpec(
        name=DISPLACEMENTS,
        version=f"{DISPLACEMENT_VERSION}+{tracker.version}",
        names=list(DISPLACEMENT_NAMES),
        upper=list(DISPLACEMENT_UPPER),
    )
    return displacement, spec


def landmark_weights(tracker: FaceTracker, tracks: Tracks) -> np.ndarray:
    """float32 [68, P]: the iBUG-68 points as linear combinations of the tracker's P points."""
    count = tracks.columns["points"][1][0]
    if count == ibug.COUNT:
        return np.eye(ibug.COUNT, dtype=np.float32)
    weights: np.ndarray = tracker.landmark_weights  # type: ignore[attr-defined]
    return weights
