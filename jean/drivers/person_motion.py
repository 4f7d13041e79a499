"""Generated motion on one person: landmark offsets, expression vectors and head poses of this head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean.drivers.motion_sound import FPS
from jean.drivers.motion_tracks import MotionTrack
from jean.drivers.motion_vector import LOWER_POINTS, UPPER_POINTS, lid_opening, opening_of, set_opening
from jean.drivers.person import Person
from jean.drivers.person_eyes import lid_offsets
from jean.drivers.pose_support import poses_from_motion
from jean.drivers.resampling import interpolate_rows
from jean.landmarks import EYES
from jean.row_file import parts_in_blocks

RIDGE = 10.0  # of the regression of expression vectors on the face
TOLD = 0.3  # R² from which an expression vector counts as told by the face
WIDE = 0.75  # quantile of a person's lid opening that counts as open, as in ``jean.drivers.eyes``
SLOW_S = 0.3  # standard deviation of the low-pass that separates sway from nods
WIDER = 1.0  # than the person's own spread may a generated one be
# Coefficients of MediaPipe that tell gaze: sign and axis (0 right, 1 down) of the gaze that raises them, and the rise
# per degree. Means of linear fits on four clips of real people (r 0.72 to 0.98).
GAZE_COEFFICIENTS = {
    "eyeLookOutLeft": (1, 0, 0.022),
    "eyeLookInRight": (1, 0, 0.022),
    "eyeLookInLeft": (-1, 0, 0.011),
    "eyeLookOutRight": (-1, 0, 0.010),
    "eyeLookDownLeft": (1, 1, 0.035),
    "eyeLookDownRight": (1, 1, 0.035),
    "eyeLookUpLeft": (-1, 1, 0.016),
    "eyeLookUpRight": (-1, 1, 0.016),
    # of the synthetic speaker, whose unit is 0.45 rad
    "gaze_x": (1, 0, 1 / 25.8),
    "gaze_y": (1, 1, 1 / 25.8),
}


@dataclass(frozen=True)
class MovedPerson:
    """Drivers of T frames, before the support limit.

    Attributes:
        expression: expression vectors, float32 [T, E].
        offsets: landmark offsets from the rigid head, float32 [T, 68, 2], cm.
        poses: camera_to_world [T, 4, 4].
        eyes: eye values [T, 4] (``jean.drivers.eyes``), for a head with inputs for them; its lids in ``offsets`` are
            those of the person's mean eyes. None for other heads.
        held: offsets that the emotion adds to the mouth, float32 [T, 68, 2], cm.
        told: R² of the regression of the person's expression vectors on the face.
    """

    expression: np.ndarray
    offsets: np.ndarray
    poses: np.ndarray
    eyes: np.ndarray | None
    held: np.ndarray
    told: float


def move_person(
    motion: MotionTrack, person: Person, shape: np.ndarray, names: Sequence[str] | None, times_s: np.ndarray
) -> MovedPerson:
    """A person with generated motion.

    Args:
        motion: at 25 frames per second.
        person: the person of a run.
        shape: the rigid head [68, 3], cm.
        names: names of the coefficients in the expression vector; None for a vector of another kind.
        times_s: middles of the frames of the result [T], s.
    """
    rigid = shape[:, :2]
    own = rigid + np.asarray(person.offsets, np.float64)
    open_cm = np.maximum(np.quantile(lid_opening(own), WIDE, axis=0), 1e-3)
    neutral = set_opening(own, np.broadcast_to(open_cm, (len(own), 2))).mean(0) - rigid
    positions = np.clip(times_s * FPS - 0.5, 0, len(motion) - 1)
    pose = pose_in_range(motion.pose, person.support.pose.motion.scale)
    expression = ExpressionOfFace.fit(person)

    def rows(places: np.ndarray) -> tuple[np.ndarray, ...]:
        face = motion.at(places)
        lids, held = face.closure[:, None].repeat(2, 1), np.zeros((len(places), 68, 2), np.float32)
        offsets = np.repeat(neutral[None], len(places), 0)
        offsets[:, UPPER_POINTS] += face.upper
        offsets[:, LOWER_POINTS] += face.lower
        if person.eyes is None:
            offsets = set_opening(rigid + offsets, opening_of(lids, open_cm)) - rigid
            vectors = _with_gaze(expression.of(offsets), person, names or [], face.gaze_deg)
        else:  # the lids follow the head's inputs
            offsets[:, EYES] += lid_offsets(person.eyes.lids, person.eyes.mean[None]) - neutral[EYES]
            vectors = expression.of(offsets)
        eyes = np.concatenate([face.gaze_deg, lids], 1).astype(np.float32)
        held[:, LOWER_POINTS] = face.held
        poses = poses_from_motion(interpolate_rows(pose, places), person.support.pose.mean)
        return vectors.astype(np.float32), offsets.astype(np.float32), poses, eyes, held

    vectors, offsets, poses, eyes, held = parts_in_blocks(rows, positions)
    return MovedPerson(vectors, offsets, poses, None if person.eyes is None else eyes, held, expression.told)


def pose_in_range(pose: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Pose motion [T, 6] whose slow part spreads no wider than the person's own; nods stay as they are.

    How far a head sways differs between people, and beyond their range necks tear. The slow part keeps its course.

    Args:
        pose: generated motion, 25 frames per second.
        spread: standard deviations of the person's pose motion in training, [6].

    Example:
        >>> sway = 3 * np.sin(np.arange(200) / 30)[:, None] * np.ones(6)
        >>> pose_in_range(sway, np.full(6, 0.5)).std(0).round(2).tolist()
        [0.57, 0.57, 0.57, 0.57, 0.57, 0.57]
        >>> bool(np.allclose(pose_in_range(sway, np.full(6, 5.0)), sway))
        True
    """
    from scipy.ndimage import gaussian_filter1d

    slow = gaussian_filter1d(pose, SLOW_S * FPS, axis=0, mode="nearest")
    size = np.sqrt(np.square(slow).mean(0))  # about the neutral pose, so that a lowered head counts
    return pose - slow + slow * np.minimum(1.0, WIDER * spread / np.maximum(size, 1e-9))


@dataclass(frozen=True)
class ExpressionOfFace:
    """Expression vectors that go with landmark offsets: ridge regression on the frames of one person.

    Attributes:
        points: landmarks that tell the vector.
        mean, std: of their offsets [2 P]; slopes: [2 P, E]; centre: mean vector [E].
        told: R² on these frames.
    """

    points: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    slopes: np.ndarray
    centre: np.ndarray
    told: float

    @classmethod
    def fit(cls, person: Person) -> ExpressionOfFace:
        """The regression of a person's expression vectors on brows, nose and, without eye inputs, lids."""
        lids = np.arange(EYES.start, EYES.stop)
        points = UPPER_POINTS if person.eyes is None else np.setdiff1d(UPPER_POINTS, lids)
        own, vectors = _flat(person.offsets, points), np.asarray(person.expression, np.float64)
        mean, std = own.mean(0), np.maximum(own.std(0), 0.02)
        inputs, centre = (own - mean) / std, vectors.mean(0)
        slopes = np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ (vectors - centre))
        error, spread = np.square(vectors - centre - inputs @ slopes).sum(), np.square(vectors - centre).sum()
        return cls(points, mean, std, slopes, centre, 1 - float(error / max(spread, 1e-12)))

    def of(self, offsets: np.ndarray) -> np.ndarray:
        """Vectors [T, E] of landmark offsets [T, 68, 2]."""
        return np.asarray(self.centre + (_flat(offsets, self.points) - self.mean) / self.std @ self.slopes)


def _flat(offsets: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(offsets, np.float64)[:, points].reshape(len(offsets), -1)


def _with_gaze(expression: np.ndarray, person: Person, names: Sequence[str], gaze_deg: np.ndarray) -> np.ndarray:
    """Expression vectors whose gaze coefficients follow the gaze; the face cannot tell it."""
    changed, centre = expression.copy(), np.asarray(person.expression, np.float64).mean(0)
    for column, name in enumerate(names):
        if name in GAZE_COEFFICIENTS:
            sign, axis, per_deg = GAZE_COEFFICIENTS[name]
            value = centre[column] + sign * per_deg * gaze_deg[:, axis]
            changed[:, column] = value if name.startswith("gaze") else np.clip(value, 0, 1)
    return changed
