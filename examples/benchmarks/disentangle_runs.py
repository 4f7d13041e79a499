"""What ``disentangle.py`` measures: the synthetic corpus, and the runs that are trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entangled import NAME, of_tracks

from jean.clips.corpus import find_clips
from jean.progress import Progress
from jean.synthetic_speaker.track_clips import write_track_corpus
from jean.synthetic_speaker.video_corpus import plan_corpus

SEED = 0


@dataclass(frozen=True)
class Steps:
    """Optimisation steps of every stage."""

    landmarks: int
    audio: int
    expression: int
    head: int


class Corpus:
    """Clips of several people, the same sentences in four emotions; the last sentences are in a folder of their own.

    Attributes:
        folder: the benchmark's; runs lie beside the clips.
        items: what was planned, train_items and test_items.
        train_folder, test_folder: folders of clips, each PERSON/EMOTION_SENTENCE.
        train, test: their clips. people: names, sorted.
    """

    def __init__(self, folder: Path, people: int, sentences: int, held_out: int, reporter: Progress):
        self.folder = folder
        items = plan_corpus(folder / "corpus", people, sentences, seed=SEED)
        self.train_items = [item for item in items if item.sentence <= sentences - held_out]
        self.test_items = [item for item in items if item.sentence > sentences - held_out]
        self.train_folder, self.test_folder = folder / "corpus" / "train", folder / "corpus" / "test"
        with reporter.task("draw tracks", len(items)) as advance:
            for place, part in ((self.train_folder, self.train_items), (self.test_folder, self.test_items)):
                write_track_corpus(place, part, emotion_of=of_tracks, progress=lambda done, total: advance(1))
        self.train, self.test = find_clips([self.train_folder]), find_clips([self.test_folder])
        self.people = sorted({clip.person for clip in self.train})


def landmark_run(corpus: Corpus, steps: Steps, reporter: Progress, **options: Any) -> Path:
    """The landmark autoencoder of all people; ``options`` of its configuration."""
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.landmarks.stage import train_landmarks

    run = corpus.folder / "_".join(["landmarks", *options])
    config = LandmarkConfig(form="motion", steps=steps.landmarks, device="cpu", seed=SEED, **options)
    train_landmarks([corpus.train_folder], run, config, reporter)
    return run


def audio_run(corpus: Corpus, steps: Steps, reporter: Progress, preset: str) -> Path:
    """The audio encoder of all people but the last, who is validated on."""
    from jean.train.audio.config import AudioConfig
    from jean.train.audio.stage import train_audio

    run = corpus.folder / f"audio_{preset}"
    config = AudioConfig(preset=preset, steps=steps.audio, device="cpu", seed=SEED, validation=(corpus.people[-1],))
    train_audio([corpus.train_folder], landmark_run(corpus, steps, reporter), run, config, reporter)
    return run


def expression_run(corpus: Corpus, steps: Steps, reporter: Progress, preset: str, features: str = NAME) -> Path:
    """The expression transformer of the first person, on emotion features by name."""
    from jean.train.expression.config import ExpressionConfig
    from jean.train.expression.stage import train_expression

    run = corpus.folder / (f"expression_{preset}" if features == NAME else f"expression_{preset}_{features}")
    config = ExpressionConfig(
        preset=preset,
        person=corpus.people[0],
        emotion_features=features,
        dtw="exact",
        steps=steps.expression,
        device="cpu",
        seed=SEED,
    )
    train_expression([corpus.train_folder / corpus.people[0]], run, config, reporter)
    return run
