"""Parts 1 and 2 of ``disentangle.py``: probes of the embeddings, and retrieval by the audio encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from disentangle_runs import SEED, Corpus, Steps, audio_run, expression_run, landmark_run
from entangled import NAME

from jean.clips.corpus import CorpusClip
from jean.drivers.emotion import emotion_track
from jean.drivers.face_points import face_points
from jean.metrics.probes import ridge_r2
from jean.progress import Progress
from jean.synthetic_speaker.controls import SPEECH_CONTROLS


def probe(clips: tuple[list[Any], list[Any]], embed: Any, truth: Any) -> float:
    """R² on test clips of a ridge regression from ``embed(clip)`` to ``truth(clip)``, fitted on training clips.

    Args:
        clips: training and test clips.
        embed: gives [T, D] of a clip.
        truth: gives [T, K] of a clip.
    """
    (train, test) = clips
    return ridge_r2(
        np.concatenate([embed(clip) for clip in train]),
        np.concatenate([truth(clip) for clip in train]),
        np.concatenate([embed(clip) for clip in test]),
        np.concatenate([truth(clip) for clip in test]),
    )


def speech_truth(clip: Any) -> np.ndarray:
    """Speech controls of a clip: [T, 7]."""
    return clip.arrays["expression"][:, -len(SPEECH_CONTROLS) :]


def expression_truth(clip: Any) -> np.ndarray:
    """Expression controls of a clip, all that are not speech: [T, 14]."""
    return clip.arrays["expression"][:, : -len(SPEECH_CONTROLS)]


def open_clips(clips: list[CorpusClip]) -> list[Any]:
    """Opens clips, without frames."""
    return [clip.open() for clip in clips]


def landmark_rows(corpus: Corpus, steps: Steps, reporter: Progress) -> list[dict[str, Any]]:
    """Part 1: a row per landmark autoencoder, for e_m and e_f."""
    import torch

    from jean.models.landmark_autoencoder import LandmarkAutoencoder
    from jean.models.stored import load_landmark_autoencoder

    clips = open_clips(corpus.train), open_clips(corpus.test)
    rows = []

    def points(form: str) -> Any:
        return lambda clip: face_points(clip, form).reshape(clip.frame_count, -1)

    def row(name: str, model: Any, form: str) -> dict[str, Any]:
        def part(which: int) -> Any:
            return lambda clip: model.encode(torch.from_numpy(face_points(clip, form)))[which].detach().numpy()

        mouth, others = (lambda c: points("motion")(c)[:, 62:]), (lambda c: points("motion")(c)[:, :62])
        return {
            "model": name,
            "e_m → mouth": probe(clips, part(1), mouth),
            "e_m → other points": probe(clips, part(1), others),
            "e_f → other points": probe(clips, part(0), others),
            "e_f → mouth": probe(clips, part(0), mouth),
        }

    mouth, others = (lambda c: points("motion")(c)[:, 62:]), (lambda c: points("motion")(c)[:, :62])
    rows.append(
        {
            "model": "true tracks of each other",
            "e_m → mouth": 1.0,
            "e_m → other points": probe(clips, mouth, others),
            "e_f → other points": 1.0,
            "e_f → mouth": probe(clips, others, mouth),
        }
    )
    torch.manual_seed(SEED)
    rows.append(row("untrained", LandmarkAutoencoder().eval(), "motion"))
    for name, options in (
        ("Eq. 1, as in the paper", {}),
        ("separate=true", {"separate": True}),
    ):
        run = landmark_run(corpus, steps, reporter, **options)
        rows.append(row(name, load_landmark_autoencoder(run).model, "motion"))
    return rows


def expression_rows(corpus: Corpus, steps: Steps, reporter: Progress) -> list[dict[str, Any]]:
    """Part 1: a row per expression transformer of the first person, for e_e and e_l."""
    import torch

    from jean.models.expression_transformer import ExpressionTransformer
    from jean.models.stored import load_expression_transformer

    person = corpus.people[0]
    clips = tuple(open_clips([clip for clip in part if clip.person == person]) for part in (corpus.train, corpus.test))
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
        embeddings = {id(clip): model.embed_track(emotion_track(clip, NAME)[0]) for part in clips for clip in part}
        lip, expression = (lambda clip: embeddings[id(clip)][0]), (lambda clip: embeddings[id(clip)][1])
        return {
            "model": name,
            "e_e → expression": probe(clips, expression, expression_truth),
            "e_e → speech": probe(clips, expression, speech_truth),
            "e_l → speech": probe(clips, lip, speech_truth),
            "e_l → expression": probe(clips, lip, expression_truth),
        }

    torch.manual_seed(SEED)
    untrained = ExpressionTransformer(features=2048, feedforward=256)
    features = np.concatenate([emotion_track(clip, NAME)[0] for clip in clips[0]])
    std = np.full(2048, np.sqrt(features.var(0).mean()), np.float32)
    untrained.set_statistics(torch.from_numpy(features.mean(0)), torch.from_numpy(std))
    rows.append(row("untrained", untrained.eval()))
    for name, preset in (("Eq. 4, as in the paper", "small"), ("preset disentangled", "disentangled")):
        run = expression_run(corpus, steps, reporter, preset)
        rows.append(row(name, load_expression_transformer(run).model))
    return rows


def audio_rows(corpus: Corpus, steps: Steps, reporter: Progress) -> list[dict[str, Any]]:
    """Part 2: retrieval and offset per audio encoder, on held-out sentences and on a held-out person."""
    import torch

    from jean.drivers.face_frames import load_frames
    from jean.models.stored import load_audio_encoder, load_landmark_autoencoder
    from jean.train.audio.stage import audio_scores, mouth_embeddings

    landmarks = load_landmark_autoencoder(landmark_run(corpus, steps, reporter)).model
    held_out_person = corpus.people[-1]
    sets = {
        "held-out sentences": [clip for clip in corpus.test if clip.person != held_out_person],
        "held-out person": [clip for clip in corpus.test if clip.person == held_out_person],
    }
    rows = []
    for name, preset in (("Eq. 2, as in the paper", "paper"), ("preset small", "small")):
        model = load_audio_encoder(audio_run(corpus, steps, reporter, preset)).model
        for set_name, clips in sets.items():
            frames = load_frames(sorted(clips, key=lambda c: (c.person, c.name)), "motion", sound=True)
            with torch.no_grad():
                audio = torch.cat([model(part) for part in torch.from_numpy(frames.audio).split(2048)]).numpy()
            mouths = mouth_embeddings(landmarks, frames, torch.device("cpu")).numpy()
            rows.append({"model": name, "on": set_name, **audio_scores(frames, audio, mouths)})
    return rows
