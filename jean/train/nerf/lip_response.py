"""Measures how a trained head's lips respond to what is asked for; see ``jean.drivers.lip_response``.

Lips are measured by the clips' own tracker, once in real frames and once in rendered ones, so that its errors cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from jean.drivers.lip_response import Curve, LipResponse
from jean.drivers.lip_style import LipStyle
from jean.drivers.person_frames import PersonFrames
from jean.drivers.support import Support
from jean.errors import JeanError
from jean.features import registry
from jean.features.base import largest
from jean.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from jean.lips.parameters import OPENING, WIDTH, measured_lips, opening_and_width
from jean.models.frame import render_frame
from jean.models.talking_head import Frames, TalkingHead
from jean.progress import Progress
from jean.train.nerf.presets import ResolvedNerfConfig

REAL_FRAMES = 60
BASES = 3  # frames of the person, near the usual distance and turn, whose lips are replaced
KNOTS = 15
TRIED = 5  # frames from which the time of a measurement is estimated
BEYOND = 0.4  # of the person's range by which the measurement exceeds it
LEAST_R = 0.6  # correlation with the truth below which a measurement is no measurement


def measure_response(
    model: TalkingHead,
    frames_of: Callable[[np.ndarray], Frames],
    data: PersonFrames,
    style: LipStyle,
    support: Support,
    checkpoint: str,
    progress: Progress,
) -> LipResponse | None:
    """The response of a head's lips; None, with a message, where it cannot be measured.

    Args:
        model: the trained head.
        frames_of: gives the model's inputs for frame indices [F].
        data: the person's frames.
        style: how the person's lips look.
        support: the support of the lip coordinates.
        checkpoint: hash of the weights.
        progress: receives progress and a message.
    """
    name = data.clips[0].meta.tracker.name
    tracker, reason = _tracker(name)
    if tracker is None:
        progress.say(f"response of the lips: not measured, because {reason}.")
        return None
    real_rows = _spaced(data.train, REAL_FRAMES)
    truth = opening_and_width(data.shape[:, :2] + data.measured_offsets[real_rows].astype(float))
    grids = [_grid(style.quantiles[OPENING]), _grid(style.quantiles[WIDTH])[::2]]
    bases = _usual_frames(data, BASES)
    with progress.task("measure the lips", len(real_rows) + len(bases) * sum(map(len, grids))) as advance:

        def lips_of(images: Sequence[np.ndarray]) -> np.ndarray:
            return _tracked(tracker, images, data.clips[0].fps, advance)

        real = lips_of([data.image(int(row)) for row in real_rows])
        curves: list[Curve | None] = []
        for column, grid in zip((OPENING, WIDTH), grids, strict=True):
            line = _line(truth[:, column], real[:, column])
            wanted = np.tile([style.quantiles[OPENING, 4], style.quantiles[WIDTH, 3]], (len(grid), 1))
            wanted[:, column] = grid
            lips, motion = (support.limit(style.coordinates(v))[0] for v in (style.seen(wanted), wanted))
            rendered = [lips_of(_pictures(model, frames_of, data, base, lips, motion))[:, column] for base in bases]
            curves.append(None if line is None else _curve(grid, np.stack(rendered), line))
    opening, width = curves
    if opening is None or width is None:
        progress.say("response of the lips: not measured, because the tracker does not see them move.")
        return None
    return LipResponse(checkpoint=checkpoint, tracker=f"{name} {tracker.version}", opening=opening, width=width)


def is_measured(config: ResolvedNerfConfig, data: PersonFrames) -> bool:
    """Whether a training with this configuration ends with ``measure_response``."""
    return bool(config.lip_response and config.lip_weight and data.method.audio_drives_mouth)


def measuring_seconds(
    model: TalkingHead,
    frames_of: Callable[[np.ndarray], Frames],
    data: PersonFrames,
    clock: Callable[[], float],
) -> float:
    """Seconds that ``measure_response`` takes, estimated from a few frames; 0 where it cannot measure.

    Args:
        model: the head, trained or not.
        frames_of: gives the model's inputs for frame indices [F].
        data: the person's frames.
        clock: seconds.
    """
    tracker, _ = _tracker(data.clips[0].meta.tracker.name)
    if tracker is None:
        return 0.0
    rows, fps = _spaced(data.train, TRIED), data.clips[0].fps
    real = [data.image(int(row)) for row in rows]
    _tracked(tracker, real[:1], fps, lambda count: None)  # loads the tracker
    began = clock()
    for row in rows:
        render_frame(model, frames_of(np.array([row])), data.plate(int(row)))
    drawn = clock()
    _tracked(tracker, real, fps, lambda count: None)
    drawing, tracking = (drawn - began) / len(rows), (clock() - drawn) / len(rows)
    pictures = BASES * (KNOTS + len(range(0, KNOTS, 2)))
    return REAL_FRAMES * tracking + pictures * (drawing + tracking)


def _tracker(name: str) -> tuple[Any, str]:
    """A tracker that sees pictures, or None and the reason why there is none."""
    try:
        return registry.create("tracker", name), ""
    except JeanError as error:
        return None, str(error).rstrip(".")
    except TypeError:  # a tracker of one video's ground truth
        return None, f"tracker {name} sees no pictures"


def _grid(quantiles: np.ndarray) -> np.ndarray:
    """Asked values, from the least of the person to beyond the largest."""
    span = quantiles[-1] - quantiles[0]
    return np.linspace(quantiles[0], quantiles[-1] + BEYOND * max(span, 1e-3), KNOTS)


def _spaced(indices: np.ndarray, count: int) -> np.ndarray:
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]


def _usual_frames(data: PersonFrames, count: int) -> np.ndarray:
    """Training frames that see the face as large as usual: its width tells distance and turn."""
    eyes = data.landmarks[data.train][:, [RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    width = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)
    near = np.argsort(np.abs(width - np.median(width)), kind="stable")[: max(count, len(width) // 5)]
    return _spaced(data.train[np.sort(near)], count)


def _pictures(
    model: TalkingHead,
    frames_of: Callable[[np.ndarray], Frames],
    data: PersonFrames,
    base: int,
    lips: np.ndarray,
    motion: np.ndarray,
) -> list[np.ndarray]:
    """The frame ``base`` with lip coordinates [K, W], see ``Frames``: K pictures, uint8 [H, W, 3]."""
    frame, plate = frames_of(np.array([base])), data.plate(base)
    rows = [torch.from_numpy(array).float().to(model.device).unbind(0) for array in (lips, motion)]
    driven = (replace(frame, audio=None, lips=a[None], lip_motion=b[None]) for a, b in zip(*rows, strict=True))
    return [render_frame(model, inputs, plate).rgb for inputs in driven]


def _tracked(tracker: Any, images: Sequence[np.ndarray], fps: float, advance: Callable[[int], Any]) -> np.ndarray:
    """Opening and width [T, 2] in pictures, cm; NaN without a face."""
    landmarks = np.full((len(images), 68, 2), np.nan)
    for t, faces in enumerate(tracker.track((t / fps, image) for t, image in enumerate(images))):
        face = largest(faces)
        if face is not None:
            landmarks[t] = face.landmarks[:, :2]
        advance(1)
    return measured_lips(landmarks)


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
    if seen.sum() < 4:
        return None
    rendered = (measured[:, seen].mean(0) - line[1]) / line[0]
    if rendered.std() < 1e-6 or np.corrcoef(grid[seen], rendered)[0, 1] < LEAST_R:
        return None
    return Curve(asked=grid[seen].tolist(), rendered=rendered.tolist())
