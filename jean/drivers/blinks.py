"""Blinks as events: a renewal process whose hazard follows speech, gaze, lids and emotion.

The probability that a blink begins in a frame is σ(w · x): a logistic regression on a few explicit inputs, fitted by
maximum likelihood. Blinks are rare; a network with the sound's features as inputs remembers the training clips and
tells nothing about others. The duration is log-normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from jean.drivers.motion_sound import FPS, LOUDNESS, SPEAKING
from jean.drivers.motion_vector import CUES, LID

CLOSING_S, OPENING_S = 0.08, 0.15  # of a blink
SHORTEST_S, REFRACTORY_S = 0.12, 0.2
BEFORE_S = 2.0  # time since the last blink at the beginning of a clip
SHIFT_FRAMES = 4  # for which a shift of gaze counts as recent
SHIFT = 0.9  # of the gaze, in units of the motion vector, from which it is large
_SINCE_S = 1.5
_FIXED, _SINCE = 6, 3  # inputs besides the emotions: before and after them
_STEPS, _RIDGE = 30, 1.0  # of Newton's method


def blink_inputs(sound: np.ndarray, vectors: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """What the hazard depends on besides the last blink, [T, 6 + E].

    Columns: one; pause; loudness; a recent shift of gaze, and whether it is large; lowered lids; the emotions.

    Args:
        sound: features [T, F], see ``jean.drivers.motion_sound``.
        vectors: motion vectors [T, 19].
        strengths: of the emotions [T, E].
    """
    gaze, rows = vectors[:, CUES["eyes"]][:, :2], np.arange(len(vectors))
    moved = [gaze - gaze[np.maximum(rows - k, 0)] for k in range(1, SHIFT_FRAMES + 1)]
    shift = np.linalg.norm(moved, axis=-1).max(0)
    columns = [
        np.ones(len(vectors)), 1 - sound[:, SPEAKING], sound[:, LOUDNESS], np.minimum(shift, 2.0), shift > SHIFT,
        np.clip(vectors[:, LID], -2, 6),
    ]  # fmt: skip
    return np.concatenate([np.stack(columns, 1), strengths], 1)


def since_inputs(since_s: np.ndarray | float) -> np.ndarray:
    """What the hazard depends on through the time since the last blink's beginning, [..., 3]."""
    since = np.asarray(since_s, float)
    return np.stack([np.exp(-since / _SINCE_S), np.log1p(since), since < 0.8], -1)


@dataclass(frozen=True)
class BlinkModel:
    """The fitted process.

    Attributes:
        hazard: weights of ``blink_inputs`` and ``since_inputs``, [9 + E].
        length: weights of one and of the emotions for the mean of the logarithm of the duration in s, [1 + E].
        length_std: standard deviation of that logarithm, [1].
    """

    hazard: np.ndarray
    length: np.ndarray
    length_std: np.ndarray

    @staticmethod
    def sizes(emotions: int) -> dict[str, tuple[int]]:
        """Shape of each attribute."""
        return {"hazard": (_FIXED + emotions + _SINCE,), "length": (1 + emotions,), "length_std": (1,)}

    @classmethod
    def fit(
        cls, inputs: Sequence[np.ndarray], onsets: Sequence[np.ndarray], lengths_s: Sequence[np.ndarray]
    ) -> BlinkModel:
        """Fits the process to clips.

        Args:
            inputs: ``blink_inputs`` of each clip [T, 6 + E].
            onsets: frames at which its blinks begin.
            lengths_s: their durations.
        """
        rows, targets = [], []
        for values, begins, lengths in zip(inputs, onsets, lengths_s, strict=True):
            since_s, free = since_last(begins, lengths, len(values))
            begin = np.zeros(len(values))
            begin[begins] = 1.0
            counted = free | (begin > 0)
            rows.append(np.concatenate([values, since_inputs(since_s)], 1)[counted])
            targets.append(begin[counted])
        hazard = logistic(np.concatenate(rows), np.concatenate(targets))
        at = [
            values[begins][:, [0, *range(_FIXED, values.shape[1])]]
            for values, begins in zip(inputs, onsets, strict=True)
        ]
        known, logs = np.concatenate(at), np.log(np.maximum(np.concatenate(list(lengths_s)), 0.04))
        prior = np.zeros(known.shape[1])
        prior[0] = np.log(0.25)
        normal = known.T @ known + np.eye(known.shape[1])
        length = prior + np.linalg.solve(normal, known.T @ (logs - known @ prior))
        spread = float(np.sqrt((np.square(logs - known @ length).sum() + 0.04) / (len(logs) + 1)))
        return cls(hazard, length, np.array([spread]))

    def sample(self, inputs: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Beginnings [N], frames, and durations [N], s, of blinks for inputs [T, 6 + E]."""
        base = inputs @ self.hazard[: inputs.shape[1]]
        means = inputs[:, [0, *range(_FIXED, inputs.shape[1])]] @ self.length
        onsets, lengths, since_s, free_s = [], [], BEFORE_S, 0.0
        own = self.hazard[inputs.shape[1] :]
        for frame, (logit, mean) in enumerate(zip(base, means, strict=True)):
            chance, normal = random.random(), random.standard_normal()
            if free_s <= 0 and chance < 1 / (1 + np.exp(-(logit + since_inputs(since_s) @ own))):
                length = max(SHORTEST_S, float(np.exp(mean + self.length_std[0] * normal)))
                onsets.append(frame)
                lengths.append(length)
                since_s, free_s = 0.0, length + REFRACTORY_S
            since_s += 1 / FPS
            free_s -= 1 / FPS
        return np.array(onsets, int), np.array(lengths, float)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> BlinkModel:
        """The inverse of ``arrays``."""
        return cls(**{field.name: np.asarray(arrays[field.name], np.float64) for field in fields(cls)})


def since_last(onsets: np.ndarray, lengths_s: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Time since the last blink began [T], s, and whether another may begin, bool [T].

    Example:
        >>> since_s, free = since_last(np.array([2]), np.array([0.04]), 6)
        >>> since_s.round(2).tolist(), free.tolist()
        ([2.0, 2.04, 2.08, 0.04, 0.08, 0.12], [True, True, True, False, False, False])
    """
    frames = np.arange(count)
    last = np.searchsorted(onsets, frames) - 1  # a blink that begins in this frame is not yet the last
    begun = last >= 0
    since = np.where(begun, frames - onsets[np.maximum(last, 0)] if len(onsets) else 0, frames + BEFORE_S * FPS) / FPS
    busy_s = lengths_s[np.maximum(last, 0)] + REFRACTORY_S if len(onsets) else np.zeros(count)
    return since, ~begun | (since >= busy_s)


def logistic(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights [K] of a ridge logistic regression of targets [N] on inputs [N, K], by Newton's method.

    Example:
        >>> weights = logistic(np.ones((1000, 1)), (np.arange(1000) % 4 == 0).astype(float))
        >>> round(float(1 / (1 + np.exp(-weights[0]))), 2)
        0.25
    """
    weights, penalty = np.zeros(inputs.shape[1]), _RIDGE * np.eye(inputs.shape[1])
    penalty[0, 0] = 1e-3  # the rate itself is free
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (chance - targets) + penalty @ weights
        curvature = inputs.T @ (inputs * (chance * (1 - chance))[:, None]) + penalty
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step * min(1.0, 3.0 / float(np.linalg.norm(step) + 1e-12))
    return weights


def blink_curve(count: int, onsets: np.ndarray, lengths_s: np.ndarray) -> np.ndarray:
    """Closure [T] of blinks that begin at frames ``onsets``: they close in 0.08 s, stay, and open in 0.15 s.

    Example:
        >>> blink_curve(8, np.array([1]), np.array([0.24])).round(2).tolist()
        [0.0, 0.16, 0.84, 0.99, 0.74, 0.35, 0.05, 0.0]
    """
    curve = np.zeros(count)
    for onset, length_s in zip(onsets, lengths_s, strict=True):
        frames = np.arange(onset, min(count, onset + int(np.ceil(length_s * FPS)) + 1))
        since_s = (frames - onset + 0.5) / FPS
        level = np.minimum(np.clip(since_s / CLOSING_S, 0, 1), np.clip((length_s - since_s) / OPENING_S, 0, 1))
        curve[frames] = np.maximum(curve[frames], level * level * (3 - 2 * level))
    return curve
