"""Rule-based speech synthesis: phonemes are timed, then voiced by a source-filter model with formants (Klatt, 1980)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jean.media.rates import RATE_HZ
from jean.synthetic_speaker.language import to_phonemes
from jean.synthetic_speaker.phonemes import phoneme_table
from jean.synthetic_speaker.speaker_identity import SpeakerIdentity

BLOCK_S = 0.005  # filter coefficients are constant over one block
BLOCK = int(RATE_HZ * BLOCK_S)  # samples per block
PAUSE_S = 0.28  # silence before, between and after sentences


@dataclass(frozen=True)
class Prosody:
    """Change of the voice by an emotion.

    Attributes:
        pitch, swing, rate, loudness: factors on pitch, pitch range, speaking rate and amplitude.
        breath: added breath noise.
        tilt: spectral tilt; positive dulls the voice, negative makes it tense.
    """

    pitch: float
    swing: float
    rate: float
    loudness: float
    breath: float
    tilt: float


PROSODY = {
    "neutral": Prosody(1.0, 1.0, 1.0, 1.0, 0.0, 0.0),
    "angry": Prosody(1.16, 1.5, 1.12, 1.35, 0.0, -0.25),
    "happy": Prosody(1.24, 1.8, 1.08, 1.15, 0.0, -0.12),
    "sad": Prosody(0.90, 0.55, 0.84, 0.72, 0.05, 0.35),
}


@dataclass(frozen=True)
class Utterance:
    """Timed phonemes.

    Attributes:
        names: N phonemes, including pauses (``SIL``).
        starts_s, ends_s: float64 [N]; each phoneme starts where the previous one ends.
    """

    names: tuple[str, ...]
    starts_s: np.ndarray
    ends_s: np.ndarray

    @property
    def duration_s(self) -> float:
        """Duration including the silence at both ends."""
        return float(self.ends_s[-1])


def emotion_prosody(emotion: str, strength: float) -> Prosody:
    """Prosody of an emotion, interpolated between neutral (``strength`` 0) and full (1)."""
    full, neutral = PROSODY[emotion], PROSODY["neutral"]

    def mix(a: float, b: float) -> float:
        return a + strength * (b - a)

    return Prosody(*(mix(getattr(neutral, k), getattr(full, k)) for k in Prosody.__dataclass_fields__))


def schedule_phonemes(
    sentences: list[str], identity: SpeakerIdentity, voice: Prosody, rng: np.random.Generator
) -> Utterance:
    """Samples a duration for every phoneme of ``sentences``, with silence before, between and after them."""
    table = phoneme_table()
    names, lengths = ["SIL"], [PAUSE_S]
    speed = identity.rate * voice.rate
    for text in sentences:
        phonemes = to_phonemes(text)
        for k, name in enumerate(phonemes):
            stretch = 1.0 + 0.45 * (k >= len(phonemes) - 2)  # phrase-final lengthening
            names.append(name)
            lengths.append(table[name].seconds * stretch * float(rng.uniform(0.9, 1.12)) / speed)
        names.append("SIL")
        lengths.append(PAUSE_S * float(rng.uniform(0.9, 1.3)) / speed)
    ends = np.cumsum(lengths)
    return Utterance(tuple(names), ends - np.array(lengths), ends)


def pad_silence(utterance: Utterance, duration_s: float) -> Utterance:
    """Extends the last silence so that the utterance ends at ``duration_s``."""
    ends = utterance.ends_s.copy()
    ends[-1] = duration_s
    return Utterance(utterance.names, utterance.starts_s, ends)


def synthesise_speech(
    utterance: Utterance, identity: SpeakerIdentity, voice: Prosody, rng: np.random.Generator
) -> np.ndarray:
    """Synthesises an utterance.

    Returns:
        float32 [S] in [-1, 1], mono at ``RATE_HZ``, as long as the utterance.
    """
    from scipy.signal import lfilter

    samples = round(utterance.duration_s * RATE_HZ)
    blocks = -(-samples // BLOCK)
    track = _parameter_tracks(utterance, identity, blocks)
    pitch = _pitch(utterance, identity, voice, blocks, rng)
    count = blocks * BLOCK
    per_sample = np.repeat(track["voice"], BLOCK) * _edge_fade(count)
    glottis = _glottis(np.repeat(pitch, BLOCK), voice.tilt, rng) * per_sample
    noise = rng.normal(size=count)
    breath = np.repeat(track["breath"] + (identity.breath + voice.breath) * track["voice"], BLOCK) * 0.35
    source = glottis + noise * breath
    out = np.zeros(count)
    states = [np.zeros(2) for _ in range(5)]
    state_noise = np.zeros(2)
    fixed = ((3500.0, 260.0), (4600.0, 400.0))
    for b in range(blocks):
        part = slice(b * BLOCK, (b + 1) * BLOCK)
        signal = source[part]
        widths = (70.0 + 30 * track["nasal"][b], 95.0 + 60 * track["nasal"][b], 140.0)
        resonances = [(track["formants"][b, k], widths[k]) for k in range(3)]
        resonances += [(hz * identity.tract, width) for hz, width in fixed]
        for k, (hz, width) in enumerate(resonances):
            a, gain = _resonator(min(hz, 7400.0), width)
            signal, states[k] = lfilter([gain], a, signal, zi=states[k])
        a, b_band = _band(min(track["noise_hz"][b], 7200.0), track["noise_width"][b])
        hiss, state_noise = lfilter(b_band, a, noise[part] * track["noise"][b], zi=state_noise)
        out[part] = 0.22 * signal + 0.055 * hiss
    out = lfilter([1.0, -0.6], [1.0], out)[:samples]  # radiation at the lips: a high pass
    out *= 0.16 * voice.loudness / max(float(np.sqrt(np.mean(out**2))), 1e-9)
    return np.tanh(out).astype(np.float32)


def _resonator(hz: float, width_hz: float) -> tuple[list[float], float]:
    """A two-pole resonance as in Klatt's cascade: denominator, and the gain that gives 1 at 0 Hz."""
    r = np.exp(-np.pi * width_hz / RATE_HZ)
    a1, a2 = -2 * r * np.cos(2 * np.pi * hz / RATE_HZ), r * r
    return [1.0, a1, a2], 1.0 + a1 + a2


def _band(hz: float, width_hz: float) -> tuple[list[float], list[float]]:
    """A two-pole band pass with gain 1 at its centre and 0 at 0 Hz: denominator, numerator."""
    r = np.exp(-np.pi * width_hz / RATE_HZ)
    omega = 2 * np.pi * hz / RATE_HZ
    a = [1.0, -2 * r * np.cos(omega), r * r]
    z = np.exp(-1j * omega)
    peak = abs((1 - z * z) / (a[0] + a[1] * z + a[2] * z * z))
    return a, [1 / peak, 0.0, -1 / peak]


def _edge_fade(count: int) -> np.ndarray:
    """Gain [count] that fades the first and last 5 ms, against clicks."""
    fade = np.ones(count)
    ramp = min(80, count)
    fade[:ramp] = np.linspace(0, 1, ramp)
    fade[-ramp:] *= np.linspace(1, 0, ramp)
    return fade


def _glottis(pitch_hz: np.ndarray, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Glottal flow derivative [S]: Rosenberg pulses at ``pitch_hz`` [S] with slight jitter."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import lfilter

    jitter = 1 + 0.012 * gaussian_filter1d(rng.normal(size=len(pitch_hz)), 60) * 10
    phase = np.cumsum(pitch_hz * jitter) / RATE_HZ % 1.0
    rise, fall = 0.42, 0.18
    flow = np.where(phase < rise, 0.5 * (1 - np.cos(np.pi * phase / rise)), 0.0)
    falling = (phase >= rise) & (phase < rise + fall)
    flow[falling] = np.cos(np.pi / 2 * (phase[falling] - rise) / fall)
    pulse = np.diff(flow, prepend=flow[:1])
    pole = float(np.clip(0.35 + 0.5 * tilt, 0.05, 0.85))  # a tense voice has stronger high partials
    return 3.0 * lfilter([1 - pole], [1.0, -pole], pulse)


def _parameter_tracks(utterance: Utterance, identity: SpeakerIdentity, blocks: int) -> dict[str, np.ndarray]:
    """Synthesis parameters per block [blocks, ...], interpolated between phonemes like moving articulators."""
    from scipy.ndimage import gaussian_filter1d

    table = phoneme_table()
    time = (np.arange(blocks) + 0.5) * BLOCK_S
    index = np.clip(np.searchsorted(utterance.ends_s, time, side="right"), 0, len(utterance.names) - 1)
    length = utterance.ends_s - utterance.starts_s
    progress = np.clip((time - utterance.starts_s[index]) / np.maximum(length[index], 1e-6), 0, 1)
    phones = [table[name] for name in utterance.names]
    start = np.array([p.formants_hz[0] for p in phones])[index]
    end = np.array([p.formants_hz[1] for p in phones])[index]
    formants = start + (end - start) * _ease(progress)[:, None]
    # An open mouth is louder.
    voiced = np.array([p.voice * (0.45 + 0.95 * p.mouth_start[0]) for p in phones])[index]
    noise = np.array([p.noise for p in phones])[index]
    kind = np.array([p.kind for p in phones])[index]
    voiceless = voiced <= 0
    stop = kind == "stop"
    released = progress > 0.62
    # A stop is silent (voiced: it hums) until its release, then bursts briefly and aspirates.
    noise = np.where(stop, noise * (released & (progress < 0.62 + 0.22)), noise)
    breath = np.where(stop & released & voiceless, 0.25, 0.0) + np.where(kind == "breath", 0.45, 0.0)
    noise_hz = np.array([p.noise_hz for p in phones])[index] * identity.tract**0.5
    noise_width = np.array([p.noise_width_hz for p in phones])[index]
    return {
        "formants": gaussian_filter1d(formants, 4.0, axis=0, mode="nearest") * identity.tract,
        "voice": np.clip(gaussian_filter1d(voiced, 1.4, mode="nearest"), 0, None),
        "noise": gaussian_filter1d(noise, 0.7, mode="nearest"),
        "breath": gaussian_filter1d(breath, 1.0, mode="nearest"),
        "nasal": gaussian_filter1d((kind == "nasal").astype(float), 2.0),
        "noise_hz": noise_hz,
        "noise_width": noise_width,
    }


def _ease(t: np.ndarray) -> np.ndarray:
    """Smooth transition from 0 to 1 for t in [0, 1]."""
    return t * t * (3 - 2 * t)


def _pitch(
    utterance: Utterance, identity: SpeakerIdentity, voice: Prosody, blocks: int, rng: np.random.Generator
) -> np.ndarray:
    """Pitch per block, Hz: float64 [blocks]. It falls over each phrase and rises at random on vowels."""
    from scipy.ndimage import gaussian_filter1d

    time = (np.arange(blocks) + 0.5) * BLOCK_S
    octaves = np.zeros(blocks)
    pauses = [k for k, name in enumerate(utterance.names) if name == "SIL"]
    for first, last in pairwise(pauses):
        begin, end = utterance.ends_s[first], utterance.starts_s[last]
        inside = (time >= begin) & (time < end)
        octaves[inside] = 0.16 - 0.36 * (time[inside] - begin) / max(end - begin, 1e-6)
    for k, name in enumerate(utterance.names):
        if _is_vowel(name):
            middle = (utterance.starts_s[k] + utterance.ends_s[k]) / 2
            octaves += rng.uniform(-0.05, 0.20) * np.exp(-0.5 * ((time - middle) / 0.07) ** 2)
    return identity.pitch_hz * voice.pitch * 2 ** (voice.swing * gaussian_filter1d(octaves, 5, mode="nearest"))


def _is_vowel(name: str) -> bool:
    """Whether a phoneme is a vowel or diphthong."""
    return name[0] in "AEIOU"
