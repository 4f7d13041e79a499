"""Measures what limits the mouth of the demo: the true opening of its drawn person against predictions from its speech.

    python examples/benchmarks/demo_mouth.py [--person 0] [--lips RUN] [--json]

For each clip of ``jean demo``, the correlation of the true opening of the mouth, 25 times per second, with

- ``rules``: the rules by which the prior's synthetic speech is labelled, given the true phonemes and their times. The
  drawn person moves by other rules, so no prior that is trained on these can do better;
- ``prior``: the lip prior's prediction from the sound, with lips that rest in pauses, as ``jean render`` asks for it.

Nothing is rendered; ``obedience.py`` measures what a head makes of what it is asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jean.demo.config import DemoConfig
from jean.demo.demo_clips import plan_clips
from jean.drivers.speech import speech_gate
from jean.lips.parameters import OPENING
from jean.lips.prior import LipPrior, load_prior, prior_of_run
from jean.lips.spectrum import HOP, ROWS_HZ
from jean.synthetic_speaker.controls import CONTROLS
from jean.synthetic_speaker.face_rig import deform_skin, mouth_opening
from jean.synthetic_speaker.performance import Performance, perform
from jean.synthetic_speaker.speaker import build_speaker
from jean.synthetic_speaker.speaker_identity import sample_identity
from jean.train.lips.articulation import lip_targets


def true_opening(performance: Performance) -> np.ndarray:
    """Opening of the drawn mouth per frame [T]."""
    rig = build_speaker(performance.identity).rig
    controls = (dict(zip(CONTROLS, values, strict=True)) for values in performance.motion.controls)
    return np.array([mouth_opening(deform_skin(rig, values)[rig.landmarks]) for values in controls])


def by_rules(performance: Performance, times_s: np.ndarray) -> np.ndarray:
    """Opening at times [T], s, that the labels of synthetic speech give for the true phonemes."""
    spoken = performance.utterance
    segments = list(zip(spoken.names, spoken.starts_s.tolist(), spoken.ends_s.tolist(), strict=True))
    targets = lip_targets(segments, len(performance.wave) // HOP)[:, OPENING]
    return np.interp(times_s, np.arange(len(targets)) / ROWS_HZ, targets)


def by_prior(performance: Performance, times_s: np.ndarray, prior: LipPrior) -> np.ndarray:
    """Opening at times [T], s, that a lip prior predicts, closed in pauses."""
    track = prior.track(performance.wave.astype(np.float32))
    opening = track.at(times_s)[:, OPENING]
    closed = np.quantile(opening, 0.02)
    gate = speech_gate(track.speaks_at(times_s), performance.fps)
    return np.asarray(closed + gate * (opening - closed))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one row per clip and the mean, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--person", type=int, default=0)
    parser.add_argument("--lips", type=Path, help="a run of train-lips; by default the prior in the package")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    prior = load_prior(None if options.lips is None else prior_of_run(options.lips))
    identity, rows = sample_identity(options.person), {}
    for clip in plan_clips(DemoConfig(person=options.person)):
        performance = perform(identity, clip.emotion, clip.strength, seconds=clip.seconds, seed=clip.seed)
        times_s = (np.arange(performance.frame_count) + 0.5) / performance.fps
        truth = true_opening(performance)
        found = {"rules": by_rules(performance, times_s), "prior": by_prior(performance, times_s, prior)}
        rows[clip.name] = {name: round(float(np.corrcoef(value, truth)[0, 1]), 3) for name, value in found.items()}
        if not options.json:
            print(clip.name, rows[clip.name], flush=True)
    rows["mean"] = {name: round(float(np.mean([row[name] for row in rows.values()])), 3) for name in ("rules", "prior")}
    print(json.dumps(rows) if options.json else f"mean {rows['mean']}")


if __name__ == "__main__":
    main()
