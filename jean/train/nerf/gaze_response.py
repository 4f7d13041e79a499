"""Measures how a trained head's gaze responds to what is asked for; see ``jean.drivers.gaze_response``.

Frames of the person with heads turned to different sides are rendered with gazes from one end of the person's range to
the other, and beyond. All else of the eyes is the person's median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from jean.drivers.eyes import CLOSURE, GAZE, OPEN_IRIS, camera_gaze, measured_from
from jean.drivers.gaze_response import AxisResponse, GazeResponse
from jean.drivers.person_eyes import PersonEyes, lid_offsets
from jean.features.base import Face
from jean.landmarks import EYES
from jean.train.nerf.measurement import Measurement, rising_curve

BASES = 4  # frames of the person whose gaze is replaced, from one side of the head's turns to the other
KNOTS = 11
PICTURES = 2 * BASES * KNOTS
# Of the person's range by which the measurement exceeds it at either end, across and down. Further out eyes are torn,
# sooner where the lids have to follow.
BEYOND = (0.75, 0.5)
LEAST_RANGE_DEG = 8.0  # of a person who hardly moves the eyes
# Of the range of the response, from either side: asking further gains little, or the iris is torn and returns.
REACHED = 0.95
TURN_NOISE_DEG = 1.0  # turns of this size or less say nothing about the shift with them


def measure_gaze(measurement: Measurement, eyes: PersonEyes, checkpoint: str) -> GazeResponse | None:
    """The response of a head's gaze; None, with a message, where it cannot be measured.

    Args:
        measurement: the head and the tracker; its frames must have eye values.
        eyes: of the person, with whose limits the lids are placed.
        checkpoint: hash of the weights.
    """
    data = measurement.data
    assert data.eyes is not None
    values = data.eyes[data.train].astype(np.float64)
    rows = measurement.real_rows
    away = _gaze(measurement, measurement.real_faces, rows) - data.eyes[rows][:, GAZE]
    seen = np.isfinite(away).all(1) & (data.eyes[rows][:, CLOSURE].max(1) < OPEN_IRIS)
    axes: list[AxisResponse | None] = []
    if seen.sum() >= 5:
        zero = np.median(away[seen], 0)  # the rest of the person's eyes
        turns = camera_gaze(data.camera_to_world[data.train].astype(np.float64))
        steady = np.flatnonzero(values[:, CLOSURE].max(1) < max(OPEN_IRIS, float(np.median(values[:, CLOSURE]))))
        for axis in range(2):
            bases = _spread(turns[:, axis], steady, BASES)
            asked = np.tile(np.median(values, 0), (KNOTS, 1))
            asked[:, axis] = _grid(values[:, axis], BEYOND[axis])
            pictures = [p for base in data.train[bases] for p in _pictures(measurement, eyes, int(base), asked)]
            faces = measurement.faces("measure the gaze", pictures)
            gaze = _gaze(measurement, faces, np.repeat(data.train[bases], KNOTS)) - zero
            axes.append(_axis(asked[:, axis], gaze[:, axis].reshape(BASES, KNOTS), turns[bases, axis]))
    if len(axes) < 2 or axes[0] is None or axes[1] is None:
        measurement.progress.say("response of the gaze: not measured, because the tracker does not see it move.")
        return None
    return GazeResponse(checkpoint=checkpoint, tracker=measurement.tracker_name, across=axes[0], down=axes[1])


def _grid(own: np.ndarray, beyond: float) -> np.ndarray:
    """Asked gazes around those of the person [T], degrees; ``beyond`` as in ``BEYOND``."""
    low, high = np.quantile(own, [0.02, 0.98])
    further = beyond * max(high - low, LEAST_RANGE_DEG)
    return np.linspace(low - further, high + further, KNOTS)


def _spread(turns: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the ``allowed`` frames, whose turns [T] spread over the middle 90 %."""
    ranked = allowed[np.argsort(turns[allowed], kind="stable")]
    return ranked[np.linspace(0.05 * (len(ranked) - 1), 0.95 * (len(ranked) - 1), count).round().astype(int)]


def _pictures(measurement: Measurement, eyes: PersonEyes, base: int, asked: np.ndarray) -> list[np.ndarray]:
    """The frame ``base`` with eye values [K, 4]: K pictures, uint8 [H, W, 3].

    Lids follow the gaze as in rendering, where the wanted gaze, which the limit holds, decides them.
    """
    data, device = measurement.data, measurement.model.device
    assert data.eyes is not None
    frame = measurement.frames_of(np.array([base]))
    lids = lid_offsets(eyes.lids, eyes.limit(asked)[0]) - lid_offsets(eyes.lids, data.eyes[[base]].astype(np.float64))
    pictures = []
    for values, moved in zip(asked, lids, strict=True):
        offsets = frame.offsets.clone()
        offsets[0, EYES] += torch.from_numpy(moved).to(offsets)
        inputs = replace(frame, eyes=torch.from_numpy(values[None]).float().to(device), offsets=offsets)
        pictures.append(measurement.picture(inputs, base))
    return pictures


def _gaze(measurement: Measurement, faces: Sequence[Face | None], rows: np.ndarray) -> np.ndarray:
    """Gaze [T, 2], degrees, of faces in the poses of the frames ``rows`` [T]; NaN without a face or irises."""
    data, found = measurement.data, np.full((len(rows), 2), np.nan)
    for t, (face, row) in enumerate(zip(faces, rows, strict=True)):
        if face is not None:
            points, irises = face.landmarks[None, :, :2].astype(float), face.irises[None].astype(float)
            pose = data.camera_to_world[[row]].astype(np.float64)
            found[t] = measured_from(data.shape, points, irises, pose, data.clips[data.clip_of[row]].camera).gaze_deg[0]
    return found


def _axis(asked: np.ndarray, rendered: np.ndarray, turns: np.ndarray) -> AxisResponse | None:
    """The response along one axis.

    Args:
        asked: gazes [K], degrees.
        rendered: gazes [BASES, K], degrees.
        turns: of the bases: gaze that meets the camera [BASES], degrees.
    """
    seen = np.isfinite(rendered).all(0)
    if seen.sum() < 4:
        return None
    asked, rendered = asked[seen], rendered[:, seen]
    mean = rendered.mean(0)
    middle = len(mean) // 2
    left, right = mean[: middle + 1], mean[middle:]
    margin = (1 - REACHED) * (right.max() - left.min())
    first = int(np.flatnonzero(left <= left.min() + margin)[-1])
    rising = slice(first, middle + int(np.argmax(right >= right.max() - margin)) + 1)
    curve = rising_curve(asked[rising], mean[rising])
    if curve is None:
        return None
    turned, moved = turns - turns.mean(), rendered[:, rising].mean(1) - mean[rising].mean()
    shift = float(moved @ turned / (turned @ turned + len(turns) * TURN_NOISE_DEG**2))
    return AxisResponse(curve=curve, with_turn=float(np.clip(shift, -1, 1)), mean_turn_deg=float(turns.mean()))
