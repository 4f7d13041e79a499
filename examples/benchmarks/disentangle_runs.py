"""Corpus and trainings of ``disentangle.py``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from entangled import NAME, hard_features, track_features

from jean.clips.corpus import find_clips
from jean.progress import Progress
from jean.synthetic_speaker.track_clips import write_track_corpus
from jean.synthetic_speaker.video_corpus import plan_corpus

SEED = 0


@dataclass(frozen=True)
class Steps:
    """Optimisation steps of each stage."""

    landmarks: int
    audio: int
    expression: int
    head: int


class Corpus:
    """Synthetic clips of several people who say the same sentences in four emotions.

    Args:
        folder: of the benchmark; the runs are beside the clips.
        people, sentences: numbers of both.
        held_out: number of last sentences that are for testing only.
        reporter: shows progress.
        hard: whether the clips are those of ``jean.synthetic_speaker.hard_motion``, with weak speech in the features.

    Attributes:
        train_items, test_items: plans of the clips.
        train_folder, test_folder: folders of clips, PERSON/EMOTION_SENTENCE.
        train, test: the clips.
        people: sorted names.
    """

    def __init__(
        self, folder: Path, people: int, sentences: int, held_out: int, reporter: Progress, hard: bool = False
    ):
        self.folder, self.hard = folder, hard
        self.emotion_of = hard_features if hard else track_features
        items = plan_corpus(folder / "corpus", people, sentences, seed=SEED)
        items = [replace(item, hard=True) for item in items] if hard else items
        self.train_items = [item for item in items if item.sentence <= sentences - held_out]
        self.test_items = [item for item in items if item.sentence > sentences - held_out]
        self.train_folder, self.test_folder = folder / "corpus" / "train", folder / "corpus" / "test"
        with reporter.task("draw tracks", len(items)) as advance:
            for clip_folder, part in ((self.train_folder, self.train_items), (self.test_folder, self.test_items)):
                write_track_corpus(
                    clip_folder, part, emotion_of=self.emotion_of, progress=lambda done, total: advance(1)
                )
        self.train, self.test = find_clips([self.train_folder]), find_clips([self.test_folder])
        self.people = sorted({clip.person for clip in self.train})


def landmark_run(corpus: Corpus, steps: Steps, reporter: Progress, **options: Any) -> Path:
    """Trains the landmark autoencoder of all people, with further ``options``; returns its run folder."""
    from jean.train.landmarks.config import LandmarkConfig
    from jean.train.landmarks.stage import train_landmarks

    run = corpus.folder / "_".join(["landmarks", *options])
    config = LandmarkConfig(form="motion", steps=steps.landmarks, device="cpu", seed=SEED, **options)
    train_landmarks([corpus.train_folder], run, config, reporter)
    return run


def audio_run(corpus: Corpus, steps: Steps, reporter: Progress, preset: str) -> Path:
    """Trains the audio encoder of all people except the last, who is for validation; returns its run folder."""
    from jean.train.audio.config import AudioConfig
    from jean.train.audio.stage import train_audio

    run = corpus.folder / f"audio_{preset}"
    unheard = (corpus.people[-1],) if len(corpus.people) > 1 else None  # one person alone: the last clips
    config = AudioConfig(preset=preset, steps=steps.audio, device="cpu", seed=SEED, validation=unheard)
    train_audio([corpus.train_folder], landmark_run(corpus, steps, reporter), run, config, reporter)
    return run


def expression_run(
    corpus: Corpus, steps: Steps, reporter: Progress, preset: str, features: str = NAME, **options: Any
) -> Path:
    """Trains the expression transformer of the first person on named emotion features; returns its run folder."""
    from jean.train.expression.config import ExpressionConfig
    from jean.train.expression.stage import train_expression

    run = corpus.folder / "_".join(["expression", preset, *([] if features == NAME else [features]), *options])
    config = ExpressionConfig(
        preset=preset,
        person=corpus.people[0],
        emotion_features=features,
        dtw="exact",
        steps=steps.expression,
        device="cpu",
        seed=SEED,
        **options,
    )
    train_expression([corpus.train_folder / corpus.people[0]], run, config, reporter)
    return run
