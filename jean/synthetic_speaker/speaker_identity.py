"""Identity of a synthetic speaker: proportions, colours, hair, clothes and voice, sampled from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jean.synthetic_speaker.head_shape import HeadShape

Colour = tuple[float, float, float]  # sRGB, 0 to 255

SKIN_TONES: tuple[Colour, ...] = (
    (238, 202, 182),
    (228, 184, 158),
    (216, 168, 138),
    (198, 146, 112),
    (170, 118, 86),
    (140, 94, 68),
    (112, 74, 56),
)
HAIR_TONES: tuple[Colour, ...] = (
    (34, 27, 25),
    (58, 40, 30),
    (92, 62, 42),
    (138, 96, 58),
    (186, 146, 92),
    (122, 58, 34),
    (150, 146, 142),
)
EYE_TONES: tuple[Colour, ...] = ((74, 48, 30), (104, 72, 40), (92, 110, 70), (84, 124, 156), (112, 134, 140))
CLOTH_TONES: tuple[Colour, ...] = (
    (52, 66, 92),
    (122, 46, 52),
    (58, 92, 82),
    (196, 186, 170),
    (88, 78, 104),
    (66, 68, 74),
    (168, 122, 66),
    (108, 140, 164),
)
WALL_TONES: tuple[Colour, ...] = ((176, 182, 186), (158, 172, 168), (186, 176, 164), (132, 146, 162), (168, 160, 174))
HAIR_STYLES = ("short", "side", "bob", "long", "curly")
NECKLINES = ("crew", "vneck", "shirt")


@dataclass(frozen=True)
class SpeakerIdentity:
    """One synthetic person.

    Attributes:
        seed: determines all other attributes.
        shape: proportions of the head.
        skin, hair, eyes, lips, cloth, cloth_second, wall: colours, sRGB 0 to 255.
        hair_style, neckline: one of ``HAIR_STYLES``, ``NECKLINES``.
        stubble, freckles, lashes: strengths, 0 to 1.
        pitch_hz: mean pitch of the neutral voice.
        tract: factor on all formant frequencies (above 1 for a short vocal tract).
        rate: factor on the speaking rate.
        breath: amplitude of breath noise relative to the voice.
    """

    seed: int
    shape: HeadShape
    skin: Colour
    hair: Colour
    eyes: Colour
    lips: Colour
    cloth: Colour
    cloth_second: Colour
    wall: Colour
    hair_style: str
    neckline: str
    stubble: float
    freckles: float
    lashes: float
    pitch_hz: float
    tract: float
    rate: float
    breath: float


def sample_identity(seed: int) -> SpeakerIdentity:
    """Samples the identity of ``seed``; the same seed gives the same identity on every machine."""
    rng = np.random.default_rng([0x1D, seed])
    # From a high voice (-1) to a deep one (1); jaw, hair style, lashes and stubble correlate with it.
    depth = float(rng.uniform(-1, 1))

    def around(mean: float, std: float, depth_slope: float = 0.0) -> float:
        return float(mean + std * np.clip(rng.normal(), -1.6, 1.6) + depth_slope * depth)

    shape = HeadShape(
        face_width=around(1.0, 0.022),
        jaw_width=around(1.0, 0.025, 0.035),
        chin_length=around(1.0, 0.06, 0.03),
        cheek_fullness=around(1.0, 0.15, -0.1),
        nose_length=around(1.0, 0.03, 0.02),
        nose_width=around(1.0, 0.06, 0.05),
        nose_height=around(0.95, 0.05, 0.03),
        eye_height=around(1.02, 0.06, -0.06),
        lip_fullness=around(1.0, 0.10, -0.08),
        mouth_width=around(1.0, 0.03),
        eye_tilt=around(0.06, 0.04),
        brow_height=around(0.0, 0.10, -0.12),
        brow_depth=around(0.0, 0.2, 0.35),
        chin_depth=around(0.0, 0.12, 0.15),
    )
    tone = int(rng.integers(len(SKIN_TONES)))
    dark_hair = HAIR_TONES[: 3 if tone > 3 else len(HAIR_TONES)]
    skin = _vary(rng, SKIN_TONES[tone], 5)
    eyes = EYE_TONES[: 2 if tone > 3 else len(EYE_TONES)]
    reddish = np.array([0.84, 0.47, 0.47]) if tone < 4 else np.array([0.86, 0.54, 0.56])
    styles = (*HAIR_STYLES[:2], "curly") if depth > 0.15 else HAIR_STYLES[1:]
    cloth, second = rng.permutation(len(CLOTH_TONES))[:2]
    return SpeakerIdentity(
        seed=seed,
        shape=shape,
        skin=skin,
        hair=_vary(rng, dark_hair[int(rng.integers(len(dark_hair)))], 6),
        eyes=_vary(rng, eyes[int(rng.integers(len(eyes)))], 8),
        lips=_colour(np.array(skin) * reddish),
        cloth=_vary(rng, CLOTH_TONES[int(cloth)], 6),
        cloth_second=_vary(rng, CLOTH_TONES[int(second)], 6),
        wall=_vary(rng, WALL_TONES[int(rng.integers(len(WALL_TONES)))], 6),
        hair_style=styles[int(rng.integers(len(styles)))],
        neckline=NECKLINES[int(rng.integers(len(NECKLINES)))],
        stubble=float(np.clip(depth, 0, 1) * rng.uniform(0.2, 1.0)),
        freckles=float(rng.uniform(0, 0.8) if tone < 3 and rng.uniform() < 0.5 else 0.0),
        lashes=float(np.clip(0.75 - 0.35 * depth, 0.3, 1.0)),
        pitch_hz=float(155 * 2 ** (-0.5 * depth + 0.08 * rng.normal())),
        tract=float(1.06 - 0.08 * depth + 0.015 * rng.normal()),
        rate=float(np.clip(1 + 0.07 * rng.normal(), 0.85, 1.15)),
        breath=float(rng.uniform(0.02, 0.06)),
    )


def _vary(rng: np.random.Generator, colour: Colour, std: float) -> Colour:
    """Adds noise of standard deviation ``std``, mostly to the brightness."""
    return _colour(np.array(colour) + rng.normal() * std + rng.normal(size=3) * std * 0.4)


def _colour(values: np.ndarray) -> Colour:
    """Clips to 8 to 248, so that shading never saturates a channel."""
    red, green, blue = np.clip(values, 8, 248)
    return float(red), float(green), float(blue)
