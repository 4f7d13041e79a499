"""The phonemes of the speaker's language: sound and mouth shape of each."""

from __future__ import annotations

from dataclasses import dataclass

Mouth = tuple[float, float, float, float, float, float, float]  # in the order of ``controls.SPEECH_CONTROLS``


@dataclass(frozen=True)
class Phoneme:
    """Sound and mouth shape of one phoneme.

    Attributes:
        kind: ``vowel``, ``nasal``, ``liquid``, ``fricative``, ``stop``, ``breath`` or ``silence``.
        seconds: mean duration.
        formants_hz: the first three formants at the start and at the end.
        voice, noise: amplitudes of the glottal source and of the frication noise.
        noise_hz, noise_width_hz: centre and bandwidth of the noise.
        mouth_start, mouth_end: mouth shape at the start and at the end; they differ in diphthongs.
    """

    kind: str
    seconds: float
    formants_hz: tuple[tuple[float, float, float], tuple[float, float, float]]
    voice: float
    noise: float
    noise_hz: float
    noise_width_hz: float
    mouth_start: Mouth
    mouth_end: Mouth


def _mouth(
    jaw: float = 0.0,
    round_: float = 0.0,
    spread: float = 0.0,
    close: float = 0.0,
    tuck: float = 0.0,
    raise_: float = 0.0,
    tongue: float = 0.0,
) -> Mouth:
    """A mouth shape from control values, 0 to 1."""
    return (jaw, round_, spread, close, tuck, raise_, tongue)


# Formants F1, F2, F3, Hz, of a mean adult vocal tract, and mouth shape.
_VOWELS = {
    "AA": ((750, 1150, 2500), _mouth(0.78, 0.0, 0.10, raise_=0.2)),
    "AE": ((680, 1750, 2450), _mouth(0.64, 0.0, 0.42, raise_=0.3)),
    "AH": ((630, 1250, 2500), _mouth(0.48, 0.0, 0.10, raise_=0.15)),
    "AO": ((580, 880, 2450), _mouth(0.62, 0.55)),
    "EH": ((560, 1800, 2550), _mouth(0.46, 0.0, 0.38, raise_=0.2)),
    "ER": ((480, 1350, 1700), _mouth(0.30, 0.40, tongue=0.3)),
    "IH": ((410, 1980, 2600), _mouth(0.27, 0.0, 0.35, raise_=0.15)),
    "IY": ((290, 2250, 3000), _mouth(0.17, 0.0, 0.70, raise_=0.25)),
    "UH": ((440, 1050, 2300), _mouth(0.30, 0.60)),
    "UW": ((310, 900, 2250), _mouth(0.20, 1.0)),
}
_DIPHTHONGS = {"AW": ("AA", "UW"), "AY": ("AA", "IY"), "EY": ("EH", "IY"), "OW": ("AO", "UW"), "OY": ("AO", "IY")}

# Kind, seconds, formants (Hz), voice, noise, noise centre and width (Hz), mouth shape.
_CONSONANTS = {
    "B": ("stop", 0.085, (220, 900, 2300), 0.25, 0.45, 700, 600, _mouth(0.14, close=1.0)),
    "P": ("stop", 0.100, (300, 900, 2300), 0.0, 0.60, 900, 900, _mouth(0.14, close=1.0)),
    "M": ("nasal", 0.080, (250, 1050, 2250), 0.55, 0.0, 800, 500, _mouth(0.14, close=1.0)),
    "D": ("stop", 0.070, (240, 1700, 2600), 0.25, 0.50, 3800, 1500, _mouth(0.17, tongue=0.9)),
    "T": ("stop", 0.085, (320, 1750, 2600), 0.0, 0.75, 4200, 1800, _mouth(0.15, tongue=0.9)),
    "N": ("nasal", 0.070, (260, 1500, 2500), 0.55, 0.0, 800, 500, _mouth(0.18, tongue=0.9)),
    "G": ("stop", 0.080, (240, 1500, 2200), 0.25, 0.45, 1900, 900, _mouth(0.25)),
    "K": ("stop", 0.095, (320, 1600, 2250), 0.0, 0.65, 2100, 1000, _mouth(0.24)),
    "NG": ("nasal", 0.085, (270, 1300, 2300), 0.50, 0.0, 800, 500, _mouth(0.24)),
    "F": ("fricative", 0.100, (340, 1100, 2300), 0.0, 0.28, 5200, 4200, _mouth(0.12, tuck=1.0, raise_=0.35)),
    "V": ("fricative", 0.070, (300, 1100, 2300), 0.40, 0.14, 5200, 4200, _mouth(0.12, tuck=1.0, raise_=0.3)),
    "TH": ("fricative", 0.095, (320, 1400, 2600), 0.0, 0.22, 5600, 3600, _mouth(0.20, tongue=1.0)),
    "DH": ("fricative", 0.055, (300, 1400, 2600), 0.45, 0.10, 5600, 3600, _mouth(0.20, tongue=1.0)),
    "S": ("fricative", 0.105, (320, 1600, 2600), 0.0, 0.70, 6000, 1600, _mouth(0.08, spread=0.38, tongue=0.5)),
    "Z": ("fricative", 0.080, (300, 1600, 2600), 0.35, 0.40, 5900, 1600, _mouth(0.08, spread=0.38, tongue=0.5)),
    "SH": ("fricative", 0.110, (320, 1700, 2500), 0.0, 0.75, 3000, 1100, _mouth(0.12, 0.70, tongue=0.4)),
    "CH": ("stop", 0.115, (320, 1700, 2500), 0.0, 0.75, 3100, 1100, _mouth(0.12, 0.65, tongue=0.6)),
    "JH": ("stop", 0.090, (300, 1700, 2500), 0.25, 0.55, 3000, 1100, _mouth(0.12, 0.60, tongue=0.6)),
    "L": ("liquid", 0.065, (360, 1100, 2700), 0.70, 0.0, 800, 500, _mouth(0.30, tongue=1.0)),
    "R": ("liquid", 0.070, (400, 1200, 1600), 0.70, 0.0, 800, 500, _mouth(0.20, 0.55, tongue=0.3)),
    "W": ("liquid", 0.070, (310, 720, 2200), 0.65, 0.0, 800, 500, _mouth(0.13, 1.0)),
    "Y": ("liquid", 0.060, (280, 2200, 2900), 0.65, 0.0, 800, 500, _mouth(0.14, spread=0.6)),
    "HH": ("breath", 0.060, (500, 1500, 2500), 0.0, 0.0, 800, 500, _mouth(0.34)),
    "SIL": ("silence", 0.30, (480, 1450, 2500), 0.0, 0.0, 800, 500, _mouth(0.0)),
}


def phoneme_table() -> dict[str, Phoneme]:
    """All phonemes by their ARPAbet name; ``SIL`` is silence."""
    table = {}
    for name, (formants, mouth) in _VOWELS.items():
        table[name] = Phoneme("vowel", 0.105, (formants, formants), 1.0, 0.0, 800, 500, mouth, mouth)
    for name, (first, second) in _DIPHTHONGS.items():
        (fa, ma), (fb, mb) = _VOWELS[first], _VOWELS[second]
        table[name] = Phoneme("vowel", 0.165, (fa, fb), 1.0, 0.0, 800, 500, ma, mb)
    for name, (kind, seconds, formants, voice, noise, hz, width, mouth) in _CONSONANTS.items():
        table[name] = Phoneme(kind, seconds, (formants, formants), voice, noise, hz, width, mouth, mouth)
    return table
