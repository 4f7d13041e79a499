"""Measures how well a linear map of speech features tells the lips of people whom it has not seen.

    python examples/benchmarks/lip_features.py CLIP [CLIP ...] [--features NAME ...] [--train CLIP ...] [--json]

For the spectrum that the lip prior reads, and for each audio feature NAME: 96 principal components of the rows, those
of seven video frames (0.28 s), ridge regression of opening and width, each clip with the lag that the prior of the
package finds. Without ``--train``, each CLIP is left out once and predicted from all others; with it, all CLIPs are
predicted from the clips given there. Printed are the mean correlations, for the best of a few weights of the ridge.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jean.clips.clip import Clip
from jean.drivers.lip_style import clip_lips
from jean.features import registry
from jean.lips.inputs import FeatureInput, PriorInput, SpectrumInput
from jean.lips.parameters import OPENING, WIDTH
from jean.lips.prior import load_prior
from jean.lips.spectrum import ROWS_HZ, mel_power
from jean.lips.sync import NATURAL_S, find_sync
from jean.media import read_audio

COMPONENTS = 96
FPS = 25  # rate at which features and lips are compared
AROUND = 3  # frames of context on each side
RIDGES = (100.0, 300.0, 1000.0, 3000.0, 10_000.0)


@dataclass(frozen=True)
class Speech:
    """A clip's features by name, [T, D] each, and its standardised opening and width [T, 2], 25 times per second."""

    features: dict[str, np.ndarray]
    lips: np.ndarray

    @classmethod
    def read(cls, folder: Path, inputs: dict[str, PriorInput]) -> Speech:
        """Reads a prepared clip with sound."""
        clip = Clip.open(folder, pictures=False)
        wave, lips, times_s = read_audio(clip.sound()), clip_lips(clip), clip.arrays["times_s"]
        sync = find_sync(load_prior().track(wave).values[:, [OPENING, WIDTH]], times_s, lips, around_s=NATURAL_S)
        if sync is None:
            raise SystemExit(f"{folder} has less than a second of moving lips")
        power, seen = mel_power(wave), np.isfinite(lips).all(1)
        at_s = np.arange(0, len(power) / ROWS_HZ, 1 / FPS)
        inside = (at_s - sync.lag_s >= times_s[seen][0]) & (at_s - sync.lag_s <= times_s[seen][-1])
        at_s = at_s[inside]
        values = np.stack([np.interp(at_s - sync.lag_s, times_s[seen], column) for column in lips[seen].T], 1)
        rows = np.minimum(np.round(at_s * ROWS_HZ).astype(int), len(power) - 1)
        features = {name: source.rows(wave, power)[rows].astype(float) for name, source in inputs.items()}
        return cls(features, (values - values.mean(0)) / values.std(0))


def reduced(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first principal components of the standardised columns of all parts [T, D]: [T, ≤ 96] each."""
    every = np.concatenate(parts)
    mean, std = every.mean(0), every.std(0)
    std = std + 1e-3 * std.mean()
    axes = np.linalg.svd((every - mean) / std, full_matrices=False)[2][:COMPONENTS]
    return [(part - mean) / std @ axes.T for part in parts]


def with_context(rows: np.ndarray) -> np.ndarray:
    """Rows [T, D] beside those of the frames around them, [T, 7 D]; the outermost rows are repeated."""
    at = np.arange(len(rows))[:, None] + np.arange(-AROUND, AROUND + 1)
    return rows[np.clip(at, 0, len(rows) - 1)].reshape(len(rows), -1)


def correlations(
    train: Sequence[tuple[np.ndarray, np.ndarray]], test: tuple[np.ndarray, np.ndarray], ridge: float
) -> list[float]:
    """Correlations of opening and width of ``test`` with their prediction; all are rows [T, D] and lips [T, 2]."""
    rows, lips = np.concatenate([pair[0] for pair in train]), np.concatenate([pair[1] for pair in train])
    mean, std = rows.mean(0), rows.std(0) + 1e-6
    rows = (rows - mean) / std
    weights = np.linalg.solve(rows.T @ rows + ridge * np.eye(rows.shape[1]), rows.T @ lips)
    predicted = (test[0] - mean) / std @ weights
    return [float(np.corrcoef(predicted[:, k], test[1][:, k])[0, 1]) for k in range(2)]


def left_out(test: Sequence[Speech], train: Sequence[Speech], name: str) -> dict[str, float]:
    """Mean correlations over the clips ``test``, each predicted from ``train``, or from all others if that is empty."""
    rows = reduced([speech.features[name] for speech in (*test, *train)])
    pairs = [(with_context(part), speech.lips) for part, speech in zip(rows, (*test, *train), strict=True)]
    tested, given = pairs[: len(test)], pairs[len(test) :]
    best = np.full(2, -1.0)
    for ridge in RIDGES:
        found = [correlations(given or [p for p in tested if p is not pair], pair, ridge) for pair in tested]
        best = max(best, np.mean(found, 0), key=np.sum)
    return {"opening_r": round(float(best[OPENING]), 3), "width_r": round(float(best[WIDTH]), 3)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one row per feature, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path, help="prepared clips of different people, with sound")
    parser.add_argument("--features", nargs="*", default=[], help="registered audio features")
    parser.add_argument("--train", nargs="*", type=Path, default=[], help="clips to fit the map on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    inputs: dict[str, PriorInput] = {"spectrum": SpectrumInput()}
    inputs |= {name: FeatureInput.of(registry.create("audio", name)) for name in options.features}
    test, train = ([Speech.read(clip, inputs) for clip in clips] for clips in (options.clips, options.train))
    document = {}
    for name in inputs:
        document[name] = left_out(test, train, name)
        if not options.json:
            print(f"{name}: {document[name]}", flush=True)
    if options.json:
        print(json.dumps(document))


if __name__ == "__main__":
    main()
