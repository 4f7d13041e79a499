"""Movement of the head: how far and how fast it moves, and whether it goes with the beats of the speech."""

from __future__ import annotations

from typing import Any

import numpy as np

from jean.drivers.motion_sound import FPS
from jean.drivers.pose_support import TENTHS_RAD, mean_head_pose, pose_motion
from jean.drivers.resampling import interpolate_rows
from jean.drivers.voice import levels_db
from jean.metrics.base import Column, FramePair, Metric, MetricContext, MetricOptions, Scores
from jean.metrics.lip_sync.sound import load_sound, sound_digest

LOUDNESS_STD = 1.6  # frames of 25 Hz
PROMINENCE = 0.15  # of a beat, relative to the range of the loudness
SPEED_STD = 1.0  # frames
TOLERANCE_S = 0.1  # of the beat alignment
NOD_S = 0.16  # after a beat, in which a nod is expected


def speech_beats(wave: np.ndarray, count: int) -> np.ndarray:
    """Frames (25 Hz) of the beats of speech: peaks of the smoothed loudness.

    Args:
        wave: mono, 16 kHz, [S].
        count: frames.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    level = levels_db(wave, count, FPS)
    power = gaussian_filter1d(10 ** (np.maximum(level, level.max() - 40) / 20), LOUDNESS_STD)
    return np.asarray(find_peaks(power, prominence=PROMINENCE * np.ptp(power))[0])


def beat_alignment(turn_rad: np.ndarray, beats: np.ndarray) -> float:
    """Mean over beats of exp(-d² / 2τ²), d the time to the nearest rest of the head; NaN without beats or rests.

    Args:
        turn_rad: rotation vectors of the head [T, 3], 25 Hz.
        beats: frames of the beats [N].

    Example:
        A head that rests at frames 10 and 30, and beats there:

        >>> place = np.concatenate([np.linspace(0, 1, 11), np.linspace(1, 0, 21)[1:], np.linspace(0, 1, 11)])
        >>> turn = np.stack([place, 0 * place, 0 * place], 1)
        >>> round(beat_alignment(turn, np.array([10, 30])), 2) > 0.9
        True
    """
    from scipy.ndimage import gaussian_filter1d

    speed = np.linalg.norm(np.gradient(gaussian_filter1d(turn_rad, SPEED_STD, axis=0), axis=0), axis=1)
    rests = np.flatnonzero((speed[1:-1] <= speed[:-2]) & (speed[1:-1] < speed[2:])) + 1
    if not len(rests) or not len(beats):
        return float("nan")
    distance = np.abs(beats[:, None] - rests[None]).min(1) / FPS
    return float(np.exp(-(distance**2) / (2 * TOLERANCE_S**2)).mean())


def nod_at_beats_deg(pitch_rad: np.ndarray, beats: np.ndarray) -> float:
    """How much further down the head is in the 0.16 s after a beat than in the 0.16 s before and after these, degrees.

    The two sides cancel a steady sway, which is several times as fast as a nod is large.

    Args:
        pitch_rad: rotation of the head downwards [T], 25 Hz.
        beats: frames of the beats [N].

    Example:
        >>> sway = 0.01 * np.arange(40.0)
        >>> bump = np.where((np.arange(40) >= 20) & (np.arange(40) < 24), np.radians(2), 0)
        >>> round(nod_at_beats_deg(sway + bump, np.array([20])), 2)
        2.0
    """
    span = round(NOD_S * FPS)
    sizes = [
        pitch_rad[beat : beat + span].mean()
        - (pitch_rad[beat - span : beat] + pitch_rad[beat + span : beat + 2 * span]).mean() / 2
        for beat in beats
        if span <= beat <= len(pitch_rad) - 2 * span
    ]
    return float(np.degrees(np.mean(sizes))) if sizes else float("nan")


class _HeadTracks(Metric):
    """Base: the head poses of both videos."""

    needs_partner = False
    needs_pictures = False

    def __init__(self, context: MetricContext, options: MetricOptions | None = None):
        super().__init__(context, options)
        self._poses: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def update(self, pair: FramePair) -> None:
        """Adds the poses of both frames."""
        for track, frame in zip(self._poses, (pair.result, pair.reference), strict=True):
            if frame is not None and frame.face is not None and frame.face.camera_to_world is not None:
                track.append(np.asarray(frame.face.camera_to_world, np.float64))
            elif frame is not None:
                track.append(np.full((4, 4), np.nan))

    def turns(self, video: int) -> np.ndarray | None:
        """Rotation vectors of the head about its mean [T, 3], rad, at 25 Hz; None where too few poses are known."""
        poses = np.array(self._poses[video])
        if (video == 0 and not self.context.result_is_tracked) or not len(poses):
            return None
        known = np.isfinite(poses).all((1, 2))
        if known.sum() < 3:
            return None
        turn = pose_motion(poses[known], mean_head_pose(poses[known]))[:, :3] / TENTHS_RAD
        count = round(len(poses) / self.context.fps * FPS)
        positions = np.clip((np.arange(count) + 0.5) / FPS * self.context.fps - 0.5, 0, len(poses) - 1)
        places = np.interp(positions, np.flatnonzero(known), np.arange(known.sum()))
        return interpolate_rows(turn, places)


class PoseSpread(_HeadTracks):
    """How far the head turns, and how fast."""

    name = "pose_spread"
    version = "1"
    columns = (
        Column("pose_sd_deg", "Pose spread", None, 2, "Standard deviation of the head's rotation, degrees."),
        Column("pose_sd_deg_reference", "Pose spread, reference", None, 2, "The same of the reference."),
        Column("pose_speed_deg_s", "Pose speed", None, 1, "Mean angular speed of the head, degrees per second."),
        Column("pose_speed_deg_s_reference", "Pose speed, reference", None, 1, "The same of the reference."),
    )

    def result(self) -> Scores:
        """Spread and speed of both videos."""
        values: dict[str, float] = {}
        for video, suffix in ((0, ""), (1, "_reference")):
            turn, spread, speed = self.turns(video), float("nan"), float("nan")
            if turn is not None:
                spread = float(np.degrees(np.sqrt(np.square(turn - turn.mean(0)).sum(1).mean())))
                speed = float(np.degrees(np.linalg.norm(np.diff(turn, axis=0), axis=1).mean() * FPS))
            values |= {f"pose_sd_deg{suffix}": spread, f"pose_speed_deg_s{suffix}": speed}
        return Scores(values)


class Beats(_HeadTracks):
    """Whether the head rests and nods with the beats of the speech."""

    name = "beats"
    version = "2"
    uses_sound = True
    columns = (
        Column("beat_align", "Beats", None, 3, "Closeness of the head's rests to the beats of the speech, 0 to 1."),
        Column("beat_align_reference", "Beats, reference", None, 3, "The same of the reference."),
        Column("nod_at_beats_deg", "Nods", None, 2, "How far the head is lowered just after a beat, degrees."),
        Column("nod_at_beats_deg_reference", "Nods, reference", None, 2, "The same of the reference."),
    )

    @classmethod
    def facts(cls, context: MetricContext, options: Any) -> dict[str, Any]:
        """The speech."""
        return {"sounds": [[sound_digest(sound), sound.start_s] for sound in context.sounds]}

    def result(self) -> Scores:
        """The scores of both videos; a value above the reference's is no success."""
        empty = dict.fromkeys((column.name for column in self.columns), float("nan"))
        if len(self.context.sounds) != 1:
            return Scores(empty, notes=("Beats need the sound of one speaker.",))
        sound, values = self.context.sounds[0], dict(empty)
        wave = load_sound(sound)
        for video, suffix in ((0, ""), (1, "_reference")):
            turn = self.turns(video)
            if turn is not None and len(turn) > 2 and len(wave):
                beats = speech_beats(wave, len(turn))
                values[f"beat_align{suffix}"] = beat_alignment(turn, beats)
                values[f"nod_at_beats_deg{suffix}"] = nod_at_beats_deg(turn[:, 0], beats)
        return Scores(values)
