"""Whether sound and lips find each other: retrieval among distractors, and the offset between the two.

Both take embeddings that were compared by their cosine when they were trained (Eq. 2).
"""

from __future__ import annotations

import numpy as np


def unit_rows(values: np.ndarray) -> np.ndarray:
    """Rows [N, D] brought to length 1."""
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
    """The place of the right sound among ``ways`` sounds of the same person, for each queried mouth.

    Distractors are drawn from frames of the same person in which somebody speaks, in other clips or at
    least ``apart_s`` away in the same one. Silent frames are no queries either.

    Args:
        audio, mouth: embeddings [N, D].
        person, clip, frame: int [N] each.
        voiced: bool [N].
        fps: frames a second.
        ways: sounds to choose from, the right one among them.
        apart_s: see above.
        span: consecutive frames, odd, over which the similarity is averaged, with the queried one in the middle.
            One mouth alone cannot tell two closed lips apart; SyncNet looks at five frames.
        queries: at most so many, evenly spread.

    Returns:
        int [Q]: 0 where the right sound is the most similar; ties count against it. Empty where no person
        has enough speech.
    """
    random = np.random.default_rng([0x32, seed])
    audio, mouth = unit_rows(audio), unit_rows(mouth)
    reach = span // 2
    whole = np.zeros(len(frame), bool)  # frames whose neighbours are the frames before and after
    if len(frame) > 2 * reach:
        same = (clip[2 * reach :] == clip[: len(clip) - 2 * reach]) & (
            frame[2 * reach :] - frame[: len(frame) - 2 * reach] == 2 * reach
        )
        whole[reach : len(frame) - reach] = same
    voiced = voiced & whole
    around = np.arange(-reach, reach + 1)
    speaking = np.flatnonzero(voiced)
    if len(speaking) > queries:
        speaking = speaking[np.linspace(0, len(speaking) - 1, queries).round().astype(int)]
    pools = {p: np.flatnonzero(voiced & (person == p)) for p in np.unique(person)}
    ranks = []
    for query in speaking:
        pool = pools[person[query]]
        apart = (clip[pool] != clip[query]) | (np.abs(frame[pool] - frame[query]) >= apart_s * fps)
        pool = pool[apart]
        if len(pool) < ways - 1:
            continue
        rivals = random.choice(pool, ways - 1, replace=False)
        candidates = np.concatenate([[query], rivals])[:, None] + around
        scores = (audio[candidates] * mouth[query + around]).sum(-1).mean(1)
        ranks.append(int((scores[1:] >= scores[0]).sum()))
    return np.array(ranks, int)


def offset_curve(audio: np.ndarray, mouth: np.ndarray, voiced: np.ndarray, most: int = 15) -> np.ndarray:
    """Mean cosine [2 · most + 1] of one clip's mouths with the sound k frames later, k from -most to most.

    Only mouths whose own sound and all shifted ones exist count where there are any, so that every k is
    judged on the same frames; NaN everywhere for a clip too short for that or without speech.

    Args:
        audio, mouth: embeddings [T, D] of consecutive frames.
        voiced: bool [T].
    """
    audio, mouth = unit_rows(audio), unit_rows(mouth)
    inner = np.arange(most, len(mouth) - most)
    inner = inner[voiced[most : len(mouth) - most]] if len(inner) else inner
    if not len(inner):
        return np.full(2 * most + 1, np.nan)
    return np.array([(audio[inner + k] * mouth[inner]).sum(-1).mean() for k in range(-most, most + 1)])


def found_offset(curve: np.ndarray) -> int | None:
    """The k, in frames, at which sound and mouth agree best; positive: the sound comes later than it should."""
    if not np.isfinite(curve).all():
        return None
    return int(curve.argmax()) - len(curve) // 2


def planted_offset_errors(
    audio: np.ndarray, mouth: np.ndarray, voiced: np.ndarray, planted: range = range(-5, 6), most: int = 10
) -> list[int]:
    """Errors (frames) of the offset found in one clip when its sound is moved by each of ``planted`` frames.

    Args:
        audio, mouth, voiced: see ``offset_curve``.
        planted: shifts; what the shift leaves without sound is cut off on both sides alike.
        most: how far is looked to either side.
    """
    errors = []
    for shift in planted:
        # the sound of frame t now stands at t + shift
        first, last = max(0, shift), min(len(mouth), len(mouth) + shift)
        moved = audio[first - shift : last - shift]
        found = found_offset(offset_curve(moved, mouth[first:last], voiced[first:last], most))
        if found is not None:
            errors.append(found - shift)
    return errors
