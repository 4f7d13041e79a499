"""Does what sections 3.1 and 3.2 learn keep speech and expression apart? On a corpus whose truth is known.

    python examples/benchmarks/disentangle.py -o DIR [--parts 1,2] [--json]

Part 1: what the embeddings tell of the true tracks (R² of a ridge regression on held-out sentences).
Part 2: does the audio encoder find the sound that belongs to a mouth, and the offset between the two.
Every stage is kept in DIR: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jean.data.corpus import CorpusClip, find_clips
from jean.data.emotion import emotion_track
from jean.data.face_points import face_points
from jean.metrics.linear_probe import ridge_r2
from jean.synthetic.controls import SPEECH_CONTROLS
from jean.synthetic.corpus import plan_corpus
from jean.synthetic.entangled import NAME, of_tracks
from jean.synthetic.track_clips import write_track_corpus
from jean_cli.console import Reporter, print_json

SEED = 0


class Corpus:
    """Clips of several people, the same sentences in four emotions; the last sentences are in a folder of their own.

    Attributes:
        train_folder, test_folder: FOLDER/train and FOLDER/test, each PERSON/EMOTION_SENTENCE.
        train, test: their clips. people: names, sorted.
    """

    def __init__(self, folder: Path, people: int, sentences: int, held_out: int, reporter: Reporter):
        items = plan_corpus(folder, people, sentences, seed=SEED)
        self.train_folder, self.test_folder = folder / "train", folder / "test"
        parts = {
            self.train_folder: [item for item in items if item.sentence <= sentences - held_out],
            self.test_folder: [item for item in items if item.sentence > sentences - held_out],
        }
        with reporter.task("draw tracks", len(items)) as advance:
            for place, part in parts.items():
                write_track_corpus(place, part, emotion_of=of_tracks, progress=lambda done, total: advance(1))
        self.train, self.test = find_clips([self.train_folder]), find_clips([self.test_folder])
        self.people = sorted({clip.person for clip in self.train})


def probe(clips: tuple[list[Any], list[Any]], embed: Any, truth: Any) -> float:
    """R² on the second clips of truth(clip) from embed(clip), the ridge fitted on the first."""
    (train, test) = clips
    return ridge_r2(
        np.concatenate([embed(clip) for clip in train]),
        np.concatenate([truth(clip) for clip in train]),
        np.concatenate([embed(clip) for clip in test]),
        np.concatenate([truth(clip) for clip in test]),
    )


def speech_truth(clip: Any) -> np.ndarray:
    """[T, 7]: the controls of the mouth that speech moves."""
    return clip.arrays["expression"][:, -len(SPEECH_CONTROLS) :]


def expression_truth(clip: Any) -> np.ndarray:
    """[T, 14]: all other controls."""
    return clip.arrays["expression"][:, : -len(SPEECH_CONTROLS)]


def opened(clips: list[CorpusClip]) -> list[Any]:
    """The clips themselves, without pictures."""
    return [clip.open() for clip in clips]


def landmark_rows(corpus: Corpus, folder: Path, steps: int, reporter: Reporter) -> list[dict[str, Any]]:
    """Part 1, first half: e_m and e_f."""
    import torch

    from jean.models.landmark_autoencoder import LandmarkAutoencoder
    from jean.models.stored import load_landmark_autoencoder
    from jean.train.landmarks import LandmarkConfig, train_landmarks

    clips = opened(corpus.train), opened(corpus.test)
    rows = []

    def points(form: str) -> Any:
        return lambda clip: face_points(clip, form).reshape(clip.frame_count, -1)

    def row(name: str, model: Any, form: str) -> dict[str, Any]:
        def part(which: int) -> Any:
            return lambda clip: model.encode(torch.from_numpy(face_points(clip, form)))[which].detach().numpy()

        mouth, rest = (lambda c: points("motion")(c)[:, 62:]), (lambda c: points("motion")(c)[:, :62])
        return {
            "model": name,
            "e_m → mouth": probe(clips, part(1), mouth),
            "e_m → rest": probe(clips, part(1), rest),
            "e_f → rest": probe(clips, part(0), rest),
            "e_f → mouth": probe(clips, part(0), mouth),
        }

    mouth, rest = (lambda c: points("motion")(c)[:, 62:]), (lambda c: points("motion")(c)[:, :62])
    rows.append(
        {
            "model": "true tracks of each other",
            "e_m → mouth": 1.0,
            "e_m → rest": probe(clips, mouth, rest),
            "e_f → rest": 1.0,
            "e_f → mouth": probe(clips, rest, mouth),
        }
    )
    torch.manual_seed(SEED)
    rows.append(row("untrained", LandmarkAutoencoder().eval(), "motion"))
    for name, options in (
        ("Eq. 1, as in the paper", {}),
        ("separate=true", {"separate": True}),
    ):
        run = folder / ("landmarks" + ("_separate" if options else ""))
        config = LandmarkConfig(form="motion", steps=steps, device="cpu", seed=SEED, **options)
        train_landmarks([corpus.train_folder], run, config, reporter)
        rows.append(row(name, load_landmark_autoencoder(run).model, "motion"))
    return rows


def expression_rows(corpus: Corpus, folder: Path, steps: int, reporter: Reporter) -> list[dict[str, Any]]:
    """Part 1, second half: e_e and e_l of the first person."""
    import torch

    from jean.models.expression_transformer import ExpressionTransformer
    from jean.models.stored import load_expression_transformer
    from jean.train.expression import ExpressionConfig, train_expression

    person = corpus.people[0]
    clips = tuple(opened([clip for clip in part if clip.person == person]) for part in (corpus.train, corpus.test))
    rows = [
        {
            "model": "true tracks of each other",
            "e_e → expression": 1.0,
            "e_e → speech": probe(clips, expression_truth, speech_truth),
            "e_l → speech": 1.0,
            "e_l → expression": probe(clips, speech_truth, expression_truth),
        }
    ]

    def row(name: str, model: Any) -> dict[str, Any]:
        made = {id(clip): model.embed_track(emotion_track(clip, NAME)[0]) for part in clips for clip in part}
        lip, expression = (lambda clip: made[id(clip)][0]), (lambda clip: made[id(clip)][1])
        return {
            "model": name,
            "e_e → expression": probe(clips, expression, expression_truth),
            "e_e → speech": probe(clips, expression, speech_truth),
            "e_l → speech": probe(clips, lip, speech_truth),
            "e_l → expression": probe(clips, lip, expression_truth),
        }

    torch.manual_seed(SEED)
    untrained = ExpressionTransformer(features=2048, feedforward=256)
    every = np.concatenate([emotion_track(clip, NAME)[0] for clip in clips[0]])
    spread = np.full(2048, np.sqrt(every.var(0).mean()), np.float32)
    untrained.set_statistics(torch.from_numpy(every.mean(0)), torch.from_numpy(spread))
    rows.append(row("untrained", untrained.eval()))
    for name, preset in (("Eq. 4, as in the paper", "small"), ("preset parted", "parted")):
        run = folder / f"expression_{preset}"
        config = ExpressionConfig(
            preset=preset,
            person=person,
            emotion_features=NAME,
            dtw="exact",
            steps=steps,
            device="cpu",
            seed=SEED,
        )
        train_expression([corpus.train_folder / person], run, config, reporter)
        rows.append(row(name, load_expression_transformer(run).model))
    return rows


def audio_rows(corpus: Corpus, folder: Path, steps: int, reporter: Reporter) -> list[dict[str, Any]]:
    """Part 2: retrieval and offset on held-out sentences, and on a person that was not trained on."""
    import torch

    from jean.data.face_frames import load_frames
    from jean.models.stored import load_audio_encoder, load_landmark_autoencoder
    from jean.train.audio import AudioConfig, audio_scores, mouth_embeddings, train_audio

    landmarks = load_landmark_autoencoder(folder / "landmarks").model
    stranger = corpus.people[-1]
    sets = {
        "held-out sentences": [clip for clip in corpus.test if clip.person != stranger],
        "held-out person": [clip for clip in corpus.test if clip.person == stranger],
    }
    rows = []
    for name, options in (
        ("Eq. 2, as in the paper", {"preset": "paper"}),
        ("preset small", {"preset": "small"}),
    ):
        run = folder / f"audio_{options['preset']}"
        config = AudioConfig(steps=steps, device="cpu", seed=SEED, validation=(stranger,), **options)
        train_audio([corpus.train_folder], folder / "landmarks", run, config, reporter)
        model = load_audio_encoder(run).model
        for which, clips in sets.items():
            frames = load_frames(sorted(clips, key=lambda c: (c.person, c.name)), "motion", sound=True)
            with torch.no_grad():
                audio = torch.cat([model(part) for part in torch.from_numpy(frames.audio).split(2048)]).numpy()
            mouths = mouth_embeddings(landmarks, frames, torch.device("cpu")).numpy()
            rows.append({"model": name, "on": which, **audio_scores(frames, audio, mouths)})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for row in rows:
        cells = [f"{row[h]:.2f}" if isinstance(row.get(h), float) else str(row.get(h, "")) for h in heads]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--parts", default="1,2")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--sentences", type=int, default=12)
    parser.add_argument("--held-out", type=int, default=3)
    parser.add_argument("--landmark-steps", type=int, default=1000)
    parser.add_argument("--audio-steps", type=int, default=1500)
    parser.add_argument("--expression-steps", type=int, default=250)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = set(options.parts.split(","))
    if not parts <= {"1", "2"}:
        sys.exit("error: --parts takes 1 and 2, separated by commas")
    reporter = Reporter()
    corpus = Corpus(options.output / "corpus", options.people, options.sentences, options.held_out, reporter)
    result: dict[str, Any] = {}
    if "1" in parts:
        result["landmarks"] = landmark_rows(corpus, options.output, options.landmark_steps, reporter)
        result["expression"] = expression_rows(corpus, options.output, options.expression_steps, reporter)
    if "2" in parts:
        result["audio"] = audio_rows(corpus, options.output, options.audio_steps, reporter)
    (options.output / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.json:
        print_json(result)
    else:
        print("\n\n".join(table(rows) for rows in result.values()))


if __name__ == "__main__":
    main()
