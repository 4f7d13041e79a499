"""Systems that make motion for a clip's sound: a motion model, and copies of other clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jean.drivers.blinks import blink_curve
from jean.drivers.motion_model import MotionModel
from jean.drivers.motion_sampling import Conditions, EmotionTrack, sample_motion
from jean.drivers.motion_vector import LID, LID_UNIT, MotionBasis
from jean.drivers.named_expression import NEUTRAL
from jean.train.motion.data import MotionClip


@dataclass(frozen=True)
class Moved:
    """Motion of T frames.

    Attributes:
        vectors: [T, 19]; lips: [T, 8]; closure: [T].
        onsets: frames at which blinks begin.
    """

    vectors: np.ndarray
    lips: np.ndarray
    closure: np.ndarray
    onsets: np.ndarray


System = Callable[[MotionClip, int], Moved]  # of a clip and a seed


def true_motion(clip: MotionClip, basis: MotionBasis) -> Moved:
    """The motion of the clip itself."""
    vectors, track = basis.vectors(clip.track), clip.track
    lid = np.clip(vectors[:, LID] * LID_UNIT, 0, 1)
    closure = lid + (1 - lid) * blink_curve(len(track), track.onsets, track.lengths_s)
    return Moved(vectors, basis.lips(track), closure, track.onsets)


def copier(clips: Sequence[MotionClip], basis: MotionBasis, same_emotion: bool) -> System:
    """Copies the motion of another clip, forwards and backwards: what ``--pose CLIP --expression CLIP`` does."""

    def system(clip: MotionClip, seed: int) -> Moved:
        random = np.random.default_rng([seed, len(clip.track)])
        fitting = [c for c in clips if not same_emotion or (c.emotion, c.strength) == (clip.emotion, clip.strength)]
        source = true_motion(fitting[int(random.integers(len(fitting)))], basis)
        period = 2 * (len(source.vectors) - 1)
        phase = np.arange(len(clip.track)) % period
        index = np.where(phase >= len(source.vectors), period - phase, phase)
        onsets = np.flatnonzero(np.isin(index, source.onsets) & (np.diff(index, prepend=-1) > 0))
        return Moved(source.vectors[index], source.lips[index], source.closure[index], onsets)

    return system


def generator(model: MotionModel, emotions: bool = True, guidance: float = 1.0) -> System:
    """Generates motion by a model.

    Args:
        model: the model.
        emotions: whether it is told the emotion.
        guidance: how much the emotion is exaggerated.
    """

    def system(clip: MotionClip, seed: int) -> Moved:
        count = len(clip.track)
        if emotions:
            strengths = np.array([clip.strength * (clip.emotion == name) for name in model.emotions])
            track = EmotionTrack.of_strengths(np.tile(strengths, (count, 1)))
            if clip.emotion != NEUTRAL:
                track = EmotionTrack(track.weights, np.maximum(track.guidance, guidance))
        else:
            weights = np.zeros((count, len(model.emotions) + 1))
            weights[:, -1] = 1.0
            track = EmotionTrack(weights, np.ones(count))
        made = sample_motion(model.network, Conditions(clip.sound, track, seed))
        return Moved(made.vectors, made.lips, made.closure, made.onsets)

    return system
