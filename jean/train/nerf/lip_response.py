"""Measures how a trained head's lips respond to what is asked for; see ``jean.drivers.lip_response``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from jean.drivers.lip_response import LipResponse
from jean.drivers.lip_style import LipStyle
from jean.drivers.person_frames import PersonFrames
from jean.drivers.response import Curve
from jean.drivers.support import Support
from jean.features.base import Face
from jean.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from jean.lips.parameters import OPENING, WIDTH, measured_lips, opening_and_width
from jean.train.nerf.measurement import LEAST_R, Measurement, rising_curve, spaced

BASES = 3  # frames of the person, near the usual distance and turn, whose lips are replaced
KNOTS = 15
PICTURES = BASES * (KNOTS + len(range(0, KNOTS, 2)))  # openings and widths
BEYOND = 0.4  # of the person's range by which the measurement exceeds it


def measure_lips(measurement: Measurement, style: LipStyle, support: Support, checkpoint: str) -> LipResponse | None:
    """The response of a head's lips; None, with a message, where it cannot be measured.

    Args:
        measurement: the head and the tracker.
        style: how the person's lips look.
        support: the support of the lip coordinates.
        checkpoint: hash of the weights.
    """
    data = measurement.data
    truth = opening_and_width(data.shape[:, :2] + data.measured_offsets[measurement.real_rows].astype(float))
    real = _lips(measurement.real_faces)
    grids = [_grid(style.quantiles[OPENING]), _grid(style.quantiles[WIDTH])[::2]]
    bases = _usual_frames(data, BASES)
    curves: list[Curve | None] = []
    for column, grid in zip((OPENING, WIDTH), grids, strict=True):
        line = _line(truth[:, column], real[:, column])
        wanted = np.tile([style.quantiles[OPENING, 4], style.quantiles[WIDTH, 3]], (len(grid), 1))
        wanted[:, column] = grid
        lips, motion = (support.limit(style.coordinates(v))[0] for v in (style.seen(wanted), wanted))
        pictures = [picture for base in bases for picture in _pictures(measurement, base, lips, motion)]
        rendered = _lips(measurement.faces("measure the lips", pictures))[:, column].reshape(len(bases), -1)
        curves.append(None if line is None else _curve(grid, rendered, line))
    opening, width = curves
    if opening is None or width is None:
        measurement.progress.say("response of the lips: not measured, because the tracker does not see them move.")
        return None
    return LipResponse(checkpoint=checkpoint, tracker=measurement.tracker_name, opening=opening, width=width)


def _grid(quantiles: np.ndarray) -> np.ndarray:
    """Asked values, from the least of the person to beyond the largest."""
    span = quantiles[-1] - quantiles[0]
    return np.linspace(quantiles[0], quantiles[-1] + BEYOND * max(span, 1e-3), KNOTS)


def _usual_frames(data: PersonFrames, count: int) -> np.ndarray:
    """Training frames that see the face as large as usual: its width tells distance and turn."""
    eyes = data.landmarks[data.train][:, [RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    width = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)
    near = np.argsort(np.abs(width - np.median(width)), kind="stable")[: max(count, len(width) // 5)]
    return spaced(data.train[np.sort(near)], count)


def _pictures(measurement: Measurement, base: int, lips: np.ndarray, motion: np.ndarray) -> list[np.ndarray]:
    """The frame ``base`` with lip coordinates [K, W], see ``Frames``: K pictures, uint8 [H, W, 3]."""
    frame, device = measurement.frames_of(np.array([base])), measurement.model.device
    rows = [torch.from_numpy(array).float().to(device).unbind(0) for array in (lips, motion)]
    driven = (replace(frame, audio=None, lips=a[None], lip_motion=b[None]) for a, b in zip(*rows, strict=True))
    return [measurement.picture(inputs, base) for inputs in driven]


def _lips(faces: Sequence[Face | None]) -> np.ndarray:
    """Opening and width [T, 2] of faces, cm; NaN without one."""
    none = np.full((68, 2), np.nan)
    return measured_lips(np.stack([none if face is None else face.landmarks[:, :2] for face in faces]).astype(float))


def _line(truth: np.ndarray, measured: np.ndarray) -> tuple[float, float] | None:
    """Slope and intercept of measured on true values; None where they have little to do with each other."""
    seen = np.isfinite(measured)
    if seen.sum() < 5 or truth[seen].std() < 1e-6 or measured[seen].std() < 1e-6:
        return None
    if np.corrcoef(truth[seen], measured[seen])[0, 1] < LEAST_R:
        return None
    slope, intercept = np.polyfit(truth[seen], measured[seen], 1)
    return float(slope), float(intercept)


def _curve(grid: np.ndarray, measured: np.ndarray, line: tuple[float, float]) -> Curve | None:
    """The response from measurements [BASES, K] at asked values [K]; None where it does not rise."""
    seen = np.isfinite(measured).all(0)
    if not seen.any():
        return None
    return rising_curve(grid[seen], (measured[:, seen].mean(0) - line[1]) / line[0])
