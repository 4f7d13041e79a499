"""Drives a trained head by speech with known phonemes, and measures whether the lips close when they must.

    python examples/benchmarks/closures.py RUN CLIP [--sentences 6] [--lips prior] [--near] [--frames DIR] [--json]
    python examples/benchmarks/closures.py [--sentences 32] [--lips RUN] [--voice espeak] [--json]

CLIP is the clip that the head was trained on. The speech is by flite or espeak-ng (Debian packages). For each p, b and
m, the least opening of the rendered lips within 60 ms of its middle is compared with the person's own range: it counts
as closed below a quarter of the way from the 2nd to the 75th percentile of the opening in CLIP. Chance is the same
fraction at random times within the speech. ``vowels_closed`` is the fraction of vowels, away from p, b and m, in whose
middle the lips are closed. In the pauses before and after each sentence the lips should be closed and still.

Without RUN and CLIP the opening that the lip prior itself predicts is measured, 25 times per second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from driven import track

from jean.clips.clip import Clip
from jean.lips.parameters import OPENING, measured_lips
from jean.lips.prior import load_prior, prior_of_run
from jean.lips.spectrum import ROWS_HZ
from jean.media import RATE_HZ, write_png, write_wav
from jean.models.frame import render_frame
from jean.progress import Silent
from jean.rendering.head import load_head
from jean.train.lips import voices

BILABIALS = ("P", "B", "M")
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
AWAY_S = 0.15  # from the middle of a bilabial, from which a vowel needs no closed lips
WITHIN_S = 0.06
PAUSE_S = 0.6  # silence around each sentence
OWN_FRAMES = 250
PREDICTED_FPS = 25
SEED = 1000  # not one of the prior's training


def spoken(count: int, voice: str = "flite") -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """Speech of ``count`` sentences with pauses, and its phonemes."""
    sentences = voices.speak((voice, SEED))[:count]
    pause, waves, segments, start = np.zeros(round(PAUSE_S * RATE_HZ), np.float32), [], [], 0.0
    for wave, phonemes in sentences:
        start += PAUSE_S
        segments += [(name, start + a, start + b) for name, a, b in phonemes]
        waves += [pause, wave]
        start += len(wave) / RATE_HZ
    return np.concatenate([*waves, pause]), [*segments, ("SIL", start, start + PAUSE_S)]


def middles(segments: Sequence[Any], names: Sequence[str] = BILABIALS) -> np.ndarray:
    """Times of the middles of some phonemes, s."""
    return np.array([(start + end) / 2 for name, start, end in segments if name in names])


def closed_below(own: np.ndarray) -> float:
    """Opening below which lips count as closed, from the person's own opening [N]."""
    low, high = np.nanquantile(own, [0.02, 0.75])
    return float(low + 0.25 * (high - low))


def closed_fraction(opening: np.ndarray, times_s: np.ndarray, limit: float, moments: np.ndarray) -> float:
    """Fraction of moments, s, within ``WITHIN_S`` of which the opening [T] falls below a limit."""
    least = [np.nanmin(opening[np.abs(times_s - moment) <= WITHIN_S]) for moment in moments]
    return round(float((np.array(least) < limit).mean()), 3)


def figures(opening: np.ndarray, times_s: np.ndarray, own: np.ndarray, segments: Sequence[Any]) -> dict[str, float]:
    """Fractions of closed lips, from the rendered opening [T], the person's own [N] and the phonemes."""
    limit, bilabials, vowels = closed_below(own), middles(segments), middles(segments, VOWELS)
    vowels = vowels[np.abs(vowels[:, None] - bilabials).min(1) > AWAY_S]
    speech = [(a, b) for name, a, b in segments if name != "SIL"]
    random = np.random.default_rng(0)
    chosen = random.integers(len(speech), size=400)
    anywhere = np.array([random.uniform(*speech[k]) for k in chosen])
    silent = np.zeros(len(times_s), bool)
    for name, a, b in segments:
        if name == "SIL":
            silent |= (times_s > a + 0.15) & (times_s < b - 0.2)
    return {
        "bilabials": len(bilabials),
        "closed": closed_fraction(opening, times_s, limit, bilabials),
        "closed_by_chance": closed_fraction(opening, times_s, limit, anywhere),
        "vowels_closed": round(float((np.interp(vowels, times_s, opening) < limit).mean()), 3),
        "silence_closed": round(float((opening[silent] < limit).mean()), 3),
        "silence_std_ratio": round(float(np.nanstd(opening[silent]) / np.nanstd(own)), 3),
    }


def predicted(lips: str, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Opening [T] by a lip prior, times [T], s, and the opening while somebody speaks [N], in the prior's unit."""
    track = load_prior(None if lips == "prior" else prior_of_run(Path(lips))).track(wave)
    times_s = (np.arange(int(len(track.values) / ROWS_HZ * PREDICTED_FPS)) + 0.5) / PREDICTED_FPS
    return track.at(times_s)[:, OPENING], times_s, track.values[track.speaking, OPENING]


def _opening(images: Sequence[np.ndarray], fps: float) -> np.ndarray:
    """Tracked opening of the lips [T], cm; NaN without a face."""
    faces = track(images, fps)
    landmarks = np.stack([np.full((68, 2), np.nan) if face is None else face.landmarks[:, :2] for face in faces])
    return measured_lips(landmarks)[:, OPENING]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of one head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("--sentences", type=int, default=6)
    parser.add_argument("--voice", choices=("flite", "espeak"), default="flite")
    parser.add_argument("--lips", default="prior")
    parser.add_argument("--near", action="store_true", help="render the frames at p, b and m alone")
    parser.add_argument("--frames", type=Path, help="also write the frames at the bilabials here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if (options.run is None) != (options.clip is None):
        parser.error("give RUN and CLIP, or neither")
    voices.check_voices((options.voice,))
    wave, segments = spoken(options.sentences, options.voice)
    if options.run is None:
        result = figures(*predicted(options.lips, wave), segments)
        result = {name: value for name, value in result.items() if not name.startswith("silence")}  # a render's matter
        print(json.dumps(result) if options.json else result)
        return
    head, own = load_head(options.run, progress=Silent()), Clip.open(options.clip)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "speech.wav"
        write_wav(sound, wave, RATE_HZ)
        drive = head.drive(sound, pose="still", lips=options.lips)
    backgrounds = head.backgrounds(drive, "source")
    times_s = (np.arange(len(drive)) + 0.5) / head.fps
    bilabials = middles(segments)
    near = (np.abs(times_s[:, None] - bilabials) <= WITHIN_S).any(1)
    rendered = np.flatnonzero(near) if options.near else np.arange(len(drive))
    images = {t: render_frame(head.model, drive.frame(t), backgrounds.at(t)).rgb for t in rendered.tolist()}
    opening = np.full(len(drive), np.nan)
    opening[rendered] = _opening(list(images.values()), head.fps)
    # the clip's frames are tracked again: its landmarks were tracked at the resolution of the source video
    own_opening = _opening(list(own.frames[:: max(1, own.frame_count // OWN_FRAMES)]), own.fps)
    if options.near:
        closed = closed_fraction(opening, times_s, closed_below(own_opening), bilabials)
        result = {"bilabials": len(bilabials), "closed": closed}
    else:
        result = figures(opening, times_s, own_opening, segments)
    if options.frames is not None:
        for name, a, b in segments:
            if name in BILABIALS:
                t = min(int((a + b) / 2 * head.fps), len(drive) - 1)
                write_png(options.frames / f"{t:05d}_{name}.png", images[t])
    print(json.dumps(result) if options.json else result)


if __name__ == "__main__":
    main()
