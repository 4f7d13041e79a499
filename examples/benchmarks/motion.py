"""Compares generated motion with the truth and with copies of clips, on people that nobody was trained on.

    python examples/benchmarks/motion.py DIR [--models NAME=RUN …] [--people 12] [--clips 6] [--test 3] [--json]
    python examples/benchmarks/motion.py DIR --ablation 250   # trains small models that differ in their losses

DIR holds the cohesive synthetic corpus, which is written once, and is the training data of the models; by default the
one that comes with the package is measured. Finished rows of an ablation are kept in DIR. Beside each system stand the
truth and two rivals: a random training clip, and one of the same emotion. A judge is a small network that tells the
emotion from one cue; judges are trained on people whom the models' critics have not seen. Figures are means over the
test clips. Take an emotion's figures together with blink rate, spread and diversity: a copy of a clip of the right
emotion satisfies every judge of emotion.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from motion_ablation import ablate
from motion_judges import Judges, train_judges
from motion_systems import Moved, System, copier, generator, true_motion

from jean.clips.corpus import find_clips
from jean.drivers.face_frames import split_people
from jean.drivers.motion_model import BUILTIN, MotionModel, load_motion_model, motion_path
from jean.drivers.motion_sampling import mean_emotion
from jean.drivers.motion_sound import FPS, LOUDNESS, SPEAKING, sound_features
from jean.drivers.motion_vector import CUES, POSE_UNIT, MotionBasis
from jean.drivers.named_expression import NEUTRAL
from jean.drivers.pose_support import TENTHS_RAD
from jean.media import RATE_HZ, read_audio
from jean.metrics.head_motion import beat_alignment, nod_at_beats_deg, speech_beats
from jean.progress import Silent
from jean.synthetic_speaker.motion_corpus import plan_motion_corpus, write_motion_corpus
from jean.train.engine.epoch_config import VALIDATION_FRACTION
from jean.train.motion.data import MotionClip, Windows, read_corpus
from jean.train.motion.stage import seen_by_critics

FIRST_TEST = 100  # number of the first person of the test
SEEDS = 3
POSE = CUES["pose"]


def turn_rad(vectors: np.ndarray) -> np.ndarray:
    """Rotation vectors [T, 3] of motion vectors [T, 19]."""
    return vectors[:, POSE][:, :3] * POSE_UNIT / TENTHS_RAD


def opening(basis: MotionBasis, lips: np.ndarray) -> np.ndarray:
    """Opening of the inner lips about its rest [T], cm."""
    lower = basis.lower(lips)  # LOWER_POINTS: 48 to 67, then the chin
    return np.asarray(lower[:, [19, 18, 17], 1].mean(1) - lower[:, [13, 14, 15], 1].mean(1))


def score(
    system: System, clips: Sequence[MotionClip], beats: Sequence[np.ndarray], judges: Judges, basis: MotionBasis,
    labels: list[int],
) -> dict[str, Any]:  # fmt: skip
    """All figures of one system."""
    runs = [[system(clip, seed) for clip in clips] for seed in range(SEEDS)]
    truth = [true_motion(clip, basis) for clip in clips]
    first = runs[0]
    result: dict[str, Any] = {
        "opening_corr": _mean(
            np.corrcoef(opening(basis, m.lips), opening(basis, t.lips))[0, 1] for m, t in zip(first, truth, strict=True)
        ),
        "lips_r2": _mean(1 - np.square(m.lips - t.lips).sum() / np.square(t.lips - t.lips.mean(0)).sum()
                         for m, t in zip(first, truth, strict=True)),
        "beat_align": _mean(beat_alignment(turn_rad(m.vectors), b) for m, b in zip(first, beats, strict=True)),
        "nod_deg": _mean(
            nod_at_beats_deg(turn_rad(m.vectors)[:, 0], b) for run in runs for m, b in zip(run, beats, strict=True)
        ),
        "blinks_per_min": _mean(len(m.onsets) / len(m.vectors) * FPS * 60 for run in runs for m in run),
        "pose_sd_deg": _mean(np.degrees(np.sqrt(turn_rad(m.vectors).var(0).sum())) for run in runs for m in run),
        "gaze_sd": _mean(m.vectors[:, CUES["eyes"]][:, :2].std(0).mean() for run in runs for m in run),
        "face_sd": _mean(m.vectors[:, CUES["face"]].std(0).mean() for run in runs for m in run),
    }  # fmt: skip
    heard = [clip.sound for clip in clips]
    flat = [m for run in runs for m in run]
    result["judges"] = judges.right(flat, labels * SEEDS)
    result["cohesion_auc"] = judges.cohesion(first, labels, heard)
    result["blink_rate_by_emotion"] = _blinks_by_emotion(clips, runs)
    result["seed_diversity"] = _mean(
        np.std([run[k].vectors for run in runs], 0).mean() / first[k].vectors.std(0).mean() for k in range(len(clips))
    )
    return result


def _blinks_by_emotion(clips: Sequence[MotionClip], runs: list[list[Moved]]) -> dict[str, float]:
    rates: dict[str, list[float]] = {}
    for run in runs:
        for clip, moved in zip(clips, run, strict=True):
            rates.setdefault(str(clip.emotion), []).append(len(moved.onsets) / len(moved.vectors) * FPS * 60)
    return {name: _mean(values) for name, values in sorted(rates.items())}


def _mean(values: Any) -> float:
    return round(float(np.nanmean(list(values))), 3)


def heard_right(model: MotionModel, clips: Sequence[MotionClip], labels: list[int]) -> float:
    """Fraction of the clips, neutral or strong, whose emotion the model hears."""
    hits = []
    for clip, label in zip(clips, labels, strict=True):
        weight = clip.sound[:, SPEAKING] * (clip.sound[:, LOUDNESS] > -0.5)
        if clip.emotion == NEUTRAL or clip.strength >= 0.7:
            hits.append(int(mean_emotion(model.network, clip.sound, weight)[0].argmax()) == label)
    return _mean(hits)


def speed(model: MotionModel) -> float:
    """Frames per second of sound features and generation on one thread, best of three, for 20 s of sound."""
    torch.set_num_threads(1)
    seconds = np.arange(20 * RATE_HZ) / RATE_HZ
    wave = (0.1 * np.sin(2 * np.pi * 140 * seconds) * (np.sin(5 * seconds) > 0)).astype(np.float32)
    system, best = generator(model), np.inf
    for seed in range(3):
        start = time.perf_counter()
        features = sound_features(wave)
        track = _Bare(len(features))
        system(MotionClip("", "", NEUTRAL, 0.0, track, features, features, features), seed)  # type: ignore[arg-type]
        best = min(best, time.perf_counter() - start)
    return round(len(features) / best, 1)


class _Bare:
    """Stands for the cues of a clip that has none."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count


def measure(
    folder: Path, models: dict[str, Path], people: int, clips: int, test: int, ablation: int, say: Any
) -> dict[str, Any]:
    """Writes what is missing of the corpus, trains the judges and scores all systems."""
    began = time.perf_counter()
    write_motion_corpus(folder / "corpus", plan_motion_corpus(folder / "corpus", people, clips))
    planned = plan_motion_corpus(folder / "test", test, 2, first_person=FIRST_TEST)
    write_motion_corpus(folder / "test", planned)
    say(f"corpus: {time.perf_counter() - began:.0f} s")
    loaded = {name: load_motion_model(path) for name, path in models.items()}
    first = next(iter(loaded.values()))
    found = find_clips([folder / "corpus"])
    # the models were trained with the default seed on this corpus, or on other people
    trained_on = split_people(found, VALIDATION_FRACTION, None, 0)[0]
    seen = seen_by_critics({clip.person for clip in trained_on})
    known = {clip.name for clip in trained_on}
    whole = read_corpus([clip for clip in found if ablation or clip.person not in seen], True, Silent())
    train = [clip for clip in whole if clip.person not in seen]
    tested = find_clips([folder / "test"])
    unseen = read_corpus(tested, True, Silent())
    waves = {clip.name: read_audio(clip.open().sound()) for clip in tested}
    beats = [speech_beats(waves[clip.name], len(clip.track)) for clip in unseen]
    names = [NEUTRAL, *first.emotions]
    labels = [names.index(str(clip.emotion)) for clip in unseen]
    basis = first.basis if not ablation else MotionBasis.fit([clip.track for clip in whole if clip.name in known])
    windows = Windows(train, basis, first.emotions)
    mean, std = (getattr(first.network, f"sound_{part}").numpy() for part in ("mean", "std"))
    judges = train_judges(windows, [true_motion(clip, basis).closure for clip in train], mean, std)
    say(f"judges: {time.perf_counter() - began:.0f} s")
    systems: dict[str, System] = {
        "truth": lambda clip, seed: true_motion(clip, basis),
        "copy a clip": copier(train, basis, same_emotion=False),
        "copy a clip of the same emotion": copier(train, basis, same_emotion=True),
    }

    def figures(system: System) -> dict[str, Any]:
        return score(system, unseen, beats, judges, basis, labels)

    table = {}
    if ablation:
        systems, loaded = {"truth": systems["truth"]}, {}
    else:
        systems |= {name: generator(model) for name, model in loaded.items()}
        systems[f"{next(iter(loaded))}, emotion unknown"] = generator(first, emotions=False)
        systems[f"{next(iter(loaded))}, guidance 1.5"] = generator(first, guidance=1.5)
    for name, system in systems.items():
        table[name] = figures(system)
        say(f"{name}: {json.dumps(table[name])}")
    if ablation:
        training = [clip for clip in whole if clip.name in known]
        rows = folder / f"ablation_{ablation}"
        table |= ablate(rows, training, first, basis, ablation, lambda model: figures(generator(model)), say)
    return {
        "test_clips": len(unseen),
        "systems": table,
        "emotion_heard": {name: heard_right(model, unseen, labels) for name, model in loaded.items()},
        "frames_per_s_one_thread": speed(first),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME=RUN")
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--test", type=int, default=3)
    parser.add_argument("--ablation", type=int, default=0, metavar="STEPS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = {"builtin": BUILTIN} if not options.models else {}
    models |= {name: motion_path(run) for name, run in (text.split("=", 1) for text in options.models)}

    def say(text: str) -> None:
        if not options.json:
            print(text, flush=True)

    result = measure(options.folder, models, options.people, options.clips, options.test, options.ablation, say)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
