"""Sampling of a motion model: cues, lips and blinks for a sound of any length.

A flow is sampled window after window, an auto-regressive model frame after frame. Random values are drawn in the order
of frames, so that the same features give the same beginning whatever follows. Cues that are given are held: at time t
of the flow, x_t of a given cue is (1 - t) x_0 + t · given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from jean.drivers.blinks import BlinkModel, blink_curve, blink_inputs
from jean.drivers.motion_vector import CUES, LID, LID_UNIT, LIPS, WIDTH
from jean.models.motion_flow import MotionFlow
from jean.models.motion_network import CONTEXT, MotionNetwork
from jean.models.motion_recurrent import MotionRecurrent, gaze_centres

PAST, NEW = 10, 50  # frames of a window that are known from the one before, and that are generated
WINDOW = PAST + NEW
STEPS = 6  # steps of Heun's method along the flow; they give the spread of 32 Euler steps
# Standard deviation of the Gaussian over each generated cue, frames, and passes. What the network leaves of the noise
# is seen as trembling, and makes the head rest too often. The second pass returns to nods what the first one takes.
SMOOTHING = {"face": (0.5, 1), "eyes": (0.7, 1), "pose": (1.5, 2)}
SWAY_STD = 7.5  # frames; the pose's motion that is slower than this is no nod
NOD_GAIN = 1.1  # on the rest of it, which the smoothing makes smaller: nods of the validation people are then true ones
_PIECE = 1000  # frames whose lips are computed at once


@dataclass(frozen=True)
class EmotionTrack:
    """Emotion of T frames.

    Attributes:
        weights: strength of each emotion besides neutral, and 1 in the last column where nothing is known,
            [T, E + 1]; zeros mean neutral.
        guidance: [T], at least 1; beyond 1 the difference that the emotion makes is exaggerated.
    """

    weights: np.ndarray
    guidance: np.ndarray

    @classmethod
    def of_strengths(cls, strengths: np.ndarray) -> EmotionTrack:
        """A track of strengths [T, E] from 0 to 2: what exceeds 1 becomes guidance."""
        total = strengths.sum(1)
        scale = np.where(total > 1, 1 / np.maximum(total, 1e-9), 1.0)
        return cls(np.pad(strengths * scale[:, None], ((0, 0), (0, 1))), np.maximum(total, 1.0))


@dataclass(frozen=True)
class Conditions:
    """What motion is generated for.

    Attributes:
        sound: features [T, F], from ``jean.drivers.motion_sound``.
        emotion: of the T frames.
        seed: of all noise.
        given: values of known cues [T, K] by name of ``CUES``; they come back unchanged, and the rest fits them.
    """

    sound: np.ndarray
    emotion: EmotionTrack
    seed: int = 0
    given: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sound)

    def known(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Given values of some frames [n], and 1 where they are given, both float32 [n, 19]."""
        values, mask = np.zeros((2, len(rows), WIDTH), np.float32)
        for name, track in self.given.items():
            values[:, CUES[name]], mask[:, CUES[name]] = track[rows], 1.0
        return values, mask


@dataclass(frozen=True)
class Sampled:
    """Generated motion of T frames at 25 frames per second, float32.

    Attributes:
        vectors: motion vectors [T, 19].
        lips: lip components [T, 8].
        closure: of the eyes [T], 0 to 1, with blinks.
        onsets: frames at which blinks begin, int [N]; lengths_s: their durations, [N].
    """

    vectors: np.ndarray
    lips: np.ndarray
    closure: np.ndarray
    onsets: np.ndarray
    lengths_s: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)


def sample_motion(
    model: MotionNetwork,
    conditions: Conditions,
    blinks: tuple[np.ndarray, np.ndarray] | None = None,
    steps: int = STEPS,
) -> Sampled:
    """Generates motion for a sound.

    Args:
        model: the motion model, in evaluation mode.
        conditions: sound, emotion, seed and given cues.
        blinks: known beginnings [N] and durations in s [N], instead of generated ones.
        steps: of Heun's method along the flow.
    """
    if isinstance(model, MotionFlow):
        vectors = _flow(model, conditions, steps)
    else:
        assert isinstance(model, MotionRecurrent)
        vectors = _recurrent(model, conditions)
    for name, (std, passes) in SMOOTHING.items():
        values = smooth(vectors[:, CUES[name]], std, passes)
        vectors[:, CUES[name]] = conditions.given.get(name, larger_nods(values) if name == "pose" else values)
    lips = sample_lips(model, conditions.sound, conditions.emotion)
    if blinks is None:
        inputs = blink_inputs(conditions.sound, vectors, conditions.emotion.weights[:, :-1])
        blinks = blink_model(model).sample(inputs, np.random.default_rng([0xB1, conditions.seed]))
    lid = np.clip(vectors[:, LID] * LID_UNIT, 0, 1)
    closure = lid + (1 - lid) * blink_curve(len(vectors), *blinks).astype(np.float32)
    return Sampled(vectors, lips, closure, *blinks)


def blink_model(model: MotionNetwork) -> BlinkModel:
    """The blinks that a motion model stores."""
    arrays = {name: getattr(model, f"blink_{name}").double().numpy() for name in BlinkModel.sizes(model.emotions)}
    return BlinkModel.from_arrays(arrays)


def sample_lips(model: MotionNetwork, sound: np.ndarray, emotion: EmotionTrack) -> np.ndarray:
    """Lip components [T, 8] of a sound, float32; they have one right value, and no noise.

    Args:
        model: the motion model.
        sound: features [T, F].
        emotion: of the T frames.
    """
    lips = np.empty((len(sound), LIPS), np.float32)
    with torch.no_grad():
        for span, features, weights in _pieces(model, sound, emotion):
            lips[span] = model.lips(features, weights)[0].numpy()
    return lips


def smooth(values: np.ndarray, std: float, passes: int) -> np.ndarray:
    """Smooths values [T, K] over time; each further pass adds the smoothed rest ("twicing", Tukey, 1977).

    Args:
        values: of any kind.
        std: of the Gaussian, frames.
        passes: at least 1.

    Example:
        >>> nod = np.exp(-np.arange(-12, 13)[:, None] ** 2 / (2 * 1.5**2))
        >>> [round(float(smooth(nod, 1.5, passes).max()), 2) for passes in (1, 2)]
        [0.71, 0.84]
    """
    from scipy.ndimage import gaussian_filter1d

    out = np.zeros_like(values)
    for _ in range(passes):
        out = out + gaussian_filter1d(values - out, std, axis=0, mode="nearest")
    return out


def larger_nods(pose: np.ndarray) -> np.ndarray:
    """Smoothed pose values [T, K] whose fast part is enlarged: smoothing makes nods smaller.

    Example:
        >>> nod = np.exp(-np.arange(-50, 51)[:, None] ** 2 / (2 * 1.5**2))
        >>> [round(float(np.ptp(values)), 2) for values in (smooth(nod, 1.5, 2), larger_nods(smooth(nod, 1.5, 2)))]
        [0.85, 0.93]
    """
    sway = smooth(pose, SWAY_STD, 1)
    return np.asarray(sway + NOD_GAIN * (pose - sway))


def _flow(model: MotionFlow, conditions: Conditions, steps: int) -> np.ndarray:
    """Motion vectors [T, 19] of a flow."""
    count, emotion = len(conditions), conditions.emotion
    random, noise, out = np.random.default_rng([0xF1, conditions.seed]), *np.zeros((2, count, WIDTH), np.float32)
    for first in range(0, count, NEW):
        new = noise[first : first + NEW]
        new[:] = random.standard_normal(new.shape)
    for first in range(0, count, NEW):
        index = np.clip(np.arange(first - PAST, first + NEW), 0, count - 1)
        known, mask = conditions.known(index)
        if first:
            mask[:PAST], known[:PAST] = 1.0, out[index[:PAST]]
        around = np.clip(np.arange(first - PAST - CONTEXT, first + NEW + CONTEXT), 0, count - 1)
        window = _integrate(
            model,
            _tensor(noise[index]),
            _tensor(known),
            _tensor(mask),
            _tensor(conditions.sound[around]),
            _tensor(emotion.weights[index]),
            _tensor(emotion.guidance[index][:, None]),
            steps,
        )
        new = out[first : first + NEW]
        new[:] = window[0, PAST : PAST + len(new)].numpy()
    return out


@torch.no_grad()
def _recurrent(model: MotionRecurrent, conditions: Conditions) -> np.ndarray:
    """Motion vectors [T, 19] of an auto-regressive model; strengths beyond 1 are given to it as they are."""
    random, gaze = np.random.default_rng([0xA6, conditions.seed]), slice(CUES["eyes"].start, CUES["eyes"].start + 2)
    emotion = conditions.emotion
    strong = EmotionTrack(emotion.weights * emotion.guidance[:, None], emotion.guidance)
    centres, out = gaze_centres().numpy(), np.zeros((len(conditions), WIDTH), np.float32)
    before, state = np.zeros(WIDTH, np.float32), None
    for span, features, wanted in _pieces(model, conditions.sound, strong):
        known, mask = conditions.known(np.arange(span.start, span.stop))
        for k in range(len(known)):
            values, logits, state = model.step(
                _tensor(before[None]), features[:, k : k + 1], wanted[:, k : k + 1], state
            )
            row = values[0, 0].numpy()
            reached = np.cumsum(torch.softmax(logits[0, 0].double(), -1).numpy())
            row[gaze] = centres[np.searchsorted(reached, random.random() * reached[-1])]
            before = out[span.start + k] = np.where(mask[k] > 0, known[k], row)
    return out


def _tensor(rows: np.ndarray) -> Tensor:
    """A batch of one window, [1, L, D]."""
    return torch.from_numpy(np.ascontiguousarray(rows, np.float32))[None]


@torch.inference_mode()
def _integrate(
    model: MotionFlow,
    noise: Tensor,
    known: Tensor,
    mask: Tensor,
    sound: Tensor,
    emotion: Tensor,
    guidance: Tensor,
    steps: int,
) -> Tensor:
    """Carries noise [1, L, D] to motion by Heun's method, with classifier-free guidance where it exceeds 1."""
    features, unknown = model.sound_features(sound), torch.zeros_like(emotion)
    unknown[..., -1] = 1.0
    kinds = [emotion, unknown] if bool((guidance > 1).any()) else [emotion]
    condition = torch.cat([model.condition(features, kind) for kind in kinds])
    known_each, mask_each = (part.expand(len(kinds), -1, -1) for part in (known, mask))

    def held(values: Tensor, time: float) -> Tensor:
        return torch.where(mask > 0, (1 - time) * noise + time * known, values)

    def velocity(values: Tensor, time: float) -> Tensor:
        at = torch.full((len(kinds),), time)
        each = values.expand(len(kinds), -1, -1)
        wanted, *free = model.velocity(each, at, known_each, mask_each, condition).split(1)
        return free[0] + guidance * (wanted - free[0]) if free else wanted

    values = noise
    for step in range(steps):
        start, end = step / steps, (step + 1) / steps
        values = held(values, start)
        slope = velocity(values, start)
        if step + 1 < steps:  # at time 1 nothing is left to correct
            slope = (slope + velocity(held(values + slope / steps, end), end)) / 2
        values = values + slope / steps
    return held(values, 1.0)


def _pieces(model: MotionNetwork, sound: np.ndarray, emotion: EmotionTrack) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """(frames, sound features of the model [1, L, H], emotion [1, L, E + 1]) piece by piece."""
    for first in range(0, len(sound), _PIECE):
        span = slice(first, min(first + _PIECE, len(sound)))
        around = np.clip(np.arange(span.start - CONTEXT, span.stop + CONTEXT), 0, len(sound) - 1)
        yield span, model.sound_features(_tensor(sound[around])), _tensor(emotion.weights[span])


def mean_emotion(model: MotionNetwork, sound: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """What the voice sounds like: posterior [E + 1] of neutral and the emotions, and a strength, over all windows.

    Args:
        model: the motion model.
        sound: features [T, F].
        weight: how much each frame counts, [T].
    """
    unknown = EmotionTrack.of_strengths(np.zeros((len(sound), model.emotions)))
    posteriors, strengths, shares = [], [], []
    with torch.no_grad():
        for span, features, _ in _pieces(model, sound, unknown):
            for first in range(0, features.shape[1], NEW):
                piece = features[:, first : first + WINDOW]
                counts = torch.from_numpy(weight[span][first : first + WINDOW].astype(np.float32))[None]
                if counts.sum() <= 0:
                    continue
                logits, strength = model.voice(piece, counts)
                posteriors.append(torch.softmax(logits[0], -1).double().numpy())
                strengths.append(float(strength[0]))
                shares.append(float(counts.sum()))
    if not shares:
        return np.eye(model.emotions + 1)[0], 0.0
    return np.average(posteriors, 0, weights=shares), float(np.average(strengths, weights=shares))
