"""Retrieval and offset of embeddings: can the right sound be found among others, and at which shift?

Both compare embeddings by their cosine, as training does (Eq. 2).
"""

from __future__ import annotations

import numpy as np


def unit_rows(values: np.ndarray) -> np.ndarray:
    """Scales rows [N, D] to length 1; a zero row stays zero."""
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)


def retrieval_ranks(
    audio: np.ndarray,
    mouth: np.ndarray,
    person: np.ndarray,
    clip: np.ndarray,
    frame: np.ndarray,
    voiced: np.ndarray,
    fps: float,
    ways: int = 32,
    apart_s: float = 0.3,
    span: int = 1,
    queries: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Rank of the right sound among ``ways`` sounds of the same person, for each queried mouth.

    Distractors are random voiced frames of the same person, from other clips or at least ``apart_s`` away in the same
    clip. Silent frames are not queried.

    Args:
        audio, mouth: embeddings [N, D].
        person, clip, frame: number of the person, the clip and the frame in it, int [N] each.
        voiced: frames with speech, bool [N].
        fps: frames per second.
        ways: number of candidate sounds, including the right one.
        apart_s: minimum distance in s of distractors in the same clip.
        span: odd number of consecutive frames over which the similarity is averaged, centred on the queried frame. A
            single mouth cannot distinguish two sounds with closed lips; SyncNet sees five frames.
        queries: maximum number of queries, evenly spaced.
        seed: seed of the random distractors.

    Returns:
        int [Q]: 0 if the right sound is the most similar; ties count against it. Empty if no person has enough speech.
    """
    random = np.random.default_rng([0x32, seed])
    audio, mouth = unit_rows(audio), unit_rows(mouth)
    reach = span // 2
    complete = np.zeros(len(frame), bool)  # frames whose whole span lies in one clip without gaps
    if len(frame) > 2 * reach:
        same_clip = clip[2 * reach :] == clip[: len(clip) - 2 * reach]
        consecutive = frame[2 * reach :] - frame[: len(frame) - 2 * reach] == 2 * reach
        complete[reach : len(frame) - reach] = same_clip & consecutive
    voiced = voiced & complete
    offsets = np.arange(-reach, reach + 1)
    queried = np.flatnonzero(voiced)
    if len(queried) > queries:
        queried = queried[np.linspace(0, len(queried) - 1, queries).round().astype(int)]
    pools = {p: np.flatnonzero(voiced & (person == p)) for p in np.unique(person)}
    ranks = []
    for query in queried:
        pool = pools[person[query]]
        distant = (clip[pool] != clip[query]) | (np.abs(frame[pool] - frame[query]) >= apart_s * fps)
        pool = pool[distant]
        if len(pool) < ways - 1:
            continue
        distractors = random.choice(pool, ways - 1, replace=False)
        candidates = np.concatenate([[query], distractors])[:, None] + offsets
        scores = (audio[candidates] * mouth[query + offsets]).sum(-1).mean(1)
        ranks.append(int((scores[1:] >= scores[0]).sum()))
    return np.array(ranks, int)


def offset_curve(audio: np.ndarray, mouth: np.ndarray, voiced: np.ndarray, max_shift: int = 15) -> np.ndarray:
    """Mean cosine of the mouths of one clip with the sound k frames later, for k from −max_shift to max_shift.

    Only voiced frames whose shifted sounds all exist count, so that every k is judged on the same frames.

    Args:
        audio, mouth: embeddings of consecutive frames [T, D].
        voiced: frames with speech, bool [T].
        max_shift: largest shift in frames.

    Returns:
        [2 · max_shift + 1]; NaN everywhere if the clip is too short or has no speech.
    """
    audio, mouth = unit_rows(audio), unit_rows(mouth)
    inner = np.arange(max_shift, len(mouth) - max_shift)
    inner = inner[voiced[max_shift : len(mouth) - max_shift]] if len(inner) else inner
    if not len(inner):
        return np.full(2 * max_shift + 1, np.nan)
    shifts = range(-max_shift, max_shift + 1)
    return np.array([(audio[inner + k] * mouth[inner]).sum(-1).mean() for k in shifts])


def best_offset(curve: np.ndarray) -> int | None:
    """Shift in frames at which sound and mouth agree best; positive if the sound is late, None for NaN.

    Args:
        curve: the output of ``offset_curve``.

    >>> best_offset(np.array([0.1, 0.2, 0.9]))
    1
    """
    if not np.isfinite(curve).all():
        return None
    return int(curve.argmax()) - len(curve) // 2


def planted_offset_errors(
    audio: np.ndarray, mouth: np.ndarray, voiced: np.ndarray, planted: range = range(-5, 6), max_shift: int = 10
) -> list[int]:
    """Errors of the estimated offset, in frames, after shifting the sound of one clip by each of ``planted`` frames.

    Args:
        audio, mouth, voiced: see ``offset_curve``.
        planted: shifts in frames. Frames without sound after the shift are cut off on both sides.
        max_shift: largest offset that can be found.
    """
    errors = []
    for shift in planted:
        # the sound of frame t is now at t + shift
        first, stop = max(0, shift), min(len(mouth), len(mouth) + shift)
        shifted = audio[first - shift : stop - shift]
        offset = best_offset(offset_curve(shifted, mouth[first:stop], voiced[first:stop], max_shift))
        if offset is not None:
            errors.append(offset - shift)
    return errors
