"""Figures of a head that others drive: torn faces, open necks, painted backgrounds, and what of a driver arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jean.drivers.pose_support import TENTHS_RAD, mean_head_pose, pose_motion
from jean.drivers.slow import parted_mouth
from jean.features.base import Face
from jean.lips.sync import NATURAL_S, at_rows, find_sync
from jean.metrics.base import TrackedFrame
from jean.metrics.face_integrity import CROPS, RealFaces, integrity
from jean.metrics.mouth import correlation
from jean.metrics.picture_integrity import CLOSED, STRAY, neck_opacity, painted_outside

# signal → (blendshapes that raise it, blendshapes that lower it)
SIGNALS = {
    "brows": (("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), ("browDownLeft", "browDownRight")),
    "lids": ((), ("eyeBlinkLeft", "eyeBlinkRight")),
    "smile": (("mouthSmileLeft", "mouthSmileRight"), ("mouthFrownLeft", "mouthFrownRight")),
}
SEEN = 1.5  # factor on the person's own range of angles within which the slope must hold


@dataclass(frozen=True)
class Rendered:
    """T rendered frames.

    Attributes:
        images: uint8 [T, H, W, 3].
        opacity: of head and torso, uint8 [T, H, W, 2].
        faces: tracked faces; None without one.
    """

    images: np.ndarray
    opacity: np.ndarray
    faces: Sequence[Face | None]

    def expressions(self, width: int) -> np.ndarray:
        """The tracker's coefficients [T, width]; NaN without a face."""
        rows = [np.full(width, np.nan) if face is None else face.expression for face in self.faces]
        return np.stack(rows)

    def landmarks(self) -> np.ndarray:
        """Landmarks [T, 68, 2], px; NaN without a face."""
        unknown = np.full((68, 2), np.nan)
        return np.stack([unknown if face is None else face.landmarks[:, :2] for face in self.faces])

    def poses(self) -> np.ndarray:
        """The tracker's camera_to_world [T, 4, 4]; NaN without a face or pose."""
        unknown = np.full((4, 4), np.nan)
        return np.stack([unknown if f is None or f.camera_to_world is None else f.camera_to_world for f in self.faces])


def follow(result: np.ndarray, source: np.ndarray) -> dict[str, float]:
    """Correlation ``r`` and regression ``slope`` of a result [T] on its source [T]; NaN frames are left out.

    >>> follow(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([5.0, 7.0, 9.0, 11.0, 13.0]))
    {'r': 1.0, 'slope': 0.5}
    """
    known = np.isfinite(result) & np.isfinite(source)
    x, y = source[known] - source[known].mean(), result[known] - result[known].mean()
    power = float(x @ x)
    slope = float(x @ y) / power if power > 1e-12 else float("nan")
    return {"r": round(correlation(result, source), 3), "slope": round(slope, 3)}


def signal(coefficients: np.ndarray, names: Sequence[str], name: str) -> np.ndarray:
    """One of ``SIGNALS`` from blendshapes [T, E] with their names: [T]."""
    up, down = ([list(names).index(key) for key in keys] for keys in SIGNALS[name])
    raised = coefficients[:, up].mean(1) if up else 0.0
    return np.asarray(raised - coefficients[:, down].mean(1))


def expression_figures(
    result: np.ndarray, source: np.ndarray, names: Sequence[str], fps: float
) -> dict[str, dict[str, float]]:
    """How brows, lids and smile of the result follow the source, and how the slow parts of both smiles do.

    A spoken "ee" or "oo" counts as a smile or a frown too. The result speaks with another voice than the source, so
    only the slow parts (``jean.drivers.slow``) can agree fully; ``of_source`` is the correlation of the source's smile
    with its own slow part, about the best that the whole smile can reach.

    Args:
        result, source: blendshapes [T, E] at the same times.
        names: of the blendshapes.
        fps: measured frames per second.
    """
    figures = {name: follow(signal(result, names, name), signal(source, names, name)) for name in SIGNALS}
    smiles = [signal(track, names, "smile") for track in (result, source)]
    slow = [slow_part(smile, fps) for smile in smiles]
    of_source = round(correlation(smiles[1], slow[1]), 3)
    return figures | {"slow smile": follow(*slow) | {"of_source": of_source}}


def slow_part(track: np.ndarray, fps: float) -> np.ndarray:
    """The slow part of a track [T], see ``jean.drivers.slow.parted_mouth``; NaN frames are interpolated."""
    known = np.isfinite(track)
    if not known.any():
        return track
    whole = np.interp(np.arange(len(track)), np.flatnonzero(known), track[known])
    return parted_mouth(whole[:, None], fps)[1][:, 0]


def angles_deg(camera_to_world: np.ndarray) -> np.ndarray:
    """Pitch and yaw about the mean pose [T, 2], degrees; NaN where a pose [T, 4, 4] is unknown."""
    known = np.isfinite(camera_to_world).all((1, 2))
    angles = np.full((len(known), 2), np.nan)
    if known.any():
        poses = camera_to_world[known].astype(np.float64)
        angles[known] = np.degrees(pose_motion(poses, mean_head_pose(poses))[:, :2] / TENTHS_RAD)
    return angles


def pose_figures(result: np.ndarray, source: np.ndarray, own: np.ndarray) -> dict[str, dict[str, float]]:
    """How yaw and pitch of the result follow the source, over all frames and within the seen range.

    Args:
        result, source: camera_to_world [T, 4, 4].
        own: camera_to_world [N, 4, 4] of the person's training frames.
    """
    of_result, of_source, of_own = angles_deg(result), angles_deg(source), angles_deg(own)
    figures = {}
    for column, name in enumerate(("pitch", "yaw")):
        seen = SEEN * np.nanmax(np.abs(of_own[:, column]))
        inside = np.where(np.abs(of_source[:, column]) <= seen, of_source[:, column], np.nan)
        within = follow(of_result[:, column], inside)
        figures[name] = follow(of_result[:, column], of_source[:, column]) | {"slope_seen": within["slope"]}
    return figures


def voice_figures(
    times_s: np.ndarray, lips: np.ndarray, real_times_s: np.ndarray, real_lips: np.ndarray, own_std: np.ndarray
) -> dict[str, float]:
    """How the lips follow those of the real speaker of the sound, at the best lag within 0.12 s.

    Args:
        times_s, lips: times [T] and opening and width [T, 2] of the result.
        real_times_s, real_lips: times [N] and lips [N, 2] of the speaker.
        own_std: standard deviations [2] of the lips of the head's own clip.

    Returns:
        ``opening_r``, ``width_r``, ``chance_r`` (the mean of both at wrong lags) and the standard deviations of opening
        and width over the person's own; empty for less than a second of moving lips.
    """
    real = at_rows(real_times_s, real_lips)
    sync = None if real is None else find_sync(real, times_s, lips, around_s=NATURAL_S)
    if sync is None:
        return {}
    opening_std, width_std = np.nanstd(lips, 0) / own_std
    figures = {"opening_r": sync.r_opening, "width_r": sync.r_width, "chance_r": sync.chance_r}
    figures |= {"opening_std_ratio": opening_std, "width_std_ratio": width_std}
    return {name: round(float(value), 3) for name, value in figures.items()}


def face_figures(made: Rendered, control: Rendered, real: RealFaces) -> dict[str, float]:
    """Fractions of torn frames, see ``jean.metrics.face_integrity``."""
    distances = [_distances(rendered, real) for rendered in (made, control)]
    return {f"{part}_torn": round(integrity(*(d[part] for d in distances), real.floor[part])[1], 3) for part in CROPS}


def _distances(rendered: Rendered, real: RealFaces) -> dict[str, np.ndarray]:
    frames = zip(rendered.images, rendered.faces, strict=True)
    rows = [real.distances(TrackedFrame(image, face)) for image, face in frames]
    return {part: np.array([row[part] for row in rows]) for part in CROPS}


def picture_figures(made: Rendered, torso_region: np.ndarray) -> dict[str, float]:
    """Opacity of the neck and painted backgrounds, see ``jean.metrics.picture_integrity``."""
    layers = made.opacity.astype(np.float32) / 255
    known = [(o.sum(-1), face) for o, face in zip(layers, made.faces, strict=True) if face is not None]
    neck = np.array([neck_opacity(opacity, face.landmarks) for opacity, face in known] or [np.nan])
    painted = np.array([painted_outside(o[..., 0], o[..., 1], torso_region) for o in layers])
    return {
        "neck_opacity_lowest": round(float(np.nanmin(neck)), 3) if np.isfinite(neck).any() else float("nan"),
        "neck_open": round(float((neck < CLOSED).mean()), 3),
        "painted_outside": round(float(painted.mean()), 5),
        "picture_changed": round(float((painted > STRAY).mean()), 3),
    }


def worst(results: Mapping[str, Mapping[str, float]], lower_is_better: bool = True) -> dict[str, tuple[float, str]]:
    """The worst value of each flat figure over the sources, and the source.

    Args:
        results: source → figure → value.
        lower_is_better: whether large values are bad.

    >>> worst({"a": {"torn": 0.1}, "b": {"torn": 0.3}})
    {'torn': (0.3, 'b')}
    """
    pick = max if lower_is_better else min
    names = dict.fromkeys(name for figures in results.values() for name in figures)
    found = {}
    for name in names:
        values = [(f[name], source) for source, f in results.items() if np.isfinite(f.get(name, np.nan))]
        if values:
            found[name] = pick(values)
    return found
