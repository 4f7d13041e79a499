"""Motion of the speaker: independent tracks for speech, expression, blinks, gaze and head pose.

With ``cohesion``, blinks, gaze and head pose follow emotion, speech and each other (``cohesive_motion``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.synthetic_speaker.cohesive_motion import CohesiveTracks, cohesive_tracks, rule
from jean.synthetic_speaker.controls import CONTROLS, SPEECH_CONTROLS
from jean.synthetic_speaker.phonemes import phoneme_table
from jean.synthetic_speaker.speech_synthesis import Utterance

EMOTIONS = ("neutral", "angry", "happy", "sad")
# Control values at full strength of each emotion.
_EXPRESSION = {
    "neutral": {},
    "angry": {
        "brow_furrow": 1.0,
        "lid_tighten": 0.55,
        "nose_wrinkle": 0.55,
        "lip_tighten": 0.45,
        "frown": 0.30,
        "cheek_raise": 0.10,
    },
    "happy": {"smile": 0.95, "cheek_raise": 0.90, "lid_tighten": 0.25, "brow_outer_up": 0.25, "brow_inner_up": 0.12},
    "sad": {"brow_inner_up": 0.95, "brow_furrow": 0.30, "frown": 0.70, "lid_tighten": 0.30, "brow_outer_up": -0.20},
}
# Standard deviation of small, slow movements that every face makes, whatever the emotion.
_IDLE = {"brow_inner_up": 0.07, "brow_outer_up": 0.08, "brow_furrow": 0.05, "smile": 0.05, "cheek_raise": 0.04}
_FINE_HZ = 200.0  # sampling rate of the mouth track before it is read at the frames


@dataclass(frozen=True)
class SpeakerMotion:
    """All motion tracks of one performance.

    Attributes:
        controls: float64 [T, C], columns as ``controls.CONTROLS``.
        turn_rad: float64 [T, 3], yaw (to the image's right), pitch (down) and roll of the head.
        shift_cm: float64 [T, 3], translation of the head, camera axes.
        strength: float64 [T], strength of the emotion.
        cohesive: the cohesive tracks and their events; None without cohesion.
    """

    controls: np.ndarray
    turn_rad: np.ndarray
    shift_cm: np.ndarray
    strength: np.ndarray
    cohesive: CohesiveTracks | None = None


def frame_times(count: int, fps: float) -> np.ndarray:
    """Time of the middle of each frame, s: float64 [count]."""
    return (np.arange(count) + 0.5) / fps


def sample_motion(
    utterance: Utterance,
    emotion: str,
    strength: float,
    count: int,
    fps: float,
    rng: np.random.Generator,
    cohesion: float = 0.0,
) -> SpeakerMotion:
    """Samples all tracks; each has its own generator, so that without cohesion none depends on another.

    Args:
        utterance: the timed phonemes that move the mouth.
        emotion: one of ``EMOTIONS``.
        strength: of the emotion, 0 to 1.
        count: number of frames T.
        fps: frame rate, Hz.
        rng: source of all randomness.
        cohesion: how far blinks, gaze and pose follow emotion, speech and each other, 0 to 1.
    """
    times = frame_times(count, fps)
    speech_rng, expression_rng, blink_rng, gaze_rng, pose_rng = rng.spawn(5)
    controls = np.zeros((count, len(CONTROLS)))
    speech = mouth_track(utterance, times, speech_rng)
    controls[:, -len(SPEECH_CONTROLS) :] = speech
    level = expression_track(times, strength, expression_rng)
    for name, value in _EXPRESSION[emotion].items():
        wander = slow_noise(times, expression_rng, 0.35)
        controls[:, CONTROLS.index(name)] += value * level * (1 + 0.12 * wander)
    for name, std in _IDLE.items():
        controls[:, CONTROLS.index(name)] += std * slow_noise(times, expression_rng, 0.5)
    turn, shift = pose_track(times, pose_rng)
    cohesive = None
    if cohesion:
        cohesive = cohesive_tracks(utterance, emotion, strength, cohesion, times, rng.spawn(1)[0])
        blink, gaze = cohesive.blink, cohesive.gaze
        sway = rule(emotion, cohesion * strength).sway
        turn, shift = sway * turn + cohesive.turn_rad, sway * shift
    else:
        blink, gaze = blink_track(times, blink_rng), gaze_track(times, gaze_rng)
        gaze[:, 1] += 0.12 * (emotion == "sad") * level
        turn[:, 1] += 0.06 * level * {"sad": 1.0, "angry": 0.5}.get(emotion, 0.0)
    controls[:, CONTROLS.index("blink_right")] = blink
    controls[:, CONTROLS.index("blink_left")] = blink
    controls[:, CONTROLS.index("gaze_x")] = gaze[:, 0]
    controls[:, CONTROLS.index("gaze_y")] = gaze[:, 1]
    return SpeakerMotion(controls, turn, shift, level, cohesive)


def mouth_track(utterance: Utterance, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mouth controls [T, 7] of the phonemes, with coarticulation between neighbours.

    Lip closures (b, p, m) and tucks (f, v) are not blended: they last for the closed part of the sound.
    """
    from scipy.ndimage import gaussian_filter1d

    table = phoneme_table()
    grid = np.arange(int((utterance.duration_s + 0.2) * _FINE_HZ)) / _FINE_HZ
    index = np.clip(np.searchsorted(utterance.ends_s, grid, side="right"), 0, len(utterance.names) - 1)
    length = utterance.ends_s - utterance.starts_s
    progress = np.clip((grid - utterance.starts_s[index]) / np.maximum(length[index], 1e-6), 0, 1)
    phones = [table[name] for name in utterance.names]
    openness = np.array([rng.uniform(0.82, 1.15) for _ in phones])  # syllables differ in jaw opening
    start = np.array([p.mouth_start for p in phones])
    end = np.array([p.mouth_end for p in phones])
    soft = start[index] + (end - start)[index] * (progress * progress * (3 - 2 * progress))[:, None]
    soft[:, :3] *= openness[index][:, None]
    names = list(SPEECH_CONTROLS)
    # Standard deviation of the smoothing, s: lip rounding is slowest, then the jaw, then the tongue.
    widths = {"jaw_open": 0.032, "lip_round": 0.045, "lip_spread": 0.042, "upper_lip_raise": 0.035, "tongue_up": 0.025}
    for name, seconds in widths.items():
        k = names.index(name)
        soft[:, k] = gaussian_filter1d(soft[:, k], seconds * _FINE_HZ, mode="nearest")
    for name in ("lip_close", "lip_tuck"):
        k = names.index(name)
        soft[:, k] = _hold(grid, utterance, np.array([p.mouth_start[k] for p in phones]))
    out = np.stack([np.interp(times, grid, soft[:, k]) for k in range(soft.shape[1])], -1)
    return np.clip(out, 0, 1)


def _hold(grid: np.ndarray, utterance: Utterance, value: np.ndarray) -> np.ndarray:
    """A track that reaches each phoneme's value at its start and holds it for 70 % of its length."""
    total = np.zeros_like(grid)
    attack, release = 0.055, 0.05
    for k in np.flatnonzero(value):
        start, end = utterance.starts_s[k], utterance.ends_s[k] - 0.30 * (utterance.ends_s[k] - utterance.starts_s[k])
        rise = np.clip((grid - start + attack) / attack, 0, 1)
        fall = np.clip((end + release - grid) / release, 0, 1)
        shape = rise * rise * (3 - 2 * rise) * fall * fall * (3 - 2 * fall)
        total = np.maximum(total, value[k] * shape)
    return total


def slow_noise(times: np.ndarray, rng: np.random.Generator, hz: float) -> np.ndarray:
    """A smooth random curve [T] of about unit variance with frequencies up to ``hz``."""
    frequency = rng.uniform(0.15, 1.0, 6) * hz
    phase = rng.uniform(0, 2 * np.pi, 6)
    return np.sin(2 * np.pi * frequency * times[:, None] + phase).sum(1) / np.sqrt(3.0)


def expression_track(times: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Strength of the emotion over time [T]; it varies slowly around ``strength``."""
    return strength * np.clip(0.82 + 0.18 * slow_noise(times, rng, 0.25), 0.35, 1.15)


def blink_track(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blinks every few seconds, [T]: 0 is open, 1 is closed."""
    track = np.zeros_like(times)
    at = float(rng.uniform(0.4, 2.0))
    while at < times[-1]:
        falling = np.clip((times - at) / 0.08, 0, 1)
        rising = np.clip((at + 0.27 - times) / 0.15, 0, 1)
        track = np.maximum(track, np.minimum(falling, rising))
        at += float(rng.gamma(6.0, 0.5)) + 0.5
    return track * track * (3 - 2 * track)


def gaze_track(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaze [T, 2] (right, down), about -1 to 1: fixations, mostly at the viewer, with saccades between them."""
    out = np.zeros((len(times), 2))
    at, current = 0.0, np.zeros(2)
    while at < times[-1]:
        target = rng.normal(size=2) * (0.10 if rng.uniform() < 0.6 else 0.42) * np.array([1.0, 0.6])
        step = np.clip((times - at) / 0.05, 0, 1)[:, None]
        out = np.where(times[:, None] >= at, current + step * (target - current), out)
        current = target
        at += float(rng.uniform(0.5, 1.9))
    return np.clip(out, -0.8, 0.8)


def pose_track(times: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [T, 3] (yaw, pitch, roll), rad, and translation [T, 3], cm, of a slowly swaying head."""
    std = np.deg2rad([7.0, 3.6, 2.6])  # of yaw, pitch, roll
    turn = np.stack([s * (0.8 * slow_noise(times, rng, 0.40) + 0.2 * slow_noise(times, rng, 1.1)) for s in std], -1)
    turn[:, 0] += np.deg2rad(rng.uniform(-5, 5))
    shift = np.stack([s * slow_noise(times, rng, 0.35) for s in (0.55, 0.35, 0.8)], -1)
    return turn, shift
