"""How well sound and lips find each other."""

from __future__ import annotations

import numpy as np

from jean.clips.corpus import people
from jean.drivers.face_frames import FaceFrames
from jean.metrics.lip_sync.retrieval import planted_offset_errors, retrieval_ranks


def audio_scores(frames: FaceFrames, audio: np.ndarray, mouths: np.ndarray, ways: int = 32) -> dict[str, float]:
    """The scores of ``AudioStage.evaluate`` for embeddings [N, D] of both kinds; what cannot be told is left out."""
    assert frames.voiced is not None
    names = people(frames.clips)
    person = np.array([names.index(clip.person) for clip in frames.clips])[frames.clip]
    ranks = retrieval_ranks(audio, mouths, person, frames.clip, frames.frame, frames.voiced, frames.fps, ways)
    scores: dict[str, float] = {}
    if len(ranks):
        scores[f"retrieval_1_of_{ways}"] = float((ranks == 0).mean())
        scores["retrieval_mean_rank"] = float(ranks.mean())
        scores["retrieval_queries"] = float(len(ranks))
    five = retrieval_ranks(audio, mouths, person, frames.clip, frames.frame, frames.voiced, frames.fps, ways, span=5)
    if len(five):
        scores[f"retrieval_of_5_frames_1_of_{ways}"] = float((five == 0).mean())
    errors: list[int] = []
    for first, count in zip(frames.first, frames.count, strict=True):
        part = slice(int(first), int(first + count))
        if np.all(np.diff(frames.frame[part]) == 1):  # a gap would shift what comes after it
            errors += planted_offset_errors(audio[part], mouths[part], frames.voiced[part])
    if errors:
        scores["offset_within_1_frame"] = float((np.abs(errors) <= 1).mean())
        scores["offset_error_frames"] = float(np.abs(errors).mean())
    return scores
