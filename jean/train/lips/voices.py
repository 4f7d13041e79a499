"""Speech with known phoneme times: from flite, from espeak-ng, and from the project's own synthetic voice."""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import SetupError
from jean.media import RATE_HZ, read_wav
from jean.train.lips.articulation import NAMES, Segment

SENTENCES_PER_JOB = 40

_FLITE = ("awb", "rms", "slt", "kal16")
_FLITE_NAMES = {"ax": "AH", "axr": "ER", "hv": "HH", "dx": "D", "el": "L", "em": "M", "en": "N", "nx": "N"}
_FLITE_NAMES |= {"pau": "SIL", "ssil": "SIL", "zh": "SH"}
_LANGUAGES = ("en-us", "en-us", "en-gb-scotland", "en-gb-x-rp", "de", "fr", "es", "it", "sv", "pt", "pl", "tr", "nl")
_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+klatt")
# Our phonemes, each with the IPA symbols whose lips look like it.
_IPA_OF = {
    "AA": "aɑ", "AE": "æ", "AH": "ɐəʌɵ", "AO": "ɒoɔ", "EH": "eɛ", "ER": "ɚɜ", "IH": "ɪᵻɨɯ", "IY": "i",
    "UH": "øœʊɤ", "UW": "uyʏʉ", "B": "b", "P": "p", "M": "m", "D": "dɾ", "T": "t", "N": "nɲ", "G": "gɡɟ",
    "K": "kc", "NG": "ŋxɣʝχʁ", "F": "f", "V": "vʋβ", "TH": "θ", "DH": "ð", "S": "s", "Z": "z", "SH": "ʃʒʂɕʑʐ",
    "HH": "hɦ", "R": "rɹ", "L": "lɫʎ", "W": "wʍɥ", "Y": "jç",
}  # fmt: skip
_IPA = {symbol: name for name, symbols in _IPA_OF.items() for symbol in symbols}
_ONSETS = "b bl br ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sm sn sp st str sw t th tr v w y z"
_VOWELS = "a e i o u ee oo ai ow oy ar er or ea igh"
_CODAS = "b ck d f g l lt m mp n nd ng nk p r rd rm s sh st t th v x z ve"
_COMMON = (
    "the a of and to in is you that it he was for on are with his they at be this have from one had by what all were "
    "we when your can said there use an each which she do how their if will up other about out many then them these so "
    "some her would make like him into time has look two more write see way could people my than first water been "
    "call who oil now find long down day did get come made may part bin lay place set blue green red white soon "
    "please again"
)


def check_voices(voices: tuple[str, ...]) -> None:
    """Checks that the synthesizers are installed.

    Raises:
        SetupError: flite or espeak-ng is missing.
    """
    if "flite" in voices and shutil.which("flite") is None:
        raise SetupError("flite is not installed.", "Install flite, or leave flite out of --set voices.")
    if "espeak" in voices and ctypes.util.find_library("espeak-ng") is None:
        raise SetupError("espeak-ng is not installed.", "Install espeak-ng, or leave espeak out of --set voices.")


def speak(job: tuple[str, int]) -> list[tuple[np.ndarray, list[Segment]]]:
    """``SENTENCES_PER_JOB`` sentences: sound at 16 kHz, float32 [S], and its phonemes.

    Args:
        job: name of the synthesizer, and a seed.
    """
    kind, seed = job
    rng = np.random.default_rng([0x11B, seed])
    sentences = {"flite": _flite, "espeak": _espeak, "own": _own}[kind](rng)
    return [next(sentences) for _ in range(SENTENCES_PER_JOB)]


def sentence(rng: np.random.Generator) -> str:
    """A sentence of common words and invented ones, which cover all sounds of English."""
    words = [_word(rng) if rng.random() < 0.5 else str(rng.choice(_COMMON.split())) for _ in range(rng.integers(4, 10))]
    if len(words) > 6 and rng.random() < 0.5:
        words[len(words) // 2] += ","
    return " ".join(words) + "."


def _word(rng: np.random.Generator) -> str:
    syllables = []
    for _ in range(rng.integers(1, 4)):
        syllables.append("".join(str(rng.choice(part.split())) for part in (_ONSETS, _VOWELS)))
        if rng.random() < 0.6:
            syllables[-1] += str(rng.choice(_CODAS.split()))
    return "".join(syllables)


def flite_segments(printed: str) -> list[Segment]:
    """The phonemes that ``flite -psdur`` prints.

    >>> flite_segments("pau:0.1 hh:0.2 ax:0.25")
    [('SIL', 0.0, 0.1), ('HH', 0.1, 0.2), ('AH', 0.2, 0.25)]
    """
    segments, start = [], 0.0
    for word in printed.split():
        name, end = word.rsplit(":", 1)
        segments.append((_FLITE_NAMES.get(name, name.upper()), start, float(end)))
        start = float(end)
    return segments


def espeak_segments(events: list[tuple[str, float]], duration_s: float) -> list[Segment]:
    """The phonemes of espeak-ng's events: IPA symbols with their start, s.

    >>> espeak_segments([("b", 0.0), ("aɪ", 0.1), ("(fr)", 0.3), ("", 0.3)], 0.5)
    [('B', 0.0, 0.1), ('AA', 0.1, 0.2), ('IH', 0.2, 0.3), ('SIL', 0.3, 0.5)]
    """
    segments: list[Segment] = []
    for (symbols, start), (_, end) in zip(events, [*events[1:], ("", duration_s)], strict=True):
        if symbols.startswith("(") or end <= start:  # a change of language, not a sound
            continue
        names = [_IPA[symbol] for symbol in symbols if symbol in _IPA] or ["SIL"]
        edges = np.linspace(start, end, len(names) + 1).tolist()
        segments += list(zip(names, edges[:-1], edges[1:], strict=True))
    return segments


def _flite(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, list[Segment]]]:
    while True:
        stretch, pitch = rng.uniform(0.75, 1.35), rng.integers(85, 230)
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder) / "speech.wav"
            command = ["flite", "-voice", str(rng.choice(_FLITE)), "--setf", f"duration_stretch={stretch:.2f}"]
            command += ["--setf", f"int_f0_target_mean={pitch}", "-psdur", "-t", sentence(rng), "-o", str(sound)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            samples, rate_hz = read_wav(sound)
        yield _at_rate(samples[:, 0], rate_hz), flite_segments(printed)


def _own(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, list[Segment]]]:
    from jean.synthetic_speaker.language import make_sentence
    from jean.synthetic_speaker.speaker_identity import sample_identity
    from jean.synthetic_speaker.speech_synthesis import (
        PROSODY,
        emotion_prosody,
        schedule_phonemes,
        synthesise_speech,
    )

    while True:
        identity = sample_identity(int(rng.integers(1 << 30)))
        voice = emotion_prosody(str(rng.choice(list(PROSODY))), float(rng.uniform(0, 1)))
        utterance = schedule_phonemes([make_sentence(int(rng.integers(1 << 30)))], identity, voice, rng)
        wave = synthesise_speech(utterance, identity, voice, rng)
        times = zip(utterance.names, utterance.starts_s.tolist(), utterance.ends_s.tolist(), strict=True)
        yield wave, list(times)


def _espeak(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, list[Segment]]]:
    engine = _espeak_engine()
    while True:
        voice = str(rng.choice(_LANGUAGES)) + str(rng.choice(_VARIANTS))
        words, pitch, swing = (int(rng.integers(*span)) for span in ((120, 210), (20, 80), (20, 90)))
        wave, events = engine.say(sentence(rng), voice, words, pitch, swing)
        yield _at_rate(wave, engine.rate_hz), espeak_segments(events, len(wave) / engine.rate_hz)


def _at_rate(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """A sound [S] at 16 kHz, float32."""
    from scipy.signal import resample_poly

    common = gcd(rate_hz, RATE_HZ)
    return np.asarray(resample_poly(wave, RATE_HZ // common, rate_hz // common), np.float32)


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of espeak-ng's C interface."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    ]


class _Espeak:
    """espeak-ng through its C library, which reports the phonemes with their times.

    Attributes:
        rate_hz: sampling rate.
    """

    _PHONEME, _RATE, _PITCH, _RANGE = 7, 1, 3, 4
    _SYNCHRONOUS, _PHONEME_EVENTS, _IPA_NAMES, _UTF8 = 2, 1, 2, 1

    def __init__(self) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("espeak-ng"))
        options = self._PHONEME_EVENTS | self._IPA_NAMES
        self.rate_hz = int(self._library.espeak_Initialize(self._SYNCHRONOUS, 0, None, options))
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        self._callback = prototype(self._receive)  # kept: the library calls it later
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            if events[index].type == self._PHONEME:
                name = events[index].name.decode("utf-8", "replace")
                self._events.append((name, events[index].sample / self.rate_hz))
            index += 1
        return 0

    def say(
        self, text: str, voice: str, words_per_minute: int, pitch: int, swing: int
    ) -> tuple[np.ndarray, list[tuple[str, float]]]:
        """Sound float32 [S] in [-1, 1], and IPA symbols with their start, s."""
        self._samples: list[np.ndarray] = []
        self._events: list[tuple[str, float]] = []
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise SetupError(f"espeak-ng has no voice {voice}.", "Install its data package as well.")
        for parameter, value in ((self._RATE, words_per_minute), (self._PITCH, pitch), (self._RANGE, swing)):
            self._library.espeak_SetParameter(parameter, value, 0)
        content = text.encode()
        size = ctypes.c_size_t(len(content) + 1)
        self._library.espeak_Synth(content, size, 0, 0, 0, self._UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._samples).astype(np.float32) / 32768, self._events


@cache
def _espeak_engine() -> _Espeak:
    return _Espeak()  # the library has one state per process


assert set(_IPA.values()) <= set(NAMES)
