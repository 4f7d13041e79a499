"""Generated motion as a driver: from a sound and an emotion to the movement of brows, eyes, lids and head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.drivers.motion_model import MotionModel
from jean.drivers.motion_sampling import Conditions, EmotionTrack, mean_emotion, sample_lips, sample_motion
from jean.drivers.motion_sound import FPS, LOUDNESS, SPEAKING, sound_features, sounds_like_a_voice
from jean.drivers.motion_tracks import SampledMotion
from jean.drivers.named_expression import NEUTRAL, ExpressionKey, parse_expression, read_timeline
from jean.errors import InputError, UsageError
from jean.media import RATE_HZ, read_audio
from jean.names import known_name, suggestion

AUTO = "auto"
SURE = 0.5  # posterior below which a heard emotion is mixed with neutral
HEARD = 0.1  # fraction of the frames that must be speech before a voice is judged
HELD_S = 0.5  # standard deviation of the smoothing of what an emotion adds to the mouth


@dataclass(frozen=True)
class Act:
    """What a motion model was asked for.

    Attributes:
        emotion: NAME[:STRENGTH], A..B, or "auto"; None for neutral.
        timeline: CSV of emotions over time, instead of ``emotion``.
        seed: of the noise.
    """

    emotion: str | None = None
    timeline: Path | None = None
    seed: int = 0


def generate(
    model: MotionModel,
    audio: Path,
    act: Act,
    say: Callable[[str], None],
    given: Mapping[str, np.ndarray] | None = None,
) -> SampledMotion:
    """Generates the motion that goes with a sound. Besides the sound, memory takes some numbers per frame.

    Args:
        model: the motion model.
        audio: any file with sound.
        act: emotion and seed.
        say: receives what the voice sounds like, for "auto".
        given: known cues, see ``sample_motion``; at 25 frames per second, of any length.

    Raises:
        UsageError: an emotion that the model does not know, or a strength outside 0 to 2.
        InputError: the file holds no sound; an unreadable timeline.
    """
    sound, length_s = _heard(audio)
    times_s = (np.arange(len(sound)) + 0.5) / FPS
    strengths = emotion_strengths(model, act, times_s, length_s, sound, say)
    fitted = {name: fit_length(values, len(sound)) for name, values in (given or {}).items()}
    conditions = Conditions(sound, EmotionTrack.of_strengths(strengths), act.seed, fitted)
    sampled = sample_motion(model.network, conditions)
    return SampledMotion(model.basis, sampled, _held(model, sound, sampled.lips))


def _heard(audio: Path) -> tuple[np.ndarray, float]:
    """Sound features [T, F] of a file, and its length in s. The samples are not kept."""
    wave = read_audio(audio)
    sound = sound_features(wave)
    if not len(sound):
        raise InputError(f"{audio} holds no sound.", "Choose another --audio.")
    return sound, len(wave) / RATE_HZ


def fit_length(values: np.ndarray, count: int) -> np.ndarray:
    """Values [N, K] cut to ``count`` rows, or continued by the last one."""
    return values[np.minimum(np.arange(count), len(values) - 1)]


def _held(model: MotionModel, sound: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Lip components [T, 8] that the emotion adds to those of neutral speech; slow, so that speech stays as it is."""
    from scipy.ndimage import gaussian_filter1d

    neutral = EmotionTrack.of_strengths(np.zeros((len(sound), len(model.emotions))))
    return np.asarray(gaussian_filter1d(lips - sample_lips(model.network, sound, neutral), HELD_S * FPS, axis=0))


def emotion_strengths(
    model: MotionModel,
    act: Act,
    times_s: np.ndarray,
    length_s: float,
    sound: np.ndarray,
    say: Callable[[str], None],
) -> np.ndarray:
    """Strength of each emotion of the model over time, [T, E].

    Args:
        model: the motion model.
        act: what was asked for.
        times_s: [T].
        length_s: of the sound.
        sound: features [T, F], for "auto".
        say: receives what the voice sounds like, for "auto".
    """
    if act.timeline is not None:
        keys = read_timeline(act.timeline)
    elif act.emotion is None:
        keys = [ExpressionKey(0.0, NEUTRAL, 0.0)]
    elif act.emotion.lower() == AUTO:
        return np.repeat(heard_emotion(model, sound, say)[None], len(times_s), 0)
    else:
        keys = parse_expression(act.emotion, length_s, "--emotion")
    rows = np.array([_strengths(key, model.emotions) for key in keys])
    key_times = [key.time_s for key in keys]
    return np.stack([np.interp(times_s, key_times, column) for column in rows.T], 1) if rows.size else (
        np.zeros((len(times_s), 0))
    )  # fmt: skip


def _strengths(key: ExpressionKey, emotions: Sequence[str]) -> np.ndarray:
    known = [*emotions, NEUTRAL]
    name = known_name(key.name, known)
    if name is None:
        raise UsageError(
            f"the motion model knows no emotion called {key.name!r}.",
            f"{suggestion(key.name, known)}It knows: {', '.join(known)}; or auto, by the voice.",
        )
    return np.array([key.strength * (name == each) for each in emotions])


def heard_emotion(model: MotionModel, sound: np.ndarray, say: Callable[[str], None]) -> np.ndarray:
    """Strength of each emotion [E] that a voice has, by the model; says what it heard.

    A posterior below one half is mixed with neutral.

    Args:
        model: the motion model.
        sound: features [T, F].
        say: receives one line.
    """
    weight = sound[:, SPEAKING] * (sound[:, LOUDNESS] > -0.5)
    if weight.mean() < HEARD or not model.emotions:
        say("emotion: hardly any voice is heard, so neutral.")
        return np.zeros(len(model.emotions))
    if not sounds_like_a_voice(sound):
        say("emotion: the sound is no voice (its pitch is held as in music, or it has none), so neutral.")
        return np.zeros(len(model.emotions))
    posterior, strength = mean_emotion(model.network, sound, weight)
    names = [NEUTRAL, *model.emotions]
    order = np.argsort(-posterior)[:2]
    certain = min(1.0, float(posterior.max()) / SURE)
    strengths = certain * max(strength, 0.4) * posterior[1:]
    heard = ", ".join(f"{posterior[k]:.0%} {names[k]}" for k in order)
    mild = "" if certain == 1 else ", mixed with neutral, as none is clear"
    say(f"emotion: the voice sounds {heard}{mild}.")
    return strengths
