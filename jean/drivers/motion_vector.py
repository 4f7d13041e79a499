"""The motion vector: what the motion model generates per frame, from the tracks of any clip and back.

============  =====  ==========================================================================================
cue           size   content
============  =====  ==========================================================================================
face          10     principal components of the offsets of brows, nose and eyes, with the lids held open
eyes          3      gaze to the right and down in the head, and how far the lids are lowered between blinks
pose          6      rotation and shift of the head about the neutral pose (``jean.drivers.pose_support.pose_motion``)
============  =====  ==========================================================================================

Beside it stand the lips (8 principal components of mouth and chin, which speech decides) and the blinks (events with a
duration, because a smooth number never closes an eye). Everything is relative to the person's neutral face, eyes and
pose, so that people can be mixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.eyes import CLOSED_FRACTION, CLOSURE, GAZE, EyeRest, measure_eyes, standardised
from jean.drivers.motion_sound import FPS
from jean.drivers.mouth_depth import LOWER_POINTS, MouthDepth
from jean.drivers.pose_support import mean_head_pose, pose_motion
from jean.drivers.resampling import interpolate_rows
from jean.errors import InputError
from jean.landmarks import fill_gaps

CUES = {"face": slice(0, 10), "eyes": slice(10, 13), "pose": slice(13, 19)}
WIDTH = 19
LID = 12  # column of the lowered lids
LIPS = 8  # principal components of mouth and chin
UPPER_POINTS = np.arange(17, 48)  # brows, nose, eyes
GAZE_UNIT_DEG, LID_UNIT, POSE_UNIT = 8.0, 0.1, 0.8  # of the vector's columns: about one standard deviation
SMALLEST = 0.25  # scale of a small component, relative to the first one's standard deviation
# pairs of opposite lid points (upper, lower) of the right and the left eye
_LIDS = np.array([[[37, 41], [38, 40]], [[43, 47], [44, 46]]])
_UPPER_SHARE = 0.85  # of the lids' movement that the upper one makes
BLINK_FROM, BLINK_EDGE = 0.35, 0.08  # closure beyond the lowered lids at which a blink is one, and at which it begins
LONGEST_BLINK_S = 0.8
_BASE_S = 0.7  # half width of the window in which the lids between blinks are measured


@dataclass(frozen=True)
class Neutral:
    """A person's neutral face, eyes and head pose.

    Attributes:
        offsets: mean landmark offsets [68, 2], cm.
        depth: of mouth and chin.
        pose: mean camera_to_world [4, 4].
        eyes: the eyes at rest.
    """

    offsets: np.ndarray
    depth: MouthDepth
    pose: np.ndarray
    eyes: EyeRest

    @classmethod
    def fit(cls, clips: Sequence[Clip], everything: Sequence[Clip] | None = None) -> Neutral:
        """The neutral state of the person that ``clips`` show, who is neutral in them on average.

        Args:
            clips: neutral clips, or else all clips of the person.
            everything: all clips of the person, which say how far the eyes open, and how deep mouth and chin lie; None
                for ``clips``.
        """
        depth = MouthDepth.fit(everything or clips)
        offsets = np.concatenate([depth.flatten(clip) for clip in clips])
        poses = np.concatenate([np.asarray(clip.arrays["camera_to_world"], np.float64) for clip in clips])
        eyes = EyeRest.fit([measure_eyes(clip) for clip in everything or clips])
        return cls(np.nanmean(offsets, 0), depth, mean_head_pose(poses), eyes)


@dataclass(frozen=True)
class CueTracks:
    """Cues of T frames at 25 frames per second, relative to the person's neutral state.

    Attributes:
        upper: offsets of ``UPPER_POINTS`` with open lids, [T, 62], cm.
        lower: offsets of ``LOWER_POINTS``, [T, 46], cm.
        gaze_deg: [T, 2], to the right and down.
        lid: closure between blinks, [T].
        pose: [T, 6], see ``pose_motion``; shifts are relative to the clip's own mean.
        onsets: frames at which blinks begin, int [N].
        lengths_s: durations of the blinks, [N].
        known: frames with a measured face, bool [T].
    """

    upper: np.ndarray
    lower: np.ndarray
    gaze_deg: np.ndarray
    lid: np.ndarray
    pose: np.ndarray
    onsets: np.ndarray
    lengths_s: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.lid)


def cue_tracks(clip: Clip, neutral: Neutral | None = None, gaze: bool = True) -> CueTracks:
    """The cues of a clip.

    Args:
        clip: a prepared clip; pictures are not needed.
        neutral: the person's neutral state; None: the clip's own mean.
        gaze: whether the gaze is needed; otherwise it is zero.

    Raises:
        InputError: the clip shows no face, or has no irises.
    """
    neutral = neutral or Neutral.fit([clip])
    offsets = neutral.depth.flatten(clip)
    known = np.isfinite(offsets).all((1, 2))
    if not known.any():
        raise InputError(f"{clip.folder} shows no face.", "Leave it out.")
    offsets = fill_gaps(offsets, known)
    eyes = standardised(measure_eyes(clip), neutral.eyes, clip.fps)
    if gaze and not eyes.gaze_known.any():
        raise InputError(
            f"{clip.folder} has no irises, so its gaze is not known.",
            "Prepare it with --tracker mediapipe, or train without gaze: --set eyes=false.",
        )
    shape = np.asarray(clip.arrays["shape"], np.float64)[:, :2]
    opened = set_opening(shape + offsets, np.broadcast_to(neutral.eyes.open_cm, (len(offsets), 2)))
    resting = set_opening((shape + neutral.offsets)[None], neutral.eyes.open_cm[None])[0]
    pose = pose_motion(np.asarray(clip.arrays["camera_to_world"], np.float64), neutral.pose)
    pose[:, 3:] -= pose[:, 3:].mean(0)
    count = max(1, round(clip.frame_count / clip.fps * FPS))
    positions = np.clip((np.arange(count) + 0.5) / FPS * clip.fps - 0.5, 0, clip.frame_count - 1)

    def at(values: np.ndarray) -> np.ndarray:
        return interpolate_rows(values, positions)

    lid, onsets, lengths_s = split_blinks(at(eyes.values[:, CLOSURE].mean(1).astype(np.float64)), FPS)
    return CueTracks(
        upper=at((opened - resting)[:, UPPER_POINTS].reshape(len(offsets), -1)),
        lower=at((offsets - neutral.offsets)[:, LOWER_POINTS].reshape(len(offsets), -1)),
        gaze_deg=gaze * at(eyes.values[:, GAZE].astype(np.float64)),
        lid=lid,
        pose=at(pose),
        onsets=onsets,
        lengths_s=lengths_s,
        known=at(known.astype(float)) > 0.99,
    )


def split_blinks(closure: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits the closure of the eyes [T] into lowered lids [T] and blinks: frames of their beginnings, durations in s.

    Example:
        >>> closure = np.full(50, 0.1)
        >>> closure[20:26] = [0.5, 1.0, 1.0, 0.8, 0.5, 0.2]
        >>> lid, onsets, lengths_s = split_blinks(closure, 25.0)
        >>> onsets.tolist(), lengths_s.round(2).tolist(), lid.round(3).max().item()
        ([20], [0.24], 0.1)
    """
    from scipy.ndimage import gaussian_filter1d, percentile_filter

    base = percentile_filter(closure, 25, size=2 * round(_BASE_S * fps) + 1, mode="nearest")
    beyond = closure - base
    edges = np.flatnonzero(np.diff(np.concatenate([[False], beyond > BLINK_EDGE, [False]]).astype(int)))
    lid, onsets, lengths = closure.copy(), [], []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        half = base[first:end].min() + 0.5 * beyond[first:end].max()
        closed = max(_stretch(closure > half, frame) for frame in range(first, end))
        if beyond[first:end].max() < BLINK_FROM or max(end - first, closed) / fps > LONGEST_BLINK_S:
            continue
        onsets.append(first)
        lengths.append((end - first) / fps)
        before, after = max(0, first - 1), min(len(lid) - 1, end)
        level = [lid[before] if first else base[first], lid[after] if end < len(lid) else base[end - 1]]
        lid[first:end] = np.interp(np.arange(first, end), [first - 1, end], level)
    lid = gaussian_filter1d(lid, 0.06 * fps, mode="nearest")
    return lid, np.array(onsets, int), np.array(lengths, float)


def _stretch(flags: np.ndarray, frame: int) -> int:
    """Number of frames in a row around ``frame`` that have a flag."""
    if not flags[frame]:
        return 0
    unset = np.flatnonzero(~flags)
    place = int(np.searchsorted(unset, frame))
    after = unset[place] if place < len(unset) else len(flags)
    return int(after - (unset[place - 1] if place else -1) - 1)


def lid_opening(points: np.ndarray) -> np.ndarray:
    """Opening of the right and the left eye [..., 2] of landmarks [..., 68, 2], in their unit."""
    pairs = points[..., _LIDS, :]
    return np.asarray(np.linalg.norm(pairs[..., 1, :] - pairs[..., 0, :], axis=-1).mean(-1))


def set_opening(points: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """Landmarks whose eyes are open as told; the upper lid moves most.

    Args:
        points: [T, 68, 2], cm, y down.
        opening: of the right and the left eye [T, 2], cm.
    """
    out, more = np.array(points, np.float64), opening - lid_opening(points)
    for eye in range(2):
        out[:, _LIDS[eye, :, 0], 1] -= _UPPER_SHARE * more[:, eye, None]
        out[:, _LIDS[eye, :, 1], 1] += (1 - _UPPER_SHARE) * more[:, eye, None]
    return out


def opening_of(closure: np.ndarray, open_cm: np.ndarray) -> np.ndarray:
    """Opening [T, 2], cm, of eyes with a closure [T, 2]: the inverse of ``jean.drivers.eyes.standardised``."""
    return open_cm * (1 - (1 - CLOSED_FRACTION) * np.clip(closure, 0, 1))


@dataclass(frozen=True)
class MotionBasis:
    """Maps between cues and the motion vector; fitted on a corpus, stored with the model.

    Attributes:
        face_mean: [62]; face_axes: [10, 62], cm per unit of the component.
        lip_mean: [46]; lip_axes: [8, 46].
        face_dual: [62, 10]; lip_dual: [46, 8], their inverses.
    """

    face_mean: np.ndarray
    face_axes: np.ndarray
    face_dual: np.ndarray
    lip_mean: np.ndarray
    lip_axes: np.ndarray
    lip_dual: np.ndarray

    @classmethod
    def fit(cls, tracks: Sequence[CueTracks]) -> MotionBasis:
        """Principal components of the known frames of a corpus.

        The scale of a component is its standard deviation, but at least a quarter of the first one's.
        """
        upper, lower = (
            np.concatenate([getattr(track, name)[track.known] for track in tracks]) for name in ("upper", "lower")
        )
        return cls(*_components(upper, CUES["face"].stop), *_components(lower, LIPS))

    def vectors(self, track: CueTracks) -> np.ndarray:
        """Motion vectors [T, 19]."""
        return np.concatenate(
            [
                (track.upper - self.face_mean) @ self.face_dual,
                track.gaze_deg / GAZE_UNIT_DEG,
                track.lid[:, None] / LID_UNIT,
                track.pose / POSE_UNIT,
            ],
            1,
        )

    def lips(self, track: CueTracks) -> np.ndarray:
        """Lip components [T, 8]."""
        return np.asarray((track.lower - self.lip_mean) @ self.lip_dual)

    def upper(self, vectors: np.ndarray) -> np.ndarray:
        """Offsets of ``UPPER_POINTS`` from the neutral face [T, 31, 2], cm, with open lids."""
        return (self.face_mean + vectors[:, CUES["face"]] @ self.face_axes).reshape(len(vectors), -1, 2)

    def lower(self, lips: np.ndarray) -> np.ndarray:
        """Offsets of ``LOWER_POINTS`` from the neutral face [T, 23, 2], cm."""
        return (self.lip_mean + lips @ self.lip_axes).reshape(len(lips), -1, 2)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> MotionBasis:
        """The inverse of ``arrays``."""
        return cls(**{field.name: np.asarray(arrays[field.name], np.float64) for field in fields(cls)})


def _components(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [D], axes [K, D] in units of the values, and their inverse [D, K]."""
    mean = values.mean(0)
    singular, axes = np.linalg.svd(values - mean, full_matrices=False)[1:]
    std = singular[:count] / np.sqrt(len(values))
    scale = np.maximum(std, max(SMALLEST * std[0], 1e-6))
    padded = count - len(std)
    axes, scale = np.pad(axes[:count], ((0, padded), (0, 0))), np.pad(scale, (0, padded), constant_values=1.0)
    return mean, axes * scale[:, None], (axes / scale[:, None]).T


def expression_inputs(vectors: np.ndarray, lips: np.ndarray, closure: np.ndarray) -> np.ndarray:
    """What expression coefficients are predicted from, [T, 19 + 8 + 3].

    Args:
        vectors: [T, 19]; lips: [T, 8]; closure: of both eyes, [T, 2].
    """
    return np.concatenate([vectors, lips, closure, np.ones((len(vectors), 1))], 1)
