"""Whether two recordings say the same words: the cost of aligning their sound, against that of other sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jean.clips.clip import Clip
from jean.clips.corpus import CorpusClip
from jean.drivers.time_warp import exact_path

Pair = tuple[CorpusClip, CorpusClip]

COEFFICIENTS = 13  # of the cosine transform over the features of a frame; the smooth part of a spectrum is the sound
RIVALS = 12  # other sentences that a clip's partner is compared with; numbers that are shifted are shifted by few
FEWEST_WRONG = 8  # pairs of different sentences; from fewer, the limit would be a guess
# Fraction of the wrong pairs that cost less than the limit, and that quantile of the normal distribution.
ACCEPTED_WRONG, QUANTILE = 0.05, -1.645
MAD_TO_STD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class MatchedPairs:
    """Pairs whose sound agrees, and what was found.

    Attributes:
        kept: pairs whose cost is below the limit, and pairs without sound.
        refused: (pair, cost) of the others.
        limit: largest cost of a kept pair; None if there were too few sentences to measure one.
        unchecked: pairs of which a clip has no sound.
    """

    kept: list[Pair]
    refused: list[tuple[Pair, float]]
    limit: float | None
    unchecked: int


def sound_track(clip: Clip) -> np.ndarray | None:
    """What a clip's sound is compared by, float64 [T, COEFFICIENTS], without pauses at its ends; None without sound.

    These are the first coefficients of a cosine transform of each frame's features, without the constant one
    (loudness), with zero mean and unit standard deviation over the clip.
    """
    from scipy.fft import dct

    if not clip.audio_specs:
        return None
    rows = clip.audio_track(clip.audio_name()).centre_rows().astype(np.float64)
    loud = rows.mean(1)
    # features of the default kind are 0 in silence; for others, the loudest half keeps nearly everything
    spoken = np.flatnonzero(loud > 0.3 * np.quantile(loud, 0.9)) if loud.max() > 0 else np.arange(len(rows))
    rows = rows[spoken[0] : spoken[-1] + 1] if len(spoken) else rows
    values = dct(rows, axis=1, norm="ortho")[:, 1 : COEFFICIENTS + 1]
    return np.asarray((values - values.mean(0)) / np.maximum(values.std(0), 1e-6))


def sound_cost(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two sound tracks along the path that aligns them; 0 for equal tracks."""
    path = exact_path(a, b)
    return float(np.linalg.norm(a[path[:, 0]] - b[path[:, 1]], axis=1).mean())


def cost_limit(wrong: np.ndarray) -> float:
    """The cost that ``ACCEPTED_WRONG`` of the wrong pairs stay below, from the costs [N] of some.

    Example:
        >>> round(cost_limit(np.array([3.0, 3.5, 4.0, 4.5, 5.0])), 2)
        2.78
    """
    median = float(np.median(wrong))
    return median + QUANTILE * MAD_TO_STD * float(np.median(np.abs(wrong - median)))


def match_pairs(pairs: Sequence[Pair]) -> MatchedPairs:
    """Refuses pairs whose sound says that the sentences differ.

    A pair is refused if its cost is in the range of different sentences, or if the sound of one clip agrees better with
    another sentence in the emotion of the other clip. The range is that above the cost which ``ACCEPTED_WRONG`` of the
    pairs of different sentences stay below. It follows from their median and their median deviation: where numbers are
    shifted, some pairs of "different" sentences are the same text.

    Args:
        pairs: clips of one person that should say the same sentence in two emotions.
    """
    tracks: dict[str, np.ndarray | None] = {}
    costs: dict[frozenset[str], float | None] = {}

    def cost(first: CorpusClip, second: CorpusClip) -> float | None:
        key = frozenset((first.name, second.name))
        if key not in costs:
            for clip in (first, second):
                if clip.name not in tracks:
                    tracks[clip.name] = sound_track(clip.open())
            a, b = tracks[first.name], tracks[second.name]
            costs[key] = None if a is None or b is None else sound_cost(a, b)
        return costs[key]

    by_emotion: dict[str | None, list[CorpusClip]] = {}
    for clip in {clip.name: clip for pair in pairs for clip in pair}.values():
        by_emotion.setdefault(clip.emotion, []).append(clip)
    for clips in by_emotion.values():
        clips.sort(key=lambda clip: str(clip.sentence))
    rivals: list[list[float]] = []
    for a, b in pairs:
        others = [(a, rival) for rival in _neighbours(b, by_emotion[b.emotion])]
        others += [(b, rival) for rival in _neighbours(a, by_emotion[a.emotion])]
        rivals.append([value for pair in others if (value := cost(*pair)) is not None])
    wrong = np.array([value for values in rivals for value in values])
    limit = cost_limit(wrong) if len(wrong) >= FEWEST_WRONG else None
    kept: list[Pair] = []
    refused: list[tuple[Pair, float]] = []
    unchecked = 0
    for pair, others_cost in zip(pairs, rivals, strict=True):
        value = cost(*pair) if limit is not None else None
        unchecked += value is None
        if limit is not None and value is not None and value >= min([limit, *others_cost]):
            refused.append((pair, value))
        else:
            kept.append(pair)
    return MatchedPairs(kept, refused, limit, unchecked)


def _neighbours(clip: CorpusClip, clips: Sequence[CorpusClip]) -> list[CorpusClip]:
    """The clips with other sentences that are nearest to ``clip`` in ``clips``, at most ``RIVALS``."""
    at = next(i for i, other in enumerate(clips) if other.name == clip.name)
    order = sorted(range(len(clips)), key=lambda i: (abs(i - at), i))
    return [clips[i] for i in order if clips[i].sentence != clip.sentence][:RIVALS]
