"""Measures how well a lip prior follows the lips of real clips, also when their sound is made worse.

    python examples/benchmarks/lip_prior.py CLIP [CLIP ...] [--prior RUN] [--music FILE] [--json]
    python examples/benchmarks/lip_prior.py CLIP [CLIP ...] --left-out [--prior RUN] [--steps 80] [--json]

Prints the mean correlation of opening and width with the tracked lips, at the best lag within 0.12 s, for the clean
sound and for each change. With ``--left-out`` the prior is tuned on the clips of all people but one, and measured on
that one; each CLIP is taken as another person. Nothing is rendered.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from jean.clips.clip import Clip
from jean.drivers.lip_style import clip_lips
from jean.lips.parameters import OPENING, WIDTH
from jean.lips.prior import LipPrior, load_prior, prior_of_run
from jean.lips.sync import NATURAL_S, find_sync
from jean.media import RATE_HZ, read_audio
from jean.progress import Silent
from jean.train.lips.config import LipsConfig
from jean.train.lips.train import train_lips

Change = Callable[[np.ndarray], np.ndarray]
ROOM_S = 0.3  # time in which the echo falls by 60 dB


def mixed(wave: np.ndarray, other: np.ndarray, snr_db: float) -> np.ndarray:
    """``wave`` [S] with another sound, repeated as often as needed, ``snr_db`` below it.

    >>> round(float(np.std(mixed(np.ones(8000), np.array([1.0, -1.0]), 20.0))), 3)
    0.1
    """
    level = np.sqrt(np.square(wave).mean() / np.square(other).mean()) * 10 ** (-snr_db / 20)
    return wave + level * np.resize(other, len(wave))


def changes(music: np.ndarray | None) -> dict[str, Change]:
    """What may happen to a recording, by name."""
    random = np.random.default_rng(0)
    noise = random.normal(size=20 * RATE_HZ)
    telephone = butter(4, [300, 3400], "band", fs=RATE_HZ, output="sos")
    tail = np.arange(round(ROOM_S * RATE_HZ)) / RATE_HZ
    echo = random.normal(size=len(tail)) * 10 ** (-3 * tail / ROOM_S) / 8
    echo[0] = 1.0
    found: dict[str, Change] = {
        "clean": lambda wave: wave,
        "a hundredth of the level": lambda wave: wave / 100,
        "noise, 10 dB below": lambda wave: mixed(wave, noise, 10),
        "noise, 5 dB below": lambda wave: mixed(wave, noise, 5),
        "telephone, 300 to 3400 Hz": lambda wave: np.asarray(sosfilt(telephone, wave)),
        "room, 0.3 s": lambda wave: np.convolve(wave, echo)[: len(wave)],
    }
    if music is not None:
        found["music, 10 dB below"] = lambda wave: mixed(wave, music, 10)
    return found


def agreement(prior: LipPrior, clip: Clip, change: Change, slower: tuple[int, int] = (1, 1)) -> tuple[float, float]:
    """Correlations of opening and width; ``slower`` is the factor of the duration, as a fraction."""
    wave = change(read_audio(clip.sound()))
    if slower != (1, 1):
        wave = resample_poly(wave, *slower)
    predicted = prior.track(wave.astype(np.float32)).values[:, [OPENING, WIDTH]]
    times_s = clip.arrays["times_s"] * (slower[0] / slower[1])
    sync = find_sync(predicted, times_s, clip_lips(clip), around_s=NATURAL_S)
    return (float("nan"), float("nan")) if sync is None else (sync.r_opening, sync.r_width)


def left_out(clips: Sequence[Path], start: Path | None, steps: int) -> dict[str, dict[str, float]]:
    """Correlations on each clip's lips by a prior that was tuned on all other clips, and their mean."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            config = LipsConfig(start=start, steps=steps, validation=(clip.name,))
            result = train_lips(clips, Path(folder) / clip.name, config, Silent())
            found[clip.name] = {f"{name}_r": round(result[f"validation_r_{name}"], 3) for name in ("opening", "width")}
    mean = {name: round(float(np.mean([row[name] for row in found.values()])), 3) for name in ("opening_r", "width_r")}
    return {**found, "mean": mean}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one row per change, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path, help="prepared clips with sound")
    parser.add_argument("--prior", type=Path, help="a run of train-lips; by default the prior in the package")
    parser.add_argument("--music", type=Path, help="a file with sound to mix in")
    parser.add_argument("--left-out", action="store_true", help="tune the prior on all clips but one")
    parser.add_argument("--steps", type=int, default=80, help="of the tuning")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.left_out:
        rows = left_out(options.clips, options.prior, options.steps)
        print(json.dumps(rows) if options.json else "\n".join(f"{name}: {row}" for name, row in rows.items()))
        return
    prior = load_prior(None if options.prior is None else prior_of_run(options.prior))
    clips = [Clip.open(folder, pictures=False) for folder in options.clips]
    cases = [(name, change, (1, 1)) for name, change in changes(options.music and read_audio(options.music)).items()]
    cases += [(f"{up / down:g} times as long", lambda wave: wave, (up, down)) for up, down in ((5, 4), (4, 5))]
    document = {}
    for name, change, slower in cases:
        r = np.nanmean([agreement(prior, clip, change, slower) for clip in clips], 0)
        document[name] = {"opening_r": round(float(r[0]), 3), "width_r": round(float(r[1]), 3)}
        if not options.json:
            print(f"{name}: {document[name]}", flush=True)
    if options.json:
        print(json.dumps(document))


if __name__ == "__main__":
    main()
