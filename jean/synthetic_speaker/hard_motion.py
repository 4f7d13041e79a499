"""A harder performance: expression as quick as speech, and tracks that depend on each other.

In the plain corpus, expression is slow and independent of speech: a mean over a second separates the two, and nothing
shows whether a method could do it by other means. Here, as on real faces,

- expression comes in bursts of 1 to 3 per second besides its slow course,
- how far the mouth opens and spreads depends on the emotion,
- brows rise with stressed syllables, so that speech and expression are correlated.

The values are invented and only known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jean.synthetic_speaker.controls import CONTROLS, SPEECH_CONTROLS
from jean.synthetic_speaker.performance import Performance
from jean.synthetic_speaker.speaker_motion import SpeakerMotion, frame_times

LANDMARK_NOISE_PX = 0.4  # standard deviation of the tracker's noise, for frames of 256 px
# Factor on the opening of the jaw, and what opening adds to the spread of the lips, at full strength
_ARTICULATION = {"neutral": (1.0, 0.0), "angry": (1.3, 0.15), "happy": (1.1, 0.35), "sad": (0.65, -0.1)}
_BURST = {  # controls that a burst moves, and how far
    "neutral": {"brow_inner_up": 0.35, "smile": 0.25},
    "angry": {"brow_furrow": 0.5, "nose_wrinkle": 0.4, "lip_tighten": 0.4},
    "happy": {"smile": 0.5, "cheek_raise": 0.5, "brow_outer_up": 0.3},
    "sad": {"brow_inner_up": 0.5, "frown": 0.5, "lid_tighten": 0.3},
}
_STRESS_BROWS = 0.35  # rise of the brows at the most open syllable


def harden(performance: Performance) -> Performance:
    """The same sentences, sound, blinks, gaze and poses with harder motion; deterministic in the performance."""
    random = np.random.default_rng([0x4A8D, performance.identity.seed, performance.seed])
    motion = performance.motion
    return replace(performance, motion=hard_motion(motion, performance.emotion, performance.fps, random))


def hard_motion(motion: SpeakerMotion, emotion: str, fps: float, random: np.random.Generator) -> SpeakerMotion:
    """Motion with bursts, articulation by emotion, and brows that follow stress.

    Args:
        motion: plain motion.
        emotion: one of ``speaker_motion.EMOTIONS``.
        fps: frames per second.
        random: source of the bursts.
    """
    from scipy.ndimage import gaussian_filter1d

    controls = motion.controls.copy()
    times = frame_times(len(controls), fps)

    def column(name: str) -> np.ndarray:
        return controls[:, CONTROLS.index(name)]

    burst = burst_track(times, random)
    for name, size in _BURST[emotion].items():
        column(name)[:] += size * burst
    jaw, factor = column("jaw_open").copy(), _ARTICULATION[emotion]
    strength = motion.strength if emotion != "neutral" else np.ones(len(times))
    column("jaw_open")[:] *= 1 + (factor[0] - 1) * strength
    column("lip_spread")[:] += factor[1] * strength * jaw
    stress = gaussian_filter1d(jaw, 0.08 * fps, mode="nearest")
    column("brow_outer_up")[:] += _STRESS_BROWS * stress / max(float(stress.max()), 1e-6)
    speech = slice(-len(SPEECH_CONTROLS), None)
    controls[:, speech] = controls[:, speech].clip(0, 1)
    return replace(motion, controls=controls)


def burst_track(times: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Bursts [T]: raised cosines of 0.33 to 1 s of either sign, one to three per second with pauses between them."""
    track, at = np.zeros_like(times), float(random.uniform(0, 0.5))
    while at < times[-1]:
        length = float(random.uniform(0.33, 1.0))
        phase = np.clip((times - at) / length, 0, 1)
        size = random.choice([-1.0, 1.0]) * random.uniform(0.5, 1.0)
        track += size * 0.5 * (1 - np.cos(2 * np.pi * phase))
        at += length + float(random.uniform(0.0, 0.6))
    return track


def tracker_noise(landmarks: np.ndarray, size_px: int, random: np.random.Generator) -> np.ndarray:
    """Landmarks [T, 68, 2], px, with a tracker's noise: half of it from frame to frame, half slower."""
    from scipy.ndimage import gaussian_filter1d

    white = random.standard_normal((2, *landmarks.shape))
    slow = gaussian_filter1d(white[1], 2.0, axis=0, mode="nearest")
    noise = (white[0] + slow / max(float(slow.std()), 1e-9)) * np.sqrt(0.5)
    return (landmarks + noise * LANDMARK_NOISE_PX * size_px / 256).astype(landmarks.dtype)
