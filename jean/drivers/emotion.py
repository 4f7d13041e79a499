"""Emotion features of clips, and windows of pairs of clips that say the same (sections 3.2 and 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jean.clips.clip import Clip
from jean.clips.compatibility import ClipSpec
from jean.clips.corpus import CorpusClip
from jean.errors import InputError

Warp = Callable[[np.ndarray, np.ndarray], np.ndarray]


def emotion_track(clip: Clip, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Emotion features float32 [T, D] of a clip, and what made them.

    The description has ``name``, ``version``, ``width`` and ``network`` (whether an emotion network made them).

    Raises:
        ArtefactError: the clip has no such features.
    """
    return clip.emotion_track(name), {"name": name, **clip.emotion_specs[name].to_json()}


@dataclass(frozen=True)
class PairWindows:
    """Windows of ω aligned frames of pairs of clips.

    Attributes:
        features: float32 [T, D] of each clip that is used.
        pairs: (index of A, index of B, path [N, 2]) of each pair, see ``time_warp``.
        starts: int [W, 2]: (pair, first aligned frame) of each window.
        window: ω.
    """

    features: tuple[np.ndarray, ...]
    pairs: tuple[tuple[int, int, np.ndarray], ...]
    starts: np.ndarray
    window: int

    def __len__(self) -> int:
        return len(self.starts)

    def at(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A† and B†, float32 [B, ω, D] each, of windows ``chosen`` [B]."""
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for pair, start in self.starts[chosen]:
            first, second, path = self.pairs[pair]
            rows = path[start : start + self.window]
            sides[0].append(self.features[first][rows[:, 0]])
            sides[1].append(self.features[second][rows[:, 1]])
        return np.stack(sides[0]), np.stack(sides[1])


def pair_windows(
    pairs: Sequence[tuple[CorpusClip, CorpusClip]],
    name: str,
    window: int,
    warp: Warp,
    made: dict[str, Any] | None = None,
) -> tuple[PairWindows, dict[str, Any]]:
    """Aligns each pair (Eq. 3) and cuts every window of ``window`` frames from it.

    Args:
        pairs: clips of one person that say the same in two emotions.
        name: of the emotion features.
        window: ω.
        warp: gives the path of two feature sequences.
        made: description that the features must have; None: that of the first clip.

    Returns:
        The windows and the features' description.

    Raises:
        InputError: no window.
        ArtefactError: features that are missing or of several kinds.
    """
    places: dict[str, int] = {}
    features: list[np.ndarray] = []
    for clip in [clip for pair in pairs for clip in pair]:
        if clip.name not in places:
            opened = clip.open()
            values, described = emotion_track(opened, name)
            made = made or described
            opened.require(ClipSpec.of_run({"emotion": made}, "emotion"), "the training data")
            places[clip.name] = len(features)
            features.append(np.asarray(values, np.float32))
    aligned, starts = [], []
    for number, (a, b) in enumerate(pairs):
        first, second = places[a.name], places[b.name]
        path = warp(features[first], features[second])
        aligned.append((first, second, path))
        starts += [(number, start) for start in range(len(path) - window + 1)]
    if made is None or not starts:
        raise InputError(
            "no sentence is there in two emotions.", "Give clips of one person that say the same in several emotions."
        )
    return PairWindows(tuple(features), tuple(aligned), np.array(starts), window), made


def frame_windows(track: np.ndarray, window: int) -> np.ndarray:
    """[T, ω, D]: the window around each frame of a track [T, D], so that element ω/2 is the frame itself.

    The first and last frame are repeated beyond the ends (section 8.4.2; the paper does not say how).
    """
    index = np.arange(len(track))[:, None] + np.arange(window) - window // 2
    return track[np.clip(index, 0, len(track) - 1)]
