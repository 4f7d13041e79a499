"""Parts 1 and 2 of ``disentangle.py``: probes of the embeddings, and retrieval by the audio encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from disentangle_consumer import crossed_mouth
from disentangle_runs import SEED, Corpus, Steps, audio_run, expression_run, landmark_run
from entangled import NAME

from jean.clips.corpus import CorpusClip
from jean.drivers.emotion import emotion_track
from jean.drivers.face_points import face_points
from jean.drivers.slow import window_mean
from jean.metrics.probes import kernel_r2, ridge_r2
from jean.progress import Progress
from jean.synthetic_speaker.controls import CONTROLS, SPEECH_CONTROLS
from jean.train.expression.speech import components, project

# Expression transformers of part 1: name, preset, further options
EXPRESSION_RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Eq. 4, as in the paper", "small", {}),
    ("preset disentangled", "disentangled", {}),
    ("disentangled, aligned on sound, erased", "disentangled", {"align_on": "audio", "erase_speech": True}),
)


def probe(clips: tuple[list[Any], list[Any]], embed: Any, truth: Any, measure: Any = ridge_r2) -> float:
    """R² on test clips of a reader of ``truth(clip)`` from ``embed(clip)``, fitted on training clips.

    Args:
        clips: training and test clips.
        embed: gives [T, D] of a clip.
        truth: gives [T, K] of a clip.
        measure: ``ridge_r2`` or ``kernel_r2``.
    """
    (train, test) = clips
    return measure(
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


def face_truth(clip: Any) -> np.ndarray:
    """Expression controls without those of the eyes, which have inputs of their own: [T, 10]."""
    own = ("blink_right", "blink_left", "gaze_x", "gaze_y")
    return expression_truth(clip)[:, [name not in own for name in CONTROLS[: -len(SPEECH_CONTROLS)]]]


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
    """Part 1: a row per expression vector of the first person: probes by a line and by a kernel, and the consumer.

    Blinks and gaze do not count as expression here: they have inputs of their own.
    """
    from jean.models.stored import load_expression_transformer

    person = corpus.people[0]
    train, test = (open_clips([clip for clip in part if clip.person == person]) for part in (corpus.train, corpus.test))
    pairs = crossed_pairs(test)

    def row(name: str, embed: Any, consumed: bool = True) -> dict[str, Any]:
        result: dict[str, Any] = {"model": name}
        for label, truth in (("expression", face_truth), ("speech", speech_truth)):
            for kind, measure in (("line", ridge_r2), ("kernel", kernel_r2)):
                result[f"e_e → {label}, {kind}"] = probe((train, test), embed, truth, measure)
        return result | (crossed_mouth(train, pairs, embed, SEED) if consumed else {})

    rows = [row("true expression", face_truth)]
    features = {id(clip): emotion_track(clip, NAME)[0] for clip in (*train, *test)}
    projection = components(np.concatenate([features[id(clip)] for clip in train]), 64)
    vectors = {"features, 64 components": lambda clip: project(features[id(clip)], projection)}
    for name, preset, options in EXPRESSION_RUNS:
        model = load_expression_transformer(expression_run(corpus, steps, reporter, preset, **options)).model
        tracks = {key: model.embed_track(track)[1] for key, track in features.items()}
        vectors[name] = lambda clip, tracks=tracks: tracks[id(clip)]  # type: ignore[misc]
    for name, embed in vectors.items():
        rows.append(row(name, embed))
        rows.append(row(f"{name}, mean of 1 s", lambda clip, embed=embed: window_mean(embed(clip), clip.fps, 1.0)))
    return rows


def crossed_pairs(clips: list[Any]) -> list[tuple[Any, Any]]:
    """(clip of the expression, clip of the speech): each emotion twice, with another emotion and sentence."""
    by_key = {(clip.meta.synthetic.emotion, clip.meta.synthetic.sentence): clip for clip in clips}
    emotions, sentences = (sorted({key[k] for key in by_key}) for k in (0, 1))
    return [
        (
            by_key[emotion, sentences[k % len(sentences)]],
            by_key[emotions[(k + shift) % len(emotions)], sentences[(k + shift) % len(sentences)]],
        )
        for shift in (1, 2)
        for k, emotion in enumerate(emotions)
    ]


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
