"""Cohesive motion of the speaker: gaze, blinks and head pose follow the emotion, the speech and each other.

The tracks of ``speaker_motion`` are independent of each other. Here every cue depends on emotion and strength
(``RULES``), and on the others:

- The head nods shortly after the middle of a stressed vowel, more often and further with some emotions.
- The eyes fixate the viewer, or a point aside or below; the head follows the gaze in part, and later.
- Blinks are a renewal process. Their hazard is higher in pauses, lower in speech, and high for some frames after a
  large shift of gaze. How long a blink takes depends on the emotion.

The numbers are invented. They are plausible, and known: a model that is trained on such clips can be judged by them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from jean.synthetic_speaker.phonemes import phoneme_table
from jean.synthetic_speaker.speech_synthesis import Utterance


@dataclass(frozen=True)
class Rule:
    """How one emotion moves eyes and head at full strength.

    Attributes:
        pitch_rad: mean pitch of the head, positive down.
        roll_rad: mean roll; its sign is drawn per clip.
        sway: factor on the slow movement of the head.
        nod_chance, nod_rad: probability of a nod at a stressed vowel, and its size.
        direct: fraction of the fixations that meet the viewer.
        aside, down: mean distance of the other fixations to either side and down, in the unit of ``gaze_x``.
        fixation_s: mean duration of a fixation.
        blinks_per_min: mean rate of blinks, before pauses and shifts of gaze change it.
        blink_s: mean duration of a blink.
    """

    pitch_rad: float
    roll_rad: float
    sway: float
    nod_chance: float
    nod_rad: float
    direct: float
    aside: float
    down: float
    fixation_s: float
    blinks_per_min: float
    blink_s: float


RULES = {
    "neutral": Rule(0.0, 0.0, 1.0, 0.5, 0.045, 0.65, 0.45, 0.0, 1.0, 17.0, 0.27),
    "angry": Rule(0.05, 0.0, 1.35, 0.95, 0.075, 0.95, 0.2, 0.0, 1.8, 8.0, 0.22),
    "happy": Rule(-0.03, 0.06, 1.25, 0.75, 0.06, 0.8, 0.4, -0.1, 0.9, 22.0, 0.25),
    "sad": Rule(0.11, 0.04, 0.5, 0.2, 0.03, 0.25, 0.25, 0.5, 1.6, 13.0, 0.42),
}
STRESS_S = 0.30  # smallest distance of two stressed vowels
NOD_DELAY_S, NOD_STD_S = 0.06, 0.06  # of a nod behind the middle of its vowel, and of its Gaussian shape
FOLLOW, FOLLOW_S = 0.12, 0.16  # how much of the gaze the head follows, and the time constant
SACCADE_S = 0.05
SHIFT = 0.3  # of gaze from which a blink becomes likely
PAUSE_FACTOR, SPEECH_FACTOR = 2.2, 0.75  # on the hazard of blinks
SHIFT_HAZARD_HZ, SHIFT_S = 2.5, 0.16  # added hazard after a large shift, and for how long
REFRACTORY_S = 0.35  # after the end of a blink
CLOSING_S, OPENING_S = 0.08, 0.15
GAZE_RAD = 0.45  # rotation of the eyes at 1 (``pose_meshes.GAZE_RANGE_RAD``)


class CohesiveTracks(NamedTuple):
    """Tracks of T frames, and the events behind them.

    Attributes:
        gaze: [T, 2], right and down, in the unit of ``gaze_x`` and ``gaze_y``.
        blink: closure [T], 0 open to 1 closed.
        turn_rad: rotation of the head [T, 3]: yaw, pitch, roll.
        nods_s: times of the nods.
        blinks_s: times at which blinks begin.
        fixations: rows of (begin in s, gaze right, gaze down), [N, 3].
    """

    gaze: np.ndarray
    blink: np.ndarray
    turn_rad: np.ndarray
    nods_s: np.ndarray
    blinks_s: np.ndarray
    fixations: np.ndarray


def rule(emotion: str, level: float) -> Rule:
    """The rule of an emotion between neutral (``level`` 0) and full (1).

    Example:
        >>> round(rule("sad", 0.5).blinks_per_min, 1)
        15.0
    """
    neutral, full = RULES["neutral"], RULES[emotion]
    values = {f.name: (1 - level) * getattr(neutral, f.name) + level * getattr(full, f.name) for f in fields(Rule)}
    return Rule(**values)


def cohesive_tracks(
    utterance: Utterance, emotion: str, level: float, cohesion: float, times: np.ndarray, rng: np.random.Generator
) -> CohesiveTracks:
    """Samples gaze, blinks and the movement of the head that the rules add to its sway.

    Args:
        utterance: the timed phonemes.
        emotion: one of ``RULES``.
        level: strength of the emotion, 0 to 1.
        cohesion: how far the rules are followed, 0 to 1: the emotion's parameters, the nods and the couplings.
        times: middles of the frames [T], s.
        rng: source of all randomness.
    """
    own = rule(emotion, cohesion * level)
    nod_rng, gaze_rng, blink_rng = rng.spawn(3)
    fixations = _fixations(own, float(times[-1]), gaze_rng)
    gaze = _gaze(fixations, times)
    nods = _nods(utterance, own.nod_chance, nod_rng)
    sizes = cohesion * own.nod_rad * nod_rng.uniform(0.7, 1.3, len(nods))
    turn = np.zeros((len(times), 3))
    turn[:, :2] = cohesion * FOLLOW * GAZE_RAD * _delayed(gaze, times)
    for nod_s, size in zip(nods, sizes, strict=True):
        turn[:, 1] += size * np.exp(-((times - nod_s) ** 2) / (2 * NOD_STD_S**2))
    turn[:, 1] += own.pitch_rad
    turn[:, 2] += own.roll_rad * (1 if nod_rng.uniform() < 0.5 else -1)
    starts = _blink_starts(own, utterance, fixations, cohesion, float(times[-1]), blink_rng)
    blink = np.zeros(len(times))
    for start_s, length_s in starts:
        blink = np.maximum(blink, blink_shape(times - start_s, length_s))
    return CohesiveTracks(gaze, blink, turn, nods, starts[:, 0], fixations)


def blink_shape(since_s: np.ndarray, length_s: float) -> np.ndarray:
    """Closure during one blink: it closes in 0.08 s, stays closed, and opens in 0.15 s.

    Args:
        since_s: times since its beginning.
        length_s: its duration, at least 0.23 s for full closure.
    """
    falling = np.clip(since_s / CLOSING_S, 0, 1)
    rising = np.clip((length_s - since_s) / OPENING_S, 0, 1)
    track = np.minimum(falling, rising)
    return np.asarray(track * track * (3 - 2 * track))


def stressed_vowels(utterance: Utterance) -> np.ndarray:
    """Middles of the vowels at which a nod may happen, s: each at least ``STRESS_S`` after the one before."""
    table, found = phoneme_table(), [-np.inf]
    for name, start, end in zip(utterance.names, utterance.starts_s, utterance.ends_s, strict=True):
        middle = (start + end) / 2
        if table[name].kind == "vowel" and middle - found[-1] >= STRESS_S:
            found.append(middle)
    return np.array(found[1:])


def _nods(utterance: Utterance, chance: float, rng: np.random.Generator) -> np.ndarray:
    vowels = stressed_vowels(utterance)
    return vowels[rng.uniform(size=len(vowels)) < chance] + NOD_DELAY_S


def _fixations(own: Rule, end_s: float, rng: np.random.Generator) -> np.ndarray:
    rows, at = [], 0.0
    while at <= end_s:
        if rng.uniform() < own.direct:
            target = rng.normal(size=2) * 0.05
        else:
            side = 1 if rng.uniform() < 0.5 else -1
            target = np.array([side * own.aside, own.down]) + rng.normal(size=2) * 0.08
        rows.append([at, *np.clip(target, -0.8, 0.8)])
        at += own.fixation_s * float(rng.gamma(4.0, 0.25))
    return np.array(rows)


def _gaze(fixations: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The gaze at the times: it moves to each fixation within ``SACCADE_S``."""
    index = np.searchsorted(fixations[:, 0], times, side="right") - 1
    before = fixations[np.maximum(index - 1, 0), 1:]
    step = np.clip((times - fixations[index, 0]) / SACCADE_S, 0, 1)[:, None]
    return before + step * (fixations[index, 1:] - before)


def _delayed(track: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The track [T, K] behind a first-order lag of ``FOLLOW_S``."""
    keep = np.exp(-np.diff(times, prepend=times[0]) / FOLLOW_S)
    out = track.copy()
    for t in range(1, len(track)):
        out[t] = keep[t] * out[t - 1] + (1 - keep[t]) * track[t]
    return out


def _blink_starts(
    own: Rule, utterance: Utterance, fixations: np.ndarray, cohesion: float, end_s: float, rng: np.random.Generator
) -> np.ndarray:
    """Beginnings and durations of blinks, [N, 2], s, by stepping through time in hundredths of a second."""
    step = 0.01
    shifts = np.linalg.norm(np.diff(fixations[:, 1:], axis=0, prepend=fixations[:1, 1:]), axis=1)
    shift_times = fixations[shifts > SHIFT, 0]
    silent = [
        (start, end)
        for name, start, end in zip(utterance.names, utterance.starts_s, utterance.ends_s, strict=True)
        if name == "SIL"
    ]
    rows, free_s = [], float(rng.uniform(0.0, 1.0))
    for at in np.arange(0.0, end_s, step):
        chance = rng.uniform()  # drawn for every step, so that a longer clip begins alike
        if at < free_s:
            continue
        pause = any(start <= at < end for start, end in silent)
        hazard = own.blinks_per_min / 60 * (PAUSE_FACTOR if pause else SPEECH_FACTOR) ** cohesion
        since = at - shift_times[shift_times <= at]
        if len(since) and since[-1] < SHIFT_S:
            hazard += cohesion * SHIFT_HAZARD_HZ
        if chance < hazard * step:
            length = own.blink_s * float(np.exp(0.12 * rng.standard_normal()))
            rows.append([at, length])
            free_s = at + length + REFRACTORY_S
    return np.array(rows).reshape(-1, 2)
